"""What the ledger costs as it grows: `python benchmarks/ledger.py` prints a table. Its rows are made by SQL.

Options: `--rows 1000,100000,1000000` (candidates of one campaign among three, half of them measured), `--rounds 1000`
(of a campaign through the ledger alone, for the slope of memory and time), `--folder` (whose disk is measured).
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import psutil

from data.config import parse_config
from data.ledger.book import OracleBook
from data.ledger.ledger import Ledger
from data.records import Measurement

CONFIG = {"name": "big", "objectives": [{"name": "x", "oracle": {"kind": "rdkit"}}]}
BATCH = 24
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows})"


def fill(ledger: Ledger, campaign_id: int, rows: int) -> None:
    """Write candidates in rounds of 24 and a measurement of each second one."""
    numbers = _NUMBERS.format(rows=rows)
    with ledger.write() as connection:
        connection.exec_driver_sql(
            f"{numbers} INSERT INTO candidates (campaign_id, round, position, object_id, object, arm, source, "
            f"predicted_mean, predicted_std, score, novelty, compound) SELECT {campaign_id}, i / {BATCH}, i % {BATCH}, "
            "printf('m%024d', (i * 7919) % 1000003 + i * 1000003), 'C1=CC=CC=C1', 'acquisition', 'genetic', "
            "abs(random() % 1000) / 100.0, 1.0, 0.5, 0.5, printf('K%026d', i / 2) FROM n"
        )
        names = {row[1] for row in connection.exec_driver_sql("PRAGMA table_info(oracle_calls)")}
        identity = ("identity, ", "'" + "0" * 64 + "', ") if "identity" in names else ("", "")
        connection.exec_driver_sql(
            f"INSERT INTO oracle_calls (campaign_id, round, oracle, version, {identity[0]}object_id, part, "
            "replicate, object, origin, state, attempts, cost, value, message, seconds, reserved_at, completed_at) "
            f"SELECT campaign_id, round, 'o', '1', {identity[1]}object_id, '', 0, object, 'called', 'done', 1, 1.0, "
            "predicted_mean, '', 0.1, '2026-01-01', '2026-01-01' FROM candidates WHERE id % 2 = 0 "
            f"AND campaign_id = {campaign_id}"
        )
        connection.exec_driver_sql(
            "UPDATE campaigns SET (calls, cost) = (SELECT COUNT(*), SUM(cost) FROM oracle_calls "
            f"WHERE campaign_id = {campaign_id}) WHERE id = {campaign_id}"
        )


def median(action: Callable[[int], object], times: int = 5) -> float:
    """Return the median time of an action in milliseconds."""
    took = []
    for turn in range(times):
        started = time.perf_counter()
        action(turn)
        took.append(1e3 * (time.perf_counter() - started))
    return statistics.median(took)


def measure(folder: Path, rows: int) -> dict[str, float]:
    """Return the times of the ledger's transactions and of the commands that read it, in milliseconds."""
    from pipelines.inspection import export_candidates
    from pipelines.status import show_campaign, show_campaigns
    from pipelines.terminal import Terminal
    from tasks.workspace import Workspace

    workspace = Workspace(folder)
    ledger = workspace.ledger()
    for name, count in (("small", 200), ("big", rows), ("last", 2000)):
        fill(ledger, ledger.begin_campaign(parse_config({**CONFIG, "name": name}), folder).id, count)
    campaign = ledger.campaign("big")
    book = OracleBook(ledger, campaign.id, "o", "1")

    limits = {"cost": 1.0, "max_calls": 10**9, "max_cost": 1e12}

    def batch(turn: int) -> list[tuple[str, str]]:
        return [(f"new-{turn}-{i}", "C") for i in range(BATCH)]

    console = Terminal()
    console.file, console._force_terminal = io.StringIO(), True
    quiet = redirect_stdout(io.StringIO())
    with quiet:
        return {
            "reserve 24": median(lambda turn: book.reserve(rows, batch(turn), **limits)),
            "submit": median(lambda turn: book.submit([batch(turn)[0][0]])),
            "complete": median(lambda turn: book.complete(batch(turn)[0][0], Measurement("C", 1.0))),
            "status": median(lambda _: show_campaigns(workspace, console), 3),
            "status big": median(lambda _: show_campaign(workspace, "big", console), 1),
            "candidates --top 20": median(lambda _: export_candidates(workspace, "big", 20, "table", None, console), 3),
            "MB": (folder / "ledger.db").stat().st_size / 1e6,
        }


def rounds(folder: Path, count: int) -> dict[str, float]:
    """Return memory and time of rounds of 24 purchases: their slopes must be those of the data that are read."""
    ledger = Ledger.at(folder / "ledger.db")
    campaign = ledger.begin_campaign(parse_config(CONFIG), folder)
    book = OracleBook(ledger, campaign.id, "o", "1")
    process, sizes, times = psutil.Process(), [], []
    for number in range(count):
        started = time.perf_counter()
        batch = [(f"m{number}-{i}", "C") for i in range(BATCH)]
        rows = [{"object_id": key, "object": text, "arm": "initial", "source": "x"} for key, text in batch]
        ledger.add_candidates(campaign.id, number, rows)
        book.reserve(number, batch, cost=1.0)
        book.submit([key for key, _ in batch])
        for key, text in batch:
            book.complete(key, Measurement(text, 1.0))
        times.append(1e3 * (time.perf_counter() - started))
        sizes.append(process.memory_info().rss / 1e6)
    ledger.close()
    fifth = max(1, count // 5)
    return {
        "ms per round, first fifth": statistics.median(times[:fifth]),
        "ms per round, last fifth": statistics.median(times[-fifth:]),
        "MB per 1,000 rounds after the first fifth": 1e3 * (sizes[-1] - sizes[fifth - 1]) / max(1, count - fifth),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1000,100000,1000000")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    os.environ.pop("DISCOVER_LEDGER", None)
    results = {}
    for rows in (int(text) for text in options.rows.split(",")):
        folder = Path(tempfile.mkdtemp(dir=options.folder))
        results[rows] = measure(folder, rows)
        shutil.rmtree(folder)
    names = list(next(iter(results.values())))
    print("| rows | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for rows, figures in results.items():
        print(f"| {rows:,} | " + " | ".join(f"{figures[name]:.1f}" for name in names) + " |")
    print("\nTimes in milliseconds, medians; MB: the file.")
    if options.rounds:
        folder = Path(tempfile.mkdtemp(dir=options.folder))
        for name, figure in rounds(folder, options.rounds).items():
            print(f"{name}: {figure:.2f}")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
