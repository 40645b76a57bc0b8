"""The packages of `examples/` are used as a stranger would: installed beside the program, and named in a campaign."""

import json
import os
import shutil
import subprocess
import sys
import tomllib

import pytest

from tests.packaging.conftest import ROOT

EXAMPLES = ROOT / "examples"
PACKAGES = [path.parent.name for path in sorted(EXAMPLES.glob("*/pyproject.toml"))]
"""Folders that are packages; others are programs to be copied."""


@pytest.fixture(scope="module")
def digress(installation, tmp_path_factory):
    """The installation with the package of DiGress, which is taken out of it afterwards."""
    folder = tmp_path_factory.mktemp("digress")
    source = shutil.copytree(
        EXAMPLES / "digress", folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info")
    )
    installation.install(source)
    yield installation
    for path in installation.packages.glob("discovery_digress*"):
        path.rename(folder / path.name)


@pytest.mark.parametrize("name", PACKAGES)
def test_an_example_is_a_package_whose_entry_point_is_there_and_nothing_here_needs_it(name):
    project = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text())["project"]
    for module in project["entry-points"]["discovery_flows.components"].values():
        package = module.partition(".")[0]
        assert (EXAMPLES / name / f"{module.replace('.', '/')}.py").is_file()
        found = subprocess.run(
            ["git", "grep", "-lE", f"(import|from) {package}"], cwd=ROOT, capture_output=True, text=True
        )
        assert [file for file in found.stdout.split() if not file.startswith(f"examples/{name}/")] == []
    assert f"pip install ./examples/{name}" in (EXAMPLES / name / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PACKAGES)
def test_its_own_tests_pass_where_it_is_not_installed(name):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"examples/{name}/tests"]
    ran = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_denoised_molecules_run_a_campaign(digress, tmp_path):
    listed = digress.run(tmp_path, "components", "generator", "--format", "json")
    assert listed.returncode == 0, listed.stderr
    told = next(one for one in json.loads(listed.stdout) if one["kind"] == "digress")
    assert "Vignac" in told["reference"]
    assert "noise_steps" in {option["name"] for option in told["options"]}
    shutil.copy(EXAMPLES / "digress" / "campaign.yaml", tmp_path)
    short = ["generator.pretrain_steps=150", "generator.molecules=1000", "generator.proposals=20", "generator.layers=2"]
    short += ["generator.noise_steps=20", "rounds=1", "batch_size=4", "generator.learning_rate=0.004"]
    options = [part for one in short for part in ("--set", one)]
    valid = digress.run(tmp_path, "validate", "campaign.yaml", *options)
    assert valid.returncode == 0, valid.stdout + valid.stderr
    ran = digress.run(tmp_path, "run", "campaign.yaml", "--plain", *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = json.loads(digress.run(tmp_path, "candidates", "denoised-library", "--format", "json").stdout)
    assert len(rows) == 34
    assert sum(row["source"] == "digress" for row in rows) >= 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_claim_of_denoising_can_be_tried(digress, tmp_path):
    assert "digress" in digress.run(tmp_path, "reproduce", "--list").stdout
    short = ["steps=4", "geel_steps=4", "learnt=60", "draws=20", "noise_steps=4", "layers=1"]
    options = [part for one in short for part in ("--set", one)]
    ran = digress.run(tmp_path, "reproduce", "digress", "--seeds", "1", "--plain", *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "valid without correction" in ran.stdout
