"""A campaign whose ledger is a PostgreSQL that is restarted, and killed campaigns that go on in it."""

import signal
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from pipelines.api import run
from tests.chaos.conftest import calls, results

pytestmark = pytest.mark.timeout(300)


@pytest.mark.slow
def test_killed_chain_on_postgresql_ends_with_the_bytes_of_an_undisturbed_campaign_on_sqlite(
    arena, undisturbed, url, tmp_path
):
    home = tmp_path / "home"
    environment = {"DISCOVER_LEDGER": url}
    for moment in ("after 0/prepare_data", "before 1/train_proxy", "after 1/select_batch", "before 1/measure"):
        assert arena.run(home, kill_at=moment, environment=environment)["signal"] == signal.SIGKILL, moment
    assert arena.run(home, environment={**environment, "KILL_CAMPAIGN_AT_CALL": "12"})["signal"] == signal.SIGKILL
    assert arena.run(home, environment=environment)["state"] == "done"
    assert results(home, url) == results(undisturbed.home)
    assert sorted(calls(home)) == sorted(set(calls(undisturbed.home)))


def test_a_server_restarted_in_the_middle_of_a_call_loses_no_answer(bench, url, cluster, monkeypatch):
    monkeypatch.setenv("DISCOVER_LEDGER", url)
    bench.config["objectives"][0]["oracle"]["chunk"] = 1  # else the log jumps over the third call
    bench.write_config()
    bench.write_oracle("value(smiles) if calls() != 3 else paused(smiles)")
    signals = bench.folder / "restart", bench.folder / "restarted"
    with (bench.folder / "tiny_oracle.py").open("a") as file:
        file.write(PAUSED.format(*map(str, signals)))

    def restart() -> None:
        until(signals[0])
        cluster.stop("immediate")
        signals[1].touch()  # the answer comes while the server is away
        time.sleep(1.0)
        cluster.start()

    thread = threading.Thread(target=restart)
    thread.start()
    told = bench.run()
    thread.join()
    assert told.exit == 0, told.message
    assert "does not answer" in told.message
    assert len(bench.calls()) == len(set(bench.calls())) == 12
    assert all(row["state"] == "done" for row in bench.candidates())


def test_frames_of_a_campaign_on_postgresql_are_those_of_one_on_sqlite(bench, url, monkeypatch):
    def frames(campaign):
        times = ["booked_at", "answered_at", "seconds"]
        return campaign.candidates(), campaign.measurements().drop(columns=times), campaign.rounds(), campaign.health()

    here = frames(run(bench.file, workspace=bench.folder / "sqlite"))
    monkeypatch.setenv("DISCOVER_LEDGER", url)
    for one, other in zip(frames(run(bench.file)), here, strict=True):
        pd.testing.assert_frame_equal(one, other)


PAUSED = """
import time

def paused(smiles):
    from pathlib import Path
    Path({0!r}).touch()
    while not Path({1!r}).exists():
        time.sleep(0.01)
    return value(smiles)
"""


def until(path: Path) -> None:
    for _ in range(6000):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} did not appear in a minute.")
