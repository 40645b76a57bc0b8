"""A campaign's settings as files that go from hand to hand: as the ledger has them, without passwords."""

from __future__ import annotations

import json

import sqlalchemy as sa
import yaml

from data.ledger.campaigns import Campaign
from data.ledger.continuation import recorded
from data.ledger.ledger import Ledger
from data.ledger.schema import campaigns
from data.masking import masked


def campaign_file(campaign: Campaign) -> str:
    """Return the campaign file as the ledger has it: YAML, what is as by default left out."""
    return masked(yaml.safe_dump(campaign.config.sparse(), sort_keys=False, allow_unicode=True, width=100))


def settings_file(ledger: Ledger, campaign: Campaign) -> str:
    """Return the whole configuration, and all that decides the values of its oracles: JSON."""
    with ledger.read() as connection:
        oracle = connection.scalar(sa.select(campaigns.c.oracle).where(campaigns.c.id == campaign.id))
    whole = {"campaign": json.loads(campaign.stored), "oracles": recorded(oracle or "")}
    return masked(json.dumps(whole, sort_keys=True, indent=1, ensure_ascii=False)) + "\n"
