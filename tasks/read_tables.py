"""Stage `read_tables`: what became of the rows of the files that a campaign buys from and looks values up in."""

from __future__ import annotations

import logging
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from data.tables.readers import SourceError
from data.tables.remarks import TABLES
from tasks.stages import CampaignContext, CampaignRef, StageRef, run_stage
from tasks.storage import write_json
from tasks.tables import readers_of, tallies_of

log = logging.getLogger(__name__)

STAGE = "read_tables"


def has_tables(ref: CampaignRef) -> bool:
    """Return whether there is such a file."""
    with ref.open() as context:
        return bool(readers_of(context.config, context.campaign.base))


@task(name="read tables", cache_policy=NO_CACHE, persist_result=False)
def read_tables(ref: CampaignRef) -> StageRef:
    """Say what became of the rows, before anything is bought of them.

    Results: `tables.json`. Nothing depends on them: a file that cannot be read is refused by what needs it.
    """
    with ref.open() as context:
        return run_stage(
            context,
            0,
            STAGE,
            inputs={},
            settings={},
            compute=lambda folder: _read(context, folder),
            pinned=False,
        )


def _read(context: CampaignContext, folder: Path) -> dict[str, float]:
    try:
        tallies = tallies_of(context.config, context.campaign.base, context.workspace.cache)
    except SourceError as error:
        log.warning("%s", error)
        tallies = []
    write_json(folder / TABLES, [one.to_json() for one in tallies])
    return {
        "rows": sum(one.rows for one in tallies),
        "kept": sum(one.kept for one in tallies),
        "merged": sum(one.merged for one in tallies),
        "refused": sum(sum(one.refused.values()) for one in tallies),
    }
