"""Two goals on a library whose true front is known: how much of it is found with six per cent bought.

    .venv/bin/python benchmarks/two_goals.py [--seeds 5] [--out FILE] [--set KEY=VALUE]

The library is the shipped one of 5,761 molecules; electron affinity is to be large and the synthetic accessibility
score small, so that neither alone says what to buy. One per cent is measured at random, then five rounds of one per
cent each, all by `discover run --plain` in a new workspace with the default proxy, acquisition and selector. Beside it
the same campaign of one goal, the mean of both in units of their ranges (a weighted sum), and molecules drawn at
random. Hypervolume is counted above the worst values of the true front less a tenth of its ranges, in per cent of that
of the whole library.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

from benchmarks.pmo_harness import methods  # noqa: E402
from data.pareto import hypervolume, undominated  # noqa: E402
from data.tables.shipped import labelled_library  # noqa: E402
from models.registry import build  # noqa: E402

ROUNDS, SHARE = 5, 0.01
SOURCE = "electron_affinities"
SPACE = {"kind": "molecules", "max_heavy_atoms": 14, "min_heavy_atoms": 4}
AFFINITY = {"name": "electron_affinity", "oracle": {"kind": "table", "source": SOURCE}}
ACCESSIBILITY = {
    "name": "synthetic_accessibility",
    "goal": "minimise",
    "oracle": {"kind": "rdkit", "property": "synthetic_accessibility"},
}


def true_values() -> pd.DataFrame:
    """Return the library: object, affinity and accessibility, both signed so that larger is better."""
    frame = labelled_library(SOURCE)
    space = build("space", SPACE)
    objects = [space.standard(text) for text in frame["smiles"]]
    told = build("oracle", ACCESSIBILITY["oracle"]).evaluate(objects, keys=[""] * len(frame))
    values = pd.DataFrame({"object": objects, "affinity": frame["value"]})
    return values.assign(accessibility=[-float(one.value or 0.0) for one in told])


def campaign(seed: int, batch: int, objectives: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the campaign of a seed."""
    return {
        "name": "two-goals",
        "seed": seed,
        "space": SPACE,
        "objectives": objectives,
        "data": {"kind": "shipped", "name": SOURCE, "initial": batch},
        "generator": {"kind": "pool", "source": SOURCE, "draw": "best", "proposals": 500},
        "control": {"kind": "pool", "source": SOURCE, "draw": "uniform", "fraction": 0.0},
        "rounds": ROUNDS,
        "batch_size": batch,
    }


def bought(config: dict[str, Any], settings: list[str]) -> list[str]:
    """Run a campaign and return the molecules that it measured."""
    with tempfile.TemporaryDirectory() as folder:
        file, home = Path(folder, "campaign.yaml"), Path(folder, "home")
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [sys.executable, "-m", "pipelines", "run", str(file), "--plain"]
        command += [part for setting in settings for part in ("--set", setting)]
        ended = methods.run_command(command, methods.environment(str(home)), limit=3600)
        if ended != "done":
            print(f"ended: {ended}", file=sys.stderr)
        dataset = home / "campaigns" / config["name"] / f"round-{ROUNDS:03d}" / "measure" / "dataset.parquet"
        return list(pd.read_parquet(dataset)["object"])


def main() -> None:
    """Print a line per seed and arm, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON lines to append")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting of the two-goal arm")
    given = parser.parse_args()
    library = true_values()
    batch = int(len(library) * SHARE)
    values = library.set_index("object")[["affinity", "accessibility"]]
    everything = [tuple(row) for row in values.to_numpy().tolist()]
    front = np.array([everything[i] for i in undominated(everything)])
    reference = tuple(front.min(0) - 0.1 * np.ptp(front, 0))
    whole = hypervolume(everything, reference)
    spread = values.max() - values.min()
    print(f"{len(library)} molecules, {len(front)} on the front, {(1 + ROUNDS) * batch} bought", flush=True)

    def share(objects: list[str]) -> float:
        return hypervolume([tuple(row) for row in values.loc[objects].to_numpy().tolist()], reference) / whole

    told: dict[str, list[float]] = {}
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            scalar = Path(folder, "sum.csv")
            table = pd.DataFrame({"smiles": values.index, "value": (values / spread).mean(axis=1).to_numpy()})
            table.to_csv(scalar, index=False)
            weighted = {"name": "sum", "oracle": {"kind": "table", "path": str(scalar)}}
            arms = {
                "two goals": bought(campaign(seed, batch, [AFFINITY, ACCESSIBILITY]), given.set),
                "weighted sum": bought(campaign(seed, batch, [weighted]), []),
                "random": list(np.random.default_rng(seed).choice(values.index, (1 + ROUNDS) * batch, replace=False)),
            }
        for arm, objects in arms.items():
            told.setdefault(arm, []).append(share(objects))
            line = {"arm": arm, "seed": seed, "bought": len(objects), "hypervolume": round(told[arm][-1], 4)}
            print(f"seed {seed} {arm}: {len(objects)} bought, {told[arm][-1]:.1%} of the hypervolume", flush=True)
            if given.out is not None:
                with given.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
    for arm, shares in told.items():
        print(f"{arm}: {np.mean(shares):.1%} on average, least {min(shares):.1%}, {len(shares)} seeds")


if __name__ == "__main__":
    main()
