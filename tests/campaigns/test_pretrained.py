"""Campaigns that share a pre-training: in a stage of its own, found again by its options or by a campaign's name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Bench, Told

SHIPPED = Path(__file__).resolve().parent.parent.parent / "campaigns" / "pretrained"
SHORT = ("rounds=1", "data.initial=12", "batch_size=4", "generator.steps=10", "generator.proposals=60")
PRETRAIN = "generator.pretrain={steps: 20, batch_size: 8}"


@pytest.fixture
def folder(bench: Bench) -> Path:
    return Path(shutil.copytree(SHIPPED, bench.folder / "pretrained", ignore=shutil.ignore_patterns("__pycache__")))


def run(bench: Bench, file: Path, *changes: str) -> Told:
    return bench.discover("run", str(file), "--plain", *(part for change in changes for part in ("--set", change)))


def without_generator(folder: Path) -> tuple[str, str]:
    """Return what stands before and after the generator in the first campaign's file."""
    text = (folder / "campaign.yaml").read_text()
    return text[: text.index("generator:")], text[text.index("selector:") :]


def test_a_campaign_that_is_not_there_is_refused_before_anything_is_bought(bench: Bench, folder: Path) -> None:
    told = run(bench, folder / "second.yaml", *SHORT)
    assert told.exit == 2
    assert "uses the pre-training of the campaign 'dna-pretrained'" in told.message
    assert not list(bench.home.glob("campaigns/*"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_campaigns_share_a_pretraining(bench: Bench, folder: Path) -> None:
    first = run(bench, folder / "campaign.yaml", *SHORT, PRETRAIN)
    assert first.exit == 0, first.message
    (own,) = bench.home.glob("campaigns/dna-pretrained/round-000/pretrain/pretrained.pt")
    assert len(list(bench.home.glob("cache/pretrained/*.pt"))) == 1
    assert "was pre-trained before the first round" in bench.discover("status", "dna-pretrained").out

    other = run(bench, folder / "second.yaml", *SHORT, "space.length=7")
    assert other.exit == 2
    assert "pre-trained for another space" in other.message

    assert run(bench, folder / "second.yaml", *SHORT).exit == 0
    (named,) = bench.home.glob("campaigns/dna-second/round-000/pretrain/pretrained.pt")
    assert named.read_bytes() == own.read_bytes()
    assert "nothing was trained before the first round" in bench.discover("status", "dna-second").out

    assert run(bench, folder / "second.yaml", *SHORT, PRETRAIN, "name=dna-third", "seed=5").exit == 0
    (equal,) = bench.home.glob("campaigns/dna-third/round-000/pretrain/pretrained.pt")
    assert equal.read_bytes() == own.read_bytes()

    assert run(bench, folder / "second.yaml", "rounds=2", *SHORT[1:]).exit == 0

    (folder / "bare.yaml").write_text("".join(without_generator(folder)))
    drawn = "generator={kind: composed, members: [{from: dna-second}], proposals: 60}"
    composed = run(bench, folder / "bare.yaml", *SHORT[:3], drawn, "name=dna-composed")
    assert composed.exit == 0, composed.message


@pytest.mark.parametrize(
    ("key", "where"),
    [("generator={kind: union, members: [{generator: %s}]}", "member of a union"), ("control=%s", "control arm")],
)
def test_a_member_of_a_union_or_a_control_arm_that_names_a_campaign_is_refused(
    bench: Bench, folder: Path, key: str, where: str
) -> None:
    named = "{kind: outcome_conditioned, construction: {kind: letters}, pretrain: {from: dna-pretrained}}"
    file = folder / "named.yaml"
    begin, end = without_generator(folder)
    section, value = (key % named).split("=", 1)
    own = "generator: {kind: random}\n" if section == "control" else ""
    file.write_text(f"{begin}{own}{section}: {value}\n\n{end}")
    told = run(bench, file)
    assert told.exit == 2
    assert f"A {where} is to use the pre-training of the campaign 'dna-pretrained'" in told.message
