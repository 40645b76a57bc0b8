"""Files of people that have the names of ours, and files of ours that an export must not overwrite."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.oracles.pool import OraclePool

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def namesakes(tmp_path):
    """A folder with modules named as our packages."""
    folder = tmp_path / "namesakes"
    for name in ("tasks", "models"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise RuntimeError('not ours')")
    (folder / "data.py").write_text("raise RuntimeError('not ours')")
    return folder


@pytest.mark.parametrize("start", [["-m", "pipelines"], ["-c", "from pipelines.cli import main; main()"]])
def test_modules_on_pythonpath_with_the_names_of_our_packages_are_not_taken_for_them(namesakes, start):
    told = subprocess.run(
        [sys.executable, "-P", *start, "example"],
        env={**os.environ, "PYTHONPATH": f"{namesakes}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    assert "electron_acceptors" in told.stdout


def test_oracle_processes_do_not_take_them_either(namesakes, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{namesakes}{os.pathsep}{ROOT}")
    found = {}
    with OraclePool({"kind": "rdkit", "property": "logp"}, workers=1) as pool:
        pool.run([("a", "C")], on_submit=lambda keys: None, on_result=found.__setitem__)
    assert found["a"].value == pytest.approx(0.6361)  # Crippen's contribution of methane's carbon and hydrogens


@pytest.mark.parametrize(
    "out", ["home/ledger.db", "home/best.csv", "home", "library.csv", "tiny_oracle.py", "campaign.yaml", "link.csv"]
)
def test_candidates_are_not_written_over_what_they_come_from(finished, out):
    link = finished.folder / "link.csv"
    link.unlink(missing_ok=True)
    link.symlink_to(finished.home / "ledger.db")
    file = finished.folder / out
    before = file.read_bytes() if file.is_file() else None
    told = finished.discover("candidates", "finished", "--out", str(file))
    assert told.exit == 2
    assert "Nothing was written" in told.message
    assert (file.read_bytes() if file.is_file() else None) == before
    assert finished.discover("candidates", "finished", "--top", "1", "--out", str(finished.folder / "b.csv")).exit == 0
