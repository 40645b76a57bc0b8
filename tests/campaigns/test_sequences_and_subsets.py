"""The campaigns of peptides and of monitoring sites that are shipped, made small; and what they refuse."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.conftest import Bench

CAMPAIGNS = Path(__file__).resolve().parent.parent.parent / "campaigns"
SMALL = (
    "--set",
    "rounds=1",
    "--set",
    "batch_size=4",
    "--set",
    "generator.generations=2",
    "--set",
    "generator.proposals=40",
)


def shipped(bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The folder of a shipped campaign, copied, with a workspace of its own."""
    shutil.copytree(CAMPAIGNS / name, bench.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    config = yaml.safe_load((bench.folder / name / "campaign.yaml").read_text())
    copied = Bench.__new__(Bench)
    copied.folder, copied.config = bench.folder / name, config
    monkeypatch.setenv("DISCOVER_HOME", str(copied.home))
    return copied


@pytest.fixture
def peptides(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """With the first 60 rows of its table."""
    copied = shipped(bench, "peptides", monkeypatch)
    table = copied.folder / "peptides.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:61]))
    return copied


@pytest.fixture
def sites(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return shipped(bench, "subset", monkeypatch)


@pytest.fixture
def assay() -> Iterator[ModuleType]:
    sys.path.insert(0, str(CAMPAIGNS / "peptides"))
    yield import_module("assay")
    sys.path.remove(str(CAMPAIGNS / "peptides"))
    del sys.modules["assay"]


def test_the_table_of_peptides_is_that_of_the_simulated_assay(assay: ModuleType) -> None:
    with (CAMPAIGNS / "peptides" / "peptides.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["sequence"] for row in rows}) == len(rows) == 300
    assert assay.measure([row["sequence"] for row in rows]) == [float(row["affinity"]) for row in rows]
    # By hand: hydropathy (-3.9 - 0.9 + 2 * 4.5 - 4.5 + 2.8) / 6 = 2.5 / 6; charge 2; KW and RF beside each other.
    assert assay.affinity("KWIIRF") == pytest.approx(2 * 0.4 - 0.3 * (0.5 - 2.5 / 6) - 0.1 * 4)


def test_peptides_are_searched_and_exported_as_fasta(peptides: Bench, assay: ModuleType) -> None:
    told = peptides.run(*SMALL)
    assert told.exit == 0, told.message
    assert "60 sequences kept (60 with a value), 0 rows merged into them, 0 refused" in told.message
    rows = peptides.candidates()
    bought = [row for row in rows if row["round"] == 1]
    assert len(bought) == 4
    for row in bought:
        sequence = row["sequence"]
        assert 8 <= len(sequence) <= 14
        assert not set(sequence) - set("ADEFGHIKLMNPQRSTVWY")
        assert row["value"] == round(assay.affinity(sequence), 3)
    told = peptides.discover("candidates", "peptides", "--format", "fasta")
    assert told.exit == 0, told.message
    lines = told.out.splitlines()
    best = max(rows, key=lambda row: row["value"])
    assert lines[0] == f">{best['id']} value={best['value']} unit=1"
    assert lines[1] == best["sequence"]
    page = (peptides.home / "campaigns" / "peptides" / "report" / "candidates.html").read_text()
    assert f'aria-label="{best["sequence"]}"' in page
    assert "Sequence and id" in page
    assert "SMILES" not in page


def test_sites_are_chosen_without_conflicts_and_a_graph_that_changes_is_noticed(sites: Bench) -> None:
    changes = (*SMALL, "--set", "data.size=60")
    told = sites.run(*changes)
    assert told.exit == 0, told.message
    with (sites.folder / "conflicts.csv").open() as file:
        conflicts = [(row["source"], row["target"]) for row in csv.DictReader(file)]
    with (sites.folder / "sightings.csv").open() as file:
        seen = [(row["site"], row["species"], float(row["weight"])) for row in csv.DictReader(file)]
    rows = sites.candidates()
    assert len(rows) == 24
    for row in rows:
        members = set(row["subset"].split(", "))
        assert 2 <= len(members) <= 7
        assert not any({one, other} <= members for one, other in conflicts)
        weights = {species: weight for site, species, weight in seen if site in members}
        assert row["value"] == pytest.approx(sum(weights.values()) - 0.8 * len(members))
    out = sites.folder / "best.graphml"
    assert sites.discover("candidates", "subset", "--out", str(out)).exit == 0
    assert out.read_text().count("<edge ") == len(conflicts)
    report = sites.home / "campaigns" / "subset" / "report"
    assert {row["size"] for row in json.loads((report / "candidates.json").read_text())} <= {
        2.0,
        3.0,
        4.0,
        5.0,
        6.0,
        7.0,
    }
    page = (report / "candidates.html").read_text()
    assert "Subset and id" in page
    assert "not drawable" not in page

    graph = (sites.folder / "conflicts.csv").read_text().splitlines()
    (sites.folder / "conflicts.csv").write_text("\n".join(graph[:-1]) + "\n")
    refused = sites.run(*changes, "--set", "rounds=2")
    assert refused.exit == 2
    assert f"The file {sites.folder / 'conflicts.csv'} was written since the campaign began" in refused.message
    assert len(sites.candidates()) == 24


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"alphabet": "A"}, "an alphabet has two letters or more"),
        ({"alphabet": "peptide", "pattern": "[A"}, "the pattern is no regular expression"),
        ({"pattern": "Z+"}, "none matches the space's pattern 'Z+'"),
        ({"alphabet": "dna"}, "refuse"),
        ({"min_length": 20}, "min_length (20) is above max_length (14)"),
    ],
)
def test_a_space_of_sequences_that_cannot_be_is_refused(peptides: Bench, space: dict[str, Any], told: str) -> None:
    peptides.write_config(space={**peptides.config["space"], **space})
    refused = peptides.discover("validate", str(peptides.file))
    assert refused.exit == 2, refused.message
    assert told in refused.message


def test_foreign_letters_in_a_table_are_refused_by_their_line(peptides: Bench) -> None:
    with (peptides.folder / "peptides.csv").open("a") as file:
        file.write("ACDEFGHIK,1\nADEFBGHIK,1\nADEF,1\nadefghik,1\n")
    told = peptides.run("--set", "rounds=0")
    assert told.exit == 0, told.message
    assert "61 sequences kept" in told.message
    (refused,) = peptides.home.rglob("refused.csv")
    with refused.open() as file:
        rows = {row["line"]: row["reason"] for row in csv.DictReader(file)}
    assert rows == {
        "62": "no match of the pattern '[^C]*'",
        "63": "the letter 'B' at place 5, none of ACDEFGHIKLMNPQRSTVWY",
        "64": "4 letters, fewer than 8",
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("S01,S99\n", "Line 60 of"),
        ("S01,S01\n", "joins 'S01' to itself"),
        ("S01\n", "1 cells where the header has 2"),
        (None, "is empty"),
    ],
)
def test_a_graph_that_cannot_be_used_is_refused(sites: Bench, change: str | None, told: str) -> None:
    graph = sites.folder / "conflicts.csv"
    graph.write_text("" if change is None else graph.read_text() + change)
    refused = sites.discover("validate", str(sites.file))
    assert refused.exit == 2, refused.message
    assert told in refused.message


def test_a_graph_is_looked_for_beside_the_campaign_file(sites: Bench) -> None:
    (sites.folder / "conflicts.csv").rename(sites.folder / "conflict.csv")
    refused = sites.discover("validate", str(sites.file))
    assert refused.exit == 2
    assert "Did you mean 'conflict.csv'?" in refused.message


@pytest.mark.parametrize("name", ["peptides", "subset"])
def test_the_campaign_is_an_example(bench: Bench, name: str) -> None:
    out = bench.folder / "copied"
    assert bench.discover("example", name, "--out", str(out)).exit == 0
    assert {file.name for file in out.iterdir()} == {
        file.name for file in (CAMPAIGNS / name).iterdir() if file.is_file()
    }
    checked = bench.discover("validate", str(out / "campaign.yaml"))
    assert checked.exit == 0, checked.message
