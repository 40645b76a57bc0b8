"""What the throughput benchmark makes of the figures of its workers."""

import json
import sys
from argparse import Namespace
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from benchmarks.peers.common import Task
from benchmarks.peers.contenders import BenchmarkError, Contender, contenders, environment
from benchmarks.throughput import (
    CASES,
    RACES,
    Bench,
    best_batch,
    paired,
    parse,
    throughput,
    time_to_quality,
    write,
)

RATE = {"ours": 800.0, "torchgfn": 100.0, "gfnx": 400.0}


def figures(name, task, *, parameters=1000, slow=(), tv=0.04):
    """A worker that needs no time: its rate is known, and batches in `slow` never arrive."""
    trajectories = task.batch * task.iterations
    cpu = trajectories / RATE[name] * (1 + task.seed)
    reached = None if task.until_tv is None else task.batch not in slow
    return {
        "trajectories": trajectories,
        "states": trajectories,
        "transitions": 10 * trajectories,
        "parameters": parameters,
        "cpu_seconds": cpu,
        "setup_seconds": 3.0 - task.seed,
        "tv": tv,
        "reached": reached,
        "curve": [[trajectories, cpu, tv]],
    }


def bench(calls, *, repeats=3, quick=False, names=("ours", "torchgfn", "gfnx"), **options):
    def train(name, task):
        calls.append((name, task))
        return figures(name, task, **options)

    return Bench(names, repeats, quick, train, lambda line: None)


def test_libraries_take_turns_on_every_case():
    calls = []
    throughput(bench(calls, repeats=2))
    assert [name for name, _ in calls] == ["ours", "torchgfn", "gfnx"] * len(CASES) * 2
    assert [calls[place][1] for place in range(3)] == [CASES[0]] * 3
    assert calls[-1][1] == replace(CASES[-1], seed=1)


def test_ratios_compare_neighbouring_runs():
    """The machine gets slower with every repeat; the ratios do not change."""
    rates, transitions, quality, setup = throughput(bench([]))
    assert len(rates.rows) == len(CASES)
    assert rates.rows[0] == ["4x8", "16", "400", "50", "200", "8.00", "2.00"]
    assert transitions.rows[0] == ["4x8", "16", "4,000", "500", "2,000", *["10.0"] * 3]
    assert quality.rows[0] == ["4x8", "16", f"{CASES[0].batch * CASES[0].iterations:,}", *["0.040"] * 3]
    assert setup.rows[1] == ["torchgfn", "2.0", "3.0"]


def test_the_ratio_is_the_median_of_paired_ratios():
    runs = [(0, 6.0, 1.0), (1, 4.0, 2.0), (2, 30.0, 10.0)]
    records = [{"contender": "a", "seed": seed, "rate": a} for seed, a, _ in runs]
    records += [{"contender": "b", "seed": seed, "rate": b} for seed, _, b in runs]
    assert paired(records, "a", "b") == 3.0


def test_networks_of_different_size_are_not_compared():
    def train(name, task):
        return figures(name, task, parameters=1000 if name == "ours" else 1100)

    with pytest.raises(BenchmarkError, match="different sizes"):
        throughput(Bench(["ours", "torchgfn"], 1, False, train, lambda line: None))


def test_the_best_batch_of_each_library_is_repeated():
    calls = []
    (section,) = time_to_quality(bench(calls, repeats=3, slow=(16,)))
    assert len(calls) == 3 * len(RACES) + 3 * 2
    repeated = [task for _, task in calls[3 * len(RACES) :]]
    assert {task.batch for task in repeated} == {min((128, 1024), key=lambda b: b * races(b).iterations)}
    assert [task.seed for task in repeated] == [1, 1, 1, 2, 2, 2]
    never = next(row for row in section.rows if row[:2] == ["ours", "16"])
    assert never[2:] == ["1", "—", "—"]
    assert "torchgfn / ours 8.0x" in section.note


def races(batch):
    return next(race for race in RACES if race.batch == batch)


def test_without_arrival_the_best_batch_is_the_nearest():
    runs = [{"batch": 16, "reached": False, "tv": 0.2}, {"batch": 128, "reached": False, "tv": 0.1}]
    assert best_batch([{**run, "cpu_seconds": 1.0} for run in runs]) == 128


def test_a_quick_run_takes_few_iterations():
    calls = []
    throughput(bench(calls, quick=True, repeats=1))
    time_to_quality(bench(calls, quick=True, repeats=1))
    assert {task.iterations for _, task in calls} == {4}


def test_tables_are_written_and_shown(tmp_path):
    sections = throughput(bench([], repeats=1))
    write(Namespace(output=tmp_path / "out.json", markdown=tmp_path / "out.md", quick=False), sections)
    found = json.loads((tmp_path / "out.json").read_text())
    assert [section["name"] for section in found["sections"]] == ["throughput", "transitions", "equal_states", "setup"]
    assert len(found["sections"][0]["records"]) == 3 * len(CASES)
    assert "| 4x8 | 16 | 800 | 100 | 400 | 8.00 | 2.00 |" in (tmp_path / "out.md").read_text()
    told = StringIO()
    sections[0].show(Console(file=told, width=120))
    assert "ours / torchgfn" in told.getvalue()


def test_repeats_below_one_are_refused(capsys):
    with pytest.raises(SystemExit):
        parse(["--repeats", "0"])
    assert "--repeats must be at least 1" in capsys.readouterr().err


def test_every_peer_has_its_worker_and_pins():
    for contender in contenders():
        pinned = [requirement for requirement in contender.requirements if "==" in requirement or "<" in requirement]
        assert pinned == list(contender.requirements)
    assert [contender.name for contender in contenders()] == ["ours", "torchgfn", "gfnx"]


def test_a_missing_worker_is_named(tmp_path):
    with pytest.raises(BenchmarkError, match=r"nobody\.py of nobody is missing"):
        Contender("nobody", "nobody.py").prepare(tmp_path)


def test_an_environment_with_the_same_requirements_is_kept(tmp_path):
    home = tmp_path / "peer"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").touch()
    (home / "requirements.txt").write_text("a==1\nb<2\n")
    contender = Contender("peer", "torchgfn_hypergrid.py", ("a==1", "b<2"))
    assert contender.prepare(tmp_path) == home / "bin" / "python"


def test_a_worker_that_fails_ends_the_benchmark_with_its_words(tmp_path):
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('the grid is on fire')\n")
    with pytest.raises(BenchmarkError, match="the grid is on fire"):
        Contender("broken", str(script)).run(sys.executable, Task(2, 8, 2, 1), tmp_path)


def test_a_worker_without_figures_is_told(tmp_path):
    script = tmp_path / "silent.py"
    script.write_text("print('nothing to say')\n")
    with pytest.raises(BenchmarkError, match="no line of JSON"):
        Contender("silent", str(script)).run(sys.executable, Task(2, 8, 2, 1), tmp_path)


def test_workers_run_with_one_thread_and_no_foreign_modules(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    variables = environment(tmp_path)
    assert variables["OMP_NUM_THREADS"] == "1"
    assert "PYTHONPATH" not in variables


@pytest.mark.slow
def test_our_worker_trains_and_tells_its_figures(tmp_path):
    ours = contenders()[0]
    task = Task(2, 8, batch=8, iterations=4, seed=1, evaluate_every=2)
    told = ours.run(ours.prepare(tmp_path), task, tmp_path)
    assert [point[0] for point in told["curve"]] == [16, 32]
    assert told["trajectories"] == 32
    assert 0 < told["tv"] < 1
    assert told["transitions"] >= 32
    assert told["cpu_seconds"] > 0
