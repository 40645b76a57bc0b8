"""What we make in a workspace is its owner's only, whatever the shell's umask; what is the user's own follows it."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(240)  # a workspace of its own, and commands in processes of their own


def open_to_others(folder):
    """Files and folders below one that anybody besides their owner has a right to."""
    return [path for path in folder.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077]


@pytest.mark.slow
def test_a_campaign_keeps_its_files_to_their_owner_and_its_oracle_writes_as_the_user_would(bench, warm):
    environment = {"DISCOVER_HOME": str(bench.home), "DISCOVER_WORKERS": "1"}
    environment["MLFLOW_TRACKING_URI"] = None
    command = warm.start(("run", str(bench.file), "--plain"), environment, umask=0)
    told = command.ended()
    assert command.code == 0, told
    assert (bench.home / "artifacts").is_dir()
    assert open_to_others(bench.home) == []
    assert (bench.folder / "calls.log").stat().st_mode & 0o777 == 0o666


@pytest.fixture
def discover(tmp_path):
    """The program itself, with a umask; its workspace is there already, with a file in it."""
    home = tmp_path / "home of ann"
    home.mkdir()
    (home / "notes.txt").write_text("mine")

    def run(*arguments, umask=0):
        return subprocess.run(
            [sys.executable, "-m", "pipelines", *arguments],
            env={**os.environ, "DISCOVER_HOME": str(home)},
            capture_output=True,
            text=True,
            umask=umask,
        )

    return home, run


def test_a_workspace_that_others_may_write_to_is_said_with_what_mends_it(discover):
    home, run = discover
    for mode, told in ((0o777, True), (0o775, True), (0o755, False), (0o2770, False), (0o2777, True)):
        home.chmod(mode)
        shown = run("status")
        assert shown.returncode == 0, shown.stderr
        assert (f"chmod 700 '{home}'" in " ".join(shown.stderr.split())) == told, oct(mode)


def test_a_file_that_the_user_names_has_the_rights_of_their_shell(discover, tmp_path):
    _, run = discover
    for umask in (0, 0o027):
        out = tmp_path / f"{umask}.yaml"
        shown = run("example", "electron_acceptors", "--out", str(out), umask=umask)
        assert shown.returncode == 0, shown.stderr
        made = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
        assert {path.stat().st_mode & 0o777 for path in made} == {0o666 & ~umask}
