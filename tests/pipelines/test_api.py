"""Campaigns from Python: what frames hold agrees with the command line, is typed, whole, and looked at without a trace."""

import asyncio
import io
import json
import sqlite3
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from data.config import ConfigError, load_config
from data.ledger.campaigns import LedgerError
from data.ledger.lock import campaign_lock
from data.tables.rows import SourceError
from models.registry import ComponentError
from pipelines.api import Campaign, ask, campaigns, run, tell, validate
from tasks.reporting.plots import png
from tasks.stages import BadInput
from tasks.workspace import Workspace, WorkspaceError

FUNCTIONS = """
def height(points):
    return [one["x"] - one["y"] for one in points]

def cheap(points):
    return [0.9 * (one["x"] - one["y"]) for one in points]

def both(points):
    return [{"height": one["x"], "width": None if one["y"] > 0.6 else one["y"], "unasked": 1.0} for one in points]

def length(texts):
    return [float(text.count("A")) for text in texts]
"""
HEIGHT = {"kind": "python", "function": "own:height", "unit": "m"}
BOTH = {"kind": "python", "function": "own:both", "outputs": {"height": "m", "width": "mm", "unasked": "s"}}
PLANE = {"kind": "vectors", "variables": {"x": [0, 1], "y": [0, 1]}}
NUMBERS, TEXTS = ("value", "predicted_mean", "predicted_std", "novelty"), ("id", "unit", "arm", "state", "message")


@pytest.fixture
def plane(bench):
    """A campaign over two variables: six at first, then three in a round."""
    (bench.folder / "own.py").write_text(FUNCTIONS)
    bench.write_config(
        name="plane",
        space=PLANE,
        objectives=[{"name": "height", "oracle": HEIGHT}],
        data={"kind": "random", "initial": 6},
        generator={"kind": "random", "proposals": 40},
        proxy={"kind": "gaussian_process", "calibration": "none"},
        screens=[],
        control={"kind": "random", "fraction": 0.34},
        batch_size=3,
        budget={},
    )
    return bench


SETTINGS = {
    "one objective": {},
    "two goals, a limit and outputs": {
        "data": {"kind": "random", "initial": 12},
        "objectives": [
            {"name": "height", "oracle": BOTH, "output": "height", "at_least": 0.1, "tolerated_failure_rate": 1},
            {"name": "width", "goal": "minimise", "oracle": BOTH, "output": "width", "tolerated_failure_rate": 1},
        ],
    },
    "levels": {
        "objectives": [{"name": "height", "oracle": [{**HEIGHT, "function": "own:cheap", "cost": 0.1}, HEIGHT]}],
        "control": {"kind": "random", "fraction": 0},
        "budget": {"cost": 20.0},
    },
    "repetitions": {"objectives": [{"name": "height", "oracle": HEIGHT, "replicates": 2}]},
    "sequences": {
        "space": {"kind": "sequences", "alphabet": "dna", "min_length": 4, "max_length": 8},
        "objectives": [{"name": "length", "oracle": {"kind": "python", "function": "own:length"}}],
    },
}


def exported(bench, name):
    told = bench.discover("candidates", name, "--format", "csv")
    assert told.exit == 0, told.message
    return pd.read_csv(io.StringIO(told.out))


def ledger_text(home):
    """Everything that the ledger holds."""
    with sqlite3.connect(f"file:{home / 'ledger.db'}?mode=ro", uri=True) as connection:
        return "\n".join(connection.iterdump())


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.suffix != ".open"}


def everything(campaign):
    return [
        campaign.candidates(),
        campaign.measurements(),
        campaign.rounds(),
        campaign.health(),
        campaign.corrections(),
    ]


def assert_agrees(frame, export):
    """A frame is what the export reads as, whatever an empty cell becomes."""
    assert list(frame.columns) == list(export.columns)
    assert len(frame) == len(export)
    for name in frame.columns:
        mine, other = frame[name], export[name]
        assert (mine.isna() == other.isna()).all(), name
        there = mine.notna()
        assert mine[there].tolist() == other[there].tolist(), name


# -- frames ----------------------------------------------------------------------------------------------------------


def test_candidates_are_those_of_the_export_best_first_and_typed(finished):
    campaign = Campaign.load("finished")
    frame = campaign.candidates()
    assert_agrees(frame, exported(finished, "finished"))
    assert {str(frame[name].dtype) for name in NUMBERS} == {"float64"}
    assert {str(frame[name].dtype) for name in (*TEXTS, "smiles", "inchikey")} == {"string"}
    assert frame["round"].dtype == np.int64
    assert frame["value"].dropna().is_monotonic_decreasing
    pd.testing.assert_frame_equal(campaign.candidates(top=3), frame.head(3))


@pytest.mark.parametrize("setting", list(SETTINGS))
def test_candidates_agree_with_the_export_in_every_kind_of_campaign(plane, setting):
    plane.write_config(**SETTINGS[setting])
    campaign = run(plane.file)
    assert campaign.state == "done"
    frame = campaign.candidates()
    assert_agrees(frame, exported(plane, "plane"))
    numbers = {name for name in frame if name.rpartition(".")[2] in (*NUMBERS, "level_0") or name in ("x", "y")}
    assert {str(frame[name].dtype) for name in numbers} == {"float64"}
    assert {str(frame[name].dtype) for name in {"feasible", "front"} & set(frame)} <= {"boolean"}
    others = set(frame) - numbers - {"round", "feasible", "front"}
    assert {str(frame[name].dtype) for name in others} == {"string"}
    measured = campaign.measurements()
    true = measured[measured["true"] & (measured["state"] == "done") & measured["objective"].notna()]
    means = true.groupby(["objective", "id"])["value"].mean()
    main = campaign.goals.main.name
    told = frame.dropna(subset="value").set_index("id")["value"]
    pd.testing.assert_series_equal(means[main].sort_index(), told.sort_index(), check_names=False)
    assert campaign.rounds()["calls"].iloc[-1] == measured["call"].nunique()
    spent = measured.drop_duplicates("call")["cost"].sum()
    assert campaign.rounds()["cost"].iloc[-1] == pytest.approx(spent) == pytest.approx(campaigns()["cost"].iloc[0])
    assert set(campaign.figures()) >= {"space_map"}


def test_measurements_have_a_row_for_each_value_and_level_and_repetition(plane):
    plane.write_config(**SETTINGS["two goals, a limit and outputs"], rounds=0)
    measured = run(plane.file).measurements()
    assert measured.groupby("call").size().unique().tolist() == [3]
    assert measured["unit"].tolist()[:3] == ["m", "mm", "s"]
    lost = measured[measured["state"] == "failed"]
    assert lost["objective"].unique().tolist() == ["width"]
    assert lost["value"].isna().all()
    assert lost["message"].str.contains("no value of 'width'").all()
    assert measured["objective"].isna().sum() == measured["call"].nunique()  # what no objective reads

    plane.write_config(name="ladder", rounds=1, **SETTINGS["levels"])
    measured = run(plane.file).measurements()
    assert measured.groupby("level")["true"].unique().map(list).to_dict() == {0: [False], 1: [True]}
    assert measured.groupby("level")["cost"].unique().map(list).to_dict() == {0: [0.1], 1: [1.0]}

    plane.write_config(name="twice", control={"kind": "random", "fraction": 0.34}, **SETTINGS["repetitions"])
    plane.write_config(budget={})
    measured = run(plane.file).measurements()
    assert measured.groupby("id")["replicate"].apply(sorted).map(tuple).unique().tolist() == [(1, 2)]
    assert measured["booked_at"].dt.tz is not None
    assert measured["current"].all()


def test_a_measurement_that_failed_is_there_with_its_reason(bench):
    bench.write_oracle("None if smiles == 'CCO' or len(smiles) > 8 else value(smiles)")
    bench.config["objectives"][0] |= {"tolerated_failure_rate": 1}
    bench.write_config(rounds=0)
    campaign = run(bench.file)
    measured, frame = campaign.measurements(), campaign.candidates()
    lost = measured[measured["state"] == "failed"]
    assert len(measured) == len(frame) == 8
    assert 0 < len(lost) == campaign.rounds()["failed"].iloc[-1]
    assert lost["error"].notna().all()
    assert set(lost["id"]) == set(frame[frame["state"] == "failed"]["id"])


def test_rounds_say_what_the_report_says(finished):
    rounds = Campaign.load("finished").rounds()
    assert rounds["round"].tolist() == [0, 1, 2]
    assert rounds["calls"].tolist() == [8, 12, 16]
    report = json.loads((finished.home / "campaigns" / "finished" / "report" / "summary.json").read_text())
    last = rounds.iloc[-1]
    for name in (
        "best",
        "top10_mean",
        "acquisition_mean",
        "acquisition_half",
        "acquisition_n",
        "control_mean",
        "calls",
    ):
        assert last[name] == report[name], name
    assert {str(rounds[name].dtype) for name in ("round", "calls", "failed", "acquisition_n")} == {"int64"}


def test_rounds_of_several_goals_have_the_hypervolume_and_the_best_of_each(plane):
    plane.write_config(**SETTINGS["two goals, a limit and outputs"])
    campaign = run(plane.file)
    rounds = campaign.rounds()
    frame = campaign.candidates()
    inside = frame[frame["feasible"].fillna(False)]
    assert rounds["height.best"].iloc[-1] == inside["height.value"].max()
    assert rounds["width.best"].iloc[-1] == inside["width.value"].min()
    assert rounds["hypervolume"].is_monotonic_increasing
    assert rounds["front"].iloc[-1] == frame["front"].sum() == len(campaign.candidates(pareto=True))
    assert rounds["feasible"].between(0, 1).all()
    assert set(campaign.figures()) >= {"best_so_far_1", "best_so_far_2", "front", "hypervolume"}


def test_findings_are_those_of_the_status(finished):
    health = Campaign.load("finished").health()
    told = finished.discover("status", "finished").message
    latest = health[health["round"] == health["round"].max()]
    assert len(latest)
    assert all(" ".join(message.split()) in told for message in latest["message"])
    assert set(health["level"]) <= {"good", "unknown", "warning"}


def test_a_figure_is_that_of_the_report_and_a_notebook_shows_it(finished):
    campaign = Campaign.load("finished")
    plots = finished.home / "campaigns" / "finished" / "report" / "plots"
    names = campaign.figures()
    assert set(names) == {file.stem for file in plots.glob("*.png")}
    assert names["best_so_far"] == "Best so far, in order of purchase"
    figure = campaign.figure("best_so_far")
    assert isinstance(figure, Figure)
    assert figure._repr_png_() == png(figure) == (plots / "best_so_far.png").read_bytes()


def test_a_figure_that_is_not_there_is_refused_with_those_that_are(finished):
    with pytest.raises(BadInput, match=r"no figure 'best'; expected one of best_so_far, .* Did you mean 'best_so_far'"):
        Campaign.load("finished").figure("best")


def test_values_that_came_with_the_data_are_measurements_and_no_calls(plane):
    rows = [f"{x / 10},{y / 10},{x + y}" for x in range(4) for y in range(3)]
    (plane.folder / "known.csv").write_text("\n".join(["x,y,height", *rows]) + "\n")
    plane.write_config(data={"kind": "csv", "path": "known.csv", "value": "height", "initial": 0})
    campaign = run(plane.file)
    assert campaign.measurements()["origin"].value_counts().to_dict() == {"imported": 12, "called": 3}
    assert campaign.rounds()["calls"].tolist() == [0, 3]
    assert campaign.rounds()["best"].iloc[0] == 5
    assert_agrees(campaign.candidates(), exported(plane, "plane"))


# -- looking ---------------------------------------------------------------------------------------------------------


def test_importing_takes_no_time():
    code = (
        "import sys, pipelines.api; heavy = {'torch', 'mlflow', 'prefect', 'pandas', 'numpy', 'rdkit', 'sqlalchemy',"
        " 'matplotlib', 'pydantic'} & set(sys.modules); sys.exit(repr(heavy) if heavy else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_looking_at_candidates_needs_no_service(finished):
    code = (
        "import sys; from pipelines.api import Campaign; c = Campaign.load('finished'); c.candidates(); c.measurements();"
        "c.rounds(); c.health(); c.figure('best_so_far'); heavy = {'mlflow', 'prefect'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_looking_leaves_the_ledger_and_the_files_as_they_are(finished):
    before, there = ledger_text(finished.home), files(finished.home / "campaigns")
    campaign = Campaign.load("finished")
    assert (campaign.name, campaign.state, campaign.message, campaign.generation) == ("finished", "done", "", 1)
    everything(campaign)
    campaign.figure("space_map")
    campaigns()
    assert campaign.config == load_config(finished.file)
    assert campaign.goals.main.unit == "a.u."
    assert campaign.page.is_file()
    assert ledger_text(finished.home) == before
    assert files(finished.home / "campaigns") == there


def test_a_name_or_a_workspace_that_is_not_there_is_refused_and_none_is_made(finished, tmp_path, monkeypatch):
    with pytest.raises(LedgerError, match="no campaign 'finish'; it has finished"):
        Campaign.load("finish")
    with pytest.raises(LedgerError, match="no generation 2; expected 1 to 1"):
        Campaign.load("finished", generation=2)
    with pytest.raises(WorkspaceError, match=r"There is no workspace .*nowhere"):
        Campaign.load("finished", tmp_path / "nowhere")
    monkeypatch.setenv("DISCOVER_HOME", str(tmp_path / "nowhere"))
    assert campaigns().empty
    assert not (tmp_path / "nowhere").exists()
    assert Campaign.load("finished", finished.home).state == "done"
    assert Campaign.load("finished", str(finished.home)).state == "done"


def test_what_candidates_cannot_give_is_refused(finished):
    campaign = Campaign.load("finished")
    with pytest.raises(BadInput, match="top is 0; expected a whole number of at least 1"):
        campaign.candidates(top=0)
    with pytest.raises(BadInput, match="improves one: maximise score"):
        campaign.candidates(pareto=True)


def test_a_campaign_without_candidates_has_empty_frames_of_the_same_columns(plane):
    ledger = Workspace.open().ledger()
    begun = ledger.begin_campaign(load_config(plane.file), plane.folder)
    campaign = Campaign.load("plane")
    assert campaign.state == "killed"
    with campaign_lock(ledger, begun):
        assert campaign.state == "running"
        empty = everything(campaign)
        assert campaign.figures() == {}
    ledger.close()
    with pytest.raises(BadInput, match="none at all yet"):
        campaign.figure("best_so_far")
    assert all(frame.empty for frame in empty)
    full = everything(run(plane.file))
    for before, after in zip(empty, full, strict=True):
        told = set(before) - {"x", "y"}
        assert list(before) == list(after)
        assert before[list(told)].dtypes.equals(after[list(told)].dtypes)


def test_an_unfinished_campaign_says_why_and_goes_on(plane):
    stopped = run(plane.file, ["budget.calls=7", "rounds=1"])
    assert stopped.state == "budget_exhausted"
    assert "the budget is spent (7 calls, cost 7)" in stopped.message
    assert len(stopped.candidates()) == len(exported(plane, "plane"))
    assert run(plane.file, "budget.calls=20").state == stopped.state == "done"  # the same handle, asked anew
    assert stopped.message == ""


def test_campaigns_lists_each_with_its_generations(plane):
    run(plane.file, ["rounds=0"])
    again = run(plane.file, ["rounds=0"], fresh=True)
    found = campaigns(plane.home)
    assert found[["name", "generation", "state", "calls"]].values.tolist() == [
        ["plane", 1, "done", 6],
        ["plane", 2, "done", 6],
    ]
    assert found["budget_calls"].isna().all()
    assert again.generation == 2
    assert Campaign.load("plane").id == again.id
    assert again.measurements()["origin"].unique().tolist() == ["reused"]
    first = Campaign.load("plane", generation=1)
    assert first.measurements()["origin"].unique().tolist() == ["called"]
    assert first.candidates()["value"].tolist() == again.candidates()["value"].tolist()


# -- running ---------------------------------------------------------------------------------------------------------


def test_a_dictionary_runs_as_its_file_does_and_is_written_nowhere(plane, monkeypatch):
    monkeypatch.chdir(plane.folder)
    given = deepcopy(plane.config) | {"batch_size": np.int64(3), "screens": ()}
    before = deepcopy(given)
    there = set(plane.folder.iterdir())
    events = []
    campaign = run(given, ["rounds=1", "name=mine"], progress=events.append)
    assert given == before
    assert set(plane.folder.iterdir()) - there <= {plane.home, plane.folder / "__pycache__"}
    assert {event.stage for event in events} >= {"measure", "train_proxy"}
    assert campaign.name == "mine"
    told = plane.run("--set", "name=mine")
    assert told.exit == 0, told.message
    assert campaign.measurements()["call"].nunique() == 9
    assert run(given, "name=mine", folder=plane.folder).state == "done"


def test_a_campaign_runs_in_a_notebook_whose_kernel_has_an_event_loop(plane):
    async def cell():
        return run(plane.file, ["rounds=0"])

    assert asyncio.run(cell()).state == "done"


def test_a_workspace_can_be_named(plane, tmp_path):
    campaign = run(plane.file, ["rounds=0"], workspace=tmp_path / "elsewhere")
    assert campaign.workspace.home == tmp_path / "elsewhere"
    assert (tmp_path / "elsewhere" / "campaigns" / "plane" / "report" / "candidates.html") == campaign.page
    assert campaign.page.is_file()
    assert not (plane.home / "ledger.db").exists()


def test_what_is_no_configuration_is_refused_in_a_sentence(plane, monkeypatch):
    monkeypatch.chdir(plane.folder)

    def measure(points): ...

    for given, message in [
        ([], "is a list; expected the path of a campaign file, or a dictionary"),
        (plane.config | {"objectives": [{"name": "a", "oracle": HEIGHT | {"function": measure}}]}, "'module:measure'"),
        (plane.config | {"seed": {1, 2}}, "seed is a set; expected what a campaign file can hold"),
        (plane.config | {"sede": 1}, "Did you mean 'seed'"),
        (plane.folder / "none.yaml", "There is no campaign file"),
    ]:
        with pytest.raises(ConfigError, match=message):
            validate(given)
    with pytest.raises(ConfigError, match="Leave folder out"):
        run(plane.file, folder=plane.folder)
    assert not (plane.home / "ledger.db").exists()


def test_validate_says_what_would_be_run_and_runs_nothing(bench):
    plan = validate(bench.file, ["rounds=2"])
    assert plan.calls == 8 + 2 * 4
    assert plan.config.rounds == 2
    assert any("kept" in sentence or "rows" in sentence for sentence in plan.said)
    assert bench.calls() == []
    assert not (bench.home / "ledger.db").exists()
    with pytest.raises(ComponentError, match="There is no module 'tiny_oracle'"):
        validate(bench.config, folder=bench.folder / "another")


# -- ask and tell ----------------------------------------------------------------------------------------------------


@pytest.fixture
def lab(plane):
    plane.write_config(
        name="lab",
        objectives=[{"name": "height", "oracle": {"kind": "laboratory", "unit": "m"}}],
        data={"kind": "random", "initial": 8},
    )
    return plane


def filled(sheet):
    return sheet.assign(**{"height [m]": [round(float(x), 2) for x in sheet["x"]]})


def test_what_is_asked_is_pending_and_what_is_told_is_there_with_who_told_it(lab):
    campaign = run(lab.file)
    assert campaign.state == "waiting"
    assert "0 of 8 results" in campaign.message
    assert campaign.measurements()["state"].tolist() == ["submitted"] * 8
    assert campaign.measurements()["value"].isna().all()
    assert campaign.candidates()["state"].tolist() == ["submitted"] * 8
    assert campaign.rounds()["calls"].tolist() == [8]
    sheet = filled(ask("lab"))
    sheet.loc[0, ["height [m]", "failed"]] = [None, "spilt"]
    receipt = tell("lab", sheet.head(4), by="Ada")
    assert (receipt.new, receipt.failed, receipt.open) == (4, 1, 4)
    measured = campaign.measurements()
    assert measured["state"].value_counts().to_dict() == {"submitted": 4, "done": 3, "failed": 1}
    assert measured.set_index("id").loc[sheet["id"][0], "message"] == "spilt"
    assert measured["told_by"].dropna().unique().tolist() == ["Ada"]
    assert measured["answered_at"].notna().sum() == 4
    tell("lab", sheet)
    assert run(lab.file).state == "waiting"
    assert campaign.measurements()["round"].value_counts().to_dict() == {0: 8, 1: 3}


def test_a_value_that_was_told_is_there_although_others_of_its_experiment_are_waited_for(lab):
    oracle = {"kind": "laboratory", "outputs": {"height": "m", "width": "mm"}}
    lab.write_config(
        objectives=[
            {"name": "height", "oracle": oracle, "output": "height"},
            {"name": "width", "goal": "satisfy", "at_most": 3, "oracle": oracle, "output": "width"},
        ]
    )
    campaign = run(lab.file)
    first = filled(ask("lab")).head(1)
    assert tell("lab", first).partly == 1
    measured = campaign.measurements()
    assert len(measured) == 2 * 8
    told = measured[measured["id"] == first["id"][0]].set_index("objective")
    assert told["state"].to_dict() == {"height": "submitted", "width": "submitted"}
    assert told.loc["height", "value"] == first["height [m]"][0]
    assert np.isnan(told.loc["width", "value"])
    assert told["unit"].to_dict() == {"height": "m", "width": "mm"}
    assert campaign.candidates()["value"].isna().all()


def test_results_are_a_table_a_file_or_a_text(lab):
    run(lab.file)
    sheet = filled(ask("lab"))
    file = lab.folder / "results.csv"
    sheet.to_csv(file, index=False)
    assert tell("lab", sheet.set_index("id")).new == 8
    assert tell("lab", file).same == tell("lab", str(file)).same == tell("lab", file.read_text()).same == 8
    with pytest.raises(SourceError, match=r"no results 'nothing.csv'; expected a CSV file, its text"):
        tell("lab", "nothing.csv")
    with pytest.raises(BadInput, match="it is known already"):
        tell("lab", sheet.assign(**{"height [m]": 9.0}))


def test_a_correction_is_told_and_what_it_was_stays_to_be_seen(lab):
    campaign = run(lab.file)
    sheet = filled(ask("lab"))
    tell("lab", sheet, by="Ada")
    assert tell("lab", sheet.head(1).assign(**{"height [m]": 9.0}), correct=True, by="Bob").corrected == 1
    (one,) = campaign.corrections().to_dict("records")
    assert (one["id"], one["objective"], one["value_now"]) == (sheet["id"][0], "height", 9.0)
    assert one["value"] == float(sheet["height [m]"][0])
    assert (one["told_by"], one["replaced_by"]) == ("Ada", "Bob")
    assert one["told_at"] <= one["replaced_at"]
    assert campaign.measurements().set_index("id").loc[sheet["id"][0], "value"] == 9.0


def test_a_campaign_that_asks_nobody_refuses_to_be_asked(finished):
    with pytest.raises(BadInput, match="asks no laboratory"):
        ask("finished")
    with pytest.raises(WorkspaceError, match="There is no workspace"):
        ask("finished", Path("nowhere"))
