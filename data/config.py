"""The campaign file: strict schema, overrides, identity.

A component is written `{kind: name, option: value, ...}`; its own options are checked by the registry of components,
which stands above this module.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from data.config_keys import keys_of, place_of, section_at
from data.engine_config import EngineConfig
from data.goals import SIGNS, Goal, Goals
from data.levels import from_cheap_to_true, refuse_levels
from data.observing import OBSERVE, each_output, refuse_mixed
from data.readings import Readings
from data.yaml_text import DEEPEST, YamlError, parse_yaml, read_yaml, shown

EXTENDABLE = ("rounds", "budget", "wait_for", "deadline", "engine")
"""Keys that may change between two runs of one campaign; every other change makes it another campaign."""


_EXAMPLES = "`discover example` lists those that are shipped."

MOST_TOLD = 20
"""Mistakes that one message lists."""

M = TypeVar("M", bound=BaseModel)


class ConfigError(ValueError):
    """A campaign file or sampler file, or an override of it, cannot be used as it is."""


def _has_kind(value: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(value.get("kind"), str):
        raise ValueError(f"a component is written {{kind: name, option: value}}, got {shown(value)}")
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


_WRITTEN_OUT = {
    "max_heavy_atoms": 14,
    "min_heavy_atoms": 3,
    "elements": ["H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Br"],
}
"""Defaults of the space of molecules, which ledgers have written out from when it was part of the schema."""


def _deadline(text: str) -> str:
    due(text, datetime.now(UTC))
    return text


def due(deadline: str, asked: datetime) -> datetime:
    """Return when a deadline ends for what was asked at a time.

    Raises:
        ValueError: it is neither a duration nor a date.
    """
    duration = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]+)?) ?(h|d|w)", deadline.strip())
    if duration is not None:
        hours = {"h": 1, "d": 24, "w": 168}[duration[2]]
        return asked + timedelta(hours=float(duration[1]) * hours)
    try:
        date = datetime.fromisoformat(deadline.strip())
    except ValueError as error:
        raise ValueError(
            f"{shown(deadline)} is neither a duration, such as 36 h, 14 d or 2 w, nor a date, such as 2027-01-31"
        ) from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)


class SpaceConfig(_Open):
    """Where to look: a kind of objects and its bounds."""

    kind: str = "molecules"

    @model_validator(mode="before")
    @classmethod
    def _without_defaults(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or raw.get("kind", "molecules") != "molecules":
            return raw
        return {key: value for key, value in raw.items() if key not in _WRITTEN_OUT or value != _WRITTEN_OUT[key]}


class ObjectiveConfig(_Strict):
    """What to improve, or to keep within limits, and who measures it."""

    name: str = Field(min_length=1)
    goal: Literal["maximise", "minimise", "satisfy", "target", "observe"] = "maximise"
    """`satisfy`: only the limits count; `target`: as close to `target` as can be; `observe`: no value is better, what
    it tells counts, of all `outputs` of the oracle where no `output` is named."""
    oracle: Spec
    """Who measures it; of a list from cheap to true the last, which gives the value."""
    levels: tuple[Spec, ...] = Field(default=(), exclude=True)
    """The list that `oracle` was written as, from cheap to true; empty where there is one oracle."""
    output: str | None = Field(default=None, min_length=1)
    """Name of the value to read where the oracle answers with several. Objectives that write their oracle alike read
    values of one call."""
    at_least: float | None = None
    """Least allowed value, in the objective's own unit."""
    at_most: float | None = None
    """Largest allowed value, in the objective's own unit."""
    target: float | None = None
    """The wanted value of the goal `target`."""
    replicates: int = Field(default=1, ge=1, le=100)
    """How often each candidate is measured; the number of all objectives is one."""
    tolerated_failure_rate: float = Field(default=0.5, ge=0, le=1)
    """Share of a round's calls that may fail before the campaign stops."""

    @model_validator(mode="before")
    @classmethod
    def _from_cheap_to_true(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and "levels" in raw:
            raise ValueError("there is no key `levels`; write `oracle` as a list from cheap to true")
        return from_cheap_to_true(raw)

    @model_serializer(mode="wrap")
    def _as_listed(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = serialise(self)
        if self.levels and "oracle" in told:
            told["oracle"] = [dict(one) for one in self.levels]
        return told

    @model_validator(mode="after")
    def _whole(self) -> Self:
        limits = [name for name in ("at_least", "at_most") if getattr(self, name) is not None]
        if self.goal == "satisfy" and not limits:
            raise ValueError("the goal 'satisfy' needs a limit; give at_least, at_most or both")
        if self.goal == OBSERVE and limits:
            raise ValueError(f"the goal 'observe' has no limits; leave out {' and '.join(limits)}")
        if self.goal == "target" and self.target is None:
            raise ValueError("the goal 'target' needs the value to come close to; give `target`")
        if self.goal != "target" and self.target is not None:
            raise ValueError(f"`target` is of the goal 'target', and the goal is {self.goal!r}; leave one of them out")
        if self.goal == "target" and limits:
            raise ValueError(
                f"{' and '.join(limits)} beside a target: write the limits as another objective of the same oracle, "
                "with the goal 'satisfy'; it costs no further call"
            )
        self.wanted()  # refuses limits that leave nothing between them
        return self

    def wanted(self) -> Goal:
        """Return what is wanted of the values."""
        sign = SIGNS[self.goal]
        return Goal(self.name, sign, at_least=self.at_least, at_most=self.at_most, target=self.target)


class DataConfig(_Open):
    """Where the library comes from, and how much of it is measured first; or a start design and a library apart.

    Written `{kind: name, option: value, initial: 48}`, or `{start: {kind: ...}, library: {kind: ...}, initial: 0}`.
    """

    kind: str = "zinc250k"
    initial: int = Field(default=48, ge=0)
    """Molecules of the initial design (round 0), drawn at random from the library and counted in the budget. Left out,
    it is no more than a file has without a value. Beside a start design the default is 0."""
    start: Spec | None = None
    """Source of the start design: all of it is taken, rows with a value as known, the others to be measured in round
    0, counted in the budget. None: what begins a campaign comes from the library."""
    library: Spec | None = None
    """Source of the library beside a start design: candidates to choose from and to draw on, without values."""

    @model_validator(mode="before")
    @classmethod
    def _only_the_start(cls, raw: Any) -> Any:
        """Where a start design is named, nothing more is drawn unless the file says so."""
        if isinstance(raw, dict) and raw.get("start") is not None and "initial" not in raw:
            return {**raw, "initial": 0}
        return raw

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        named = [name for name in _PARTS if name in self.model_fields_set]
        if not named:
            return self
        if not self.parts:
            raise ValueError(
                f"{' and '.join(named)}: null names no source; name one, {{kind: name, option: value}}, or write the "
                "source of start and library in one as `kind` with its options"
            )
        others = sorted((self.model_fields_set & {"kind"}) | set(self.model_extra or {}))
        if others:
            raise ValueError(
                f"{' and '.join(self.parts)} beside {', '.join(others)}: either one source is named by `kind` and its "
                "options, or the sources of `start` and `library` are, each with its own kind and options; move "
                f"{', '.join(others)} into one of them"
            )
        if self.initial and self.library is None:
            raise ValueError(
                f"initial asks for {self.initial} objects of a library beside the start design, and no `library` is "
                "named; name one, or leave out `initial`: the start design is taken as a whole"
            )
        return self

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """`start` and `library` as far as they are named apart, `{kind, option...}` each; empty: one source."""
        return {name: spec for name in _PARTS if (spec := getattr(self, name)) is not None}

    @property
    def pool(self) -> dict[str, Any]:
        """`{kind, option...}` of the source of which the initial design is drawn."""
        if not self.parts:
            return self.component()
        return self.library if self.library is not None else self.parts["start"]

    @model_serializer(mode="wrap")
    def _as_written(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = serialise(self)
        unnamed = [*({"kind"} if self.parts else ()), *(name for name in _PARTS if name not in self.parts)]
        return {key: value for key, value in told.items() if key not in unnamed}


_PARTS = ("start", "library")


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
    stalled: int | None = Field(default=None, ge=1)
    """Rounds in a row without anything better after which the campaign ends."""


class CampaignConfig(_Strict):
    """A discovery campaign."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    seed: int = Field(default=0, ge=0)
    space: SpaceConfig = SpaceConfig()
    objectives: tuple[ObjectiveConfig, ...] = Field(min_length=1)
    data: DataConfig = DataConfig()
    screens: tuple[Spec, ...] = ()
    proxy: ProxyConfig = ProxyConfig()
    acquisition: Spec = {"kind": "upper_confidence_bound"}
    generator: GeneratorConfig = GeneratorConfig()
    selector: Spec = {"kind": "kriging_believer"}
    control: ControlConfig = ControlConfig()
    buying: Spec | None = None
    """Which objects are bought at which level, where an objective has several. None: `funnel`."""
    rounds: int = Field(default=3, ge=0)
    batch_size: int = Field(default=24, ge=1)
    remeasure: int = Field(default=0, ge=0)
    """Most of a batch that is measured already and measured again instead of something new, where measurements have
    noise: the best so far, and what is far from what its neighbours say."""
    budget: BudgetConfig = BudgetConfig()
    wait_for: float = Field(default=1.0, gt=0, le=1)
    """Share of a round's answers that must be there before the next round begins, where a laboratory gives them."""
    deadline: Annotated[str, AfterValidator(_deadline)] | None = None
    """When the next round begins with the answers that are there: so long after the batch was asked (`36 h`, `14 d`,
    `2 w`), or a date (`2027-01-31`, `2027-01-31 17:00`, UTC). None: it waits."""
    engine: EngineConfig | None = None
    """Where oracles are asked. None: `$DISCOVER_ENGINE`, or processes of this machine."""
    _folder: Path | None = PrivateAttr(default=None)

    @property
    def folder(self) -> Path | None:
        """Folder of the campaign file, where relative paths of the space start; no part of what the campaign is."""
        return self._folder

    def beside(self, folder: Path) -> Self:
        """Return the same configuration as that of a file in a folder."""
        placed = self.model_copy()
        placed._folder = folder
        return placed

    @model_validator(mode="before")
    @classmethod
    def _observed_apart(cls, raw: Any) -> Any:
        return each_output(raw)

    @model_validator(mode="after")
    def _objectives_apart(self) -> Self:
        names = [one.name for one in self.objectives]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"two objectives are called {twice[0]!r}; each is named in tables and files, so give each its own name"
            )
        numbers = sorted({one.replicates for one in self.objectives})
        if len(numbers) > 1:
            raise ValueError(
                f"the objectives have replicates of {' and '.join(map(str, numbers))}; a candidate is measured as "
                "often for each, so give all the same number"
            )
        refuse_levels(self.objectives, self.buying)
        refuse_mixed([(one.name, one.goal) for one in self.objectives])
        if self.budget.stalled is not None and self.goals.observed:
            raise ValueError(
                "budget.stalled beside the goal observe: no answer is better than another, so nothing can stall; leave "
                "it out"
            )
        self._refuse_remeasuring()
        if all(one.goal == "satisfy" for one in self.objectives):
            raise ValueError(
                f"nothing is to be improved: the goal of {' and '.join(names)} is 'satisfy'; give one objective the "
                "goal maximise, minimise or target"
            )
        return self

    def _refuse_remeasuring(self) -> None:
        """Refuse to measure again where nothing new would be bought, or where an objective has levels.

        Raises:
            ValueError: it is one of these.
        """
        if self.remeasure and self.levelled is not None:
            raise ValueError(
                f"remeasure: {self.remeasure} beside {self.levelled.name}, which lists several oracles; of levels from "
                "cheap to true nothing is measured again, so leave `remeasure` out"
            )
        if self.remeasure and self.remeasure >= self.batch_size - self.control.size(self.batch_size):
            raise ValueError(
                f"remeasure: {self.remeasure} leaves nothing new in a batch of {self.batch_size}, of which "
                f"{self.control.size(self.batch_size)} are the control arm's; give fewer, or a larger batch"
            )

    @property
    def levelled(self) -> ObjectiveConfig | None:
        """The objective that is measured at several levels from cheap to true; None: there is none."""
        return next((one for one in self.objectives if one.levels), None)

    @property
    def objective(self) -> ObjectiveConfig:
        """The first objective that is to be improved."""
        return next(one for one in self.objectives if one.goal != "satisfy")

    @property
    def goals(self) -> Goals:
        """What is wanted of each objective."""
        return Goals(one.wanted() for one in self.objectives)

    @property
    def readings(self) -> Readings:
        """Which answer of which oracle each objective reads."""
        read = {"name", "oracle", "output", "replicates"}
        objectives = [one.model_dump(mode="json", include=read) for one in self.objectives]
        return Readings.of(objectives, remeasured=bool(self.remeasure))

    def identity(self) -> str:
        """Return the sha256 of all that makes this campaign this campaign: everything but `EXTENDABLE`.

        Only what differs from the defaults counts, so that a key that is added with a default changes nothing.
        """
        return digest({key: value for key, value in self.sparse().items() if key not in EXTENDABLE})

    def sparse(self) -> dict[str, Any]:
        """Return what differs from the defaults, as JSON-able values: what stages depend on."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def to_json(self) -> dict[str, Any]:
        """Return the whole configuration, defaults included, as JSON-able values."""
        return self.model_dump(mode="json")


def digest(value: Any) -> str:
    """Return the sha256 of a JSON-able value, key order ignored."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def derive_seed(seed: int, *parts: str | int) -> int:
    """Return a seed in [0, 2**31) for one purpose: a hash of the campaign's seed and the purpose's name."""
    return int(digest([seed, *parts])[:12], 16) % 2**31


def load_config(path: Path, overrides: Sequence[str] = ()) -> CampaignConfig:
    """Read a campaign file and apply `a.b=c` overrides, values being YAML.

    Raises:
        ConfigError: the file is missing, no YAML mapping, or breaks the schema; the message names key and spelling.
    """
    return parse_config(read_mapping(path, overrides), source=path.name).beside(path.absolute().parent)


def read_mapping(path: Path, overrides: Sequence[str] = (), *, what: str = "campaign") -> dict[str, Any]:
    """Read a YAML file that holds a mapping and apply `a.b=c` overrides, values being YAML.

    Args:
        path: the file.
        overrides: `key.key=value`.
        what: the file describes, for messages; files of its kind are listed by `discover example`.

    Raises:
        ConfigError: the file is missing or no YAML mapping, or an override does not fit it.
    """
    try:
        if path.is_dir():
            raise ConfigError(f"{str(path)!r} is a folder; expected a {what} file. {_EXAMPLES}")
        if not path.is_file():
            raise ConfigError(f"There is no {what} file {str(path)!r}; expected a YAML file. {_EXAMPLES}")
        raw = read_yaml(path)
    except YamlError as error:
        raise ConfigError(f"{path.name} is no valid YAML for a {what} file: {error}.") from error
    except OSError as error:
        raise ConfigError(f"The {what} file {str(path)!r} cannot be read: {error.strerror or error}.") from error
    if raw is None:
        raise ConfigError(f"{path.name} is empty; expected a mapping with the keys of a {what}. {_EXAMPLES}")
    if not isinstance(raw, dict):
        raise ConfigError(f"{path.name} holds a {type(raw).__name__}; expected a mapping with the keys of a {what}.")
    for override in overrides:
        apply_override(raw, override)
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
        lines = "\n".join(f"  {_explain(model, item, what)}" for item in found[:MOST_TOLD])
        lines += f"\n  and {len(found) - MOST_TOLD} more." if len(found) > MOST_TOLD else ""
        raise ConfigError(f"{source} cannot be used:\n{lines}") from error


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Put a `key.key=value`, the value being YAML, into a mapping."""
    path, sep, text = override.partition("=")
    keys = path.strip().split(".")
    if not sep or not all(keys) or len(keys) > DEEPEST:
        raise ConfigError(f"Override {shown(override)} is not of the form key.key=value, such as budget.calls=100.")
    node: Any = raw
    for depth, key in enumerate(keys):
        if isinstance(node, list):
            index: Any = _position(override, ".".join(keys[:depth]), key, len(node))
        elif isinstance(node, dict):
            index = key
        else:
            raise ConfigError(
                f"Override {shown(override)}: {'.'.join(keys[:depth])} is a value and has no key {shown(key)}."
            )
        if depth == len(keys) - 1:
            node[index] = _override_value(override, text)
            return
        if isinstance(node, dict) and node.get(index) is None:  # absent, or a section that the file leaves empty
            node[index] = {}
        node = node[index]


def _position(override: str, where: str, key: str, length: int) -> int:
    index = int(key) if re.fullmatch("[0-9]{1,9}", key) else length
    if index >= length:
        raise ConfigError(
            f"Override {shown(override)}: {where} has no element {shown(key)}; expected a number below {length}."
        )
    return index


def _override_value(override: str, text: str) -> Any:
    try:
        return parse_yaml(text)
    except YamlError as error:
        if not text.strip().startswith(tuple("[{'\"&*!|>")):
            return text.strip()  # such as `,`: a text, which a shell has taken the quotes of
        raise ConfigError(
            f"Override {shown(override)} has no valid value: {error}. Values are YAML, for example 100 or [1, 2], or "
            "plain text."
        ) from error


_SECTION_TYPES = frozenset({"model_type", "model_attributes_type", "dataclass_type"})
_PLAIN = {
    **dict.fromkeys(_SECTION_TYPES | {"dict_type", "mapping_type"}, "expected keys with values, {key: value}"),
    **dict.fromkeys(("tuple_type", "list_type"), "expected a list, [a, b]"),
}


def plain_message(item: Any) -> str:
    """Return what is wrong by one of pydantic's errors, in words of the file instead of Python's types and classes."""
    return _PLAIN.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")


def _explain(model: type[BaseModel], item: Any, what: str) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known, key = keys_of(section_at(model, item["loc"][:-1])), str(item["loc"][-1])
        place = place_of(model, key)
        hint = nearest_spelling(key, known) if place is None else f" {shown(key)} belongs to {place}: move it there."
        return f"unknown key {shown(where)}; expected one of {', '.join(known)}.{hint}"
    if item["type"] == "missing":
        return f"key {where!r} is missing."
    if item["type"] in _SECTION_TYPES and where:
        section = section_at(model, item["loc"])
        keys = ", ".join(keys_of(section)) + " and options of that kind" * issubclass(section, _Open)
        return f"{where}: expected a section with keys among {keys} (got {shown(item['input'])})."
    message = plain_message(item)
    return f"{where or what}: {message}" + ("" if item["type"] == "value_error" else f" (got {shown(item['input'])}).")


def nearest_spelling(word: str, known: Sequence[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known word, or an empty string."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
