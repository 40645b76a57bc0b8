"""What it costs to screen a library: rows per CPU-second of each phase, and memory for a million rows.

    .venv/bin/python benchmarks/screening.py [--rows 4000] [--labels 300] [--stream 1000000]

Phases are timed on a random part of ZINC-250k, drug-like molecules of some 23 heavy atoms: standard form (once for all
rounds, then kept in the workspace), screens, features and prediction by the default proxy. Then the generator `pool`
goes through `--stream` rows whose standard forms are kept already, with a reward that costs nothing: what is left is
its own work and memory.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data.chemistry.files.readers import FORMATS, zinc250k_rows
from data.chemistry.molecules import identity
from data.records import FloatArray
from data.tables.library_file import LibraryFile
from data.tables.prepared import PART_ROWS, Part, PreparedLibrary, prepared
from data.tables.readers import Row
from models.acquisition.log_reward import first_refusal
from models.protocols import GenerationContext
from models.registry import build
from models.screens.space import InSpace
from models.spaces.molecules import Molecules

SPACE = Molecules(
    max_heavy_atoms=38, min_heavy_atoms=4, elements=("H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I")
)


def timed(name: str, n: int, work: Callable[[], object]) -> object:
    """Run a phase and print its rows per CPU-second."""
    before = time.process_time()
    result = work()
    spent = time.process_time() - before
    print(f"| {name} | {n / spent:,.0f} | {1e6 / n * spent:,.0f} |", flush=True)
    return result


def phases(rows: Sequence[Row], labels: int) -> None:
    """Time what one row costs in each phase."""
    print(f"| phase ({len(rows)} rows) | rows per CPU-s | CPU-s per million |\n|---|---|---|")
    part = timed("standard form, first time", len(rows), lambda: prepared(list(rows), SPACE))
    assert isinstance(part, Part)
    molecules = list(part.molecules)
    values = np.array([len(set(smiles)) + 0.1 * len(smiles) for smiles in molecules])
    proxy = build("proxy", {"kind": "gaussian_process"})
    proxy.fit(molecules[:labels], values[:labels], seed=0)
    screens = [InSpace(SPACE), build("screen", {"kind": "synthetic_accessibility"})]
    screens += [build("screen", {"kind": "alerts"})]
    new = molecules[labels:]
    timed("screens of the quickstart", len(new), lambda: first_refusal(screens, new))
    timed(f"features and prediction ({labels} labels)", len(new), lambda: proxy.predict(new))
    timed("prediction, features remembered", len(new), lambda: proxy.predict(new))
    timed("identity (of what is kept only)", len(new), lambda: [identity(smiles) for smiles in new])


def stream(n: int) -> None:
    """Go through n rows that are in standard form already."""

    def reward(molecules: Sequence[str]) -> FloatArray:
        return np.array([float(len(smiles)) for smiles in molecules])

    with tempfile.TemporaryDirectory() as folder:
        path, cache = Path(folder) / "library.smi", Path(folder) / "cache"
        texts = [row.smiles for row in zinc250k_rows()]
        with path.open("w") as file:
            file.writelines(f"{texts[i % len(texts)]} {i}\n" for i in range(n))
        kept = PreparedLibrary(LibraryFile(path, more=FORMATS), SPACE, cache)
        for number, begin in enumerate(range(0, n, PART_ROWS)):
            block = [_distinct(texts[i % len(texts)], i // len(texts)) for i in range(begin, min(begin + PART_ROWS, n))]
            kept._write(number, Part(tuple(block), len(block)))
        kept._write(-(-n // PART_ROWS), Part((), 0))
        del texts, kept
        generator = build("generator", {"kind": "pool", "path": str(path), "draw": "proportional"})
        context = GenerationContext(SPACE, reward, seed=0, cache=cache, checkpoint=Path(folder) / "checkpoint.pt")
        timed(f"generator `pool`, {n:,} rows kept", n, lambda: generator.fit(context))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"Peak memory: {peak:,.0f} MiB.")


def _distinct(smiles: str, copy: int) -> str:
    """Return another text for each copy of a molecule: a million distinct ones are not at hand."""
    return smiles if not copy else f"{smiles}.{'C' * copy}"


def main(arguments: list[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000, help="rows on which the phases are timed")
    parser.add_argument("--labels", type=int, default=300, help="measured molecules that the proxy was trained on")
    parser.add_argument("--stream", type=int, default=1_000_000, help="rows that the generator goes through")
    given = parser.parse_args(arguments)
    rows = sorted(zinc250k_rows(), key=lambda row: hashlib.sha256(row.smiles.encode()).digest())[: given.rows]
    phases(rows, given.labels)
    del rows
    stream(given.stream)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
