"""Stage `read_tables`: what became of the rows of the files that a campaign buys from and looks values up in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from data.config import CampaignConfig
from data.tables.readers import SourceError
from data.tables.remarks import TABLES
from data.tables.tally import Tally
from models.oracles.table import Table
from models.parts import generator_of, oracle_of, space_of
from models.protocols import FromLibraries
from tasks.stages import CampaignContext, CampaignRef, StageRef, run_stage
from tasks.storage import write_json

log = logging.getLogger(__name__)

STAGE = "read_tables"

Reader = Callable[[Path | None, int | None], list[Tally]]
"""Called with the folder of caches, and the bytes of a file that is read, None: of any size."""


def readers_of(config: CampaignConfig, base: Path) -> list[Reader]:
    """Return what reads the libraries of the generator and the control arm, and the tables of the oracles."""
    space = space_of(config)
    readers: list[Reader] = []
    for spec in (config.generator, config.control):
        generator = generator_of(spec, base)
        if isinstance(generator, FromLibraries) and generator.libraries:
            readers.append(partial(generator.tallies, space))
    for part in config.readings.parts:
        oracle = oracle_of(config, base, part)
        if isinstance(oracle, Table):
            readers.append(partial(_of_oracle, oracle))
    return readers


def _of_oracle(oracle: Table, cache: Path | None, largest: int | None) -> list[Tally]:
    del cache  # standard forms are kept without values
    return [oracle.tally(largest)]


def tallies_of(config: CampaignConfig, base: Path, cache: Path | None, largest: int | None = None) -> list[Tally]:
    """Read the files and return what became of their rows, that of equal ones once.

    Raises:
        SourceError: a file cannot be read.
    """
    found = [tally for reader in readers_of(config, base) for tally in reader(cache, largest)]
    return list({(one.role, *one.told(), *one.warnings()): one for one in found}.values())


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
