"""The components of a campaign, built from its configuration: pure; files and processes are the business of stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np

from data.config import CampaignConfig, ControlConfig, GeneratorConfig, ProxyConfig, nearest_spelling
from data.goals import Goals
from data.records import FloatArray
from models.acquisition.base import (
    about_round,
    built,
    fewest_objectives,
    heeds_limits,
    most_objectives,
    takes,
    wants_information,
)
from models.acquisition.log_reward import AcquisitionReward, require_rewarding
from models.buying.base import Buying
from models.oracles.base import bound, parts_for_campaign
from models.protocols import (
    Acquisition,
    EmbeddingProxy,
    Generator,
    JointProxy,
    LevelProxy,
    Oracle,
    Proxy,
    Screen,
    Selector,
)
from models.proxies.oriented import oriented
from models.registry import ComponentError, build, find, kinds, located
from models.row_protocols import InformingProxy, RowProxy
from models.screens.domain import ApplicabilityDomain
from models.screens.space import InSpace
from models.spaces.base import BaseSpace


def space_of(config: CampaignConfig) -> BaseSpace[Any]:
    """Return the search space; relative paths in its options start at the campaign file's folder."""
    space: BaseSpace[Any] = build("space", config.space.component(), base=config.folder)
    return space


def screens_of(config: CampaignConfig) -> list[Screen]:
    """Return the space's own check and the screens of the campaign, in order."""
    return [InSpace(space_of(config)), *(build("screen", spec) for spec in config.screens)]


def domain_of(config: CampaignConfig, measured: Sequence[str]) -> list[Screen]:
    """Return the screen of what is too unlike the n measured objects to be believed; none unless it is asked for."""
    limit = config.proxy.domain.min_similarity
    return [ApplicabilityDomain(measured, limit, space_of(config).nearness)] if limit > 0 else []


def oracle_of(config: CampaignConfig, base: Path | None = None, part: str = "") -> Oracle:
    """Return an oracle of the campaign, bound to its space.

    Args:
        config: of the campaign.
        base: the campaign file's folder, needed for the version of an oracle with files.
        part: which oracle, as `config.readings` names them; the first objective's.
    """
    oracle: Oracle = bound(build("oracle", written_oracle(config, part), base=base), space_of(config))
    return oracle


def written_oracle(config: CampaignConfig, part: str = "") -> dict[str, Any]:
    """Return an oracle's `{kind, option...}` as the campaign file has it."""
    readings = config.readings
    objective, reading = config.objectives[first := readings.first_of(part)], readings[first]
    places = [own for own, _ in reading.levels]
    return objective.levels[places.index(part)] if objective.levels else objective.oracle


def oracle_spec(config: CampaignConfig, base: Path, part: str = "") -> dict[str, Any]:
    """Return an oracle's `{kind, option...}` for another process: its paths are absolute."""
    return located("oracle", written_oracle(config, part), base)


def oracle_name(config: CampaignConfig, part: str = "") -> str:
    """Return an oracle's name for people; what decides a value is in `oracle_parts`."""
    oracle = oracle_of(config, part=part)
    return str(getattr(oracle, "label", oracle.kind))  # type: ignore[attr-defined]  # every component has a kind


def parts_of_oracle(config: CampaignConfig, base: Path, part: str = "") -> dict[str, str]:
    """Return all that decides the values of an oracle, by name; `base` is the campaign file's folder.

    Raises:
        ValueError: something is not there; a complete sentence says what to change.
    """
    return parts_for_campaign(oracle_of(config, base, part), base, config.name)


def parts_of_oracles(config: CampaignConfig, base: Path) -> list[dict[str, str]]:
    """Return the same of every oracle of the campaign, in their order."""
    return [parts_of_oracle(config, base, part) for part in config.readings.parts]


def units_of(config: CampaignConfig) -> dict[str, str]:
    """Return the unit of each objective, by its name; empty where there is none."""
    return {
        one.name: _unit(build("oracle", one.oracle), reading.output)
        for one, reading in zip(config.objectives, config.readings, strict=True)
    }


def _unit(oracle: Oracle, output: str | None) -> str:
    if output is None:
        return str(getattr(oracle, "unit", "") or "")
    return str(outputs_of(oracle).get(output, ""))


def outputs_of(oracle: Oracle) -> Mapping[str, str]:
    """Return the names and units of an oracle's several values; none where it answers with one."""
    named: Mapping[str, str] = getattr(getattr(oracle, "options", None), "outputs", None) or {}
    return named


def check_readings(config: CampaignConfig) -> None:
    """Refuse objectives that read what their oracle does not answer.

    Raises:
        ComponentError: there is one.
    """
    every = [
        (one, spec, output)
        for one, reading in zip(config.objectives, config.readings, strict=True)
        for spec, (_, output) in zip(one.levels or (one.oracle,), reading.levels, strict=True)
    ]
    for one, spec, output in every:
        named = outputs_of(build("oracle", spec))
        if (output is None) if named else (output is not None):
            has = f"answers {', '.join(named)}" if named else "answers with one value, which has no name"
            step = f"Give `output`, one of {', '.join(named)}." if named else _NAME_OUTPUTS
            raise ComponentError(
                f"The objective {one.name!r} reads {'no' if output is None else repr(output) + ' as'} output; "
                f"its oracle {spec['kind']!r} {has}. {step}"
            )
        if output is not None and output not in named:
            raise ComponentError(
                f"The objective {one.name!r} reads the output {output!r}; its oracle {spec['kind']!r} "
                f"answers {', '.join(named)}.{nearest_spelling(output, tuple(named))}"
            )


_NAME_OUTPUTS = "Leave `output` out, or name what the oracle answers by its option `outputs`, if its kind has one."


def acquisition_of(config: CampaignConfig) -> Acquisition:
    """Return the campaign's acquisition, its options read by the campaign's goals, under the limits that there are.

    A file that leaves the acquisition as it is by default gets the expected hypervolume improvement where several
    objectives are to be improved, and `chebyshev` where they are too many for it (`replaced_acquisition_told`). Limits
    are heeded by `constrained` around an acquisition that does not do so itself.

    Raises:
        ComponentError: it is unknown or called in another way, it is not for so many objectives to improve, or it
            cannot reward a generator.
    """
    goals, spec = config.goals, config.acquisition
    wanted = len(goals.improved)
    if goals.observed and _is_default(spec):
        spec = {"kind": OF_NONE}
    if wanted > 1 and _is_default(spec):
        spec = {"kind": OF_SEVERAL if takes(find("acquisition", OF_SEVERAL), wanted) else OF_MANY}
    improved = Goals(goals[k] for k in goals.improved)
    acquisition = built(spec, improved)
    if not takes(acquisition, wanted):
        raise ComponentError(_of_another_number(spec, acquisition, wanted))
    require_rewarding(acquisition)
    if any(goal.limited for goal in goals) and not heeds_limits(acquisition):
        return built({"kind": "constrained", "inner": spec}, improved)
    return acquisition


OF_NONE = "expected_information_gain"
"""Acquisition where nothing is to be improved and the file names none."""

OF_SEVERAL = "expected_hypervolume_improvement"
"""Acquisition of several objectives where the file names none."""

OF_MANY = "chebyshev"
"""The same, where they are too many for it."""


def _is_default(spec: Mapping[str, Any]) -> bool:
    return bool(spec == CampaignConfig.model_fields["acquisition"].get_default(call_default_factory=True))


def replaced_acquisition_told(config: CampaignConfig) -> str | None:
    """Return the sentence on an acquisition that takes the place of the usual one; None: there is none."""
    wanted, usual = len(config.goals.improved), find("acquisition", OF_SEVERAL)
    if wanted < 2 or not _is_default(config.acquisition) or takes(usual, wanted):
        return None
    return (
        f"The campaign improves {wanted} objectives, and {OF_SEVERAL}, the default of several, takes "
        f"{most_objectives(usual)} at most, since its boxes take minutes for each candidate beyond: {OF_MANY} is used "
        "instead. Write `acquisition: {kind: ...}` to choose, or give some objectives limits in place of a goal."
    )


def _of_another_number(spec: Mapping[str, Any], acquisition: Acquisition, wanted: int) -> str:
    fitting = [kind for kind, part in kinds("acquisition").items() if takes(part, wanted)]
    fewest, most = fewest_objectives(acquisition), most_objectives(acquisition)
    if most is not None and wanted > most:
        return (
            f"The acquisition {spec['kind']!r} takes {most} objectives to improve at most, as its time grows "
            f"manyfold with each; this campaign has {wanted}. Use one of {', '.join(fitting)}, or give some objectives "
            "limits in place of a goal (goal: satisfy)."
        )
    if most == 0 or not wanted:
        one = "looks for what an answer tells" if most == 0 else "looks for better values"
        return (
            f"The acquisition {spec['kind']!r} {one}; this campaign has {wanted} objectives to improve. Use one of "
            f"{', '.join(fitting)}, or give {'all objectives the goal observe' if most == 0 else 'one a goal'}."
        )
    what = f"weighs at least {fewest} objectives against each other" if fewest > 1 else "looks at one objective only"
    return (
        f"The acquisition {spec['kind']!r} {what}; this campaign has {wanted} to improve. Use one of "
        f"{', '.join(fitting)}" + (", or constrained around one of them." if wanted > 1 else ".")
    )


def proxy_spec(config: ProxyConfig, space: BaseSpace[Any]) -> dict[str, Any]:
    """Return the proxy's `{kind, option...}`; where the file names no features, they are the space's."""
    return _with_features(config.component(), space)


def proxy_beside(config: CampaignConfig) -> ProxyConfig:
    """Return what the campaign says of its proxy, relative paths among the options from the campaign file's folder."""
    told = config.proxy
    if config.folder is None or not any(
        Path in (field.annotation, *get_args(field.annotation))
        for field in find("proxy", told.kind).Options.model_fields.values()
    ):
        return told
    spec = located("proxy", told.component(), config.folder)
    return told.model_copy(update={name: value for name, value in spec.items() if name != "kind"})


def _with_features(spec: dict[str, Any], space: BaseSpace[Any]) -> dict[str, Any]:
    proxy = find("proxy", spec["kind"])
    inner = proxy.Options.model_fields.get("inner")
    if inner is not None:  # what is within looks at the objects
        within = dict(spec.get("inner") or inner.get_default(call_default_factory=True))
        return {**spec, "inner": _with_features(within, space)}
    features = proxy.Options.model_fields.get("features")
    if features is None or "features" in spec:
        return spec
    usual = space.weighed_features if getattr(proxy, "weighs_features", False) else None
    usual = dict(usual or space.features)
    return spec if usual == {"kind": features.default} else {**spec, "features": usual}


def selector_of(config: CampaignConfig) -> Selector:
    """Return the campaign's batch selector.

    Raises:
        ComponentError: it is unknown, or it needs what the campaign's proxy does not have.
    """
    selector: Selector = build("selector", config.selector)
    several = len(config.goals.improved)
    if several > 1 and getattr(selector, "of_one_objective", False):
        raise ComponentError(
            f"The selector {config.selector['kind']!r} looks at one objective to improve; this campaign has {several}. "
            "Use kriging_believer, thompson, pareto_diverse or another selector."
        )
    proxy = build("proxy", proxy_spec(proxy_beside(config), space_of(config)))
    if getattr(selector, "wants_joint", False) and not isinstance(proxy, JointProxy):
        raise ComponentError(
            f"The selector {config.selector['kind']!r} needs a proxy with a joint posterior; {config.proxy.kind!r} "
            "has none. Use gaussian_process, or another selector."
        )
    features = features_of(selector)
    if features in ("last_layer", "gradient") and not isinstance(proxy, EmbeddingProxy):
        raise ComponentError(
            f"The selector {config.selector['kind']!r} takes distances in {features}; the proxy "
            f"{config.proxy.kind!r} is no network and has none. Use features: fingerprints or descriptors."
        )
    return selector


def check_observing(config: CampaignConfig) -> None:
    """Refuse a proxy that does not know what the campaign's acquisition or selector wants to know.

    Raises:
        ComponentError: it is so, or the proxy learns whole rows, and not of these objectives.
    """
    proxy = build("proxy", proxy_spec(proxy_beside(config), space_of(config)))
    if isinstance(proxy, RowProxy):
        proxy.check_names([one.name for one in config.objectives])
    if isinstance(proxy, InformingProxy):
        return
    wanting = [
        *(["acquisition"] if wants_information(acquisition_of(config)) else []),
        *(["selector"] if getattr(selector_of(config), "wants_information", False) else []),
    ]
    if wanting:
        raise ComponentError(
            f"The {' and the '.join(wanting)} of this campaign {'need' if len(wanting) > 1 else 'needs'} a proxy that "
            f"knows what an answer would tell; {config.proxy.kind!r} does not. Use proxy: {{kind: causal_graphs}} with "
            "space: {kind: interventions}, or give an objective a goal other than observe."
        )


def buying_of(config: CampaignConfig) -> Buying[Any]:
    """Return how the campaign buys among its levels; a file that does not say buys as a funnel.

    Raises:
        ComponentError: it is unknown, or it needs what the campaign's proxy or goal does not have.
    """
    spec = config.buying or {"kind": "funnel" if config.levelled else "one_level"}
    buying: Buying[Any] = build("buying", spec)
    if not buying.wants_levels:
        return buying
    proxy = build("proxy", proxy_spec(proxy_beside(config), space_of(config)))
    if not (isinstance(proxy, LevelProxy) and isinstance(proxy, JointProxy)):
        raise ComponentError(
            f"The buying {spec['kind']!r} needs a proxy with a posterior at all levels; {config.proxy.kind!r} has "
            "none. Use proxy: {kind: autoregressive}, or buying: {kind: funnel}."
        )
    if len(config.goals.improved) > 1:
        raise ComponentError(
            f"The buying {spec['kind']!r} looks at one objective to improve; this campaign has "
            f"{len(config.goals.improved)}. Use buying: {{kind: funnel}}."
        )
    if config.levelled is not None and config.levelled.goal == "target":
        raise ComponentError(
            f"The buying {spec['kind']!r} looks for the largest or the smallest value, and the goal of "
            f"{config.levelled.name!r} is a target. Use buying: {{kind: funnel}}."
        )
    return buying


def level_costs(config: CampaignConfig) -> tuple[float, ...]:
    """Return the cost of one purchase at each level alone, from cheap to true; empty where there are no levels.

    Repeated measurements are counted, and with the truth the other objectives, which are asked then.
    """
    readings = config.readings
    levelled = readings.levelled
    if levelled is None:
        return ()
    costs = [oracle_of(config, part=part).cost for part, _ in levelled.below]
    costs.append(sum(oracle_of(config, part=part).cost for part in readings.true_parts))
    return tuple(readings.replicates * cost for cost in costs)


def initial_levels(config: CampaignConfig, n: int) -> list[tuple[int, ...]]:
    """Return the levels at which each of n objects of the initial design is bought."""
    return buying_of(config).initial(n, len(level_costs(config)))


def check_levels(config: CampaignConfig) -> None:
    """Refuse levels whose costs do not rise, or whose units differ.

    Raises:
        ComponentError: it is so.
    """
    one, readings = config.levelled, config.readings
    if one is None or readings.levelled is None:
        return
    oracles = [oracle_of(config, part=part) for part, _ in readings.levelled.levels]
    costs = [oracle.cost for oracle in oracles]
    if costs[0] <= 0 or any(low >= high for low, high in pairwise(costs)):
        raise ComponentError(
            f"The oracles of {one.name!r} are to be listed from cheap to true, and their costs are "
            f"{', '.join(f'{cost:g}' for cost in costs)}: they must rise from above 0. Order the list, or state what a "
            "call costs by the option `cost` of each."
        )
    units = [_unit(oracle, output) for oracle, (_, output) in zip(oracles, readings.levelled.levels, strict=True)]
    if len({unit for unit in units if unit}) > 1:
        raise ComponentError(
            f"The oracles of {one.name!r} measure in {', '.join(unit or 'no unit' for unit in units)}; levels are of "
            "one quantity. Give them one unit."
        )


def features_of(selector: Selector) -> str | None:
    """Return what the selector takes distances in: its option `features`, None if it takes none."""
    return getattr(getattr(selector, "options", None), "features", None)


def generator_of(config: GeneratorConfig | ControlConfig, base: Path) -> Generator:
    """Return a generator that is not trained; relative paths in its options start at the campaign file's folder."""
    generator: Generator = build("generator", config.component(), base=base)
    return generator


def through_goal(
    config: CampaignConfig, proxies: tuple[Proxy, ...], values: FloatArray
) -> tuple[tuple[Proxy, ...], FloatArray]:
    """Return K proxies and measured values as the campaign's goals see them, signed: larger is better.

    Args:
        config: of the campaign.
        proxies: one fitted per objective, in its own unit.
        values: shape `(n, K)`, in the objectives' own units, nan where one was not measured.

    Returns:
        The proxies, and the signed values, shape `(n, K)`.

    Raises:
        ValueError: there is not one proxy and one column of values per objective.
    """
    goals = config.goals
    if not len(proxies) == len(goals) == values.shape[1]:
        raise ValueError(
            f"There is one proxy and one column of values per objective; got {len(proxies)} proxies, "
            f"{values.shape[1]} columns and {len(goals)} objectives."
        )
    seen = tuple(oriented(proxy, goal) for proxy, goal in zip(proxies, goals, strict=True))
    signed = [
        goal.factor * column if goal.target is None else -np.abs(column - goal.target)
        for goal, column in zip(goals, values.T, strict=True)
    ]
    return seen, np.column_stack(signed)


def reward_of(
    config: CampaignConfig, proxies: tuple[Proxy, ...], objects: list[str], measured: FloatArray, *, seed: int
) -> AcquisitionReward:
    """Return the log-reward for the generator.

    Args:
        config: of the campaign.
        proxies: one fitted per objective, seen through its goal.
        objects: n measured objects.
        measured: their signed values, shape `(n, K)`, nan where an objective was not measured.
        seed: of acquisitions that draw; one for the whole round.
    """
    acquisition, space = acquisition_of(config), space_of(config)
    about = about_round(acquisition, proxies, objects, measured, seed=seed, goals=config.goals, space=space)
    return AcquisitionReward(
        proxies,
        acquisition,
        [*screens_of(config), *domain_of(config, objects)],
        measured,
        inverse_temperature=config.generator.inverse_temperature,
        about=about,
    )
