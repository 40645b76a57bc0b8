"""Builds a campaign's components from its configuration, and puts their state on disk without pickles."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.chemistry.molecules import identity
from data.config import CampaignConfig, ControlConfig, GeneratorConfig, SpaceConfig, digest
from data.ledger.book import OracleBook
from data.ledger.campaigns import Campaign
from data.ledger.ledger import Ledger
from data.records import FloatArray, JsonDict
from models.acquisition.base import round_context
from models.acquisition.log_reward import AcquisitionReward
from models.oracles.base import oracle_parts
from models.protocols import Acquisition, EmbeddingProxy, Generator, JointProxy, Oracle, Proxy, Screen, Selector, Space
from models.proxies.calibration import Calibrated, calibrated
from models.registry import ComponentError, build
from models.screens.domain import ApplicabilityDomain
from models.screens.space import SpaceScreen


def space_of(config: CampaignConfig) -> Space:
    """Return the bounds of the search space."""
    space: SpaceConfig = config.space
    return Space(space.max_heavy_atoms, space.min_heavy_atoms, space.elements)


def screens_of(config: CampaignConfig) -> list[Screen]:
    """Return the space's own check and the screens of the campaign, in order."""
    return [SpaceScreen.of(config.space), *(build("screen", spec) for spec in config.screens)]


def domain_of(config: CampaignConfig, measured: Sequence[str]) -> list[Screen]:
    """Return the screen of what is too unlike the n measured molecules to be believed; none unless it is asked for."""
    limit = config.proxy.domain.min_similarity
    return [ApplicabilityDomain(measured, limit)] if limit > 0 else []


def oracle_of(config: CampaignConfig, base: Path | None = None) -> Oracle:
    """Return the campaign's oracle; `base` is the campaign file's folder, needed for the version of one with files."""
    oracle: Oracle = build("oracle", oracle_spec(config, base))
    return oracle


def oracle_spec(config: CampaignConfig, base: Path | None) -> dict[str, Any]:
    """Return the oracle's `{kind, option...}`; relative paths start at the campaign file's folder."""
    return dict(config.objective.oracle) if base is None else _located(config.objective.oracle, base)


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


def book_of(ledger: Ledger, campaign: Campaign) -> OracleBook:
    """Return the campaign's calls to its oracle as the oracle is now."""
    oracle = oracle_of(campaign.config, campaign.base)
    identity = digest(oracle_parts(oracle, campaign.base))
    return OracleBook(ledger, campaign.id, oracle_name(campaign.config), oracle.version, identity, oracle.semantics)  # type: ignore[arg-type]


def acquisition_of(config: CampaignConfig) -> Acquisition:
    """Return the campaign's acquisition."""
    acquisition: Acquisition = build("acquisition", config.acquisition)
    wanted = getattr(acquisition, "objectives", 1)
    if wanted > len(config.objectives):
        raise ComponentError(
            f"The acquisition {config.acquisition['kind']!r} weighs at least {wanted} objectives against each other; "
            f"this campaign has {len(config.objectives)}. Use an acquisition of one objective, such as "
            "upper_confidence_bound."
        )
    return acquisition


def selector_of(config: CampaignConfig) -> Selector:
    """Return the campaign's batch selector.

    Raises:
        ComponentError: it is unknown, or it needs what the campaign's proxy does not have.
    """
    selector: Selector = build("selector", config.selector)
    proxy = build("proxy", config.proxy.component())
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
    generator: Generator = build("generator", _located(config.component(), base))
    return generator


def _located(spec: Mapping[str, Any], base: Path) -> dict[str, Any]:
    located = dict(spec)
    for option in ("vocabulary", "path"):
        if isinstance(spec.get(option), str):
            located[option] = str(base / Path(spec[option]).expanduser())
    if spec.get("kind") == "command":  # it runs in the campaign file's folder, unless the file says otherwise
        located["folder"] = str(base / Path(str(spec.get("folder", "."))).expanduser())
    if isinstance(spec.get("members"), list | tuple):
        located["members"] = [
            {**member, "generator": _located(member["generator"], base)}
            if isinstance(member, Mapping) and isinstance(member.get("generator"), Mapping)
            else member
            for member in spec["members"]
        ]
    return located


def reward_of(
    config: CampaignConfig, proxy: Proxy, molecules: list[str], measured: FloatArray, *, seed: int
) -> AcquisitionReward:
    """Return the log-reward for the generator.

    Args:
        config: of the campaign.
        proxy: fitted.
        molecules: n measured molecules.
        measured: their values, shape `(n,)`.
        seed: of acquisitions that draw; one for the whole round.
    """
    acquisition = acquisition_of(config)
    maximise = config.objective.goal == "maximise"
    return AcquisitionReward(
        proxy,
        acquisition,
        [*screens_of(config), *domain_of(config, molecules)],
        measured,
        maximise=maximise,
        inverse_temperature=config.generator.inverse_temperature,
        context=round_context(acquisition, proxy, molecules, measured, maximise=maximise, seed=seed),
    )


def object_ids(molecules: list[str]) -> list[str]:
    """Return the identities of canonical SMILES."""
    return [identity(smiles) for smiles in molecules]


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors, numbers, strings and nests of them, atomically; read back with `load_state`.

    Equal states give equal bytes, also when one of them was read back from a checkpoint.
    """
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:  # a file object: torch writes the path's name into the archive otherwise
        torch.save(_plain_state(dict(state)), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _plain_state(value: Any) -> Any:
    """Return an equal value that shares nothing but equal strings.

    The format writes an object that stands twice once, and a reference the second time: the bytes of a state would tell
    whether it was read from a checkpoint, and a stage that was killed would have another sha256.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().clone(memory_format=torch.contiguous_format)
    if isinstance(value, dict):
        return type(value)((_plain_state(key), _plain_state(item)) for key, item in value.items())
    if isinstance(value, list):
        return [_plain_state(item) for item in value]
    if type(value) is tuple:
        return tuple(_plain_state(item) for item in value)
    return sys.intern(value) if type(value) is str else value


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; refuses anything but plain values and tensors."""
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state


def load_proxy(folder: Path) -> Calibrated:
    """Rebuild a fitted proxy from `proxy.json` and `proxy.pt`, which holds its calibration too."""
    proxy = calibrated(build("proxy", json.loads((folder / "proxy.json").read_text())))
    proxy.load_state(load_state(folder / "proxy.pt"))
    return proxy


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys and a final newline; the same value gives the same bytes."""
    path.write_text(json.dumps(value, sort_keys=True, indent=1, default=_plain) + "\n", encoding="utf-8")


def read_json(path: Path) -> JsonDict:
    """Read a JSON object."""
    value: JsonDict = json.loads(path.read_text(encoding="utf-8"))
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form; convert it first.")
