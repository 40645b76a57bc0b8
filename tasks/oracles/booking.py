"""Which calls of the ledger are the campaign's: those of its oracle as the oracle is now."""

from __future__ import annotations

from data.config import digest
from data.ledger.book import OracleBook
from models.oracles.base import oracle_parts
from models.parts import oracle_name, oracle_of
from tasks.stages import CampaignContext


def book_of(context: CampaignContext) -> OracleBook:
    """Return the campaign's calls to its oracle as the oracle is now.

    Raises:
        ValueError: a file of the oracle is not there; a complete sentence says what to change.
    """
    campaign = context.campaign
    oracle = oracle_of(campaign.config, campaign.base)
    identity = digest(oracle_parts(oracle, campaign.base))
    return OracleBook(
        context.ledger,
        campaign.id,
        oracle_name(campaign.config),
        oracle.version,
        identity,
        oracle.semantics,  # type: ignore[arg-type]  # the protocol says str, the oracle checks
    )
