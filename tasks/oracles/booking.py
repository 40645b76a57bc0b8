"""Which calls of the ledger are the campaign's: those of its oracles as these are now."""

from __future__ import annotations

from data.config import digest
from data.ledger.book import OracleBook
from models.oracles.base import oracle_parts
from models.parts import oracle_name, oracle_of
from tasks.stages import CampaignContext


def book_of(context: CampaignContext, part: str = "") -> OracleBook:
    """Return the campaign's calls to one of its oracles as the oracle is now.

    Args:
        context: of the campaign.
        part: which oracle, as `data.readings` names them.

    Raises:
        ValueError: a file of the oracle is not there; a complete sentence says what to change.
    """
    campaign = context.campaign
    oracle = oracle_of(campaign.config, campaign.base, part)
    identity = digest(oracle_parts(oracle, campaign.base))
    return OracleBook(
        context.ledger,
        campaign.id,
        oracle_name(campaign.config, part),
        oracle.version,
        identity,
        oracle.semantics,  # type: ignore[arg-type]  # the protocol says str, the oracle checks
        part,
    )


def books_of(context: CampaignContext) -> list[OracleBook]:
    """Return the campaign's calls to each of its oracles, in the order of the objectives that read them first."""
    return [book_of(context, part) for part in context.config.readings.parts]
