"""What a round costs as a campaign grows: `python benchmarks/rounds.py` prints time and memory with their slopes.

A tiny campaign with MLflow: batches of 2, a genetic generator of one generation, a random forest of few trees. Options:
`--rounds 60`, `--flow` (through Prefect and its server instead of plain functions), `--plots` (draws them), `--folder`
(whose disk is measured), `--profile` (what the last ten rounds spend their time on).
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
import psutil
import yaml

from data.ledger.campaigns import StageRow
from data.ledger.ledger import Ledger

LIBRARY = Path(__file__).parent.parent / "tests" / "chaos" / "library.csv"
CAMPAIGN = {
    "name": "rounds",
    "seed": 7,
    "space": {"max_heavy_atoms": 12, "min_heavy_atoms": 3, "elements": ["H", "C", "N", "O", "F", "S", "Cl"]},
    "objectives": [{"name": "qed", "oracle": {"kind": "rdkit", "property": "qed"}}],
    "data": {"kind": "csv", "path": "library.csv", "initial": 8},
    "screens": [],
    "proxy": {"kind": "random_forest", "members": 10},
    "generator": {"kind": "genetic", "generations": 1, "offspring": 5, "proposals": 10},
    "batch_size": 2,
}
WARM_UP = 5
"""First rounds, in which libraries are loaded and caches filled: left out of the slopes."""


def main() -> None:
    """Run the campaign and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--flow", action="store_true")
    parser.add_argument("--plots", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    for name in ("DISCOVER_LEDGER", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    os.environ |= {"DISCOVER_HOME": str(folder / "home"), "DISCOVER_WORKERS": "1"}
    shutil.copy(LIBRARY, folder / "library.csv")
    file = folder / "campaign.yaml"
    file.write_text(yaml.safe_dump(CAMPAIGN | {"rounds": options.rounds}))
    ended: list[tuple[int, str, float, float, float]] = []
    profile = cProfile.Profile()
    finish = Ledger.finish_stage

    def noted(ledger: Ledger, campaign_id: int, row: StageRow) -> None:
        finish(ledger, campaign_id, row)
        memory = psutil.Process().memory_info().rss / 2**20
        ended.append((row.round, row.name, row.seconds, time.perf_counter(), memory))
        if options.profile and (row.round, row.name) == (options.rounds - 10, "report"):
            profile.enable()

    from pipelines.running import run_in_terminal
    from pipelines.terminal import Terminal

    with ExitStack() as patches:
        patches.enter_context(patch.object(Ledger, "finish_stage", noted))
        if not options.plots:
            patches.enter_context(patch("tasks.reporting.report.round_figures", lambda *_: {}))
        run_in_terminal(file, (), fresh=False, retry_failed=False, plain=not options.flow, console=Terminal())
    if options.profile:
        profile.disable()
        pstats.Stats(profile).sort_stats("cumulative").print_stats(70)
    show(ended)
    shutil.rmtree(folder)


def show(ended: Sequence[tuple[int, str, float, float, float]]) -> None:
    """Print the seconds of a round, by stage, and the memory, each early, late, and as a slope."""
    by_stage: dict[str, dict[int, float]] = defaultdict(dict)
    at, memory = {}, {}
    for round, name, seconds, when, size in ended:
        by_stage[name][round] = seconds
        if name == "measure":  # the last that a round waits for; its report and MLflow count to the next
            at[round], memory[round] = when, size
    by_stage["round"] = {round: at[round] - at[round - 1] for round in at if round - 1 in at}
    stages = sum(seconds for name, rounds in by_stage.items() if name != "round" for seconds in rounds.values())
    print("| | rounds 6 to 10 | last five | slope per 100 rounds |\n|---|---|---|---|")
    for name, rounds in by_stage.items():
        kept = {round: seconds for round, seconds in rounds.items() if round > WARM_UP}
        if kept:
            print(f"| {name} (s) | " + _told(kept, 3))
    print("| memory (MiB) | " + _told({round: size for round, size in memory.items() if round > WARM_UP}, 1))
    print(
        f"\n{sum(by_stage['round'].values()) - stages:.1f} s of all rounds lie between stages: MLflow and the ledger."
    )


def _told(values: dict[int, float], digits: int) -> str:
    rounds, figures = np.array(list(values)), np.array(list(values.values()))
    slope = 100 * np.polyfit(rounds, figures, 1)[0] if len(rounds) > 1 else 0.0
    return f"{np.median(figures[:5]):.{digits}f} | {np.median(figures[-5:]):.{digits}f} | {slope:+.{digits}f} |"


if __name__ == "__main__":
    main()
