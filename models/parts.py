"""The components of a campaign, built from its configuration: pure; files and processes are the business of stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.config import CampaignConfig, ControlConfig, GeneratorConfig, ProxyConfig
from data.goals import Goals
from data.records import FloatArray
from models.acquisition.base import about_round, built, fewest_objectives, heeds_limits, takes
from models.acquisition.log_reward import AcquisitionReward, require_rewarding
from models.oracles.base import bound, oracle_parts
from models.protocols import Acquisition, EmbeddingProxy, Generator, JointProxy, Oracle, Proxy, Screen, Selector
from models.proxies.oriented import oriented
from models.registry import ComponentError, build, find, kinds, located
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


def oracle_of(config: CampaignConfig, base: Path | None = None) -> Oracle:
    """Return the campaign's oracle, bound to its space.

    Args:
        config: of the campaign.
        base: the campaign file's folder, needed for the version of an oracle with files.
    """
    oracle: Oracle = bound(build("oracle", config.objective.oracle, base=base), space_of(config))
    return oracle


def oracle_spec(config: CampaignConfig, base: Path) -> dict[str, Any]:
    """Return the oracle's `{kind, option...}` for another process: its paths are absolute."""
    return located("oracle", config.objective.oracle, base)


def oracle_name(config: CampaignConfig) -> str:
    """Return the oracle's name for people; what decides a value is in `oracle_parts`."""
    oracle = oracle_of(config)
    return str(getattr(oracle, "label", oracle.kind))  # type: ignore[attr-defined]  # every component has a kind


def parts_of_oracle(config: CampaignConfig, base: Path) -> dict[str, str]:
    """Return all that decides the values of the campaign's oracle, by name; `base` is the campaign file's folder.

    Raises:
        ValueError: something is not there; a complete sentence says what to change.
    """
    return oracle_parts(oracle_of(config, base), base)


def acquisition_of(config: CampaignConfig) -> Acquisition:
    """Return the campaign's acquisition, its options read by the campaign's goals, under the limits that there are.

    A file that leaves the acquisition as it is by default gets the expected hypervolume improvement where several
    objectives are to be improved. Limits are heeded by `constrained` around an acquisition that does not do so itself.

    Raises:
        ComponentError: it is unknown or called in another way, it is not for so many objectives to improve, or it
            cannot reward a generator.
    """
    goals, spec = config.goals, config.acquisition
    wanted = len(goals.improved)
    if wanted > 1 and spec == CampaignConfig.model_fields["acquisition"].get_default(call_default_factory=True):
        spec = {"kind": "expected_hypervolume_improvement"}
    improved = Goals(goals[k] for k in goals.improved)
    acquisition = built(spec, improved)
    if not takes(acquisition, wanted):
        raise ComponentError(_of_another_number(spec, fewest_objectives(acquisition), wanted))
    require_rewarding(acquisition)
    if any(goal.limited for goal in goals) and not heeds_limits(acquisition):
        return built({"kind": "constrained", "inner": spec}, improved)
    return acquisition


def _of_another_number(spec: Mapping[str, Any], fewest: int, wanted: int) -> str:
    fitting = [kind for kind, part in kinds("acquisition").items() if takes(part, wanted)]
    what = f"weighs at least {fewest} objectives against each other" if fewest > 1 else "looks at one objective only"
    return (
        f"The acquisition {spec['kind']!r} {what}; this campaign has {wanted} to improve. Use one of "
        f"{', '.join(fitting)}" + (", or constrained around one of them." if wanted > 1 else ".")
    )


def proxy_spec(config: ProxyConfig, space: BaseSpace[Any]) -> dict[str, Any]:
    """Return the proxy's `{kind, option...}`; where the file names no features, they are the space's."""
    spec = config.component()
    proxy = find("proxy", spec["kind"])
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
    proxy = build("proxy", proxy_spec(config.proxy, space_of(config)))
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
