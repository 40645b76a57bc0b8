"""Campaigns whose oracle is asked by workers of Ray (`make test-ray`)."""

import os
from contextlib import suppress

import psutil
import pytest

from tasks.engines.ray import RayFleet

pytestmark = [
    pytest.mark.ray,
    # Not imported here: a campaign's first engine sets it up before it is.
    pytest.mark.timeout(300),  # a cluster starts within ten seconds or so
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning"),  # of Ray's own files and plans
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DONE, STOPPED = 0, 3

ORACLE_THAT_KILLS = (
    "import os, signal\n"
    "from pathlib import Path\n"
    "FLAG = Path(__file__).with_name('killed.flag')\n"
    "def at(n, smiles):\n"
    "    if n == 3 and not FLAG.exists():\n"
    "        FLAG.write_text(smiles)\n"
    "        os.kill(os.getppid(), signal.SIGKILL)\n"
    "        signal.pause()\n"
)


def kills_its_worker(bench, semantics):
    (bench.folder / "fatal.py").write_text(ORACLE_THAT_KILLS)
    bench.write_oracle("__import__('fatal').at(calls(), smiles) or value(smiles)")
    bench.config["objectives"][0]["oracle"] |= {"semantics": semantics, "writes": ["*.flag", "*.log"]}
    bench.write_config(rounds=0, engine={"kind": "ray", "workers": 2})


def test_ray_gives_the_bytes_of_this_machines_processes_and_listens_on_loopback(bench, data_sets, monkeypatch):
    assert bench.run().exit == DONE
    local, asked = data_sets(bench), bench.calls()
    bench.write_config(name="elsewhere", engine={"kind": "ray", "workers": 2, "batch": 3})
    bench.write_oracle("value(smiles) + 0 * calls()")  # another oracle by its code: nothing is taken over
    listening = set()
    send_unit = RayFleet.send

    def send(self, order, *, once):
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                found = process.net_connections("inet")
                listening.update(one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN)
        return send_unit(self, order, once=once)

    monkeypatch.setattr(RayFleet, "send", send)
    told = bench.run()
    assert told.exit == DONE, told.message
    assert "Engine Ray at 127.0.0.1:" in told.message
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert listening
    assert data_sets(bench) == local
    assert sorted(bench.calls()) == sorted(asked * 2)


def test_a_worker_of_ray_that_dies_costs_no_value_of_a_pure_oracle(bench, attempts):
    kills_its_worker(bench, "pure")
    told = bench.run()
    assert told.exit == DONE, told.message
    assert (bench.folder / "killed.flag").exists()
    assert set(attempts(bench).values()) == {("done", 1)}


def test_a_worker_of_ray_that_dies_in_an_unsafe_call_leaves_that_call_in_doubt_and_no_other(bench, attempts):
    kills_its_worker(bench, "unsafe")
    told = bench.run()
    assert told.exit == STOPPED, told.message
    assert "1 call was sent and never answered" in told.message
    states = attempts(bench)
    assert states.pop((bench.folder / "killed.flag").read_text()) == ("in_doubt", 1)
    assert set(states.values()) == {("done", 1)}
    assert len(bench.calls()) == 8


def test_when_the_head_of_the_cluster_dies_the_campaign_ends_in_order_and_the_same_command_goes_on(bench, attempts):
    """Ray itself would end the process a minute later."""
    (bench.folder / "fatal.py").write_text(
        "import psutil, signal\n"
        "from pathlib import Path\n"
        "FLAG = Path(__file__).with_name('killed.flag')\n"
        "def at(n, smiles):\n"
        "    if n == 4 and not FLAG.exists():\n"
        "        FLAG.write_text(smiles)\n"
        f"        [head] = [p for p in psutil.Process({os.getpid()}).children() if p.name() == 'gcs_server']\n"
        "        head.kill()\n"
        "        signal.pause()\n"
    )
    bench.write_oracle("__import__('fatal').at(calls(), smiles) or value(smiles)")
    bench.config["objectives"][0]["oracle"]["writes"] = ["*.flag", "*.log"]
    bench.write_config(rounds=0, engine={"kind": "ray", "workers": 2, "batch": 1})
    told = bench.run()
    assert told.exit == STOPPED, told.message
    assert "does not answer any more" in told.message
    assert bench.state() == "interrupted"
    told = bench.run("--set", "engine.kind=local")
    assert told.exit == DONE, told.message
    assert {state for state, _ in attempts(bench).values()} == {"done"}
