"""Checks a campaign before anything is spent: every component is built, every file looked for, the budget compared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from data.config import CampaignConfig, ConfigError, digest, load_config
from data.records import JsonDict
from data.tables.tally import Tally
from models.oracles.base import BaseOracle
from models.parts import (
    acquisition_of,
    buying_of,
    check_levels,
    check_observing,
    check_readings,
    generator_of,
    initial_levels,
    level_costs,
    oracle_of,
    oracle_spec,
    parts_of_oracle,
    proxy_beside,
    proxy_spec,
    screens_of,
    selector_of,
    space_of,
)
from models.protocols import Checked, CheckedOracle, Composing, Oracle, TradingOff
from models.proxies.base import BaseProxy
from models.registry import build
from models.spaces.base import BaseSpace, require_space
from pipelines.catalogue import tell_plugin_problems
from pipelines.refusals import is_refusal
from tasks.engines.opening import check_engine
from tasks.initial_design import checked_part, checked_source, sources_of, with_initial_that_is_there
from tasks.oracles.asking import refuse_confusable_columns
from tasks.oracles.pool import OraclePool
from tasks.start_and_library import source_told
from tasks.tables import tallies_of
from tasks.workspace import DEFAULT_HOME, HOME_VARIABLE, LEDGER_VARIABLE, Workspace


def checked_config(path: Path, overrides: tuple[str, ...] = ()) -> CampaignConfig:
    """Read a campaign file and build all its components once.

    Raises:
        ConfigError: the file or an override breaks the schema, or the budget is smaller than the initial design.
        ComponentError: a component or an option is unknown.
        VocabularyError: a generator's vocabulary cannot be read.
        OracleStartError: the user's function cannot be imported.
        SourceError: a data file, a table of values or a column is missing.
    """
    return built_once(load_config(path, overrides), path.absolute().parent)


def built_once(config: CampaignConfig, base: Path) -> CampaignConfig:
    """Build all components of a campaign once, and return its configuration; relative paths start at `base`.

    Raises:
        ConfigError, ComponentError, VocabularyError, OracleStartError, SourceError: as `checked_config`.
    """
    tell_plugin_problems()
    check_engine(config)
    space = space_of(config)
    check_readings(config)
    oracles = {part: oracle_of(config, base, part) for part in config.readings.parts}
    for oracle in oracles.values():
        require_space(oracle, space)
        if isinstance(oracle, CheckedOracle):
            oracle.check()
    _refuse_twins(config, base)
    refuse_confusable_columns(config, base)
    check_levels(config)
    buying_of(config)
    proxy = build("proxy", proxy_spec(proxy_beside(config), space))
    for component in (*screens_of(config), proxy, acquisition_of(config), selector_of(config)):
        require_space(component, space)
    _check_features(proxy)
    check_observing(config)
    for part, oracle in oracles.items():
        _check_function(config, base, oracle, part)
    _check_generators(config, base, space)
    _check_source(config, base)
    config = with_initial_that_is_there(config, base, LARGEST_READ)
    if config.levelled is not None:
        _check_budget_of_levels(config)
        return config
    budget, first = config.budget, f"the initial design of {config.data.initial} {space.nouns[1]}"
    if budget.calls is not None and budget.calls < config.data.initial * len(oracles):
        each = f", which needs {len(oracles)} calls each" if len(oracles) > 1 else ""
        raise ConfigError(f"budget.calls is {budget.calls}, smaller than {first}{each}. {_mend_initial(config)}")
    cost = sum(oracle.cost for oracle in oracles.values())
    if budget.cost is not None and budget.cost < config.data.initial * cost:
        raise ConfigError(
            f"budget.cost is {budget.cost:g}; {first} at {cost:g} each costs "
            f"{config.data.initial * cost:g}. {_mend_initial(config)}"
        )
    return config


def _mend_initial(config: CampaignConfig) -> str:
    """Return what to write where the budget is smaller than the initial design."""
    if "initial" in config.data.model_fields_set:
        return "Raise it, or lower `data.initial`."
    return (
        f"{config.data.initial} is the default of `data.initial`, which the file does not give. Write for example "
        "`data: {..., initial: 12}`, or `initial: 0` where the values that came with the data are to be enough; or "
        "raise the budget."
    )


def _check_budget_of_levels(config: CampaignConfig) -> None:
    """Refuse a budget below the initial design, or below one purchase at the true level after it.

    Raises:
        ConfigError: it is one.
    """
    costs, budget, name = level_costs(config), config.budget, config.objective.name
    each = [sum(costs[level] for level in levels) for levels in initial_levels(config, config.data.initial)]
    true = sum(costs[level] for level in buying_of(config).control(len(costs)))
    if budget.cost is not None and budget.cost < max(true, sum(each)):
        raise ConfigError(
            f"budget.cost is {budget.cost:g}; one purchase at the true level of {name!r} costs {true:g}, and the "
            f"initial design of {config.data.initial} {space_of(config).nouns[1]}, at levels of cost "
            f"{', '.join(f'{cost:g}' for cost in costs)}, {sum(each):g}. {_mend_initial(config)}"
        )
    if budget.calls is not None and budget.calls < config.data.initial:
        raise ConfigError(
            f"budget.calls is {budget.calls}, smaller than the initial design of {config.data.initial} "
            f"{space_of(config).nouns[1]}. {_mend_initial(config)}"
        )


LARGEST_READ = 4_000_000
"""Bytes of a file of molecules that is read to be checked: some seconds to a minute."""


def check_source(config: CampaignConfig, base: Path, cache: Path | None = None) -> list[str]:
    """Read the source and draw the initial design, as the campaign will; return what is to be said of its rows.

    A source that is no file, or a large one, is not read: the campaign reads it, and refuses it before anything is
    bought. `cache` is the folder in which sources in standard form are kept; None: none is looked for or written.

    Raises:
        BadInput, SourceError, CampaignStopped: as `tasks.prepare_data.prepare_data`.
    """
    unread = {name: _unread(config, name, source, base) for name, source in sources_of(config).items()}
    if not any(unread.values()):
        return _lines(checked_source(config, base, cache))
    sentences: list[str] = []
    for name, reason in unread.items():
        sentences += _lines(checked_part(config, name, base, cache)) if reason is None else [reason]
    return sentences


def check_tables(config: CampaignConfig, base: Path) -> list[Tally]:
    """Return what became of the rows of libraries and of tables of values; large files are not read.

    Raises:
        SourceError: a file cannot be read.
    """
    return tallies_of(config, base, cache=None, largest=LARGEST_READ)


def earlier_remarks(config: CampaignConfig, base: Path) -> list[str]:
    """Return what the generator needs of earlier campaigns and the workspace does not have; they may be run before.

    Nothing is written: where there is no workspace yet, it is taken for an empty one.

    Raises:
        BadInput: what is named can never be used, such as a campaign that draws from itself.
        LedgerError: the ledger cannot be read.
    """
    generators = [generator_of(part, base) for part in (config.generator, config.control)]
    inner = [one for generator in generators for one in (generator, *getattr(generator, "members", ()))]
    if not any(isinstance(one, Composing) or getattr(one, "pretrained_from", None) is not None for one in inner):
        return []
    from tasks.gather_members import missing_members  # they need Prefect and torch, which most checks do not
    from tasks.pretrain import check_pretraining
    from tasks.stages import NotYet

    with ExitStack() as stack:
        workspace = Workspace(Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).expanduser().absolute())
        if not (workspace.ledger_file.is_file() or os.environ.get(LEDGER_VARIABLE)):
            workspace = Workspace(Path(stack.enter_context(TemporaryDirectory())))
        ledger = stack.enter_context(closing(workspace.ledger(migrating=False)))
        missing = [str(one) for one in missing_members(config, base, workspace, ledger)]
        try:
            check_pretraining(config, base, workspace, ledger)
        except NotYet as one:
            missing.append(str(one))
    return [f"{sentence} `discover run` would refuse to begin now." for sentence in dict.fromkeys(missing)]


def oracle_remarks(config: CampaignConfig, base: Path) -> list[str]:
    """Return what own code of oracles reads that does not count for whose value is whose."""
    oracles = [oracle_of(config, base, part) for part in config.readings.parts]
    return list(dict.fromkeys(told for one in oracles if isinstance(one, BaseOracle) for told in one.remarks(base)))


def batch_remarks(config: CampaignConfig, tables: Sequence[Tally]) -> list[str]:
    """Return why batches will be short, as far as that is known beforehand.

    Args:
        config: of the campaign.
        tables: what `check_tables` returned, the generator's library first.
    """
    needed, sentences = config.batch_size - config.control.size(config.batch_size) - config.remeasure, []
    if config.rounds and config.generator.proposals < needed:
        sentences.append(
            f"generator.proposals is {config.generator.proposals}, and a batch takes {needed} of them beside what the "
            f"control arm buys: each will be short by {needed - config.generator.proposals} at least. Raise "
            "generator.proposals, best to many times the batch."
        )
    pool = next((one for one in tables if one.role == "pool" and one.size is None), None)
    if config.generator.kind == "pool" and pool is not None and pool.kept < config.rounds * needed:
        sentences.append(
            f"The library {pool.name} has {pool.kept} {pool.nouns[1]}, fewer than the {config.rounds * needed} that "
            f"{config.rounds} round{'s' if config.rounds > 1 else ''} would take of them: the campaign will end early, "
            "or with short batches. Lower `rounds` or `batch_size`, or give a larger library."
        )
    return sentences


def _lines(report: JsonDict) -> list[str]:
    design = [str(report["design"])] if report.get("design") else []
    return [str(report["line"]), *design, *map(str, report["warnings"])]


def _unread(config: CampaignConfig, name: str, source: Any, base: Path) -> str | None:
    """Return the sentence on a source that is not read to be checked, None: it is."""
    size = source.file(base).stat().st_size if hasattr(source, "file") else None
    size = 0 if getattr(source, "ordered", False) else size  # it has been drawn
    if size is not None and size <= LARGEST_READ:
        return None
    why = "is no single file" if size is None else f"has {size / 1e6:.0f} MB"
    told = (
        repr(config.data.kind) if name not in config.data.parts else f"{source_told(config.data.parts[name])} ({name})"
    )
    return (
        f"The rows of the source {told} were not read, as it {why}; `discover run` reads them, and refuses what cannot "
        "be used before anything is bought."
    )


def _refuse_twins(config: CampaignConfig, base: Path) -> None:
    """Refuse one measurement that is written in two ways: it would be bought twice.

    Raises:
        ConfigError: there is one.
    """
    names: dict[str, tuple[str, str]] = {}
    for part in config.readings.parts:
        name = config.objectives[config.readings.first_of(part)].name
        twin, other = names.setdefault(digest(parts_of_oracle(config, base, part)), (name, part))
        if twin == name and other != part:
            raise ConfigError(
                f"Two oracles in the list of {name!r} are one measurement: they differ in nothing that decides a "
                "value. Each level is to be a measurement of its own; leave one of them out."
            )
        if twin != name:
            raise ConfigError(
                f"The oracles of the objectives {twin!r} and {name!r} are one measurement, written in two ways. Write "
                "them alike, so that it is bought once."
            )


def _check_function(config: CampaignConfig, base: Path, oracle: Oracle, part: str) -> None:
    """Import a user's function once, in a process of its own: what cannot be imported is refused before it is bought.

    Raises:
        OracleStartError: it cannot be imported.
    """
    if getattr(oracle, "worker", None) is not None:
        with OraclePool(oracle_spec(config, base, part), space_of(config), workers=1, search_path=[base]):
            pass


def _check_features(proxy: Any) -> None:
    """Refuse a proxy that cannot be trained on the features that the space's objects have.

    Raises:
        ConfigError: it cannot.
    """
    if isinstance(proxy, BaseProxy):
        try:
            proxy.check_features(())
        except ValueError as error:
            raise ConfigError(f"The proxy {proxy.kind!r} cannot be used: {error}") from error


def _check_generators(config: CampaignConfig, base: Path, space: BaseSpace[Any]) -> None:
    for part in (config.generator, config.control):
        generator = generator_of(part, base)
        require_space(generator, space)
        try:
            if isinstance(generator, TradingOff):
                generator.check_objectives(len(config.goals.improved))
            if isinstance(generator, Checked):
                generator.check(space)
        except ValueError as error:
            if is_refusal(error):
                raise
            raise ConfigError(f"The generator {part.kind!r} cannot be used: {error}") from error


def _check_source(config: CampaignConfig, base: Path) -> None:
    for source in sources_of(config).values():
        if hasattr(source, "file"):
            next(iter(source.rows(base)), None)  # opens the file and looks for its columns
