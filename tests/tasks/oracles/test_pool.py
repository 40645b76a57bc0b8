"""Oracle processes: what a hang, a crash, a print or a bad answer of one molecule does to the others (nothing)."""

import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from data.records import Measurement
from models.registry import ComponentError
from tasks.oracles.pool import OraclePool, OracleStartError

FUNCTIONS = """
import os, sys, time
from pathlib import Path

print("printed while loading")

def length(molecules):
    return [len(smiles) for smiles in molecules]

def prints(molecules):
    print('{"call": 1, "value": 99, "error": null, "message": "", "seconds": 0}')
    os.write(1, b"raw bytes on descriptor 1\\n")
    sys.stdin.read()
    return length(molecules)

def hangs_on_chlorine(molecules):
    if any("Cl" in smiles for smiles in molecules):
        time.sleep(600)
    return length(molecules)

def dies_on_chlorine(molecules):
    if any("Cl" in smiles for smiles in molecules):
        print("about to fall over", file=sys.stderr)
        os.abort()
    return length(molecules)

def one_at_a_time(molecules):
    if len(molecules) > 1:
        raise ValueError("one molecule at a time")
    return dies_on_chlorine(molecules)

def spawns_and_hangs(molecules):
    import subprocess
    child = subprocess.Popen(["sleep", "600"])
    Path("grandchild.txt").write_text(str(child.pid))
    time.sleep(600)

def waits_on_chlorine(molecules):
    while "Cl" in molecules[0] and not Path("go").exists():
        time.sleep(0.01)
    return length(molecules)

def notes_its_process(molecules):
    Path("worker.txt").write_text(str(os.getpid()))
    time.sleep(600)
"""


@pytest.fixture
def campaign_folder(tmp_path):
    (tmp_path / "my_oracle.py").write_text(FUNCTIONS)
    return tmp_path


def oracle(function, **options):
    return {"kind": "python", "function": f"my_oracle:{function}", **options}


def run(config, molecules, folder, workers=1):
    submitted: list[str] = []
    results: dict[str, Measurement] = {}

    def on_result(key, measurement):
        assert key in submitted, "an answer came before its chunk was marked as submitted"
        assert key not in results, "a job was answered twice"
        results[key] = measurement

    with OraclePool(config, workers=workers, search_path=[folder]) as pool:
        pool.run([(f"key-{smiles}", smiles) for smiles in molecules], submitted.extend, on_result)
    assert sorted(submitted) == sorted(results) == sorted(f"key-{smiles}" for smiles in molecules)
    return {measurement.smiles: measurement for measurement in results.values()}


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        threading.Event().wait(0.02)


def test_every_job_is_answered_once_whatever_the_chunk_and_the_number_of_workers(campaign_folder):
    molecules = ["C" * length for length in range(1, 12)]
    for workers, chunk in [(1, 1), (2, 4)]:
        results = run(oracle("length", chunk=chunk), molecules, campaign_folder, workers)
        assert {smiles: result.value for smiles, result in results.items()} == {s: len(s) for s in molecules}


def test_what_a_user_prints_or_reads_does_not_reach_the_protocol(campaign_folder):
    assert run(oracle("prints"), ["C", "CC"], campaign_folder)["CC"].value == 2


def test_a_hanging_molecule_times_out_and_the_others_are_measured(campaign_folder):
    results = run(oracle("hangs_on_chlorine", timeout=0.5), ["C", "CCl", "CC"], campaign_folder)
    assert (results["C"].value, results["CC"].value) == (1, 2)
    assert results["CCl"].error == "timeout"
    assert "0.5 s" in results["CCl"].message
    assert results["CCl"].seconds >= 0.5


def test_a_crashing_molecule_is_marked_with_the_last_words_of_its_process(campaign_folder):
    results = run(oracle("dies_on_chlorine"), ["C", "CCl", "CC"], campaign_folder)
    assert (results["C"].value, results["CC"].value) == (1, 2)
    assert results["CCl"].error == "crashed"
    assert "SIGABRT" in results["CCl"].message
    assert "about to fall over" in results["CCl"].message


def test_what_a_chunk_answered_before_its_process_died_counts(campaign_folder):
    results = run(oracle("one_at_a_time", chunk=3), ["C", "CCl", "CC"], campaign_folder)
    assert results["C"].value == 1
    assert [results[smiles].error for smiles in ("CCl", "CC")] == ["crashed", "crashed"]


def test_a_lost_chunk_costs_its_own_molecules_only(campaign_folder):
    results = run(oracle("dies_on_chlorine", chunk=2), ["C", "CCl", "CC", "CCC"], campaign_folder)
    assert {smiles for smiles, result in results.items() if result.error == "crashed"} == {"C", "CCl"}


def test_a_timeout_ends_what_the_oracle_started_too(campaign_folder, monkeypatch):
    monkeypatch.chdir(campaign_folder)
    assert run(oracle("spawns_and_hangs", timeout=1.5), ["C"], campaign_folder)["C"].error == "timeout"
    wait_until(lambda: not alive(int((campaign_folder / "grandchild.txt").read_text())))


def test_a_pool_works_again_after_a_callback_raised(campaign_folder):
    class Stop(Exception):
        pass

    def stop(key, measurement):
        raise Stop

    results = {}
    with OraclePool(oracle("length"), workers=2, search_path=[campaign_folder]) as pool:
        with pytest.raises(Stop):
            pool.run([("a", "C"), ("b", "CC")], lambda keys: None, stop)
        pool.run([("c", "CCC")], lambda keys: None, results.__setitem__)
    assert results["c"].value == 3


def test_calls_in_flight_are_told_before_the_error_of_a_callback_is_raised(campaign_folder):
    class Stop(Exception):
        pass

    submitted: list[str] = []
    told: list[str] = []

    def stop(key, measurement):
        told.append(key)
        raise Stop

    jobs = [(f"key-{n}", "C" * n) for n in range(1, 30)]
    with OraclePool(oracle("length", chunk=3), workers=2, search_path=[campaign_folder]) as pool, pytest.raises(Stop):
        pool.run(jobs, submitted.extend, stop)
    assert sorted(told) == sorted(submitted)
    assert len(submitted) < len(jobs)


def test_an_interrupt_kills_the_processes_and_propagates(campaign_folder, monkeypatch):
    monkeypatch.chdir(campaign_folder)
    pool = OraclePool(oracle("notes_its_process"), workers=1, search_path=[campaign_folder])
    note = campaign_folder / "worker.txt"

    def interrupt():
        wait_until(lambda: note.exists() and note.read_text())
        os.kill(os.getpid(), 2)

    with pool:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            pool.run([("a", "C")], lambda keys: None, lambda key, measurement: None)
        thread.join()
        wait_until(lambda: not alive(int(note.read_text())))


def test_an_interrupt_while_processes_are_started_leaves_none(campaign_folder, monkeypatch):
    started = []

    class Interrupted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            signal.raise_signal(signal.SIGINT)
            super().__init__(*arguments, **options)
            started.append(self.pid)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("tasks.oracles.child.subprocess.Popen", Interrupted)
    pool = OraclePool(oracle("length"), workers=2, search_path=[campaign_folder])
    with pytest.raises(KeyboardInterrupt):
        pool.__enter__()
    assert len(started) == 2
    assert not any(alive(pid) for pid in started)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's signal on a parent's death is Linux's")
def test_a_killed_parent_leaves_no_process_that_goes_on_measuring(campaign_folder):
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from tasks.oracles.pool import OraclePool
        with OraclePool({oracle("notes_its_process")!r}, workers=1, search_path=[Path({str(campaign_folder)!r})]) as pool:
            pool.run([("a", "C")], lambda keys: None, lambda key, measurement: None)
        """
    )
    parent = subprocess.Popen([sys.executable, "-P", "-c", script], cwd=campaign_folder)
    note = campaign_folder / "worker.txt"
    wait_until(lambda: note.exists() and note.read_text())
    worker = int(note.read_text())
    assert alive(worker)
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(worker))


@pytest.mark.parametrize(
    ("source", "function", "words"),
    [
        ("import no_such_package", "measure", "no_such_package"),
        ("raise RuntimeError('the licence server is down')", "measure", "the licence server is down"),
        ("def measure(molecules): ...", "mesure", "Did you mean 'measure'?"),
    ],
)
def test_an_oracle_that_cannot_be_loaded_stops_before_any_job(tmp_path, source, function, words):
    (tmp_path / "broken_oracle.py").write_text(source)
    config = {"kind": "python", "function": f"broken_oracle:{function}"}
    with (
        pytest.raises(OracleStartError, match=words.replace("?", r"\?")),
        OraclePool(config, workers=2, search_path=[tmp_path]),
    ):
        pytest.fail("the pool was entered")


def test_a_missing_module_is_named_with_the_place_to_put_it(tmp_path):
    config = {"kind": "python", "function": "absent_oracle:measure"}
    with pytest.raises(OracleStartError, match=r"absent_oracle\.py beside the campaign file"):
        OraclePool(config, workers=1, search_path=[tmp_path]).__enter__()


def test_a_module_that_does_not_finish_loading_is_given_up(tmp_path):
    (tmp_path / "slow_oracle.py").write_text("import time\ntime.sleep(600)\n")
    config = {"kind": "python", "function": "slow_oracle:measure"}
    with pytest.raises(OracleStartError, match="not loaded within 1 s"):
        OraclePool(config, workers=1, search_path=[tmp_path], start_timeout=1.0).__enter__()


def test_an_unknown_oracle_is_refused_on_construction():
    with pytest.raises(ComponentError, match="Did you mean 'xtb'"):
        OraclePool({"kind": "xtbb"}, workers=1)


def test_a_folder_of_the_user_named_like_ours_does_not_shadow_it(campaign_folder, monkeypatch):
    for name in ("data", "models", "tasks"):
        (campaign_folder / name).mkdir()
        (campaign_folder / name / "__init__.py").write_text("raise RuntimeError('shadowed')")
    monkeypatch.chdir(campaign_folder)
    assert run(oracle("length"), ["CC"], campaign_folder)["CC"].value == 2


def test_a_pool_refuses_another_thread(campaign_folder):
    errors: list[Exception] = []

    def use(pool: OraclePool) -> None:
        try:
            pool.run([("a", "C")], lambda keys: None, lambda key, measurement: None)
        except RuntimeError as error:
            errors.append(error)

    with OraclePool(oracle("length"), workers=1, search_path=[campaign_folder]) as pool:
        thread = threading.Thread(target=use, args=(pool,))
        thread.start()
        thread.join()
    assert "in the thread that entered it" in str(errors[0])


def test_answers_that_had_arrived_are_told_when_the_run_is_interrupted(campaign_folder):
    left = {}

    def on_result(key, measurement):
        (campaign_folder / "go").touch()
        select.select(pool._busy, [], [])  # the other process has answered now, and nobody has listened
        raise KeyboardInterrupt

    waiting = oracle("waits_on_chlorine", chunk=1)
    with OraclePool(waiting, workers=2, search_path=[campaign_folder]) as pool, pytest.raises(KeyboardInterrupt):
        pool.run([("a", "CC"), ("b", "CCCl")], lambda keys: None, on_result, left.__setitem__)
    assert {key: answer.value for key, answer in left.items()} == {"a": 2.0, "b": 4.0}


def test_the_worker_loads_no_training_or_service_library():
    heavy = "import sys, tasks.oracles.worker; print({'torch', 'prefect', 'mlflow', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_xtb_answers_the_same_in_every_process():
    molecules = ["O=C1C=CC(=O)C=C1", "c1ccc2nsnc2c1", "CC(F)CO"]
    first, second = (
        {smiles: result.value for smiles, result in run({"kind": "xtb"}, molecules, Path(), workers).items()}
        for workers in (1, 2)
    )
    assert first == second
    assert None not in first.values()
