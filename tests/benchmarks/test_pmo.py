"""The benchmark of PMO: calls are counted as mol_opt counts them, runs are kept once, the report adds up."""

import json
import subprocess
import sys

import numpy as np
import pytest
from rdkit import Chem

from benchmarks import pmo
from benchmarks.pmo_harness import methods, report
from benchmarks.pmo_harness.gp_thompson import TanimotoProcess
from benchmarks.pmo_harness.protocol import BudgetSpentError, Evaluations, area, circles, figures
from benchmarks.pmo_harness.runs import append, read_runs
from models.featurisers.nearness import min_max
from models.pmo.tasks import TASKS

SCRIPT = pmo.__file__


def test_a_molecule_is_paid_for_once_however_it_is_written_and_what_is_none_is_free():
    asked = []
    score = Evaluations(lambda smiles: asked.append(smiles) or 0.5, budget=2)
    assert [score(text) for text in ("OCC", "CCO", "C1CC", "C(C)O", "c1ccccc1")] == [0.5, 0.5, 0.0, 0.5, 0.5]
    assert asked == ["CCO", "c1ccccc1"]
    assert score.invalid == 1
    with pytest.raises(BudgetSpentError):
        score("CCC")
    assert list(score.values) == asked


@pytest.mark.parametrize(
    ("values", "best", "budget", "expected"),
    [
        ([1.0] * 200, 1, 200, (50 + 100) / 200),  # from 0 up to 1 in the first hundred, then level
        ([1.0] * 100, 1, 400, (50 + 300) / 400),  # ended early: extended with the last value
        ([1.0] * 150, 1, 150, (50 + 50) / 150),  # a last part of fifty
        ([0.0] * 100 + [1.0] * 100, 1, 200, (0 + 50) / 200),
        ([0.2] * 95 + [1.0] * 5, 10, 100, 0.6 / 2),  # the ten best: five of 1, five of 0.2
        ([1.0] + [0.0] * 99, 100, 100, 0.01 / 2),
        ([1.0] * 300, 1, 100, 0.5),  # calls beyond the budget do not count
        ([], 10, 100, 0.0),
    ],
)
def test_the_area_is_that_of_the_curve_of_the_best_every_hundred_calls(values, best, budget, expected):
    assert area(values, best, budget) == pytest.approx(expected)


def test_the_figures_of_a_run_tell_scaffolds_and_circles_of_the_best():
    values = {"c1ccccc1C": 0.9, "c1ccccc1CC": 0.8, "CCO": 0.7}
    told = figures(values, budget=100)
    assert (told["calls"], told["scaffolds"]) == (3, 2)
    assert told["final"]["10"] == pytest.approx(0.8)
    assert told["best"][0] == ["c1ccccc1C", 0.9]
    assert circles(["CCO", "CCCO", "c1ccc2ccccc2c1"]) == 2
    assert told["above"]["0.7"] == {"molecules": 2, "scaffolds": 1, "circles": 1}
    assert told["above"]["0.6"] == {"molecules": 3, "scaffolds": 2, "circles": 2}
    assert "0.9" not in told["above"]


@pytest.mark.parametrize("method", ["genetic", "molga"])
def test_a_genetic_method_spends_the_calls_and_beats_its_start(method):
    score = Evaluations(methods.score_of("median1"), budget=250)
    told = methods.ask(method, score, 1, ())
    values = list(score.values.values())
    assert len(values) == 250
    assert max(values[100:]) > max(values[:100])
    if method == "molga":
        assert told["made"] >= 150
        score = Evaluations(methods.score_of("median1"), budget=130)
        assert methods.ask(method, score, 1, ["largest=12"])["too_large"] > 0
        assert max(Chem.MolFromSmiles(smiles).GetNumHeavyAtoms() for smiles in list(score.values)[100:]) <= 12


def test_the_process_of_the_peer_is_the_textbooks():
    rng = np.random.default_rng(0)
    counts, values, new = rng.integers(0, 4, (20, 30)), rng.normal(size=20), rng.integers(0, 4, (5, 30))
    process = TanimotoProcess(counts, values, 0.1)
    k = min_max(counts, counts) + 0.1 * np.eye(20)
    mean = np.linalg.solve(k, values).sum() / np.linalg.solve(k, np.ones(20)).sum()
    cross = min_max(new, counts)
    variance = process.scale * (1.0 - np.einsum("ij,ji->i", cross, np.linalg.solve(k, cross.T)))
    told = process.marginals(new)
    np.testing.assert_allclose(told[0], mean + cross @ np.linalg.solve(k, values - mean))
    np.testing.assert_allclose(told[1], np.sqrt(variance))
    drawn = process.draws(new, 20_000, rng)
    assert drawn.mean(0) == pytest.approx(told[0], abs=0.05)
    assert drawn.std(0) == pytest.approx(told[1], rel=0.05)


@pytest.mark.parametrize("method", ["gp_thompson", "gflownet"])
def test_a_method_with_a_model_spends_the_calls(method):
    score = Evaluations(methods.score_of("median1"), budget=160)
    methods.ask(method, score, 1, ["start=60"])
    values = list(score.values.values())
    assert len(values) == 160
    if method == "gp_thompson":
        assert max(values[60:]) > max(values[:60])


def test_an_option_of_another_method_is_refused():
    with pytest.raises(
        ValueError, match="'offsprin=3' is no option of the method genetic; expected KEY=VALUE of offsp"
    ):
        methods.check("genetic", ["offsprin=3"])
    with pytest.raises(ValueError, match="batchsize"):
        methods.check("campaign", ["batchsize=3"])


def test_a_part_of_the_campaign_that_does_not_exist_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match="no generator of kind 'genetics'"):
        methods.check("campaign", ["generator.kind=genetics", "data.sample=50", "data.initial=20"])


def test_what_cannot_be_run_ends_with_2_before_anything_runs(tmp_path, capsys):
    for words in (["--tasks", "zaleplon"], ["--seeds", "x"], ["--method", "random", "--set", "a=1"], ["--budget", "0"]):
        with pytest.raises(SystemExit) as ended:
            pmo.main([*words, "--out", str(tmp_path / "runs.jsonl")])
        assert ended.value.code == 2
    assert "There is no task 'zaleplon'" in capsys.readouterr().err
    assert not (tmp_path / "runs.jsonl").exists()


def test_a_finished_run_is_not_repeated_and_the_report_shows_it_beside_the_published(tmp_path):
    out = tmp_path / "runs.jsonl"
    words = [
        sys.executable,
        SCRIPT,
        "--method",
        "random",
        "--tasks",
        "isomers_c7h8n2o2",
        "--seeds",
        "1",
        "--budget",
        "1000",
    ]
    first = subprocess.run([*words, "--out", out], capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    (run,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert (run["calls"], run["ended"]) == (1000, "done")
    again = subprocess.run([*words, "--out", out], capture_output=True, text=True, check=True)
    assert again.stdout.startswith(f"1 runs, 1 of them in {out} already.")
    assert len(out.read_text().splitlines()) == 1
    told = subprocess.run([sys.executable, SCRIPT, "report", out], capture_output=True, text=True, check=True).stdout
    assert f"| isomers_c7h8n2o2 | {run['auc']['10']:.3f} | 0.795 |" in told  # COMPOSE's cell of the published table
    assert "LICO (PMO-1K)" in told


def test_a_line_that_a_crash_cut_off_costs_no_other_run(tmp_path, capsys):
    path = tmp_path / "runs.jsonl"
    append(path, run_of("qed", 0, 0.5))
    with path.open("a") as file:
        file.write('{"method": "gen')
    append(path, run_of("qed", 1, 0.7))
    assert [run["seed"] for run in read_runs(path).values()] == [0, 1]
    assert "Line 2 of" in capsys.readouterr().err
    assert report.main([str(path)]) == 0
    assert "| qed | 0.600 ± 1.271 |" in capsys.readouterr().out


def run_of(task, seed, value, **more):
    areas = dict.fromkeys(("1", "10", "100"), value)
    return {
        **{"method": "genetic", "settings": [], "task": task, "seed": seed, "budget": 10000, "calls": 10000},
        **{"auc": areas, "final": areas, "scaffolds": 5, "circles": 3, "cpu_seconds": 9.0, "ended": "done"},
        **more,
    }


def test_the_sum_is_over_the_tasks_that_all_seeds_have(tmp_path):
    runs = [run_of("qed", 0, 0.5), run_of("qed", 1, 0.7), run_of("jnk3", 0, 0.1), run_of("jnk3", 1, 0.1)]
    runs.append(run_of("median1", 0, 0.9))
    sums, tasks = report.sum_over_tasks(report.grouped(runs)["genetic", ""], "10")
    assert tasks == 2
    assert sums == pytest.approx([0.6, 0.8])
    text = report.told(runs, 10000)
    # Two seeds: the half-width is t(0.975; 1) = 12.706 times the standard error 0.1.
    assert "| genetic | 2 | 2 | 0.700 ± 1.271 |" in text
    assert "| qed | 0.600 ± 1.271 | 0.939 |" in text  # f-RAG's cell


def test_the_report_counts_the_tasks_on_which_a_method_is_ahead():
    runs = [run_of(task, 0, value) for task, value in (("qed", 0.5), ("jnk3", 0.3), ("median1", 0.2))]
    runs += [run_of(task, 0, value, method="molga") for task, value in (("qed", 0.4), ("jnk3", 0.3))]
    text = report.told(runs, 10000)
    assert "| than | genetic | molga |" in text
    assert "| genetic |  | 1 of 2 |" in text
    assert "| molga | 0 of 2 |  |" in text
    assert "larger AUC" not in report.told(runs[:3], 10000)


def test_long_settings_have_a_letter_and_a_legend():
    long = "generator={kind: genetic, generations: 4}"
    text = report.told([run_of("qed", 0, 0.5, settings=[long]), run_of("qed", 0, 0.4, settings=["beta=2"])], 10000)
    assert "| task | genetic (a) | genetic beta=2 |" in text
    assert f"(a): `{long}`" in text


def test_published_cells_add_up_to_the_published_sums():
    row = next(row for row in report.published(10_000) if row["method"] == "Genetic GFN")
    assert report.cells_of(row, TASKS) == row["sum_published"]
    assert report.cells_of({**row, "qed": ""}, TASKS) == ""


def test_hits_are_what_random_molecules_do_not_reach():
    above = {"0.6": {"molecules": 10, "scaffolds": 4, "circles": 2}}
    runs = [run_of("qed", seed, 0.58, method="random") for seed in (0, 1)]
    runs += [run_of("qed", 0, 0.7, above=above), run_of("qed", 1, 0.5, above={})]
    text = report.told(runs, 10000)
    assert "| task | above | genetic |" in text
    assert "| qed | 0.6 | 5.0 / 2.0 / 1.0 |" in text
    assert "Hits" not in report.told(runs[2:], 10000)


def test_the_report_tells_which_source_was_bought():
    sources = {"gflownet": {"bought": 25, "top100": 10}, "genetic": {"bought": 75, "top100": 90}}
    text = report.told([run_of("qed", 0, 0.5, method="campaign", sources=sources)], 10000)
    assert "| campaign | gflownet | 25 % | 10 % |" in text


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_campaign_runs_through_the_flow(tmp_path):
    out = tmp_path / "runs.jsonl"
    settings = ["batch_size=10", "data.initial=20", "data.sample=200", "generator.members.1.generator.generations=2"]
    words = [sys.executable, SCRIPT, "--tasks", "qed", "--seeds", "1", "--budget", "40", "--out", out]
    words += [part for setting in settings for part in ("--set", setting)]
    ran = subprocess.run(words, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (run,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert (run["calls"], run["ended"]) == (40, "done")
    assert 1 < run["disk_mib"] < 60
    bought = {source: told["bought"] for source, told in run["sources"].items()}
    assert bought.pop("edits") + bought.pop("genetic") == 20
    assert list(bought) == ["zinc250k"]
