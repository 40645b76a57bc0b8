"""One number, one name, one notation: the terminal, the page, the files, Python and MLflow tell a campaign alike."""

import csv
import io
import re
from contextlib import redirect_stdout
from copy import deepcopy

import pytest
from mlflow import MlflowClient

from data.wording import figure
from pipelines.api import Campaign
from tasks.progress import Event
from tests.conftest import Bench, use

OUTPUTS = "{'logp': None if len(smiles) % 4 == 0 else value(smiles), 'length': float(len(smiles))}"
ORACLE = {"kind": "python", "function": "tiny_oracle:measure", "outputs": {"logp": "", "length": "letters"}}
DATA = {"kind": "csv", "path": "library.csv", "initial": 16}
OBJECTIVES = [
    {"name": "logp", "at_most": 2.0, "oracle": ORACLE, "output": "logp", "tolerated_failure_rate": 1},
    {"name": "length", "goal": "minimise", "oracle": ORACLE, "output": "length", "tolerated_failure_rate": 1},
]


@pytest.fixture(scope="module")
def lacking_once(tmp_path_factory, tracking):
    bench = Bench(tmp_path_factory.mktemp("lacking"))
    bench.write_oracle(OUTPUTS)
    bench.write_config(name="lacking", objectives=deepcopy(OBJECTIVES), data=DATA, budget={"calls": 30})
    with pytest.MonkeyPatch.context() as patch:
        use(bench, tracking, patch)
        told = bench.run()
        assert told.exit == 0, told.message
    return bench


@pytest.fixture
def lacking(lacking_once, tracking, monkeypatch):
    """A finished campaign of two objectives, of which one has no value of some molecules."""
    use(lacking_once, tracking, monkeypatch)
    return lacking_once


def page_of(bench):
    return (bench.home / "campaigns" / bench.config["name"] / "report" / "candidates.html").read_text(encoding="utf-8")


def tile(page, label):
    """The text of a figure of the page, and what stands behind it."""
    found = re.search(rf"<dt>{re.escape(label)}</dt><dd>(.*?)</dd>", page, re.S)
    assert found, label
    return " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())


def last_metrics(tracking, name):
    client = MlflowClient(tracking_uri=tracking)
    experiment = client.get_experiment_by_name(name).experiment_id
    (run,) = client.search_runs([experiment], f"attributes.run_name = '{name}'")
    return run.data.metrics


def test_a_call_that_lacks_one_of_two_values_has_failed_wherever_failures_are_counted(lacking, tracking):
    file = lacking.home / "campaigns" / "lacking" / "report" / "candidates.csv"
    failed = [row for row in csv.DictReader(io.StringIO(file.read_text())) if row["state"] == "failed"]
    assert failed
    assert {row["message"] for row in failed} == {"The oracle's answer has no value of 'logp'."}
    assert any(row["round"] == "0" for row in failed)
    rows = [line.split() for line in lacking.discover("status", "lacking").out.splitlines()]
    table = {line[0]: line for line in rows if line and line[0] in ("0", "1")}
    assert int(table["1"][2]) == len(failed)
    assert int(table["0"][2]) == sum(row["round"] == "0" for row in failed)
    assert tile(page_of(lacking), "Failed calls, all rounds") == str(len(failed))
    assert Campaign.load("lacking").rounds()["failed"].iloc[-1] == len(failed)
    assert last_metrics(tracking, "lacking")["failed"] == len(failed)


def test_the_rule_that_stops_counts_the_same_failures_and_tells_their_reason(bench):
    bench.write_oracle(OUTPUTS.replace("len(smiles) % 4 == 0", "True"))
    bench.write_config(objectives=[{**one, "tolerated_failure_rate": 0.5} for one in OBJECTIVES], rounds=0)
    told = bench.run()
    counted = re.search(r"(\d+) of 8 oracle calls failed", told.message)
    assert counted, told.message
    assert "The last message: The oracle's answer has no value of 'logp'." in told.message
    assert "--retry-failed" not in told.message  # it would ask nothing again
    status = [line.split() for line in bench.discover("status", "tiny").out.splitlines()]
    assert next(line for line in status if line[:1] == ["0"])[2] == counted[1]


def test_the_table_of_rounds_says_what_is_so_far_and_what_is_of_the_round(lacking):
    told = lacking.discover("status", "lacking").message
    assert "Of all rounds so far: calls, failed, best, hypervolume and front." in told
    assert "Of each round alone: the means of logp of both arms with their 95 % intervals" in told


def test_the_means_beside_the_gain_are_of_all_rounds_and_differ_by_it(finished, tracking):
    shown = last_metrics(tracking, "finished")
    rows = finished.candidates()
    for arm in ("acquisition", "control"):
        values = [row["value"] for row in rows if row["arm"] == arm and row["value"] is not None]
        mean = sum(values) / len(values)
        assert shown[f"{arm}_mean"] == pytest.approx(mean)
        text = tile(page_of(finished), f"Mean, {arm} arm, all rounds").replace("−", "-")
        number = text.split()[0]
        assert float(number) == pytest.approx(mean, abs=0.51 * 10 ** -len(number.partition(".")[2]))
    assert shown["gain"] == pytest.approx(shown["acquisition_mean"] - shown["control_mean"])


def test_figures_of_the_proxy_are_rounded_once(finished, tracking):
    shown = last_metrics(tracking, "finished")
    for label, metric in (("Held-out RMSE", "proxy/rmse"), ("Held-out Spearman", "proxy/spearman")):
        assert tile(page_of(finished), label) == figure(shown[metric]).replace("-", "−")


def test_predictions_have_their_90_percent_interval_in_the_terminal_as_on_the_page(finished):
    told = finished.discover("candidates", "finished").out
    assert "predicted (90 %)" in told
    assert "±" not in told + finished.discover("status", "finished").out
    row = next(row for row in finished.candidates() if row["predicted_std"] is not None)
    found = re.search(r"(-?[\d.]+) \((-?[\d.]+) to (-?[\d.]+)\)", next(x for x in told.splitlines() if row["id"] in x))
    assert found
    low, high = float(found[2]), float(found[3])
    assert (high - low) / 2 == pytest.approx(1.645 * row["predicted_std"], rel=0.15)
    plain = re.sub(r"<[^>]+>", "", page_of(finished)).replace("−", "-")
    assert found[0] in plain


def test_values_that_came_with_the_data_are_never_called_measured_here(bench):
    rows = [f"{smiles},{9 - k}" if k < 5 else f"{smiles}," for k, smiles in enumerate(library())]
    bench.write_library(*rows, header="smiles,score")
    bench.write_config(data={"kind": "csv", "path": "library.csv", "value": "score", "initial": 6}, rounds=0)
    told = bench.run()
    assert told.exit == 0, told.message
    assert "Best score 9.000 a.u. (from your data)." in told.message
    page = page_of(bench)
    assert "Best score 9.000 a.u. (from your data)." in page
    assert "Best measured" not in page
    for text in (page, told.message, bench.discover("status", "tiny").message):
        assert "csv (from your data)" in text
    for name in ("best_so_far", "space_map"):
        (legend,) = Campaign.load("tiny").figure(name).legends
        assert "from your data (5)" in [text.get_text() for text in legend.get_texts()]


def library():
    from tests.conftest import LIBRARY

    return [line.split(",")[0] for line in LIBRARY]


def test_the_mean_of_the_best_says_of_how_many_it_is_where_there_are_fewer_than_ten(bench):
    bench.write_config(rounds=0)
    assert bench.run().exit == 0
    status = bench.discover("status", "tiny").message
    assert re.search(r"\(of 8\)", status)
    assert re.search(r"\(of 8\)", bench.discover("status").message)
    assert tile(page_of(bench), "Mean of the 8 best there are")


def test_campaigns_of_one_name_are_told_apart_and_found_by_the_names_that_are_shown(bench):
    bench.write_config(rounds=0)
    assert bench.run().exit == 0
    assert "tiny~" not in bench.discover("status").message
    told = bench.run("--fresh")
    assert told.exit == 0
    assert "cost 0 (8 candidates took over values of other campaigns, which cost nothing)" in told.message
    assert re.findall(r"^tiny\S*", bench.discover("status").out, re.M) == ["tiny~1", "tiny~2"]
    for name in ("tiny~1", "tiny~2"):
        assert bench.discover("status", name).out.startswith(name)
        assert bench.discover("candidates", name).exit == 0
    assert bench.discover("status", "tiny").out.startswith("tiny~2")
    compared = bench.discover("compare", "tiny", "tiny~1")
    assert re.findall(r"^tiny\S*", compared.out, re.M) == ["tiny~2", "tiny~1"]
    assert "Cost of tiny~2: 8 candidates took over values of other campaigns, which cost nothing." in compared.message


def test_fewer_rounds_than_were_made_are_no_fraction_above_one(finished):
    from pipelines.status import rounds_text

    assert rounds_text(1, 2) == "1 of 2"
    assert rounds_text(2, 1) == "2, 1 wanted now"


@pytest.mark.parametrize("number", ["1_000", "٣", "１", "0x1p3", "nan", "1e999"])
def test_a_condition_takes_numbers_as_people_write_them_and_no_others(finished, number):
    told = finished.discover("candidates", "finished", "--where", f"value > {number}")
    assert told.exit == 2
    assert "Write it like 3, -0.5 or 1e-9." in told.message


@pytest.mark.parametrize("number", ["-3", "+.5", "1e-9", "2."])
def test_a_condition_takes_every_plain_number(finished, number):
    assert finished.discover("candidates", "finished", "--where", f"value > {number}").exit == 0


@pytest.mark.parametrize("top", [1.5, True, "3", 0])
def test_a_number_of_candidates_that_is_none_is_refused_with_a_sentence(finished, top):
    from tasks.stages import BadInput

    with pytest.raises(BadInput, match="expected a whole number of at least 1"):
        Campaign.load("finished").candidates(top=top)


def test_progress_is_printed_as_a_line_for_people():
    assert str(Event(2, "train_proxy")) == "round 2, train proxy"
    assert str(Event(1, "measure", 3, 8, {"value": 1.23456})) == "round 1, measure, 3 of 8: value 1.235"


def test_a_state_has_one_spelling_in_the_terminal_and_in_python(bench):
    bench.write_config(budget={"calls": 9})
    bench.run()
    assert Campaign.load("tiny").state in bench.discover("status", "tiny").out.splitlines()[0]


def test_the_addresses_name_each_campaign_first_and_each_table_of_runs_once(bench, monkeypatch):
    from pipelines.pages import serve_pages
    from pipelines.terminal import Terminal
    from tasks.workspace import Workspace

    for folder, run in (("tiny", 1), ("tiny~2", 2), ("other", 3)):
        report = bench.home / "campaigns" / folder / "report"
        report.mkdir(parents=True)
        (report / "mlflow.txt").write_text(f"/#/runs/{run}\n")
        (report / "mlflow-runs.txt").write_text(f"/#/experiments/{folder.partition('~')[0]}\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")

    def ended() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("signal.pause", ended)
    with redirect_stdout(io.StringIO()) as out:
        serve_pages(Workspace(bench.home), Terminal())
    lines = [line for line in out.getvalue().splitlines() if "/#/" in line]
    assert lines == [
        "other: http://127.0.0.1:9/#/runs/3",
        "tiny~1: http://127.0.0.1:9/#/runs/1",
        "tiny~2: http://127.0.0.1:9/#/runs/2",
        "runs of other: http://127.0.0.1:9/#/experiments/other",
        "runs of tiny~1, tiny~2: http://127.0.0.1:9/#/experiments/tiny",
    ]
