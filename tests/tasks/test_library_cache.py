"""A source is put into standard form once in a workspace, whatever becomes of the file that keeps it."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from pyarrow import parquet

import tasks.initial_design
from data.config import load_config
from models.spaces.molecules import Molecules
from tasks.initial_design import read_library, source_hashes
from tasks.library_cache import keep_library, kept_library, reading_key
from tests.conftest import Bench

pytestmark = pytest.mark.slow  # whole campaigns: `make test` has to stay under 12 minutes

ROWS = ("CCO,1", "OCC,5", "c1cccn1,2", "[2H]CC,4", "CCN,5", "CCC,6", "CCF,7", "CCCC,8", "CCCO,", "CC(=O)[O-].[Na+],3")


@pytest.fixture
def readings(monkeypatch):
    """How often a source was read row by row."""
    found = []
    plain = tasks.initial_design.read_rows
    monkeypatch.setattr(tasks.initial_design, "read_rows", lambda *a, **k: found.append(1) or plain(*a, **k))
    return found


@pytest.fixture
def campaign(bench: Bench) -> Bench:
    bench.write_library(*ROWS, header="smiles,y")
    bench.write_config(
        data={"kind": "csv", "path": "library.csv", "value": "y", "initial": 0},
        **{"rounds": 0, "screens": [], "space": {"max_heavy_atoms": 12, "min_heavy_atoms": 1}},
    )
    return bench


def prepared(bench: Bench, name: str) -> dict[str, bytes]:
    """Run a campaign of that name; return the files of its first stage."""
    bench.write_config(name=name)
    told = bench.run()
    assert told.exit == 0, told.message
    (folder,) = bench.home.glob(f"campaigns/{name}*/round-000/prepare_data")
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def kept(bench: Bench) -> list[Path]:
    return sorted(bench.home.glob("cache/sources/*"))


def test_a_second_campaign_reads_the_source_in_standard_form_and_finds_the_same_bytes(campaign, readings):
    first, second = prepared(campaign, "first"), prepared(campaign, "second")
    assert first == second
    assert len(readings) == 1
    assert [file.suffix for file in kept(campaign)] == [".parquet"]
    assert pd.read_parquet(kept(campaign)[0])["object"].tolist()[:2] == ["CCO", "CCN"]


@pytest.mark.parametrize("damage", ["cut", "foreign", "altered", "no table"])
def test_a_damaged_or_foreign_file_is_said_and_made_anew(campaign, readings, caplog, damage):
    first = prepared(campaign, "first")
    (file,) = kept(campaign)
    whole = file.read_bytes()
    if damage == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "foreign":
        pd.DataFrame({"object": ["CCO"]}).to_parquet(file)
    elif damage == "altered":
        table = pd.read_parquet(file)
        about = parquet.read_schema(file).metadata
        table.loc[0, "value"] = 99.0
        altered = parquet.read_table(file).set_column(2, "value", [table["value"].tolist()])
        parquet.write_table(altered.replace_schema_metadata(about), file)
    else:
        file.write_text("not parquet")
    with caplog.at_level(logging.WARNING):
        assert prepared(campaign, "second") == first
    assert "is damaged or no file of ours" in caplog.text
    assert len(readings) == 2
    assert kept(campaign)[0].read_bytes() == whole


def test_where_nothing_can_be_kept_it_is_said_and_the_campaign_goes_on(campaign, caplog):
    (campaign.home / "cache").mkdir(parents=True)
    (campaign.home / "cache" / "sources").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        prepared(campaign, "first")
    assert "cannot be kept" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"space": {"max_heavy_atoms": 3, "min_heavy_atoms": 1}},
        {"data": {"kind": "csv", "path": "library.csv", "value": "y", "initial": 0, "replicates": "first"}},
        {"data": {"kind": "csv", "path": "library.csv", "initial": 5}},
    ],
)
def test_another_space_or_option_is_another_reading(campaign, readings, change):
    prepared(campaign, "first")
    campaign.write_config(**change)
    prepared(campaign, "second")
    assert len(readings) == len(kept(campaign)) == 2


def test_another_content_is_another_reading(campaign, readings):
    first = prepared(campaign, "first")
    campaign.write_library(*ROWS, "CCS,4", header="smiles,y")
    assert prepared(campaign, "second") != first
    assert len(readings) == 2


def test_the_seed_counts_where_rows_are_drawn(campaign, readings):
    prepared(campaign, "first")
    campaign.write_config(seed=8)
    prepared(campaign, "second")
    assert len(readings) == 1
    campaign.write_config(data=campaign.config["data"] | {"sample": 4})
    for seed in (1, 2):
        campaign.write_config(seed=seed)
        prepared(campaign, f"sample-{seed}")
    assert len(readings) == 3


def test_campaigns_that_read_at_once_find_one_whole_file(campaign):
    config = load_config(campaign.file)
    library = read_library(config, campaign.folder, source_hashes(config, campaign.folder))
    folder = campaign.home / "cache"

    def reading(_: int) -> pd.DataFrame:
        keep_library(folder, "key", library)
        return kept_library(folder, "key").frame

    with ThreadPoolExecutor(8) as pool:
        for frame in pool.map(reading, range(32)):
            pd.testing.assert_frame_equal(frame, library.frame)
    assert len(kept(campaign)) == 1


def test_an_edited_source_of_the_users_is_another_reading(campaign, monkeypatch):
    module = campaign.folder / "own_source.py"
    text = (
        "from data.tables.rows import Row\nfrom models.registry import Component\n\n\nclass Own(Component):\n"
        "    group = 'source'\n    kind = 'own_source'\n\n    def rows(self, base):\n"
        "        return (Row(i, 'C' * i, '') for i in range(1, 9))\n"
        "    def fingerprint(self, base):\n        return 'always the same'\n"
    )
    monkeypatch.syspath_prepend(str(campaign.folder))
    keys = []
    for code in (text, text + "# edited\n"):
        module.write_text(code)
        import own_source

        source = own_source.Own()
        keys.append(reading_key(source, Molecules(), "sha", campaign.folder, (1, True)))
    assert None not in keys
    assert keys[0] != keys[1]
