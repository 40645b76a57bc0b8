"""A backup that was taken in the middle of a campaign, restored elsewhere: it ends as if nothing had happened."""

import shutil
import signal

import pytest

from tests.chaos.conftest import calls, results

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def discover(monkeypatch, home, *arguments):
    from pipelines.cli import guarded

    monkeypatch.setenv("DISCOVER_HOME", str(home))
    return guarded(list(arguments))


@pytest.mark.parametrize(
    "moment", ["after 0/prepare_data", "before 1/train_proxy", "after 1/propose", "before 1/measure", "after 2/screen"]
)
def test_a_restored_campaign_goes_on_to_the_same_bytes_and_buys_no_call_again(
    arena, undisturbed, tmp_path, monkeypatch, moment
):
    home, file, again = tmp_path / "home", tmp_path / "backup.tar.gz", tmp_path / "again"
    assert arena.run(home, kill_at=moment)["signal"] == signal.SIGKILL
    before = calls(home) if (home / "calls.log").exists() else []
    assert discover(monkeypatch, home, "backup", "--out", str(file)) == 0
    shutil.rmtree(home)
    assert discover(monkeypatch, again, "restore", str(file), "--to", str(again)) == 0
    (again / "calls.log").write_text("".join(f"{line}\n" for line in before))  # the oracle's, not the workspace's
    assert arena.run(again)["state"] == "done"
    assert results(again) == results(undisturbed.home)
    assert sorted(calls(again)) == sorted(set(calls(undisturbed.home)))


def test_every_backup_that_is_taken_while_a_campaign_runs_can_be_restored_and_continued(
    undisturbed, arena, tmp_path, monkeypatch, warm
):
    from tests.chaos.conftest import HERE

    home = tmp_path / "home"
    environment = {"DISCOVER_HOME": str(home), "CALL_LOG": str(tmp_path / "calls.log"), "DISCOVER_WORKERS": "1"}
    running = warm.start(("run", str(HERE / "campaign.yaml"), "--plain"), environment)
    taken = []
    try:
        while not running.has_ended:
            file = tmp_path / f"{len(taken)}.tar.gz"
            if (home / "ledger.db").exists() and discover(monkeypatch, home, "backup", "--out", str(file)) == 0:
                taken.append(file)
    finally:
        running.kill()
    assert len(taken) >= 3
    for file in (taken[len(taken) // 3], taken[-1]):
        again = tmp_path / f"again-{file.name}"
        assert discover(monkeypatch, again, "restore", str(file), "--to", str(again)) == 0
        assert arena.run(again)["state"] == "done"
        assert results(again) == results(undisturbed.home)
