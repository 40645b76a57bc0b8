"""Which calls of the ledger are the campaign's: those of its oracles as these are now."""

from __future__ import annotations

from data.config import digest
from data.ledger.book import OracleBook
from data.ledger.telling import calls_of
from models.oracles.laboratory import answers_later
from models.parts import oracle_name, oracle_of, parts_of_oracle
from tasks.stages import CampaignContext


def book_of(context: CampaignContext, part: str = "", replicate: int = 0) -> OracleBook:
    """Return the campaign's calls to one of its oracles as the oracle is now.

    Args:
        context: of the campaign.
        part: which oracle, as `data.readings` names them.
        replicate: which repetition of the measurements, from 0.

    Raises:
        ValueError: a file of the oracle is not there; a complete sentence says what to change.
    """
    campaign = context.campaign
    oracle = oracle_of(campaign.config, campaign.base, part)
    return OracleBook(
        context.ledger,
        campaign.id,
        oracle_name(campaign.config, part),
        oracle.version,
        digest(parts_of_oracle(campaign.config, campaign.base, part)),
        oracle.semantics,  # type: ignore[arg-type]  # the protocol says str, the oracle checks
        part,
        replicate,
        later=answers_later(oracle),
    )


def books_of(context: CampaignContext) -> list[OracleBook]:
    """Return the campaign's calls to each of its oracles, in the order of the objectives that read them first."""
    readings = context.config.readings
    return [book_of(context, part, replicate) for part in readings.parts for replicate in range(readings.replicates)]


def books_in_use(context: CampaignContext) -> list[OracleBook]:
    """Return the same and, where something was measured again, the books of those repetitions."""
    books = books_of(context)
    if not context.config.readings.remeasured:
        return books
    numbers = {(row["part"], row["replicate"]) for row in calls_of(context.ledger, context.campaign.id)}
    further = sorted(numbers - {(book.part, book.replicate) for book in books})
    return [*books, *(book_of(context, part, replicate) for part, replicate in further)]
