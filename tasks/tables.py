"""The files that a campaign buys from and looks values up in, and what became of their rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from data.config import CampaignConfig
from data.tables.tally import Tally
from models.oracles.table import Table
from models.parts import generator_of, oracle_of, space_of
from models.protocols import FromLibraries

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
