"""The campaign file: strict schema, overrides, identity.

A component is written `{kind: name, option: value, ...}`; its own options are checked by the registry of components,
which stands above this module.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

EXTENDABLE = ("rounds", "budget")
"""Keys that may change between two runs of one campaign; every other change makes it another campaign."""


M = TypeVar("M", bound=BaseModel)


class ConfigError(ValueError):
    """A campaign file or sampler file, or an override of it, cannot be used as it is."""


def _has_kind(value: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(value.get("kind"), str):
        raise ValueError(f"a component is written {{kind: name, option: value}}, got {value!r}")
    return value


Spec = Annotated[dict[str, Any], AfterValidator(_has_kind)]
"""`{kind: name, option: value, ...}` of an exchangeable part."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Open(BaseModel):
    """A component of which the schema knows some keys; the others are the component's own options."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    kind: str

    def component(self) -> dict[str, Any]:
        """Return `{kind, options}` as the registry takes it: without the keys that belong to the campaign."""
        return {"kind": self.kind, **(self.model_extra or {})}


class SpaceConfig(_Strict):
    """Where to look: neutral, single-component molecules of bounded size."""

    kind: Literal["molecules"] = "molecules"
    max_heavy_atoms: int = Field(default=14, ge=1, le=60)
    min_heavy_atoms: int = Field(default=3, ge=1)
    elements: tuple[str, ...] = ("H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Br")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_heavy_atoms > self.max_heavy_atoms:
            raise ValueError(
                f"min_heavy_atoms ({self.min_heavy_atoms}) is above max_heavy_atoms ({self.max_heavy_atoms})"
            )
        return self


class ObjectiveConfig(_Strict):
    """What to improve and who measures it."""

    name: str = Field(min_length=1)
    goal: Literal["maximise", "minimise"] = "maximise"
    oracle: Spec
    tolerated_failure_rate: float = Field(default=0.5, ge=0, le=1)
    """Share of a round's calls that may fail before the campaign stops."""


class DataConfig(_Open):
    """Where the library comes from, and how much of it is measured first."""

    kind: str = "zinc250k"
    initial: int = Field(default=48, ge=0)
    """Molecules of the initial design (round 0), drawn at random from the library and counted in the budget."""


class DomainConfig(_Strict):
    """How far from what was measured a proxy is believed."""

    min_similarity: float = Field(default=0.0, ge=0, le=1)
    """Least Tanimoto similarity (Morgan counts, radius 2) to a measured molecule: candidates below it get the least
    reward and are not bought. 0: none is refused. The control arm is never asked."""


class ProxyConfig(_Open):
    """What predicts the measurement, how its deviations are calibrated, and where it is believed."""

    kind: str = "gaussian_process"
    calibration: Literal["none", "variance", "isotonic"] = "variance"
    """On held-out scaffolds: one factor for all predicted deviations, or a non-decreasing map of them."""
    domain: DomainConfig = DomainConfig()


class GeneratorConfig(_Open):
    """Who proposes candidates, how many, and how sharply it follows the acquisition."""

    kind: str = "gflownet"
    proposals: int = Field(default=1000, ge=1, le=1_000_000)
    """Distinct candidates asked for in each round."""
    inverse_temperature: float = Field(default=3.0, gt=0)
    """log R(x) = inverse_temperature * (score(x) - mean of measured values) / their standard deviation."""


class ControlConfig(_Open):
    """The control arm: what an equally large purchase without a model finds."""

    kind: str = "random"
    fraction: float = Field(default=0.1, ge=0, le=0.9)
    """Share of each batch, rounded, at least one molecule unless it is 0."""

    def size(self, batch: int) -> int:
        """Return how many of a batch belong to the control arm; never the whole batch."""
        return 0 if self.fraction == 0 or batch < 2 else min(batch - 1, max(1, round(self.fraction * batch)))


class BudgetConfig(_Strict):
    """Limits of the whole campaign, kept across restarts. None: no limit."""

    calls: int | None = Field(default=None, ge=1)
    cost: float | None = Field(default=None, gt=0)
    """In the unit of the oracle's `cost`."""
    wall_time: float | None = Field(default=None, gt=0)
    """Seconds of running time, summed over restarts."""


class CampaignConfig(_Strict):
    """A discovery campaign."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    seed: int = 0
    space: SpaceConfig = SpaceConfig()
    objectives: tuple[ObjectiveConfig, ...] = Field(min_length=1)
    data: DataConfig = DataConfig()
    screens: tuple[Spec, ...] = ()
    proxy: ProxyConfig = ProxyConfig()
    acquisition: Spec = {"kind": "upper_confidence_bound"}
    generator: GeneratorConfig = GeneratorConfig()
    selector: Spec = {"kind": "kriging_believer"}
    control: ControlConfig = ControlConfig()
    rounds: int = Field(default=3, ge=0)
    batch_size: int = Field(default=24, ge=1)
    budget: BudgetConfig = BudgetConfig()

    @model_validator(mode="after")
    def _one_objective(self) -> Self:
        if len(self.objectives) > 1:
            raise ValueError(
                f"got {len(self.objectives)} objectives; a campaign takes one so far. Combine them in a `python` oracle"
            )
        return self

    @property
    def objective(self) -> ObjectiveConfig:
        """The objective of the campaign."""
        return self.objectives[0]

    def identity(self) -> str:
        """Return the sha256 of all that makes this campaign this campaign: everything but `EXTENDABLE`."""
        return digest({key: value for key, value in self.to_json().items() if key not in EXTENDABLE})

    def to_json(self) -> dict[str, Any]:
        """Return the whole configuration, defaults included, as JSON-able values."""
        return self.model_dump(mode="json")


def digest(value: Any) -> str:
    """Return the sha256 of a JSON-able value, key order ignored."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def derive_seed(seed: int, *parts: str | int) -> int:
    """Return a seed in [0, 2**31) for one purpose: a hash of the campaign's seed and the purpose's name."""
    return int(digest([seed, *parts])[:12], 16) % 2**31


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML with repeated keys refused: the second would silently win."""


def _mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise ConfigError(f"Key {key!r} stands twice in one mapping (line {key_node.start_mark.line + 1}).")
        seen[key] = loader.construct_object(value_node, deep=True)
    return seen


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_config(path: Path, overrides: Sequence[str] = ()) -> CampaignConfig:
    """Read a campaign file and apply `a.b=c` overrides, values being YAML.

    Raises:
        ConfigError: the file is missing, no YAML mapping, or breaks the schema; the message names key and spelling.
    """
    return parse_config(read_mapping(path, overrides), source=path.name)


def read_mapping(path: Path, overrides: Sequence[str] = (), *, what: str = "campaign") -> dict[str, Any]:
    """Read a YAML file that holds a mapping and apply `a.b=c` overrides, values being YAML.

    Args:
        path: the file.
        overrides: `key.key=value`.
        what: the file describes, for messages; files of its kind are shipped in `campaigns/`.

    Raises:
        ConfigError: the file is missing or no YAML mapping, or an override does not fit it.
    """
    if path.is_dir():
        raise ConfigError(f"{str(path)!r} is a folder; expected a {what} file (YAML), such as one inside it.")
    if not path.is_file():
        raise ConfigError(f"There is no {what} file {str(path)!r}; expected a YAML file, see `campaigns/`.")
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path.name} is no valid YAML: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is no UTF-8 text ({error.reason}); save the {what} file as UTF-8.") from error
    except OSError as error:
        raise ConfigError(
            f"{str(path)!r} cannot be read ({error.strerror or error}); mend its permissions, or name another file."
        ) from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path.name} holds {type(raw).__name__}; expected a mapping with the keys of a {what}.")
    for override in overrides:
        _apply(raw, override)
    return raw


def parse_config(raw: Mapping[str, Any], source: str = "the campaign") -> CampaignConfig:
    """Validate a mapping.

    Raises:
        ConfigError: all that is wrong, in one message.
    """
    return validated(CampaignConfig, raw, source=source, what="campaign")


def validated(model: type[M], raw: Mapping[str, Any], *, source: str, what: str) -> M:
    """Return the model of a mapping.

    Args:
        model: a strict schema.
        raw: the mapping.
        source: where it stands, such as the name of the file.
        what: it describes; named where something is wrong with the mapping as a whole.

    Raises:
        ConfigError: all that is wrong, in one message; unknown keys come with the known ones and the nearest spelling.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        # pydantic also calls a tuple too short when its only element is wrong: one mistake, one line.
        found = [item for item in error.errors() if not (item["type"] == "too_short" and item["input"])]
        lines = "\n".join(f"  {_explain(model, item, what)}" for item in found)
        raise ConfigError(f"{source} cannot be used:\n{lines}") from error


def _apply(raw: dict[str, Any], override: str) -> None:
    path, sep, text = override.partition("=")
    keys = path.strip().split(".")
    if not sep or not all(keys):
        raise ConfigError(f"Override {override!r} is not of the form key.key=value, for example budget.calls=100.")
    node: Any = raw
    for depth, key in enumerate(keys):
        if isinstance(node, list):
            if not key.isdigit() or int(key) >= len(node):
                raise ConfigError(
                    f"Override {override!r}: {'.'.join(keys[:depth])} has no element {key!r}; "
                    f"expected a number below {len(node)}."
                )
            index: Any = int(key)
        elif isinstance(node, dict):
            index = key
        else:
            raise ConfigError(f"Override {override!r}: {'.'.join(keys[:depth])} is a value and has no key {key!r}.")
        if depth == len(keys) - 1:
            node[index] = _override_value(override, text)
        else:
            node = node.setdefault(index, {}) if isinstance(node, dict) else node[index]


def _override_value(override: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"Override {override!r}: {text!r} is no valid YAML, for example 100 or [1, 2].") from error


def _explain(model: type[BaseModel], item: Any, what: str) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = _known_keys(model, item["loc"][:-1])
        close = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"unknown key {where!r}; expected one of {', '.join(known)}.{hint}"
    if item["type"] == "missing":
        return f"key {where!r} is missing."
    message = item["msg"].removeprefix("Value error, ")
    return f"{where or what}: {message}" + ("" if item["type"] == "value_error" else f" (got {item['input']!r}).")


def _known_keys(model: Any, loc: Sequence[Any]) -> list[str]:
    for part in loc:
        if part not in model.model_fields:  # the number of an element, or the name of an alternative
            continue
        annotation = model.model_fields[part].annotation
        args = [arg for arg in getattr(annotation, "__args__", ()) if isinstance(arg, type)]
        model = args[0] if args else annotation
    return sorted(model.model_fields)
