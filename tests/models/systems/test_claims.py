"""What every published system must tell, and when a check holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models.registry import find, kinds
from models.systems.base import FEWEST_SEEDS, IN_PART, NOT_JUDGED, NOT_SHOWN, SHOWN, Check, System, verdict
from pipelines.reproducing import shipped_verdict, used_in

ROOT = Path(__file__).resolve().parents[3]
SYSTEMS: dict[str, type[System]] = {
    kind: cls
    for kind, cls in kinds("system").items()
    if cls.__module__.startswith("models.")  # other tests have systems of their own
}  # type: ignore[assignment]
STUDIES = {"gflownet_em"}
"""Systems that no file can use."""


def results(*values: float, base: float | None = None) -> list[dict[str, float]]:
    return [{"figure": value} | ({} if base is None else {"base": base}) for value in values]


def test_a_bound_is_kept_by_the_mean_over_the_seeds() -> None:
    check = Check("", "figure", at_most=2.0)
    assert check.judge(results(1.0, 2.0, 3.0)).holds
    assert not check.judge(results(1.0, 2.0, 3.1)).holds


def test_a_difference_must_lie_beyond_the_bound_with_its_whole_interval() -> None:
    check = Check("", "figure", than="base", at_least=0.0)
    assert check.judge(results(1.0, 1.1, 0.9, base=0.0)).holds
    assert not check.judge(results(3.0, 0.1, -0.1, base=0.0)).holds, "its mean is larger, and one seed made it"


@pytest.mark.parametrize("bound", ["at_least", "at_most"])
def test_no_difference_shows_nothing(bound: str) -> None:
    assert not Check("", "figure", than="base", **{bound: 0.0}).judge(results(1.0, 1.0, 1.0, base=1.0)).holds


def test_a_figure_that_is_no_number_holds_nothing() -> None:
    assert not Check("", "figure", at_most=1.0).judge(results(float("nan"), 0.0, 0.0)).holds


def test_the_interval_is_students() -> None:
    judged = Check("", "figure", at_most=1.0).judge(results(1.0, 2.0, 3.0))
    assert judged.found == 2.0
    assert judged.half == pytest.approx(4.303 / 3**0.5, rel=1e-3)


def test_a_median_is_not_moved_by_one_bad_seed() -> None:
    values = results(1.0, 1.0, 90.0)
    assert not Check("", "figure", at_most=2.0).judge(values).holds
    judged = Check("", "figure", at_most=2.0, medians=True).judge(values)
    assert judged.holds
    assert (judged.found, judged.half) == (1.0, None)


def test_medians_are_compared_each_by_itself() -> None:
    seeds = [{"figure": a, "base": b} for a, b in ((1.0, 9.0), (2.0, 2.0), (5.0, 1.0))]
    check = Check("", "figure", than="base", at_most=0.0, medians=True)
    judged = check.judge(seeds)
    assert judged.centres == (2.0, 2.0)
    assert judged.found == 0.0
    assert judged.holds, "a median that is as good is at most the other"
    assert check.wanted == "at most 0"


def test_what_promises_nothing_is_told_and_not_counted() -> None:
    told, bad = Check("", "figure"), Check("", "figure", at_least=1.0)
    three = results(0.0, 0.0, 0.0)
    assert not told.promises
    assert told.wanted == "told, not promised"
    assert verdict([told.judge(three), bad.judge(three)]) == NOT_SHOWN


def test_the_verdict_counts_the_checks_and_needs_three_seeds() -> None:
    good, bad = Check("", "figure", at_most=1.0), Check("", "figure", at_least=1.0)
    three = results(0.0, 0.0, 0.0)
    assert verdict([good.judge(three)]) == SHOWN
    assert verdict([good.judge(three), bad.judge(three)]) == IN_PART
    assert verdict([bad.judge(three)]) == NOT_SHOWN
    assert verdict([good.judge(three[:2])]) == NOT_JUDGED


@pytest.mark.parametrize("kind", SYSTEMS)
def test_every_system_tells_its_paper_its_claim_and_its_protocol(kind: str) -> None:
    system = SYSTEMS[kind]
    assert system.reference
    assert system.cites
    for text in (system.claim, system.protocol):
        assert text.endswith(".")
    assert system.title
    assert system.checks


@pytest.mark.parametrize("kind", SYSTEMS)
def test_the_parts_of_every_system_are_there_to_be_chosen_or_it_is_a_study(kind: str) -> None:
    system = SYSTEMS[kind]
    assert bool(system.parts) != (kind in STUDIES)
    assert not system.parts or (ROOT / system.example).is_file()
    for group, part in system.parts:
        find(group, part)
    if not system.where and not any(one.startswith("discover ") for one in system.settings):
        assert all(used_in(ROOT / system.example, f"{group}: {{kind: {part}}}") for group, part in system.parts)


@pytest.mark.parametrize("kind", SYSTEMS)
def test_every_system_has_a_verdict_of_the_code_as_it_is(kind: str) -> None:
    shipped = shipped_verdict(kind)
    assert shipped is not None, f"discover reproduce {kind} --seeds 3 --out data/resources/verdicts/{kind}.json"
    assert shipped["identity"] == SYSTEMS[kind]().identity
    assert len(shipped["seeds"]) >= FEWEST_SEEDS
    assert [one["told"] for one in shipped["checks"]] == [check.told for check in SYSTEMS[kind].checks]


def test_the_page_of_systems_says_what_the_verdicts_say() -> None:
    ran = subprocess.run([sys.executable, ROOT / "docs" / "systems.py", "--check"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
