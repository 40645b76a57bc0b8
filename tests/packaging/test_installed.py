"""What is installed from the wheel, not from this folder, does its work in any folder."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_wheel_holds_every_file_of_the_packages_and_the_campaigns_and_nothing_else(installation):
    tracked = subprocess.run(
        ["git", "ls-files", "pipelines", "tasks", "models", "data", "campaigns"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    expected = {
        f"data/resources/{name}" if name.startswith("campaigns/") else name
        for name in tracked
        if (ROOT / name).is_file()
    }
    shipped = {name for name in zipfile.ZipFile(installation.wheel).namelist() if ".dist-info/" not in name}
    assert expected - shipped == set()
    untracked = {name for name in shipped - expected if not (ROOT / name).is_file()}
    assert untracked == set()
    assert not {name for name in shipped if name.endswith(".pyc")}


def test_the_command_is_the_installed_one(installation, tmp_path):
    assert installation.run(tmp_path, "--version").stdout.strip() == "0.1.0"
    where = subprocess.run(
        [str(installation.bin / "python"), "-c", "import data, models; print(data.__file__, models.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert all(file.startswith(str(installation.packages)) for file in where.stdout.split())


def test_every_shipped_example_is_copied_and_valid(installation, tmp_path):
    listed = installation.run(tmp_path, "example")
    names = [line for line in listed.stdout.splitlines() if line[:1].isalpha()]
    passed_over = {"__pycache__", "README.md"}
    assert set(names) == {path.stem for path in (ROOT / "campaigns").iterdir() if path.name not in passed_over}
    commands = []
    for name in names:
        copied = installation.run(tmp_path, "example", name)
        assert copied.returncode == 0, copied.stderr
        commands += [line.split() for line in copied.stdout.splitlines()]
    campaigns = [file for discover, command, file in commands if command == "run"]
    assert {"electron_acceptors.yaml", "virtual_screening.yaml", "own_data/campaign.yaml"} <= set(campaigns)
    for file, (code, told) in validated(installation, tmp_path, campaigns).items():
        if file == "tfbind8.yaml":  # its table is downloaded first
            assert code == 2
            assert "There is no file" in told
            continue
        assert code == 0, told
        assert f"{file} is valid." in told


VALIDATE = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from pipelines.cli import guarded

told = {}
for file in sys.argv[1:]:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(out):
        code = guarded(["validate", file])
    told[file] = code, " ".join(out.getvalue().split())
print(json.dumps(told))
"""


def validated(installation, folder, files):
    """Exit code and printed text of `discover validate` for each file, by one process: each takes seconds to start."""
    ran = installation.python(folder, "-P", "-c", VALIDATE, *files)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert set(told) == set(files)
    return told


def test_an_example_does_not_overwrite_what_is_there(installation, tmp_path):
    (tmp_path / "own_data").mkdir()
    refused = installation.run(tmp_path, "example", "own_data")
    assert refused.returncode == 2
    assert "own_data is there already" in refused.stderr
    assert not any((tmp_path / "own_data").iterdir())


def test_a_campaign_runs_to_its_end_and_shows_its_candidates(installation, tmp_path):
    assert installation.run(tmp_path, "example", "own_data", "--out", "mine").returncode == 0
    smaller = ("--set", "rounds=1", "--set", "batch_size=4", "--set", "generator.kind=genetic")
    smaller += (
        "--set",
        "generator.generations=2",
        "--set",
        "generator.offspring=20",
        "--set",
        "generator.proposals=40",
    )
    text = (tmp_path / "mine" / "campaign.yaml").read_text()
    assert "members" in text  # of the union, which the genetic generator has not
    (tmp_path / "mine" / "campaign.yaml").write_text(_without_generator(text))
    ran = installation.run(tmp_path, "run", "mine/campaign.yaml", "--plain", *smaller)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    page = tmp_path / "home" / "campaigns"
    assert len(list(page.glob("*/report/candidates.html"))) == 1
    told = installation.run(tmp_path, "candidates", "own-data", "--format", "json")
    rows = json.loads(told.stdout)
    assert {row["arm"] for row in rows} == {"initial", "acquisition", "control"}
    assert all(row["value"] is not None for row in rows)


def test_the_doctor_finds_nothing_wrong(installation, tmp_path):
    told = installation.run(tmp_path, "doctor")
    assert told.returncode == 0, told.stdout
    assert "registered" in told.stdout


CIRCUMSTANCES = {
    "without a home": ((), {"HOME": None}),
    "a home that does not exist": ((), {"HOME": "/nonexistent/home"}),
    "optimised, without docstrings": (("-OO",), {}),
    "safe path": (("-P",), {}),
    "isolated": (("-I",), {}),
    "without byte code": (("-B",), {}),
    "an ASCII locale": ((), {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "strict about encodings": (("-X", "warn_default_encoding"), {}),
    "warnings as errors": ((), {"PYTHONWARNINGS": "error"}),
}


@pytest.mark.parametrize(("options", "environment"), CIRCUMSTANCES.values(), ids=CIRCUMSTANCES)
def test_odd_circumstances_change_nothing(installation, tmp_path, options, environment):
    listed = installation.run(tmp_path, "components", "--format", "json", options=options, **environment)
    assert listed.returncode == 0, listed.stderr
    assert {entry["group"] for entry in json.loads(listed.stdout)} >= {"oracle", "proxy", "generator", "screen"}
    (tmp_path / "broken.yaml").write_text("name: [\n")
    refused = installation.run(tmp_path, "validate", "broken.yaml", options=options, **environment)
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False), refused.stderr


@pytest.mark.parametrize(
    "command", [("components", "oracle"), ("example",), ("status",), ("doctor",), ("validate", "x")]
)
def test_a_current_folder_that_was_deleted_ends_in_a_sentence(installation, tmp_path, command):
    code = (
        "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); os.execv(sys.argv[1], sys.argv[1:])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(installation.bin / "python"), str(installation.bin / "discover"), *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode in ((0,) if command[0] in ("components", "example") else (2,)), ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


def _without_generator(text: str) -> str:
    config = yaml.safe_load(text)
    config["generator"] = {"kind": "genetic"}
    return yaml.safe_dump(config)
