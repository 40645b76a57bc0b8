from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from mlflow.tracking import MlflowClient

from models.systems.base import Bench, Check, System
from pipelines.reproduce import run_trial
from tasks.systems.attempt import SystemRef, try_system
from tasks.workspace import Workspace

TRIED: list[int] = []


class Toy(System["Toy.Options"]):
    """A system whose claim can be had."""

    kind: ClassVar[str] = "toy_of_tests"
    title: ClassVar[str] = "Toy"
    claim: ClassVar[str] = "Larger | is better."
    protocol: ClassVar[str] = "We look."
    checks: ClassVar[tuple[Check, ...]] = (
        Check("ours is larger", "ours", than="theirs", at_least=0.0),
        Check("ours is at least one", "ours", at_least=1.0),
    )
    axes: ClassVar[tuple[str, str]] = ("Steps", "Distance (log)")

    class Options(System.Options):
        """Options."""

        ours: float = 2.0

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        TRIED.append(seed)
        bench.progress(1, 1, {})
        curve = {"ours": [[1, 2], [1.0, 0.1 + seed]], "theirs": [[1, 2], [1.0, 0.9]]}
        return {"ours": self.options.ours + 0.1 * seed, "theirs": 1.0, "curves": curve}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    TRIED.clear()
    monkeypatch.setenv("DISCOVER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def trial(seeds: int = 3, **options: Any) -> Any:
    return run_trial({"kind": "toy_of_tests", **options}, range(seeds))


def test_a_trial_judges_each_check_over_the_seeds_and_writes_it_down(home: Path) -> None:
    outcome = trial()
    assert outcome.verdict == "shown"
    assert [line[0] for line in outcome.lines()] == ["yes", "yes"]
    assert "2.1" in outcome.lines()[0][2]
    told = json.loads((outcome.folder / "outcome.json").read_text())
    assert told["verdict"] == "shown"
    assert told["seeds"] == [0, 1, 2]
    assert (outcome.folder / "tried.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (outcome.folder / "tried.svg").read_text()


def test_a_seed_that_has_ended_is_not_tried_again(home: Path) -> None:
    trial(2)
    trial(4)
    assert TRIED == [0, 1, 2, 3]


def test_other_options_are_another_trial(home: Path) -> None:
    assert trial().verdict == "shown"
    assert trial(ours=0.5).verdict == "not shown"
    assert len(TRIED) == 6


def test_a_seed_that_is_broken_off_is_begun_anew(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Toy, seed: int, bench: Bench) -> Mapping[str, Any]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Toy, "run", broken)
        with pytest.raises(KeyboardInterrupt):
            trial()
    assert trial().verdict == "shown"


def test_the_verdict_is_a_run_of_mlflow_with_the_seeds_in_it(home: Path) -> None:
    experiment = trial().page.split("/")[3]
    client = MlflowClient(Workspace.open().tracking_uri)
    runs = client.search_runs([experiment])
    assert sorted(run.info.run_name for run in runs if run.info.run_name.startswith("seed")) == [
        "seed 0", "seed 1", "seed 2",
    ]  # fmt: skip
    (whole,) = [run for run in runs if not run.info.run_name.startswith("seed")]
    assert whole.data.tags["discovery.verdict"] == "shown"
    assert "**Shown.** Toy" in whole.data.tags["mlflow.note.content"]
    assert whole.data.metrics["checks_held"] == 2


def test_figures_of_a_seed_are_read_back_as_they_were(home: Path) -> None:
    ref = SystemRef(str(home), {"kind": "toy_of_tests", "ours": 2.0}, (5,))
    home.mkdir()
    assert try_system.fn(ref, 5) == try_system.fn(ref, 5)
    assert TRIED == [5]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nope"], "no system of kind 'nope'"),
        (["toy_of_tests", "--set", "ours=many"], "Option 'ours' of system 'toy_of_tests'"),
        (["toy_of_tests", "--set", "our=1"], "has no option 'our'"),
        (["toy_of_tests", "--set", "kind=sub_trajectory_balance"], "got kind=sub_trajectory_balance"),
        (["toy_of_tests", "--seeds", "0"], "1 at least; got 0"),
        (["toy_of_tests", "--out", "/proc/no/where.json"], "cannot be written"),
        (["nope", "--list"], "no system of kind 'nope'"),
    ],
)
def test_what_cannot_be_tried_is_refused_in_a_sentence_before_anything_is(bench, arguments, told) -> None:
    TRIED.clear()
    answer = bench.discover("reproduce", *arguments, "--plain")
    assert answer.exit == 2
    assert told in answer.message
    assert not TRIED


def test_the_list_tells_the_last_verdict_of_each(bench) -> None:
    TRIED.clear()
    assert "not tried" in bench.discover("reproduce", "toy_of_tests", "--list").out
    bench.discover("reproduce", "toy_of_tests", "--plain")
    line = next(
        line for line in bench.discover("reproduce", "--list").out.splitlines() if line.startswith("toy_of_tests")
    )
    assert "shown" in line
    assert "here, 3 seeds" in line
