"""The page about Python and the notebook are right: every line of them runs."""

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from pipelines import api

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()
NOTEBOOKS = ROOT / "docs" / "notebooks"


def test_the_lines_of_the_page_run_in_their_order(bench, monkeypatch):
    monkeypatch.chdir(bench.folder)
    known: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.S):
        file = re.match(r"# (\w+\.py)\n", block)
        if file:
            Path(file[1]).write_text(block)
        else:
            exec(block, known)
    assert len(known["best"]) == 3
    assert known["campaign"].state == "waiting"
    assert known["receipt"].new == 6
    assert Path("best_so_far.pdf").stat().st_size
    assert sorted(path.name for path in bench.folder.glob("*.yaml")) == ["campaign.yaml"]  # the bench's own


def test_the_page_names_what_there_is():
    (names,) = re.findall(r"Its names are stable: (.*?)\.\n", PAGE)
    assert re.findall(r"`(\w+)`", names) == api.__all__
    for module, name in re.findall(r"`((?:data|tasks|models)\.[\w.]+)\.(\w+)`", PAGE):
        assert issubclass(getattr(import_module(module), name), ValueError | RuntimeError)
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).is_file()


@pytest.mark.slow
def test_the_notebook_runs_as_a_script_in_a_fresh_workspace(tmp_path, tracking):
    folder = tmp_path / "notebooks"
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DISCOVER_")}
    ran = subprocess.run(
        [sys.executable, "first_campaign.py"],
        cwd=folder,
        env=kept | {"MLFLOW_TRACKING_URI": tracking, "DISCOVER_WORKERS": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "8 answers taken, 1 of them a failure. 0 left to measure." in ran.stdout
    found = api.campaigns(folder / ".discover").set_index("name")
    assert found["state"].to_dict() == {"first-campaign": "done", "at-the-bench": "waiting"}
    assert found.loc["first-campaign", ["round", "calls"]].to_list() == [3, 20]


def test_the_notebook_is_a_script_of_cells_that_all_hold_something():
    head, *cells = re.split(r"^# %%.*\n", (NOTEBOOKS / "first_campaign.py").read_text(), flags=re.M)
    assert head == ""
    assert all(cell.strip() for cell in cells)
