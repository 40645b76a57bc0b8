"""`discover cite`: the papers, software and data sets that a run of a campaign file or a sampler file rests on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from data.config import CampaignConfig, ConfigError, parse_config, read_mapping, validated
from data.pareto import CITES as OF_FRONTS
from data.references import Reference, references
from data.sampler_config import SamplerConfig, parse_sampler
from data.tables.public_tables import TABLES
from data.tables.rows import SourceError
from data.tables.shipped import SHIPPED, provenance
from data.version import YEAR, version
from models.registry import GROUPS, Component, build
from pipelines.catalogue import tell_plugin_problems
from pipelines.terminal import Terminal
from tasks.workspace import DEFAULT_HOME, HOME_VARIABLE, LEDGER_VARIABLE, Workspace

OF_REPORT = ("scholkopf1998kernel", "kuleshov2018accurate")
"""What the figures of a report rest on: the map of objects, and the reliability of deviations."""

SOFTWARE = (
    "discovery_flows",
    "paszke2019pytorch",
    "harris2020numpy",
    "virtanen2020scipy",
    "prefect",
    "zaharia2018mlflow",
)
"""What every run rests on; the libraries of single parts are named by these."""

_ONLY_OF_SAMPLERS = frozenset(SamplerConfig.model_fields) - frozenset(CampaignConfig.model_fields)
_NESTED = {"features": "featuriser", "backward": "backward_policy"}
"""Option -> group of the part that it names, where the option is not called as the group."""
_PACKED = {".gz", ".parquet"}
"""Endings of files whose lines are not rows."""
_LARGEST_HASHED = 16_000_000
"""Bytes of a file that is compared with a public table of its name."""


@dataclass(frozen=True, slots=True)
class Used:
    """What one part of a file rests on.

    Attributes:
        part: where it stands in the file, and which kind it is.
        keys: of references, in order, each once.
        remarks: what is named in words only.
        above: labels beyond which alone the part does what they are for; None: always.
    """

    part: str
    keys: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    above: int | None = None


def citations(path: Path, overrides: Sequence[str] = ()) -> list[Used]:
    """Return what a run of a file rests on, by its parts in the order of the file, defaults included.

    All parts are built, and nothing is run: no function of the user's, no oracle, no training.

    Raises:
        ConfigError: the file or an override breaks the schema of a campaign or a sampler, or parts do not go together.
        ComponentError: a component or an option is unknown.
        SourceError: a file that a part is made from cannot be read.
    """
    raw, folder = read_mapping(path, overrides, what="campaign or sampler"), path.absolute().parent
    tell_plugin_problems()
    if "objectives" not in raw and not _ONLY_OF_SAMPLERS.isdisjoint(raw):
        found = [*_of_sampler(parse_sampler(raw, source=path.name), folder)]
    else:
        config = parse_config(raw, source=path.name).beside(folder)
        most = _most_labels(config, folder)
        found = [one for one in _of_campaign(config, folder) if one.above is None or most is None or most > one.above]
    found.append(Used("software of every run", SOFTWARE))
    return [replace(one, keys=tuple(dict.fromkeys(one.keys))) for one in found if one.keys or one.remarks]


def _most_labels(config: CampaignConfig, folder: Path) -> int | None:
    """Return a number that the labels of a campaign do not exceed, None where its sources do not tell it cheaply."""
    from tasks.initial_design import sources_of

    most = config.data.initial + config.rounds * config.batch_size
    for source in sources_of(config).values():
        if getattr(source, "ordered", False):  # drawn from the space
            continue
        try:
            file = source.file(folder) if hasattr(source, "file") else None
        except SourceError:  # a public table that was not obtained yet
            return None
        if file is None or file.suffix.lower() in _PACKED or file.stat().st_size > _LARGEST_HASHED:
            return None
        most += file.read_bytes().count(b"\n") + 1
    return most


def _of_campaign(config: CampaignConfig, folder: Path, passed: frozenset[str] = frozenset()) -> Iterator[Used]:
    from models.parts import (
        acquisition_of,
        buying_of,
        check_levels,
        check_readings,
        generator_of,
        oracle_of,
        proxy_beside,
        proxy_spec,
        selector_of,
        space_of,
    )
    from models.protocols import Composing
    from models.proxies.base import BaseProxy
    from models.proxies.calibration import CITES as OF_CALIBRATION
    from models.proxies.dataset_map import CITES as OF_MAPS
    from models.proxies.dataset_map import MappingProxy
    from models.proxies.feature_shift import CITES as OF_SHIFTS
    from models.spaces.base import require_space
    from tasks.initial_design import sources_of

    space = space_of(config)
    check_readings(config)
    check_levels(config)
    yield from _of_component("space", "space", space, folder)
    for part in config.readings.parts:
        name = config.objectives[config.readings.first_of(part)].name
        oracle: Any = oracle_of(config, folder, part)
        require_space(oracle, space)
        yield from _of_component(f"oracle of {name}", "oracle", oracle, folder)
    for name, source in sources_of(config).items():
        yield from _of_component("data" if name not in config.data.parts else f"data.{name}", "source", source, folder)
    for number, spec in enumerate(config.screens):
        yield from _checked(f"screens.{number}", "screen", build("screen", spec), space, folder)
    proxy = build("proxy", proxy_spec(proxy_beside(config), space))
    yield from _checked("proxy", "proxy", proxy, space, folder)
    yield Used(f"proxy.calibration: {config.proxy.calibration}", OF_CALIBRATION[config.proxy.calibration])
    if isinstance(proxy, MappingProxy):
        yield Used("proxy: data that are never learnt", OF_MAPS)
    if isinstance(proxy, BaseProxy) and proxy.featuriser.names().dense:
        yield Used("proposals: features that shifted", OF_SHIFTS)
    if config.proxy.domain.min_similarity > 0:
        from models.screens.domain import ApplicabilityDomain

        yield Used("proxy.domain", ApplicabilityDomain.cites)
    acquisition: Any = acquisition_of(config)
    yield from _checked("acquisition", "acquisition", acquisition, space, folder)
    generators = {"generator": generator_of(config.generator, folder)}
    if config.control.fraction > 0:
        generators["control"] = generator_of(config.control, folder)
    yield from _of_generator("generator", generators["generator"], space, folder)
    selector: Any = selector_of(config)
    yield from _checked("selector", "selector", selector, space, folder)
    if "control" in generators:
        yield from _of_generator("control", generators["control"], space, folder)
    for generator in generators.values():
        if isinstance(generator, Composing):
            for origin in generator.origins:
                yield from _of_earlier(origin, passed | {config.name})
    buying = buying_of(config)
    if config.levelled is not None:
        yield from _of_component("buying", "buying", buying, folder)
    yield from _of_goals(config)
    yield Used("report", OF_REPORT)
    if isinstance(proxy, BaseProxy) and proxy.reads_features:
        from models.proxies.attribution import CITES as OF_CONTRIBUTIONS

        yield Used("report: what predictions rest on", OF_CONTRIBUTIONS)


def _of_earlier(origin: str, passed: frozenset[str]) -> Iterator[Used]:
    """Yield what an earlier campaign rests on whose trained sampler is drawn from, as the workspace has it.

    Args:
        origin: name of the campaign, or a file that holds its sampler.
        passed: campaigns that are cited already.
    """
    from models.generators.composed import is_file
    from pipelines.status import reader

    where = f"generator.members: {Path(origin).name if is_file(origin) else origin}"
    untold = "what trained this member is not cited here; `discover cite` of its own campaign file tells it"
    workspace = Workspace(Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).expanduser().absolute())
    if is_file(origin) or not (os.environ.get(LEDGER_VARIABLE) or workspace.ledger_file.is_file()):
        yield Used(where, remarks=(untold,))
        return
    campaigns = reader(workspace).campaigns()
    known = [one for one in campaigns if one.slug == origin] or [one for one in campaigns if one.name == origin]
    if not known:
        yield Used(where, remarks=(untold,))
    elif known[-1].name not in passed:
        config, base = known[-1].config, known[-1].base
        most = _most_labels(config, base)
        for one in _of_campaign(config, base, passed):
            if not one.part.startswith("report") and (one.above is None or most is None or most > one.above):
                yield replace(one, part=f"{where}, {one.part}")


def _of_goals(config: CampaignConfig) -> Iterator[Used]:
    goals = config.goals
    if len(goals.improved) > 1:
        yield Used("several objectives: fronts and hypervolumes", OF_FRONTS)
    if len(goals.improved) > 1 or any(goal.limited for goal in goals):
        from models.acquisition.standing import CITES

        yield Used("several objectives or limits: order of what is measured", CITES)
    if any(goal.target is not None for goal in goals):
        from models.proxies.folded import CITES as OF_TARGETS

        yield Used("goal target: distance of a prediction from it", OF_TARGETS)


def _of_generator(part: str, generator: Any, space: Any, folder: Path) -> Iterator[Used]:
    from models.spaces.base import require_space

    require_space(generator, space)
    try:
        yield from _of_component(part, "generator", generator, folder, space)
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"The generator {generator.kind!r} cannot be used: {error}") from error


def _checked(part: str, group: str, component: Any, space: Any, folder: Path) -> Iterator[Used]:
    from models.spaces.base import require_space

    require_space(component, space)
    yield from _of_component(part, group, component, folder)


def _of_sampler(config: SamplerConfig, folder: Path) -> Iterator[Used]:
    from models.gflownet.construction.base import construction_of
    from models.gflownet.training.trainer import TrainerOptions

    named: list[tuple[str, str, Any]] = []
    if config.density is not None:
        yield from _of_chain(config, folder)
        return
    if config.graphs is not None:
        yield from _of_graphs(config, folder)
        return
    if config.space is not None:
        space = build("space", config.space, base=folder)
        named += [
            ("space", "space", space),
            ("construction", "construction", construction_of(config.construction, space)),
        ]
    else:
        named.append(("environment", "environment", build("environment", config.environment or {}, base=folder)))
        named.append(("policy", "policy", build("policy", config.policy or {"kind": "mlp"}, base=folder)))
    for part in ("reward", "objective", "backward_policy", "conditioning"):
        if (spec := getattr(config, part)) is not None:
            named.append((part, part, build(part, spec, base=folder)))
    for part, group, component in named:
        yield from _of_component(part, group, component, folder)
    training = validated(TrainerOptions, config.training, source="training", what="training")
    yield Used("training", training.cited())
    yield from _of_options("training", "", training, folder)


def _of_chain(config: SamplerConfig, folder: Path) -> Iterator[Used]:
    from models.diffusion.trainer import CITES, DiffusionOptions

    for part in ("density", "objective"):
        yield from _of_component(part, part, build(part, getattr(config, part), base=folder), folder)
    training = validated(DiffusionOptions, config.training, source="training", what="training")
    yield Used("training", (*CITES, *training.cited()))


def _of_graphs(config: SamplerConfig, folder: Path) -> Iterator[Used]:
    from models.gflownet.training.amortised import AmortisedOptions

    specs = {"environment": config.environment or {}, "policy": config.policy or {"kind": "gin"}}
    for part, spec in {**specs, "objective": config.objective}.items():
        yield from _of_component(part, part, build(part, spec, base=folder), folder)
    validated(AmortisedOptions, config.training, source="training", what="training")


def _of_component(part: str, group: str, component: Any, folder: Path, space: Any = None) -> Iterator[Used]:
    """Yield what a component rests on, and then its parts, those that its options leave to a space included."""
    cls, known = type(component), references()
    cited: tuple[str, ...] = ()
    beyond: Mapping[int, tuple[str, ...]] = {}
    if isinstance(component, Component):
        cited = component.cited() if space is None else component.cited_in(space)
        beyond = component.cited_beyond()
    remarks = [
        f"{cls.__module__} cites {key!r}, which is none of the references of discovery-flows"
        for key in cited
        if key not in known
    ]
    if (own := _own_words(cls)) and (not cited or not cls.__module__.startswith("models.")):
        remarks.append(f"{group} {component.kind}: {own}")
    always = [key for key in cited if key in known and not any(key in keys for keys in beyond.values())]
    yield Used(f"{part}: {component.kind}", tuple(always), tuple(remarks))
    for labels, keys in beyond.items():
        told = tuple(key for key in keys if key in cited)
        yield Used(f"{part}: {component.kind}, only with more than {labels} labels", told, above=labels)
    options = getattr(component, "options", None)
    if not isinstance(options, BaseModel):
        return
    usual: Mapping[str, Any] = {}
    if space is not None and hasattr(component, "usual_parts"):
        usual = component.usual_parts(space)
    for name, inner in usual.items():
        yield from _of_component(f"{part}.{name}", _NESTED.get(name, name), inner, folder)
    yield from _of_options(part, group, options, folder, space, passed_over=frozenset(usual))


def _own_words(cls: type[Any]) -> str:
    """Return the reference that a class gives in its own words; empty where it gives keys only, or none."""
    own = next((base.__dict__["reference"] for base in cls.__mro__ if "reference" in base.__dict__), "")
    return own if isinstance(own, str) else ""


def _of_options(
    part: str,
    group: str,
    options: BaseModel,
    folder: Path,
    space: Any = None,
    *,
    passed_over: frozenset[str] = frozenset(),
) -> Iterator[Used]:
    """Yield what the parts and the tables rest on that options name."""
    for name in type(options).model_fields:
        value = getattr(options, name)
        if name in passed_over or (name == "replay" and not getattr(options, "replay_share", 1)):
            continue
        where, of = f"{part}.{name}", group if name == "inner" else _NESTED.get(name, name)
        if name == "features" and isinstance(value, str) and group == "proxy":
            value = {"kind": value}
        if isinstance(value, Mapping) and isinstance(value.get("kind"), str) and of in GROUPS:
            yield from _of_component(where, of, build(of, value, base=folder), folder, space)
        elif isinstance(value, BaseModel):
            yield from _of_options(where, group, value, folder, space)
        elif isinstance(value, tuple):
            for number, one in enumerate(value):
                if isinstance(one, BaseModel):
                    yield from _of_options(f"{where}.{number}", group, one, folder, space)
        elif isinstance(value, str | Path) and (keys := _of_table(value, folder)):
            yield Used(f"{where}: {Path(value).name}", keys)


def _of_table(value: str | Path, folder: Path) -> tuple[str, ...]:
    """Return what a table rests on that is shipped or public, by its name or by a path to it."""
    if isinstance(value, str):
        return tuple(provenance(value)["cites"]) if value in SHIPPED else TABLES[value].cites if value in TABLES else ()
    table, path = TABLES.get(value.stem), folder / value
    if table is None or (path.is_file() and path.stat().st_size > _LARGEST_HASHED):
        return ()
    same = not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() == table.table_sha256
    return table.cites if same else ()


def bibtex(found: Sequence[Used]) -> str:
    """Return the entries of BibTeX, each once, under comments that say which parts they are for."""
    blocks, told = [], set[str]()
    for one in found:
        again = [key for key in one.keys if key in told]
        lines = [_comment(one.part), *map(_comment, one.remarks)]
        lines += [_comment(f"also {', '.join(again)}, above")] if again else []
        told |= set(one.keys)
        blocks.append("\n".join(lines) + "\n" + "\n".join(_entry(key).bibtex() for key in one.keys if key not in again))
    return "\n".join(blocks)


def in_words(found: Sequence[Used]) -> str:
    """Return the same in words: under each part one reference a line."""
    blocks = []
    for one in found:
        lines = [*(_entry(key).told() for key in one.keys), *one.remarks]
        blocks.append("\n".join([one.part, *(f"  {line}" for line in lines)]) + "\n")
    return "\n".join(blocks)


def _comment(text: str) -> str:
    """Return a line that BibTeX passes over: an `@` would begin an entry there."""
    return "% " + " ".join(text.split()).replace("@", "(at)")


def _entry(key: str) -> Reference:
    entry = references()[key]
    return replace(entry, fields={**entry.fields, "year": YEAR, "version": version()}) if key == SOFTWARE[0] else entry


def print_citations(path: Path, overrides: Sequence[str], format: str, console: Terminal) -> int:
    """Print what a run of a file rests on, and nothing else on standard output; returns the exit code.

    Raises:
        ConfigError, ComponentError, SourceError: as `citations`.
    """
    found = citations(path, overrides)
    console.raw(bibtex(found) if format == "bibtex" else in_words(found))
    return 0
