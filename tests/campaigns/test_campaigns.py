"""Every campaign file that is shipped runs: the quickstart small, the others as they are.

Samplers are in test_samplers.py, the search of a library in test_virtual_screening.py.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGNS = Path(__file__).resolve().parent.parent.parent / "campaigns"
SMALLER = {
    "electron_acceptors.yaml": [
        "data.initial=12",
        "batch_size=6",
        "rounds=1",
        "generator.proposals=120",
        "generator.members.0.generator.steps=15",
        "generator.members.1.generator.generations=3",
    ],
    "process/campaign.yaml": ["rounds=2"],
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


ELSEWHERE = [*CAMPAIGNS.glob("samplers/*.yaml"), CAMPAIGNS / "virtual_screening.yaml"]
FILES = [path for path in sorted(CAMPAIGNS.rglob("*.yaml")) if path not in ELSEWHERE]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_campaign_runs_to_its_end(path, tmp_path):
    command = [sys.executable, "-m", "pipelines", "run", str(path), "--plain"]
    for change in SMALLER.get(str(path.relative_to(CAMPAIGNS)), []):
        command += ["--set", change]
    environment = {**os.environ, "DISCOVER_HOME": str(tmp_path)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (summary,) = tmp_path.glob("campaigns/*/report/summary.json")
    figures = json.loads(summary.read_text())
    assert figures["failed"] == 0
    assert figures["acquisition_mean"] is not None
    assert figures["control_mean"] is not None
