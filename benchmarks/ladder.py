"""What cheap calculations are worth beside true ones: electron affinities of molecules at two or three levels of xTB.

    .venv/bin/python benchmarks/ladder.py [--seeds 5] [--budget 60] [--markdown benchmarks/results/ladder.md]

The true value is the adiabatic affinity, each charge state relaxed for itself; cheaper are the vertical one in the
relaxed neutral geometry, and the vertical one in a force field's. Costs are CPU-seconds, measured at the start on 60
molecules of the library and stated in the campaign files. Every arm is the shipped campaign `fidelities` through
`discover run`'s own stages with its levels, its way of buying and a batch of equal cost exchanged, no control arm, and
a budget in CPU-seconds of the oracle. Of each: the best true value and the mean of the ten best at a share of the
budget. Arms and seeds share one workspace, so nothing is calculated twice; each is charged as
if it had, and looked at where that reaches the budget.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

from benchmarks.peers.reporting import Section  # noqa: E402

GEOMETRIES = ("force_field", "xtb", "adiabatic")
ARMS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "true values only": ("one_level", ("adiabatic",), 12),
    "funnel, two levels": ("funnel", ("force_field", "adiabatic"), 40),
    "funnel, three levels": ("funnel", GEOMETRIES, 50),
    "information, two levels": ("information", ("force_field", "adiabatic"), 20),
    "level at random, two levels": ("random_level", ("force_field", "adiabatic"), 20),
}
"""Arm -> way of buying, levels, batch: rounds of about the same cost."""
SHOWN = (0.25, 0.5, 1.0)
"""Shares of the budget."""


def costs(molecules: int = 60) -> dict[str, float]:
    """Return CPU-seconds of one measurement at each level, the mean of some molecules of the campaign's library."""
    from data.config import load_config
    from models.registry import build
    from tasks.initial_design import read_library, source_hashes

    config = load_config(ROOT / "campaigns" / "fidelities.yaml")
    base = ROOT / "campaigns"
    objects = read_library(config, base, source_hashes(config, base)).frame["object"].tolist()[:molecules]
    told = {}
    for geometry in GEOMETRIES:
        oracle: Any = build("oracle", {"kind": "xtb", "property": "electron_affinity", "geometry": geometry})
        oracle.prepare()
        began = time.process_time()
        for one in objects:
            list(oracle.evaluate([one], keys=[one]))
        told[geometry] = round((time.process_time() - began) / len(objects), 3)
    return told


def course(work: tuple[str, int, dict[str, float], float, str]) -> list[tuple[float, float, float]]:
    """Return cost, best true value and mean of the ten best after each round of a campaign."""
    arm, seed, cost, budget, home = work
    kind, levels, batch = ARMS[arm]
    config = yaml.safe_load((ROOT / "campaigns" / "fidelities.yaml").read_text())
    oracles = [
        {"kind": "xtb", "property": "electron_affinity", "geometry": geometry, "cost": cost[geometry]}
        for geometry in levels
    ]
    single = len(levels) == 1
    config |= {
        "name": f"{arm.replace(', ', '-').replace(' ', '-')}-{seed}",
        "seed": seed,
        "objectives": [
            {"name": "affinity", "goal": "maximise", "oracle": oracles[0] if single else oracles},
        ],
        "data": config["data"] | {"initial": 12 if single else 40},
        "proxy": {"kind": "gaussian_process"} if single else {"kind": "autoregressive"},
        "control": {"kind": "random", "fraction": 0},
        "batch_size": batch,
        "rounds": 60,
        "budget": {"cost": budget},
    }
    config.pop("buying")
    if not single:
        config["buying"] = {"kind": kind}
    file = Path(home) / f"{config['name']}.yaml"
    file.write_text(yaml.safe_dump(config))
    os.environ |= {"DISCOVER_HOME": str(Path(home) / "home"), "DISCOVER_WORKERS": "1"}
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{file.with_suffix('.db')}"
    from models.threads import one_blas_thread
    from pipelines.campaign import run_campaign
    from tasks.reporting import report

    report.round_figures = lambda *_: {}  # type: ignore[assignment]  # pictures are not looked at here
    with one_blas_thread():
        campaign = run_campaign(file).campaign
    return _progress(campaign.id, dict(zip(_parts(single, levels), (cost[one] for one in levels), strict=True)))


def _parts(single: bool, levels: Sequence[str]) -> list[str]:
    """Return the oracle of each level as the ledger names it: the truth has no name, cheaper ones come after it."""
    return [""] if single else [*map(str, range(1, len(levels))), ""]


def _progress(campaign_id: int, cost: dict[str, float]) -> list[tuple[float, float, float]]:
    from data.ledger.summary import by_round
    from tasks.workspace import Workspace

    ledger = Workspace.open().ledger()
    rounds = by_round(ledger.candidates(campaign_id))
    bought = ledger.bought(campaign_id)
    ledger.close()
    told: list[tuple[float, float, float]] = []
    spent = 0.0
    known: list[float] = []
    last = max(row["round"] for row in bought)
    for round in range(last + 1):
        # What another arm had calculated was free for this one; here it is charged as what it takes.
        spent += sum(cost[row["part"]] * row["calls"] for row in bought if row["round"] == round)
        known += [row.value for row in rounds.get(round, []) if row.value is not None]
        best = sorted(known, reverse=True)[:10]
        told.append((spent, best[0], float(np.mean(best))) if best else (spent, np.nan, np.nan))
    return told


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=60.0, help="CPU-seconds of the oracle")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--arms", nargs="*", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--home", type=Path, help="folder that is kept, so that the same command goes on")
    parser.add_argument("--markdown", type=Path, help="file for the table in Markdown")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        home = given.home or Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        kept = home / "costs.yaml"
        cost = yaml.safe_load(kept.read_text()) if kept.exists() else costs()
        kept.write_text(yaml.safe_dump(cost))
        work = [(arm, seed, cost, given.budget, str(home)) for seed in range(given.seeds) for arm in given.arms]
        with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
            ran = list(track(pool.map(course, work), total=len(work), console=Console(stderr=True)))
    shown = section(work, ran, cost, given.budget)
    shown.show(Console(width=200))
    if given.markdown:
        given.markdown.write_text(shown.markdown())


def section(
    work: Sequence[tuple[Any, ...]],
    ran: Sequence[list[tuple[float, float, float]]],
    cost: dict[str, float],
    budget: float,
) -> Section:
    """Return a row for each arm: medians over seeds, and the seeds' own best at the end."""
    rows = []
    for arm in dict.fromkeys(one[0] for one in work):
        courses = [told for one, told in zip(work, ran, strict=True) if one[0] == arm]
        cells = []
        for share in SHOWN:
            reached = [[row for row in own if row[0] <= share * budget + 1e-9][-1] for own in courses]
            cells += [f"{np.median([row[k] for row in reached]):.3f}" for k in (1, 2)]
        cells.append(", ".join(f"{row[2]:.3f}" for row in reached))  # of the whole budget
        rows.append([arm, *cells])
    columns = ["arm", *(f"{what} at {share * budget:g} s" for share in SHOWN for what in ("best", "ten best"))]
    note = (
        f"Adiabatic electron affinity in eV, medians of {len(courses)} seeds. CPU-seconds of a measurement: "
        f"{', '.join(f'{name} {value:g}' for name, value in cost.items())}."
    )
    return Section("ladder", "xTB from cheap to true", [*columns, "ten best, each seed"], rows, note)


if __name__ == "__main__":
    main()
