import sqlite3

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from data.config import parse_config
from data.ledger.campaigns import CampaignState, LedgerError, StageRow
from data.ledger.ledger import Ledger
from data.ledger.schema import metadata

MINIMAL = {"name": "x", "objectives": [{"name": "affinity", "oracle": {"kind": "xtb"}}]}


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger.at(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def candidate(object_id: str, **more: object) -> dict[str, object]:
    return {"object_id": object_id, "object": "C", "arm": "initial", "source": "zinc250k", **more}


def test_the_migrations_make_the_tables_that_the_code_expects(ledger):
    with ledger.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_ledger_survives_a_power_cut_by_its_settings(ledger):
    with ledger.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_a_ledger_of_a_newer_program_is_refused(tmp_path):
    Ledger.at(tmp_path / "ledger.db").close()
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(LedgerError, match="9999"):
        Ledger.at(tmp_path / "ledger.db")


def test_the_same_campaign_again_is_the_same_row(ledger, tmp_path):
    first = ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    again = ledger.begin_campaign(parse_config(MINIMAL | {"rounds": 9}), tmp_path)
    assert again.id == first.id
    assert again.config.rounds == 9


def test_another_configuration_under_the_same_name_is_refused_by_key(ledger, tmp_path):
    begun = ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    ledger.finish_stage(begun.id, StageRow(0, "prepare_data", "k", "u", "s", {}, 1.0))
    with pytest.raises(LedgerError, match=r"batch_size, seed changed.*--fresh"):
        ledger.begin_campaign(parse_config(MINIMAL | {"seed": 1, "batch_size": 3}), tmp_path)


def test_a_campaign_of_which_no_stage_is_finished_takes_another_configuration(ledger, tmp_path):
    begun = ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    again = ledger.begin_campaign(parse_config(MINIMAL | {"seed": 1}), tmp_path)
    assert (again.id, again.config.seed) == (begun.id, 1)


def test_fresh_begins_a_new_generation_and_keeps_the_old_one(ledger, tmp_path):
    ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    second = ledger.begin_campaign(parse_config(MINIMAL | {"seed": 1}), tmp_path, fresh=True)
    assert second.generation == 2
    assert second.slug == "x~2"
    assert [campaign.generation for campaign in ledger.campaigns()] == [1, 2]
    assert ledger.campaign("x").id == second.id


def test_an_unknown_campaign_is_told_with_those_that_exist(ledger, tmp_path):
    ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    with pytest.raises(LedgerError, match="no campaign 'y'; it has x"):
        ledger.campaign("y")


def test_a_stage_is_finished_once(ledger, tmp_path):
    campaign = ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    row = StageRow(1, "train_proxy", "k", "u", "s", {"rmse": 0.5}, 1.0)
    assert ledger.stage(campaign.id, 1, "train_proxy") is None
    ledger.finish_stage(campaign.id, row)
    assert ledger.stage(campaign.id, 1, "train_proxy") == row
    with pytest.raises(sa.exc.IntegrityError):
        ledger.finish_stage(campaign.id, row)


def test_a_batch_given_twice_is_one_batch_and_another_is_refused(ledger, tmp_path):
    campaign = ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    for _ in range(2):
        ledger.add_candidates(campaign.id, 0, [candidate("A"), candidate("B")])
    assert [row.id for row in ledger.candidates(campaign.id)] == ["A", "B"]
    with pytest.raises(LedgerError, match="another batch"):
        ledger.add_candidates(campaign.id, 0, [candidate("B"), candidate("A")])


def test_a_molecule_is_a_candidate_once_in_a_campaign(ledger, tmp_path):
    campaign = ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    ledger.add_candidates(campaign.id, 0, [candidate("A")])
    with pytest.raises(sa.exc.IntegrityError):
        ledger.add_candidates(campaign.id, 1, [candidate("A")])


def test_a_candidate_is_proposed_until_its_call_is_booked(ledger, tmp_path):
    campaign = ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    ledger.add_candidates(campaign.id, 0, [candidate("A", predicted_mean=1.5)])
    (row,) = ledger.candidates(campaign.id)
    assert (row.state, row.value, row.predicted_mean) == ("proposed", None, 1.5)


def test_state_and_running_time_are_kept(ledger, tmp_path):
    campaign = ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    ledger.set_state(campaign.id, CampaignState.BUDGET_EXHAUSTED, "spent")
    ledger.add_seconds(campaign.id, 1.5)
    ledger.add_seconds(campaign.id, 2.0)
    kept = ledger.campaign("x")
    assert (kept.state, kept.message, kept.seconds) == (CampaignState.BUDGET_EXHAUSTED, "spent", 3.5)
