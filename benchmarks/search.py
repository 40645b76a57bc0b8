"""Try a search on a task of PMO without the flow: surrogate, generator, batch, purchase, and again.

    .venv/bin/python benchmarks/search.py --task zaleplon_mpo --seeds 3 [--out FILE]
        [--generator YAML] [--selector YAML] [--proxy YAML] [--beta 2] [--budget 1000] [--batch 50] [--proposals 600]

The campaign's own parts in a bare loop: no folds, calibration, stages, screens, reports or control arm, so that a
choice of parts costs one or two CPU-minutes of 1,000 calls. Options are YAML, as in a campaign file:

    --generator '{kind: genetic, generations: 10}'
    --selector '{kind: kriging_believer, crowd: 10, pool: 600}'

A JSON line per run: areas under the curves and breadth of the best as in benchmarks/pmo.py, and by source what was
bought and what is among the best hundred and the best ten. docs/generators.md has what was tried.

    .venv/bin/python benchmarks/search.py report FILE...

prints runs by their `--label`: means over seeds with 95 % intervals, breadth above a score of 0.5, shares of sources.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

from benchmarks.pmo_harness.protocol import figures, mean_of_best  # noqa: E402
from benchmarks.pmo_harness.report import with_interval  # noqa: E402
from data.chemistry.files.readers import zinc250k_rows  # noqa: E402
from models.acquisition.base import about_round  # noqa: E402
from models.acquisition.log_reward import AcquisitionReward  # noqa: E402
from models.pmo.tasks import TASKS  # noqa: E402
from models.protocols import GenerationContext  # noqa: E402
from models.registry import build  # noqa: E402
from models.selectors.choice import choose  # noqa: E402
from models.spaces.molecules import Molecules  # noqa: E402

INITIAL, LIBRARY = 50, 2000
KEYS = ("molecules", "scaffolds", "circles")
UNION = """{kind: union, members: [{generator: {kind: edits, parents: 40, edits: 6}},
    {generator: {kind: genetic, generations: 5}}]}"""


def library_of(space: Molecules, seed: int) -> list[str]:
    """Return random molecules of ZINC inside the space."""
    rows = [row.text for row in zinc250k_rows()]
    random.Random(seed).shuffle(rows)
    library: list[str] = []
    for text in rows:
        if len(library) == LIBRARY:
            break
        with suppress(ValueError):  # an ion, or outside
            library.append(space.admit(text))
    return library


def search(given: argparse.Namespace, seed: int, library: list[str], folder: Path) -> dict[str, Any]:
    """Spend the budget and return the figures."""
    space = Molecules(max_heavy_atoms=50, min_heavy_atoms=4)
    oracle = build("oracle", {"kind": "pmo", "task": given.task})
    oracle.prepare()
    values: dict[str, float] = {}
    sources: dict[str, str] = {}

    def buy(objects: list[str], source: list[str]) -> None:
        for obj, name in zip(objects, source, strict=True):
            values[obj], sources[obj] = float(oracle.measure(obj)), name

    began, warm_start, turn = time.process_time(), None, 0
    buy(library[:INITIAL], ["initial"] * INITIAL)
    acquisition = build("acquisition", {"kind": "upper_confidence_bound", "beta": given.beta})
    selector = build("selector", yaml.safe_load(given.selector))
    while len(values) < given.budget:
        turn += 1
        objects = sorted(values)
        measured = np.array([values[obj] for obj in objects])
        proxy = build("proxy", yaml.safe_load(given.proxy))
        proxy.fit(objects, measured, seed=0)
        values_by_row = measured[:, None]
        about = about_round(acquisition, (proxy,), objects, values_by_row, seed=turn, space=space)
        reward = AcquisitionReward((proxy,), acquisition, [], values_by_row, inverse_temperature=3.0, about=about)
        order = np.lexsort((objects, -measured))
        known = tuple(objects[i] for i in order)
        generator = build("generator", yaml.safe_load(given.generator))
        generator.fit(
            GenerationContext(
                space=space,
                log_reward=reward,
                seed=1000 * seed + turn,
                known=known,
                known_log_reward=reward.of_values(values_by_row[order]),
                sources=tuple(sources[obj] for obj in known),
                library=tuple(library),
                warm_start=warm_start,
                cache=folder,
            )
        )
        warm_start = folder / f"state-{seed}.pt"
        torch.save(generator.state(), warm_start)
        candidates = generator.sample(given.proposals, seed=turn)
        names = [candidate.object for candidate in candidates]
        prediction = proxy.predict(names)
        scored = acquisition.score((prediction,), replace(about, objects=tuple(names)))
        size = min(given.batch, given.budget - len(values))
        batch = choose(selector, acquisition, proxy, about, names, prediction, scored, size, space=space, seed=turn)
        buy([names[i] for i in batch], [candidates[i].source for i in batch])
    ranked = sorted(values, key=lambda obj: -values[obj])
    by = {f"top{n}": Counter(sources[obj] for obj in ranked[:n]) for n in (10, 100)}
    told = figures(values, given.budget)
    told["curve"] = [
        round(mean_of_best(list(values.values())[:calls], 10), 3) for calls in range(100, len(values) + 1, 100)
    ]
    return {**told, "bought": Counter(sources.values()), **by, "cpu_seconds": round(time.process_time() - began)}


def report(files: Sequence[str]) -> None:
    """Print runs by label and task, in Markdown."""
    runs = [json.loads(line) for file in files for line in Path(file).read_text(encoding="utf-8").splitlines()]
    columns = ("what", "task", "seeds", "AUC top-10", "molecules, scaffolds, circles above 0.5")
    columns += ("edits: bought, of the best 100", "CPU-s")
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["label"], run["task"]), []).append(run)
    for (label, task), some in groups.items():
        area = with_interval([run["auc"]["10"] for run in some])
        hits = [run["above"].get("0.5", {}) for run in some]
        breadth = ", ".join(f"{np.mean([hit.get(key, 0) for hit in hits]):.1f}" for key in KEYS)
        shares = ", ".join(
            f"{100 * np.mean([run[key].get('edits', 0) / sum(run[key].values()) for run in some]):.0f} %"
            for key in ("bought", "top100")
        )
        seconds = np.mean([run["cpu_seconds"] for run in some])
        print(f"| {label} | {task} | {len(some)} | {area} | {breadth} | {shares} | {seconds:.0f} |")


def main() -> int:
    """Search with each seed."""
    if sys.argv[1:2] == ["report"]:
        report(sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default="zaleplon_mpo")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--proposals", type=int, default=600)
    parser.add_argument("--beta", type=float, default=2.0, help="of the upper confidence bound")
    parser.add_argument("--generator", default=UNION)
    parser.add_argument("--selector", default="{kind: kriging_believer}")
    parser.add_argument("--proxy", default="{kind: gaussian_process, features: {kind: descriptors_and_fingerprints}}")
    parser.add_argument("--label", default="", help="what the runs are called in a report")
    parser.add_argument("--out", type=Path, help="file that gets the JSON lines too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = {key: value for key, value in vars(given).items() if key not in ("seeds", "first", "out")}
    for seed in range(given.first, given.first + given.seeds):
        library = library_of(Molecules(max_heavy_atoms=50, min_heavy_atoms=4), seed)
        with tempfile.TemporaryDirectory() as folder:
            line = json.dumps({**settings, "seed": seed, **search(given, seed, library, Path(folder))})
        print(line, flush=True)
        if given.out is not None:
            with given.out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
