"""A campaign that draws from what two earlier ones trained: what it keeps, what becomes of it later, what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Bench, Told

SHIPPED = Path(__file__).resolve().parent.parent.parent / "campaigns" / "composed"
TRAINING = ("rounds=1", "data.initial=12", "batch_size=4", "generator.steps=20", "generator.proposals=60")
DRAWING = ("rounds=1", "data.initial=12", "batch_size=4", "generator.proposals=60")


@pytest.fixture
def folder(bench: Bench) -> Path:
    return Path(shutil.copytree(SHIPPED, bench.folder / "composed", ignore=shutil.ignore_patterns("__pycache__")))


def run(bench: Bench, file: Path, *changes: str) -> Told:
    return bench.discover("run", str(file), "--plain", *(part for change in changes for part in ("--set", change)))


def test_a_campaign_that_is_not_there_is_refused_before_anything_is_bought(bench: Bench, folder: Path) -> None:
    told = run(bench, folder / "campaign.yaml", *DRAWING)
    assert told.exit == 2
    assert "draws from the campaign 'dna-binding'" in told.message
    assert "has no campaign" in told.message
    assert not list(bench.home.glob("campaigns/*"))


def test_what_other_campaigns_have_yet_to_train_is_told_when_the_file_is_checked(bench: Bench, folder: Path) -> None:
    told = bench.discover("validate", str(folder / "campaign.yaml"))
    said = " ".join(told.message.split())
    assert told.exit == 0, told.message
    for name in ("dna-binding", "dna-stability"):
        assert f"warning The generator draws from the campaign {name!r}. The ledger has no campaign {name!r}" in said
    assert "`discover run` would refuse to begin now." in said
    assert not bench.home.exists()
    itself = bench.discover("validate", str(folder / "campaign.yaml"), "--set", "name=dna-binding")
    assert (itself.exit, "draws from itself" in itself.message) == (2, True)


def test_a_pretraining_that_is_not_there_is_told_when_the_file_is_checked(bench: Bench, folder: Path) -> None:
    generator = "generator={kind: outcome_conditioned, pretrain: {from: nobody}, proposals: 60}"
    told = bench.discover("validate", str(folder / "binding.yaml"), "--set", generator)
    assert told.exit == 0, told.message
    assert "warning The generator uses the pre-training of the campaign 'nobody'." in " ".join(told.message.split())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_campaign_draws_from_what_two_earlier_ones_trained(bench: Bench, folder: Path) -> None:
    for name in ("binding.yaml", "stability.yaml"):
        assert run(bench, folder / name, *TRAINING).exit == 0
    other = run(bench, folder / "campaign.yaml", *DRAWING, "space.length=7")
    assert other.exit == 2
    assert "for another space: it has length 6 and not 7" in other.message

    first = run(bench, folder / "campaign.yaml", *DRAWING)
    assert first.exit == 0, first.message
    bought = _bought(bench)
    assert {row["source"] for row in bought if row["arm"] == "acquisition"} == {"composed"}
    kept = sorted(bench.home.glob("campaigns/dna-either/round-000/gather_members/*.pt"))
    assert [one.name for one in kept] == ["0.pt", "1.pt"]

    before = kept[0].read_bytes()
    assert run(bench, folder / "binding.yaml", *TRAINING[1:], "rounds=2").exit == 0
    assert run(bench, folder / "campaign.yaml", *DRAWING[1:], "rounds=2").exit == 0
    assert kept[0].read_bytes() == before
    assert _bought(bench)[: len(bought)] == bought

    files = "[" + ", ".join(f"{{from: {one}}}" for one in kept) + "]"
    moved = run(bench, folder / "campaign.yaml", *DRAWING, "name=elsewhere", f"generator.members={files}")
    assert moved.exit == 0, moved.message


def _bought(bench: Bench) -> list[dict[str, Any]]:
    told = bench.discover("candidates", "dna-either", "--format", "json")
    return sorted((row for row in json.loads(told.out) if row["round"] == 1), key=lambda row: str(row["id"]))
