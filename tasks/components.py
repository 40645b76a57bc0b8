"""Builds a campaign's components from its configuration, and puts their state on disk without pickles."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.config import CampaignConfig, ControlConfig, GeneratorConfig, SpaceConfig
from data.molecules import identity
from data.records import FloatArray, JsonDict
from models.protocols import Acquisition, Generator, Oracle, Proxy, Screen, Selector, Space
from models.registry import build
from models.reward import AcquisitionReward
from models.screens.space import SpaceScreen


def space_of(config: CampaignConfig) -> Space:
    """Return the bounds of the search space."""
    space: SpaceConfig = config.space
    return Space(space.max_heavy_atoms, space.min_heavy_atoms, space.elements)


def screens_of(config: CampaignConfig) -> list[Screen]:
    """Return the space's own check and the screens of the campaign, in order."""
    return [SpaceScreen.of(config.space), *(build("screen", spec) for spec in config.screens)]


def oracle_of(config: CampaignConfig) -> Oracle:
    """Return the campaign's oracle."""
    oracle: Oracle = build("oracle", config.objective.oracle)
    return oracle


def oracle_name(config: CampaignConfig) -> str:
    """Return the oracle's name in the ledger: its kind, and the property or function that it measures."""
    spec = config.objective.oracle
    detail = spec.get("property") or spec.get("function")
    return f"{spec['kind']}:{detail}" if detail else str(spec["kind"])


def acquisition_of(config: CampaignConfig) -> Acquisition:
    """Return the campaign's acquisition."""
    acquisition: Acquisition = build("acquisition", config.acquisition)
    return acquisition


def selector_of(config: CampaignConfig) -> Selector:
    """Return the campaign's batch selector."""
    selector: Selector = build("selector", config.selector)
    return selector


def generator_of(config: GeneratorConfig | ControlConfig, base: Path) -> Generator:
    """Return a generator that is not trained; relative paths in its options start at the campaign file's folder."""
    generator: Generator = build("generator", _located(config.component(), base))
    return generator


def _located(spec: Mapping[str, Any], base: Path) -> dict[str, Any]:
    located = dict(spec)
    if isinstance(spec.get("vocabulary"), str):
        located["vocabulary"] = str(base / Path(spec["vocabulary"]).expanduser())
    if isinstance(spec.get("members"), list | tuple):
        located["members"] = [
            {**member, "generator": _located(member["generator"], base)}
            if isinstance(member, Mapping) and isinstance(member.get("generator"), Mapping)
            else member
            for member in spec["members"]
        ]
    return located


def reward_of(config: CampaignConfig, proxy: Proxy, measured: FloatArray) -> AcquisitionReward:
    """Return the log-reward for the generator."""
    return AcquisitionReward(
        proxy,
        acquisition_of(config),
        screens_of(config),
        measured,
        maximise=config.objective.goal == "maximise",
        inverse_temperature=config.generator.inverse_temperature,
    )


def object_ids(molecules: list[str]) -> list[str]:
    """Return the InChIKeys of canonical SMILES."""
    return [identity(smiles) for smiles in molecules]


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors, numbers, strings and nests of them, atomically; read back with `load_state`."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:  # a file object: torch writes the path's name into the archive otherwise
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; refuses anything but plain values and tensors."""
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state


def load_proxy(folder: Path) -> Proxy:
    """Rebuild a fitted proxy from `proxy.json` and `proxy.pt`."""
    proxy: Proxy = build("proxy", json.loads((folder / "proxy.json").read_text()))
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
