"""Campaigns whose oracle is asked by workers of Dask: the same values, and what their death costs."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),  # each starts the processes of a cluster
]

DONE, BAD_INPUT, STOPPED = 0, 2, 3

FATAL = """__import__('fatal').at(calls(), smiles) or value(smiles)"""
"""An answer of the tiny oracle that may end who asks before it is given."""


def fatal(bench, who, call):
    """Have the n-th call of an oracle kill a process, once: its worker, or one with a number."""
    (bench.folder / "fatal.py").write_text(
        "import os, signal\n"
        "from pathlib import Path\n"
        "FLAG = Path(__file__).with_name('killed.flag')\n"
        "def at(n, smiles):\n"
        f"    if n == {call} and not FLAG.exists():\n"
        "        FLAG.write_text(smiles)\n"
        f"        os.kill({who}, signal.SIGKILL)\n"
        "        signal.pause()\n"
    )
    bench.write_oracle(FATAL)
    bench.config["objectives"][0]["oracle"]["writes"] = ["*.flag", "*.log"]
    bench.write_config()


def engine(cluster, **options):
    return {"kind": "dask", "address": cluster.address, "patience": 60, **options}


def test_a_cluster_of_its_own_gives_the_bytes_of_this_machines_processes(bench, data_sets):
    assert bench.run().exit == DONE
    local, asked = data_sets(bench), bench.calls()
    bench.write_config(name="elsewhere", engine={"kind": "dask", "workers": 2, "batch": 3})
    bench.write_oracle("value(smiles) + 0 * calls()")  # another oracle by its code: nothing is taken over
    told = bench.run()
    assert told.exit == DONE, told.message
    assert "Engine Dask at tcp://127.0.0.1:" in told.message
    assert "Dashboard" in told.message
    assert data_sets(bench) == local
    assert sorted(bench.calls()) == sorted(asked * 2)


def test_a_worker_that_dies_in_mid_batch_costs_no_value_of_a_pure_oracle(bench, cluster, data_sets, attempts):
    fatal(bench, "os.getppid()", 3)
    bench.write_config(name="elsewhere", rounds=0, engine=engine(cluster, batch=2))
    told = bench.run()
    assert told.exit == DONE, told.message
    assert (bench.folder / "killed.flag").exists()
    assert sum(worker.poll() is not None for worker in cluster.workers) == 1
    assert set(attempts(bench).values()) == {("done", 1)}
    assert len(attempts(bench)) == 8


def test_a_worker_that_dies_in_an_unsafe_call_leaves_that_call_in_doubt_and_no_other(bench, cluster, attempts):
    bench.config["objectives"][0]["oracle"]["semantics"] = "unsafe"
    fatal(bench, "os.getppid()", 3)
    bench.write_config(rounds=0, engine=engine(cluster))
    told = bench.run()
    assert told.exit == STOPPED, told.message
    assert "1 call was sent and never answered" in told.message
    states = attempts(bench)
    doubtful = (bench.folder / "killed.flag").read_text()
    assert states.pop(doubtful) == ("in_doubt", 1)
    assert set(states.values()) == {("done", 1)}
    assert len(bench.calls()) == len(set(bench.calls())) == 8
    (row,) = [row for row in bench.candidates() if row["state"] == "in_doubt"]
    assert bench.discover("settle", "tiny", row["id"], "--value", "0.5").exit == DONE
    assert bench.run().exit == DONE
    assert len(bench.calls()) == 8


def test_when_the_scheduler_dies_the_answers_are_kept_and_the_same_command_goes_on(bench, cluster, attempts):
    fatal(bench, cluster.scheduler.pid, 5)
    bench.write_config(rounds=0, engine=engine(cluster, batch=1))
    told = bench.run()
    assert told.exit == STOPPED, told.message
    assert f"Dask at {cluster.address} does not answer any more. What was answered is kept" in told.message
    assert bench.state() == "interrupted"
    answered = {molecule for molecule, (state, _) in attempts(bench).items() if state == "done"}
    assert len(answered) >= 2
    told = bench.run("--set", "engine.kind=local", "--set", "engine.address=null")
    assert told.exit == DONE, told.message
    assert {state for state, _ in attempts(bench).values()} == {"done"}
    assert all(bench.calls().count(molecule) == 1 for molecule in answered)


def test_a_worker_with_another_oracle_is_named_and_nothing_it_says_is_taken(bench, tmp_path, attempts):
    from tests.tasks.engines.fleets import cluster_of_dask

    for name in ("ours", "theirs", "dask"):
        (tmp_path / name).mkdir()
    (tmp_path / "ours" / "scale_of_mine.py").write_text("FACTOR = 1.0\n")
    (tmp_path / "theirs" / "scale_of_mine.py").write_text("FACTOR = 2.0\n")
    bench.write_oracle("__import__('scale_of_mine').FACTOR * value(smiles)")
    oracle = (bench.folder / "tiny_oracle.py").read_text()
    (bench.folder / "tiny_oracle.py").write_text("import scale_of_mine\n" + oracle)
    with pytest.MonkeyPatch.context() as patch, cluster_of_dask(tmp_path / "dask", workers=0) as cluster:
        patch.syspath_prepend(tmp_path / "ours")
        patch.setenv("PYTHONPATH", str(tmp_path / "ours"))
        cluster.add_worker(PYTHONPATH=str(tmp_path / "theirs"))
        bench.config["objectives"][0]["oracle"]["semantics"] = "unsafe"
        bench.write_config(rounds=0, engine=engine(cluster))
        told = bench.run()
        assert told.exit == BAD_INPUT
        assert "has another oracle in" in told.message
        assert f"(process {cluster.workers[0].pid})" in told.message
        assert bench.calls() == []
        assert set(attempts(bench).values()) == {("reserved", 0)}  # none of them is in doubt
        told = bench.run("--set", "engine.kind=local", "--set", "engine.address=null")
        assert told.exit == DONE, told.message


def test_jobs_are_handed_in_by_the_command_of_the_batch_system_and_speak_tls(bench, tmp_path, monkeypatch, data_sets):
    """No batch system is here: `sbatch` runs the script at once, and `scancel` ends it."""
    bin = tmp_path / "bin"
    bin.mkdir()
    commands = {
        "sbatch": f"cp $1 {bin}/job.sh; setsid bash {bin}/job.sh > {bin}/job.log 2>&1 & echo $! > {bin}/$!.pid\n"
        'echo "Submitted batch job $!"\n',
        "scancel": "kill -9 -- -$1\n",
    }
    for name, text in commands.items():
        (bin / name).write_text(f"#!/bin/bash\n{text}")
        (bin / name).chmod((bin / name).stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{bin}{os.pathsep}{os.environ['PATH']}")
    assert bench.run("--set", "rounds=0").exit == DONE
    local = data_sets(bench)
    jobs = {"kind": "slurm", "queue": "long", "cores": 2, "memory": "1GB", "walltime": "00:10:00", "interface": "lo"}
    bench.write_config(name="elsewhere", rounds=0, engine={"kind": "dask", "cluster": jobs, "patience": 90})
    bench.write_oracle("value(smiles) + 0 * calls()")
    told = bench.run()
    assert told.exit == DONE, told.message
    assert "Engine Dask at tls://127.0.0.1:" in told.message
    assert "1 job handed in with sbatch" in told.message
    assert data_sets(bench) == local
    script = (bin / "job.sh").read_text()
    assert "#SBATCH -p long" in script
    assert "--tls-cert" in script
    assert sys.executable in script
    for file in bin.glob("*.pid"):  # its job was taken back
        cmdline = Path(f"/proc/{file.read_text().strip()}/cmdline")
        assert not cmdline.exists() or not cmdline.read_bytes()  # gone, or only waits to be buried


def test_without_a_scheduler_nothing_is_bought_and_the_sentence_says_how_to_start_one(bench):
    bench.write_config(rounds=0, engine={"kind": "dask", "address": "tcp://127.0.0.1:1", "patience": 2})
    told = bench.run()
    assert told.exit == STOPPED
    assert "No scheduler of Dask answers at tcp://127.0.0.1:1" in told.message
    assert "dask worker tcp://127.0.0.1:1" in told.message
    assert bench.calls() == []
    assert json.loads(bench.discover("candidates", "tiny", "--format", "json").out)[0]["state"] == "reserved"
