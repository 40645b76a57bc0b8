"""The look-up campaign finds most of the best one per cent of a library that it measures six per cent of."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from data.chemistry.molecules import identity
from data.tables.shipped import labelled_library
from tests.warm_commands import Warm

CAMPAIGN = Path(__file__).resolve().parent.parent.parent / "campaigns" / "virtual_screening.yaml"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def share_of_the_best(warm: Warm, tracking: str) -> Callable[[Path, Path], float]:
    """Runs a campaign in a workspace; returns how much of the library's best one per cent it measured."""

    def run(file: Path, home: Path) -> float:
        environment = {"DISCOVER_HOME": str(home), "DISCOVER_WORKERS": "1", "MLFLOW_TRACKING_URI": tracking}
        command = warm.start(("run", str(file), "--plain"), {**environment, "DISCOVER_LEDGER": None})
        told = command.ended(580)
        assert command.code == 0, told
        return measured_share(home)

    return run


def measured_share(home: Path) -> float:
    (summary,) = home.glob("campaigns/*/report/summary.json")
    figures = json.loads(summary.read_text())
    assert (figures["failed"], figures["calls"]) == (0, 342)
    with (summary.parent / "candidates.csv").open(newline="") as table:
        measured = {row["id"] for row in csv.DictReader(table) if row["value"]}
    library = labelled_library()
    best = {identity(smiles) for smiles in library.nlargest(round(0.01 * len(library)), "value")["smiles"]}
    return len(best & measured) / len(best)


def test_a_shipped_library_is_searched_with_the_defaults(tmp_path, share_of_the_best):
    config = yaml.safe_load(CAMPAIGN.read_text())
    assert not {"acquisition", "selector"} & set(config), "the campaign shows what the defaults find"
    assert share_of_the_best(CAMPAIGN, tmp_path) >= 0.6


def test_the_same_campaign_runs_from_a_users_own_smiles_file_and_table_of_values(tmp_path, share_of_the_best):
    library = labelled_library().sample(frac=1.0, random_state=1)
    (tmp_path / "mine.smi").write_text("".join(f"{row.smiles} m{i}\n" for i, row in enumerate(library.itertuples())))
    library.rename(columns={"smiles": "Structure", "value": "EA"})[["Structure", "EA"]].to_csv(
        tmp_path / "measured.csv", index=False
    )
    config = yaml.safe_load(CAMPAIGN.read_text())
    config["objectives"][0]["oracle"] = {"kind": "table", "path": "measured.csv", "smiles": "Structure", "value": "EA"}
    config["data"] = {"kind": "smiles", "path": "mine.smi", "initial": config["data"]["initial"]}
    for part in ("generator", "control"):
        config[part]["path"] = "mine.smi"
        del config[part]["source"]
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(config))
    assert share_of_the_best(tmp_path / "campaign.yaml", tmp_path / "home") >= 0.6
