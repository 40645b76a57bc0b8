"""A limit that is only known by measuring: how often it is broken with the limit in the campaign file and without.

    .venv/bin/python benchmarks/limits.py [--seeds 5]

The campaign campaigns/process/constrained.yaml (yield of a simulated reaction, by-product of at most three per cent)
in batches of four, by `discover run --plain` in a new workspace; the other arm is the same file without the limit, of
which the by-product is measured all the same. Counted are the 48 experiments after the initial design. The best yield
within the limit is 82.45 per cent.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

from benchmarks.pmo_harness import methods  # noqa: E402

LIMIT = 3.0


def measured(seed: int, *, limited: bool) -> pd.DataFrame:
    """Return what a campaign measured after its initial design."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(shutil.copytree(ROOT / "campaigns" / "process", Path(folder, "process")))
        config = yaml.safe_load((place / "constrained.yaml").read_text(encoding="utf-8"))
        config |= {"seed": seed, "rounds": 12, "batch_size": 4}
        if not limited:
            config["objectives"][1] |= {"at_most": 1000}
        file, home = place / "limits.yaml", Path(folder, "home")
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [sys.executable, "-m", "pipelines", "run", str(file), "--plain"]
        ended = methods.run_command(command, methods.environment(str(home)), limit=1800)
        if ended != "done":
            raise SystemExit(f"The campaign ended: {ended}.")
        dataset = home / "campaigns" / config["name"] / "round-012" / "measure" / "dataset.parquet"
        table = pd.read_parquet(dataset)
        return table[table["round"] > 0]


def main() -> None:
    """Print a line per seed and arm, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    told: dict[str, list[tuple[float, float]]] = {}
    for seed in range(given.seeds):
        for arm, limited in (("with the limit", True), ("without", False)):
            table = measured(seed, limited=limited)
            inside = table["value[impurity]"] <= LIMIT
            best = float(table.loc[inside, "value[yield]"].max())
            told.setdefault(arm, []).append((float((~inside).mean()), best))
            print(
                f"seed {seed} {arm}: {(~inside).sum()} of {len(table)} break it, best within it {best:.2f} %",
                flush=True,
            )
    for arm, figures in told.items():
        broken, best = np.mean(figures, axis=0)
        print(f"{arm}: {broken:.0%} break it, best within it {best:.2f} % on average, {len(figures)} seeds")


if __name__ == "__main__":
    main()
