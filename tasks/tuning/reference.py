"""What is tuned, named so that it can travel between processes, and what it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.config import ConfigError, digest, parse_config
from data.ledger.campaigns import LedgerError
from data.tables.datasets import Library
from models.parts import proxy_beside, proxy_spec, space_of
from models.registry import build
from models.tuning.base import Tuner
from models.tuning.proxies import ProxySubject
from models.tuning.samplers import SamplerSubject
from tasks.initial_design import read_library, source_hashes
from tasks.retrain import all_measurements, in_holdout
from tasks.stages import CampaignRef
from tasks.tracking import SamplerTracker
from tasks.train_proxy import TrainingData
from tasks.workspace import Workspace

JsonDict = dict[str, Any]

FEWEST = 30
"""Measured objects without which nothing is said about options of a proxy."""
CODE_VERSION = 1
"""Raised when a search's meaning changes, so that results of old code are not taken for new ones."""


@dataclass(frozen=True, slots=True)
class TuningRef:
    """Names a tuning in a workspace."""

    home: str
    name: str
    """Of the file, without its ending."""
    what: str
    """`sampler` or `proxy`."""
    config: JsonDict
    """The file."""
    base: str
    """Folder of the file."""
    method: JsonDict
    """`{kind, option...}` of the tuner."""
    population: int
    over: JsonDict | None
    seed: int
    cpu_seconds: float | None
    units: int | None
    """Of training in all, instead of CPU time."""

    @property
    def identity(self) -> str:
        """The sha256 of what decides the outcome."""
        asked = (self.what, self.config, self.method, self.population, self.over, self.seed)
        return digest([CODE_VERSION, *asked, self.cpu_seconds, self.units])

    @property
    def folder(self) -> Path:
        """Folder of everything on disk."""
        return Path(self.home) / "tuning" / f"{self.name}-{self.identity[:8]}"

    @property
    def tuner(self) -> Tuner[Any]:
        """The way to search."""
        made: Tuner[Any] = build("tuner", self.method)
        return made

    def tracker(self) -> SamplerTracker:
        """Return the runs of this tuning in MLflow."""
        workspace = Workspace(Path(self.home))
        return SamplerTracker(workspace, self.name, self.identity, (self.seed,), family="tuning", child="member")

    def sampler(self, units: int) -> SamplerSubject:
        """Return the sampler, trained in full for so many steps."""
        return SamplerSubject.of(self.config, self.over, units=units, home=Path(self.home), base=Path(self.base))

    def proxy(self) -> tuple[ProxySubject, ProxySubject, list[int]]:
        """Return the proxy with four fifths of what is measured, that with all of it, and the rows of the last fifth.

        Raises:
            ConfigError: too little is measured.
        """
        data = self.measured()
        config = parse_config(self.config).beside(Path(self.base))
        spec = proxy_spec(proxy_beside(config), data.space)
        held = in_holdout(data)
        if held.sum() < FEWEST // 5:  # few families: objects one by one
            held = np.random.default_rng(0).permutation(len(data)) < len(data) // 5
        seen, groups = data.keep(~held), data.groups()
        tuned = ProxySubject.of(spec, self.over, seen.objects, seen.values, seen.groups(), seed=self.seed)
        whole = ProxySubject.of(spec, self.over, data.objects, data.values, groups, seed=self.seed)
        return tuned, whole, np.flatnonzero(held).tolist()

    def measured(self) -> TrainingData:
        """Return what the campaign measured in this workspace, or the values of its file of data.

        Raises:
            ConfigError: there is too little.
        """
        config = parse_config(self.config).beside(Path(self.base))
        workspace = Workspace(Path(self.home))
        ledger = workspace.ledger()
        try:
            known = ledger.campaign(config.name).id
        except LedgerError:
            known = None
        finally:
            ledger.close()
        data: TrainingData | None = None
        if known is not None:
            with CampaignRef(self.home, known).open() as context:
                data = all_measurements(context)
        if data is not None and len(data) >= FEWEST:
            return data
        library = read_library(config, Path(self.base), source_hashes(config, Path(self.base)))
        frame = library.frame if isinstance(library, Library) else library.start
        in_file = TrainingData.of(frame, space_of(config))
        if len(in_file) < FEWEST:
            raise ConfigError(_too_few(config.name, None if data is None else len(data), len(in_file)))
        return in_file


def _too_few(name: str, bought: int | None, in_file: int) -> str:
    """Return what is said where too little is measured: what there is, and what gives more.

    Args:
        name: of the campaign.
        bought: measured objects of the campaign, those that came with its data included; None: it was not begun.
        in_file: objects with a value in its data source.
    """
    own = (
        f"No campaign {name} was begun in this workspace"
        if bought is None
        else f"The campaign {name} has {bought} with a value in this workspace"
    )
    more = (
        "`discover run` the campaign first"
        if bought is None
        else "Measure more (raise `rounds` or `budget` and `discover run` it again)"
    )
    return (
        f"Options of a proxy are tuned on {FEWEST} measured objects at least. {own}, and its data source alone has "
        f"{in_file}. {more}, or give `data` a table with the values of {FEWEST} objects or more."
    )
