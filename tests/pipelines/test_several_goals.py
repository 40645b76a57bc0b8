"""What is told of a campaign of two objectives: in the terminal, in files, on its page and in MLflow."""

import csv
import io
import json

import pytest
from mlflow import MlflowClient
from rdkit import Chem

from data.config import parse_config
from data.ledger.book import OracleBook
from data.records import Measurement
from pipelines.cli import EXIT_BAD_INPUT
from tasks.reporting.figures import round_figures
from tasks.reporting.report import final_report
from tasks.stages import CampaignRef
from tasks.tracking import key_of
from tasks.workspace import Workspace

OBJECTIVES = [
    {"name": "affinity", "oracle": {"kind": "python", "function": "tiny_oracle:measure", "unit": "eV"}},
    {
        "name": "=tox <%>",
        "goal": "minimise",
        "at_most": 0.8,
        "oracle": {"kind": "python", "function": "tiny_oracle:measure", "unit": "mg/L"},
    },
]
VALUES = {
    "CCO": (0, "initial", 0.0, 0.7),
    "CCN": (0, "initial", 1.0, 0.9),
    "CCC": (0, "initial", None, None),
    "CCF": (1, "acquisition", 3.0, 0.5),
    "CCCl": (1, "acquisition", 9.0, 2.0),
    "CC=O": (1, "control", 1.0, 0.2),
    "CC#N": (1, "acquisition", 0.5, 0.6),
}
"""Round, arm, affinity, toxicity; the front is CCF and CC=O, and CCCl would be on it but for the limit."""


@pytest.fixture
def two(bench):
    """A campaign whose candidates have two values each."""
    bench.write_config(name="two", objectives=OBJECTIVES, batch_size=4)
    ledger = Workspace(bench.home).ledger()
    campaign = ledger.begin_campaign(parse_config(bench.config), bench.folder)
    books = [OracleBook(ledger, campaign.id, name, "1", part=part) for name, part in (("o", ""), ("p", "1"))]
    for round in (0, 1):
        here = {text: one for text, one in VALUES.items() if one[0] == round}
        told = json.dumps({"affinity": (0.5, 1.0), "=tox <%>": (0.4, 0.1)}) if round else None
        rows = [
            {"object_id": f"m{text}", "object": text, "arm": arm, "source": "g", "predicted": told}
            for text, (_, arm, *_) in here.items()
        ]
        ledger.add_candidates(campaign.id, round, rows)
        for place, book in enumerate(books, start=2):
            book.reserve(round, [(f"m{text}", text) for text in here], cost=1.0)
            book.submit([f"m{text}" for text in here])
            for text, one in here.items():
                error = None if one[place] is not None else "timeout"
                book.complete(f"m{text}", Measurement(text, one[place], error))
    ledger.close()
    bench.campaign_id = campaign.id
    return bench


def test_status_tells_the_front_and_what_keeps_to_the_limits_round_by_round(two):
    told = two.discover("status", "two").out
    assert "maximise affinity in eV; minimise =tox <%>, at most 0.8 mg/L, 7 candidates" in told
    lines = [line.split() for line in told.splitlines()]
    header = next(line for line in told.splitlines() if line.startswith("round"))
    assert header.split("  ")[0] == "round"
    for name in ("best affinity", "best =tox <%>", "hypervolume", "front", "within limits"):
        assert name in header
    assert next(line for line in lines if line[:1] == ["0"])[:5] == ["0", "6", "2", "0", "0.7000"]
    assert next(line for line in lines if line[:1] == ["1"])[:5] == ["1", "14", "2", "3.000", "0.2000"]
    assert "Hypervolume of the initial design and 1 call of an arm" in told
    overview = two.discover("status").out
    assert "3.000" in overview
    assert "9.000" not in overview


def test_the_front_is_exported_in_every_format_with_a_column_for_each_objective(two):
    rows = json.loads(two.discover("candidates", "two", "--pareto", "--format", "json").out)
    assert [row["smiles"] for row in rows] == ["CCF", "CC=O"]
    first = rows[0]
    assert (first["value"], first["unit"], first["affinity.value"], first["affinity.unit"]) == (3.0, "eV", 3.0, "eV")
    assert (first["=tox <%>.value"], first["=tox <%>.predicted_mean"], first["=tox <%>.predicted_std"]) == (
        0.5,
        0.4,
        0.1,
    )
    assert (first["feasible"], first["front"]) == (True, True)
    told = two.discover("candidates", "two", "--pareto", "--format", "csv").out
    (read, _) = csv.DictReader(io.StringIO(told))
    assert (read["'=tox <%>.value"], read["feasible"]) == ("0.5", "True")  # the heading is no formula
    told = two.discover("candidates", "two", "--pareto", "--format", "sdf").out
    mol, _ = Chem.ForwardSDMolSupplier(io.BytesIO(told.encode()))
    assert float(mol.GetProp("=tox _%_.value")) == 0.5
    table = two.discover("candidates", "two", "--pareto").out
    assert "affinity (eV)" in table
    assert "=tox <%> (mg/L)" in table
    assert "CCCl" not in table


def test_all_candidates_stand_in_one_order_and_say_which_limit_they_break(two):
    rows = two.candidates()
    assert [row["smiles"] for row in rows] == ["CCF", "CC=O", "CC#N", "CCO", "CCCl", "CCN", "CCC"]
    assert [row["feasible"] for row in rows] == [True] * 4 + [False] * 2 + [None]
    assert [
        row["smiles"] for row in json.loads(two.discover("candidates", "two", "--top", "2", "--format", "json").out)
    ] == [
        "CCF",
        "CC=O",
    ]
    assert "outside the limits: =tox <%> above 0.8" in two.discover("candidates", "two").message


def test_a_failed_call_with_a_value_of_the_main_objective_is_marked_in_the_terminal_and_on_the_page(bench, tracking):
    bench.write_config(name="half", objectives=OBJECTIVES, batch_size=4)
    ledger = Workspace(bench.home).ledger()
    campaign = ledger.begin_campaign(parse_config(bench.config), bench.folder)
    ledger.add_candidates(campaign.id, 0, [{"object_id": "mC", "object": "C", "arm": "initial", "source": "g"}])
    answers = {("o", ""): Measurement("C", 30.0), ("p", "1"): Measurement("C", None, "timeout", "too slow")}
    for (name, part), answer in answers.items():
        book = OracleBook(ledger, campaign.id, name, "1", part=part)
        book.reserve(0, [("mC", "C")], cost=1.0)
        book.submit(["mC"])
        book.complete("mC", answer)
    ledger.close()
    told = " ".join(bench.discover("candidates", "half").message.split())
    assert "failed: no value of =tox <%> (timeout: too slow)" in told
    final_report.fn(CampaignRef(str(bench.home), campaign.id))
    page = (bench.home / "campaigns" / "half" / "report" / "candidates.html").read_text(encoding="utf-8")
    assert "failed: no value of =tox &lt;%&gt; – timeout: too slow" in page


def test_a_front_of_one_objective_is_refused(finished):
    told = finished.discover("candidates", "finished", "--pareto")
    assert told.exit == EXIT_BAD_INPUT
    assert (
        "--pareto is for campaigns that improve several objectives; finished improves one: maximise score."
        in told.message
    )


def test_the_report_and_mlflow_call_nothing_best_that_breaks_a_limit(two, tracking):
    final_report.fn(CampaignRef(str(two.home), two.campaign_id))
    folder = two.home / "campaigns" / "two" / "report"
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["best"], summary["best_of"]) == (3.0, {"affinity": 3.0, "=tox <%>": 0.2})
    assert (summary["front"], summary["feasible"], summary["hypervolume_calls"]) == (2, 0.75, 1)
    read = list(csv.DictReader(io.StringIO((folder / "candidates.csv").read_text())))
    assert [row["front"] for row in read[:3]] == ["True", "True", "False"]
    assert "'=tox <%>.value" in read[0]
    page = (folder / "candidates.html").read_text(encoding="utf-8")
    assert page.count('class="outside"') == 2
    assert "Maximise affinity; minimise =tox &lt;%&gt;, at most 0.8 mg/L: 7 candidates after 1 round." in page
    client = MlflowClient(tracking)
    experiment = client.get_experiment_by_name("two")
    (run,) = client.search_runs([experiment.experiment_id], "tags.`mlflow.discovery.round` = 'campaign'")
    metrics = run.data.metrics
    assert (metrics["best"], metrics["best_so_far"], metrics["best/affinity"]) == (3.0, 3.0, 3.0)
    assert metrics[key_of("best/=tox <%>")] == 0.2
    assert (metrics["front"], metrics["feasible"]) == (2, 0.75)
    assert metrics["hypervolume"] == pytest.approx(summary["hypervolume"])
    note = run.data.tags["mlflow.note.content"]
    assert "Best affinity 3.000 eV (round 1, g). Best =tox &lt;%&gt; 0.2000 mg/L (round 1, g)." in note
    assert "CCCl" not in note


def test_figures_are_drawn_of_each_objective_and_of_the_front(two, tmp_path):
    plots = tmp_path / "plots"
    plots.mkdir()
    with CampaignRef(str(two.home), two.campaign_id).open() as context:
        rows = context.ledger.candidates(context.campaign.id)
        drawn = round_figures(context, rows, 1, plots, {})
    reached = "Best and mean of the ten best against cost, and what each arm reached by equally many purchases"
    assert {plot.caption: plot.question for plot in drawn} == {
        "Best affinity so far, in order of purchase": "control",
        "Best =tox <%> so far, in order of purchase": "control",
        f"{reached}, affinity": "control",
        f"{reached}, =tox <%>": "control",
        "Front: what no other candidate surpasses in every objective": "control",
        "Hypervolume against calls": "control",
        "Chemical space: kernel PCA of Tanimoto similarities of Morgan counts (radius 2)": "origin",
        "Predicted against measured, affinity": "trust",
        "Predicted against measured, =tox <%>": "trust",
    }
    names = ("best_so_far_1", "best_so_far_2", "front", "hypervolume", "space_map")
    names += (
        "predicted_against_measured_1",
        "predicted_against_measured_2",
        "reached_for_cost_1",
        "reached_for_cost_2",
    )
    assert {file.name for file in plots.iterdir()} == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}


MANY = (
    "qed",
    "osimertinib_mpo",
    "fexofenadine_mpo",
    "ranolazine_mpo",
    "perindopril_mpo",
    "amlodipine_mpo",
    "sitagliptin_mpo",
)


def test_validate_says_that_many_objectives_get_another_acquisition_and_refuses_one_without_end(bench):
    objectives = [{"name": task, "oracle": {"kind": "pmo", "task": task}} for task in MANY]
    bench.write_config(objectives=objectives, budget={"calls": 200})
    told = bench.discover("validate", str(bench.file))
    assert told.exit == 0, told.message
    assert "warning The campaign improves 7 objectives" in told.message
    assert "chebyshev is used instead" in told.message
    bench.write_config(acquisition={"kind": "expected_hypervolume_improvement"})
    for told in (bench.run(), bench.discover("validate", str(bench.file))):
        assert told.exit == EXIT_BAD_INPUT
        assert "takes 6 objectives to improve at most" in told.message
    assert "No campaign yet" in bench.discover("status").out
