"""Every campaign file that is shipped runs, most of them smaller than they are.

Samplers are in test_samplers.py, those that draw from earlier campaigns in test_composed.py, the search of a library in test_virtual_screening.py.
"""

import itertools
import json
import shutil
import zlib
from pathlib import Path

import pytest

from data.config import load_config

CAMPAIGNS = Path(__file__).resolve().parent.parent.parent / "campaigns"
SMALLER = {
    "acceptors_two_goals.yaml": [
        "data.initial=10",
        "batch_size=5",
        "rounds=1",
        "generator.proposals=120",
        "generator.members.0.generator.parents=10",
        "generator.members.1.generator.generations=3",
    ],
    "read_geometries.yaml": ["rounds=1", "data.initial=20", "batch_size=5", "generator.proposals=20", "proxy.steps=20"],
    "process/constrained.yaml": ["rounds=2", "batch_size=4", "generator.proposals=500"],
    "process/imitation.yaml": ["rounds=2", "generator.members.0.generator.steps=100"],
    "assay/campaign.yaml": ["rounds=2"],
    "conformers/campaign.yaml": ["rounds=1", "generator.steps=40"],
    "process/diffusion.yaml": ["rounds=1", "generator.steps=30", "generator.proposals=60"],
    "process/prior_fitted.yaml": ["rounds=2"],
    "process/many_variables.yaml": ["rounds=2"],
    "process/two_goals.yaml": ["rounds=2"],
    "process/preferences.yaml": ["rounds=1", "generator.steps=30", "generator.proposals=60"],
    "process/levels.yaml": ["rounds=1", "generator.proposals=200"],
    "electron_acceptors.yaml": [
        "data.initial=12",
        "batch_size=6",
        "rounds=1",
        "generator.proposals=120",
        "generator.members.0.generator.parents=10",
        "generator.members.1.generator.generations=3",
    ],
    "fidelities.yaml": [
        "data.initial=12",
        "batch_size=10",
        "rounds=2",
        "buying.promote=0.5",
        "generator.generations=2",
    ],
    "interventions/campaign.yaml": ["rounds=1"],
    "own_data/campaign.yaml": ["rounds=1"],
    "own_library/learnt.yaml": ["rounds=1", "generator.pretrain_steps=60", "generator.fine_tune=3"],
    "pmo.yaml": [
        "rounds=1",
        "batch_size=25",
        "data.sample=300",
        "data.initial=30",
        "generator.members.1.generator.generations=2",
    ],
    "process/campaign.yaml": ["rounds=2"],
    "peptides/campaign.yaml": ["rounds=1"],
    "peptides/imitation.yaml": ["rounds=1", "generator.members.0.generator.steps=100"],
    "peptides/greedy.yaml": ["rounds=1", "proxy.picks=3", "proxy.folds=2", "proxy.pool.2.steps=40"],
    "sequential_screening.yaml": ["rounds=2", "proxy.steps=60"],  # the second round conditions, without training
    "earlier_assays/campaign.yaml": ["rounds=1", "proxy.steps=60"],
    "subset/campaign.yaml": ["rounds=1"],
    "wiring/campaign.yaml": ["rounds=1", "generator.steps=20", "generator.proposals=40"],
    "rows/campaign.yaml": ["rounds=1"],
    "tfbind8.yaml": ["rounds=1", "batch_size=8", "data.sample=80", "generator.steps=30", "generator.proposals=60"],
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


ELSEWHERE = [
    *CAMPAIGNS.glob("samplers/*.yaml"),
    CAMPAIGNS / "virtual_screening.yaml",
    CAMPAIGNS / "laboratory" / "campaign.yaml",
    *CAMPAIGNS.glob("composed/*.yaml"),
    *CAMPAIGNS.glob("pretrained/*.yaml"),
]
FILES = [path for path in sorted(CAMPAIGNS.rglob("*.yaml")) if path not in ELSEWHERE]


def beside_its_table(path, folder):
    """A copy of the campaign beside a table like the one that is downloaded, with values of our own."""
    rows = ("".join(letters) for letters in itertools.product("ACGT", repeat=8))
    lines = "".join(f"{row},{row.count('A') / 8 + zlib.crc32(row.encode()) % 97 / 1000:.3f}\n" for row in rows)
    (folder / "tfbind8.csv").write_text(f"sequence,value\n{lines}")
    return Path(shutil.copy(path, folder))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_campaign_runs_to_its_end(path, tmp_path, tracking, warm):
    changes = SMALLER.get(str(path.relative_to(CAMPAIGNS)), [])
    if path.stem == "tfbind8":
        path = beside_its_table(path, tmp_path)
    arguments = ("run", str(path), "--plain", *(part for change in changes for part in ("--set", change)))
    environment = {"DISCOVER_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": tracking, "DISCOVER_LEDGER": None}
    command = warm.start(arguments, environment, pictures=True)
    told = command.ended(280)
    assert command.code == 0, told
    (summary,) = tmp_path.glob("home/campaigns/*/report/summary.json")
    figures = json.loads(summary.read_text())
    assert figures["failed"] == 0
    config = load_config(path, changes)
    nothing_better = config.goals.observed or figures.get("acquisition_feasible") == 0
    assert figures["acquisition_mean"] is not None or nothing_better
    assert (figures["control_mean"] is not None) == (config.control.size(config.batch_size) > 0)


def test_the_laboratory_goes_through_three_rounds_of_results(bench, tmp_path):
    folder = Path(shutil.copytree(CAMPAIGNS / "laboratory", tmp_path / "laboratory"))
    told = []
    for number in (1, 2, 3):
        waits = bench.discover("run", str(folder / "campaign.yaml"), "--plain")
        assert waits.exit == 3, waits.message
        told.append(bench.discover("tell", "laboratory", str(folder / f"results_{number}.csv")))
        assert told[-1].exit == 0, told[-1].message
    assert bench.discover("run", str(folder / "campaign.yaml"), "--plain").exit == 0
    assert ["8 answers taken" in told[0].message, "4 answers taken" in told[1].message] == [True, True]
    assert "decimal commas" in told[1].message
    assert "a failure" in told[2].message
    assert "stirrer stopped" in bench.discover("candidates", "laboratory", "--format", "json").out
