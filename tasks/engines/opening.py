"""The engine of a campaign: which one it is, and the calls of an oracle by it.

Workers elsewhere are looked for when the first call is to be made, and kept for all rounds of a run: `close_engines`
lets go of them at its end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from data.config import CampaignConfig, ConfigError
from data.engine_config import EngineConfig, engine_of_environment
from data.ledger.book import OracleBook
from data.ledger.campaigns import CampaignState
from data.ledger.releasing import release
from models.parts import oracle_spec, space_of, written_oracle
from models.protocols import Oracle
from tasks.engines.base import EngineGone, Fleet
from tasks.engines.remote import Asked, RemoteCalls
from tasks.oracles.pool import OraclePool
from tasks.stages import CampaignContext, CampaignStopped

_open: dict[str, Fleet] = {}
"""The fleets of this process, by engine and folder of the campaign."""


def engine_of(config: CampaignConfig) -> EngineConfig:
    """Return a campaign's engine: of its file, else of `$DISCOVER_ENGINE`, else processes of this machine.

    Raises:
        ConfigError: the variable cannot be used.
    """
    return config.engine or engine_of_environment() or EngineConfig()


def check_engine(config: CampaignConfig) -> EngineConfig:
    """Look whether all is installed that a campaign's engine needs; return it.

    Raises:
        ConfigError: something is not, or an option cannot be used.
    """
    engine = engine_of(config)
    if engine.kind == "dask":
        from tasks.engines.dask import check

        check(engine)
    elif engine.kind == "ray":
        from tasks.engines.ray import check as check_ray

        check_ray(engine)
    return engine


def places(engine: EngineConfig) -> int:
    """Return how many units a cluster of this machine works on side by side.

    Raises:
        ConfigError: `$DISCOVER_WORKERS` is no number.
    """
    if engine.workers is not None:
        return engine.workers
    text = os.environ.get("DISCOVER_WORKERS") or str(os.cpu_count() or 1)
    try:
        return max(1, int(text))
    except ValueError as error:
        raise ConfigError(f"$DISCOVER_WORKERS is {text!r}; expected a whole number of processes.") from error


@contextmanager
def oracle_calls(
    context: CampaignContext, oracle: Oracle, book: OracleBook, jobs: int
) -> Iterator[OraclePool | RemoteCalls]:
    """Have the campaign's engine make calls of an oracle in a block.

    Args:
        context: of the campaign.
        oracle: built.
        book: its calls in the ledger.
        jobs: how many are to be made.

    Raises:
        OracleStartError: the oracle cannot be loaded here or by a worker, or a worker has another one.
        CampaignStopped: the engine is not there, or has gone in the middle.
    """
    config, base = context.config, context.campaign.base
    engine, space = engine_of(config), space_of(config)
    lasting = book.identity if getattr(oracle, "lasting", False) else None
    if engine.kind == "local":
        spec, workers = oracle_spec(config, base, book.part), min(places(engine), jobs)
        with OraclePool(spec, space, workers=workers, search_path=[base], lasting=lasting) as pool:
            yield pool
        return
    asked = Asked(
        written_oracle(config, book.part),
        space,
        base.resolve(),
        config.name,
        book.identity,
        oracle.chunk,
        once=oracle.semantics == "unsafe",
        lasting=lasting or uuid4().hex,
    )
    try:
        fleet = opened(engine, base)
        with RemoteCalls(
            fleet, asked, lambda keys: release(book, keys), batch=engine.batch, patience=engine.patience
        ) as calls:
            yield calls
    except EngineGone as gone:
        close_engines()
        raise CampaignStopped(
            CampaignState.INTERRUPTED, f"{gone} What was answered is kept; the same command goes on."
        ) from gone


def in_flight(context: CampaignContext, oracle: Oracle, jobs: int) -> int:
    """Return how many calls may be under way at once."""
    engine = engine_of(context.config)
    return min(places(engine) * oracle.chunk, jobs) if engine.kind == "local" else jobs


def opened(engine: EngineConfig, base: Path) -> Fleet:
    """Return the workers of an engine, looked for if this process has none of it yet; says which they are.

    Raises:
        ConfigError: a library is not installed.
        EngineGone: they cannot be reached.
    """
    key = f"{engine.model_dump_json(exclude={'batch', 'patience'})} {base}"
    if key not in _open:
        close_engines()
        if engine.kind == "ray":
            from tasks.engines.ray import RayFleet

            _open[key] = RayFleet(engine, places(engine), _say)
        else:
            from tasks.engines.dask import DaskFleet

            _open[key] = DaskFleet(engine, base, places(engine), _say)
    return _open[key]


def close_engines() -> None:
    """Let go of all workers of this process; clusters of its own end."""
    while _open:
        _open.popitem()[1].close()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
