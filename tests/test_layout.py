"""The house keeps its shape: names, layers' markers, sizes."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import LONGEST_FIRST

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipelines", "tasks", "models", "data")
LONGEST_MODULE = 600
RESERVED = {*PACKAGES, "tests", *sys.stdlib_module_names}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_is_this_projects_and_typed(name):
    folder = Path(importlib.import_module(name).__file__).resolve().parent
    assert folder == ROOT / name
    assert (folder / "py.typed").is_file()


def test_no_flow_module_shadows_a_package_or_the_standard_library():
    assert not {path.stem for path in (ROOT / "pipelines").glob("*.py")} & RESERVED - {"__init__"}


def test_no_module_outgrows_its_idea():
    long = {
        str(path.relative_to(ROOT)): count
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (count := len(path.read_text().splitlines())) > LONGEST_MODULE
    }
    assert long == {}


def test_the_files_that_are_run_first_are_there():
    assert [name for name in LONGEST_FIRST if not (ROOT / name).is_file()] == []


def test_git_ignores_no_source():
    sources = [str(path) for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    ignored = subprocess.run(["git", "check-ignore", *sources], cwd=ROOT, capture_output=True, text=True)
    assert ignored.stdout == ""


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["candidates", "--help"], ["tune", "--help"]])
def test_what_must_answer_at_once_imports_nothing_heavy(arguments, tmp_path):
    code = (
        "import sys; from pipelines.cli import guarded; guarded(sys.argv[1:]);"
        "heavy = {'torch', 'mlflow', 'prefect', 'pandas', 'rdkit', 'sklearn'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={"DISCOVER_HOME": str(tmp_path), "PATH": ""},
    )
    assert ran.returncode == 0, ran.stderr


def test_a_campaign_of_variables_is_checked_without_what_only_a_run_needs(tmp_path):
    code = (
        "import sys; from pipelines.cli import guarded; code = guarded(sys.argv[1:]);"
        "heavy = {'torch', 'mlflow', 'prefect', 'rdkit', 'sklearn', 'numba'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "validate", str(ROOT / "campaigns" / "process" / "campaign.yaml")],
        capture_output=True,
        text=True,
        env={"DISCOVER_HOME": str(tmp_path), "PATH": ""},
    )
    assert ran.returncode == 0, ran.stderr
