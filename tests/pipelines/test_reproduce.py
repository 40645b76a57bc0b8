from __future__ import annotations

import json
import os
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import pytest
from mlflow.tracking import MlflowClient

from models.systems.base import Bench, Check, System
from pipelines.reproduce import run_trial
from pipelines.trial_campaigns import run_apart
from tasks.progress import Event, listening
from tasks.systems.attempt import SystemRef, try_system
from tasks.systems.outcome import checked
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


@pytest.mark.parametrize(
    ("check", "line"),
    [
        (
            Check("", "ours", than="theirs", at_most=0.0, medians=True),
            ["yes", "", "medians 1.00 against 2.00: -1.000", "at most 0"],
        ),
        (Check("", "theirs", at_least=3.0, medians=True), ["no", "", "median 2.000", "at least 3"]),
        (Check("", "ours", medians=True), ["-", "", "median 1.000", "told, not promised"]),
    ],
)
def test_a_check_of_medians_says_so_and_what_promises_nothing_neither_holds_nor_fails(check, line) -> None:
    seeds = [{"ours": ours, "theirs": 2.0} for ours in (1.0, 1.0, 50.0)]
    assert checked(check.judge(seeds)) == line


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
    assert try_system.fn(ref, 5, 0, run_apart) == try_system.fn(ref, 5, 0, run_apart)
    assert TRIED == [5]


def campaign_of(folder: Path) -> dict[str, Any]:
    """A campaign over a table of all DNA of four letters."""
    texts = ["".join(letters) for letters in product("ACGT", repeat=4)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.csv").write_text("\n".join(["sequence,value", *(f"{text},{text.count('A')}" for text in texts)]))
    file = str(folder / "table.csv")
    return {
        "name": "inner",
        "seed": 0,
        "space": {"kind": "sequences", "alphabet": "dna", "length": 4},
        "objectives": [
            {"name": "binding", "goal": "maximise", "oracle": {"kind": "table", "path": file, "value": "value"}}
        ],
        "data": {"kind": "random", "initial": 6},
        "proxy": {"kind": "gaussian_process"},
        "generator": {"kind": "random", "proposals": 40},
        "control": {"kind": "random", "fraction": 0},
        "rounds": 2,
        "batch_size": 3,
    }


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that the user's settings name for the ledger and for MLflow."""
    files = [tmp_path / "their_ledger.db", tmp_path / "their_mlflow.db"]
    for name, file in zip(("DISCOVER_LEDGER", "MLFLOW_TRACKING_URI"), files, strict=True):
        monkeypatch.setenv(name, f"sqlite:///{file}")
    return files


def test_a_campaign_of_a_trial_is_in_a_workspace_of_its_own(tmp_path: Path, elsewhere: list[Path]) -> None:
    rounds, heard = list[int](), list[Event]()
    with listening(heard.append):
        bought = run_apart(campaign_of(tmp_path), tmp_path / "apart", rounds.append)
    assert [one.round for one in bought] == [0] * 6 + [1] * 3 + [2] * 3
    assert all(one.value == one.object.count("A") for one in bought)
    assert sorted(set(rounds)) == [0, 1, 2]
    assert not heard, "whoever follows the trial hears of seeds, not of stages"
    assert not any(file.exists() for file in elsewhere)
    assert (tmp_path / "apart" / "ledger.db").is_file()
    assert os.environ["DISCOVER_LEDGER"] == f"sqlite:///{elsewhere[0]}"


@pytest.mark.slow
def test_a_campaign_of_a_trial_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    def tell(round: int) -> None:
        if round == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_apart(campaign_of(tmp_path), tmp_path / "apart", tell)
    (tmp_path / "whole").mkdir()
    begun = (tmp_path / "apart" / "campaigns" / "inner" / "round-001").stat().st_mtime_ns
    went_on = run_apart(campaign_of(tmp_path), tmp_path / "apart", lambda round: None)
    assert (tmp_path / "apart" / "campaigns" / "inner" / "round-001").stat().st_mtime_ns == begun
    assert went_on == run_apart(campaign_of(tmp_path), tmp_path / "whole", lambda round: None)


def test_a_campaign_of_a_trial_that_ends_early_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="'inner' of a trial ended as budget_exhausted"):
        run_apart(campaign_of(tmp_path) | {"budget": {"calls": 7}}, tmp_path / "apart", lambda round: None)


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


def test_a_verdict_replaces_an_older_one_and_no_other_file(bench, tmp_path: Path) -> None:
    TRIED.clear()
    out = tmp_path / "results.json"
    for content in ("my only copy", "[1, 2]", '{"system": {"kind": "another"}, "verdict": "shown"}'):
        out.write_text(content)
        refused = bench.discover("reproduce", "toy_of_tests", "--out", str(out), "--plain")
        assert refused.exit == 2
        assert f"--out is {out}, which exists and is no verdict on 'toy_of_tests'" in refused.message
        assert out.read_text() == content
    assert not TRIED
    out.unlink()
    for seeds in ("1", "2"):
        again = bench.discover("reproduce", "toy_of_tests", "--seeds", seeds, "--out", str(out), "--plain")
        assert again.exit == 0, again.message
    assert json.loads(out.read_text())["seeds"] == [0, 1]


def test_the_list_tells_the_last_verdict_of_each(bench) -> None:
    TRIED.clear()
    assert "not tried" in bench.discover("reproduce", "toy_of_tests", "--list").out
    bench.discover("reproduce", "toy_of_tests", "--plain")
    line = next(
        line for line in bench.discover("reproduce", "--list").out.splitlines() if line.startswith("toy_of_tests")
    )
    assert "shown" in line
    assert "here, 3 seeds" in line
