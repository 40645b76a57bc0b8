"""Proxies as what is tuned: a unit of training is one fold, judged by the likelihood of what was held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import numpy as np
from pydantic.fields import FieldInfo

from data.config import ConfigError, nearest_spelling
from data.records import FloatArray
from models.proxies.base import BaseProxy
from models.proxies.evaluation import group_folds, metrics
from models.registry import build, find
from models.threads import single_thread
from models.tuning.base import FAILED, first_line
from models.tuning.ranges import SearchSpace, Settings, search_space
from models.tuning.samplers import value_at

SECTION = "proxy"
FOLDS = 5
UNITS = 9
"""Folds of a member that is judged in full: with rungs of one, three and nine."""
DECADES = ("learning_rate", "weight_decay", "penalty", "min_noise")
DOUBLED = ("width", "steps")
FIXED_RANGES: dict[str, list[float]] = {
    "max_features": [0.1, 1.0],
    "min_leaf": [1, 10],
    "depth": [1, 3],
    "freedom": [2.5, 50.0],
}
NAMED = ("kernel", "uncertainty", "tails")
"""Options with a few named values, all of which may be tried."""


def usual_ranges(spec: Mapping[str, Any], objects: Sequence[str]) -> dict[str, Any]:
    """Return what is tuned unless it is told, from the options that the kind of proxy has.

    Named values with which the proxy refuses the features of the objects are left out.
    """
    options = build("proxy", spec).options
    ranges: dict[str, Any] = {}
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        if name in DECADES and value:
            ranges[name] = _within(field, value / 10.0, value * 10.0)
        elif name in DOUBLED:
            ranges[name] = [max(1, value // 2), value * 2]
        elif name in FIXED_RANGES:
            ranges[name] = FIXED_RANGES[name]
        elif name in NAMED and get_origin(field.annotation) is Literal:
            usable = [one for one in get_args(field.annotation) if _takes({**spec, name: one}, objects[:1])]
            if len(usable) > 1:
                ranges[name] = usable
    return {f"{SECTION}.{name}": value for name, value in ranges.items()}


def _takes(spec: Mapping[str, Any], objects: Sequence[str]) -> bool:
    try:
        proxy = build("proxy", spec)
        if isinstance(proxy, BaseProxy):
            proxy.check_features(objects)
    except ValueError:
        return False
    return True


def _within(field: FieldInfo, low: float, high: float) -> list[float]:
    """Return the ends of a range as far as the option's own bounds let them be."""
    most = [bound.le for bound in field.metadata if getattr(bound, "le", None) is not None]
    return [low, min([high, *map(float, most)])]


def option_key(key: str, spec: Mapping[str, Any]) -> str:
    """Return the key in a campaign file that is meant: `width` is `proxy.width`.

    Raises:
        ConfigError: the proxy has no such option.
    """
    name = key.removeprefix(f"{SECTION}.")
    known = list(find("proxy", str(spec["kind"])).Options.model_fields)
    if name not in known:
        raise ConfigError(
            f"The proxy {spec['kind']!r} has no option {name!r} to tune; its options are {', '.join(known)}."
            + nearest_spelling(name, known)
        )
    return f"{SECTION}.{name}"


@dataclass(frozen=True)
class ProxySubject:
    """A campaign's proxy as what is tuned.

    Attributes:
        spec: `{kind, option...}`.
        space: what may be chosen, by the keys of the campaign file.
        objects, values, groups: n measured objects; those of one group are never in two folds.
        units: folds of a member that is judged in full.
        seed: of the folds.
    """

    spec: Mapping[str, Any]
    space: SearchSpace
    objects: tuple[str, ...]
    values: FloatArray
    groups: tuple[str, ...]
    units: int = UNITS
    seed: int = 0

    measure = "negative log-likelihood"
    sign = -1.0

    @classmethod
    def of(
        cls,
        spec: Mapping[str, Any],
        over: Mapping[str, Any] | None,
        objects: Sequence[str],
        values: FloatArray,
        groups: Sequence[str],
        *,
        seed: int = 0,
    ) -> ProxySubject:
        """Take a proxy and what was measured.

        Raises:
            ConfigError, ComponentError: there is no such option, or nothing to choose.
        """
        ranges = (
            usual_ranges(spec, objects) if over is None else {option_key(key, spec): one for key, one in over.items()}
        )
        made = cls(spec, search_space(ranges), tuple(objects), np.asarray(values), tuple(groups), UNITS, seed)
        made.settings  # noqa: B018  # a key without a value is refused here
        return made

    @property
    def settings(self) -> Settings:
        """What the file itself says."""
        full = {SECTION: build("proxy", self.spec).config()}
        return {key: value_at(full, key) for key in self.space.options}

    @property
    def fixed(self) -> list[str]:
        """Keys that cannot change in the course of a training: all."""
        return list(self.space.options)

    def with_settings(self, settings: Settings) -> dict[str, Any]:
        """Return the proxy's `{kind, option...}` with settings."""
        return {**self.spec, **{key.partition(".")[2]: value for key, value in settings.items()}}

    def member(self, settings: Settings, seed: int) -> ProxyMember:
        """Return a proxy before its first fold."""
        return ProxyMember(self, settings, seed)

    def company(self, settings: list[Settings], seeds: list[int]) -> list[Any]:
        """Refuse: a proxy meets nothing that others could learn from.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "Proxies meet no objects of their own that others could learn from: use --method model_based."
        )

    def rest(self, test: Sequence[int]) -> list[int]:
        """Return the rows that are not tested."""
        held = set(test)
        return [row for row in range(len(self.objects)) if row not in held]

    def fold(self, unit: int) -> list[int]:
        """Return the rows that a unit holds out; after every five the folds are drawn anew."""
        names = [group or f"\0{row}" for row, group in enumerate(self.groups)]
        if len(set(names)) < FOLDS:
            names = [f"\0{row}" for row in range(len(self.objects))]
        numbers = group_folds(names, FOLDS, self.seed + unit // FOLDS)
        return [row for row, number in enumerate(numbers) if number == unit % FOLDS]

    def surprise(self, settings: Settings, test: Sequence[int], seed: int) -> tuple[float, str | None]:
        """Return the mean negative log-likelihood of the rows that are held out, in nats, and why there is none.

        Where there is a reason the likelihood is infinite.
        """
        train = self.rest(test)
        with single_thread():
            try:
                proxy = build("proxy", self.with_settings(settings))
                proxy.fit([self.objects[row] for row in train], self.values[train], seed=seed)
                told = metrics(proxy.predict([self.objects[row] for row in test]), self.values[list(test)])
            except (ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
                return np.inf, first_line(error)
        if not np.isfinite(told["nll"]):
            return np.inf, "The likelihood of what was held out is no finite number."
        return told["nll"], None


class ProxyMember:
    """A proxy with settings, judged on one fold after the other."""

    def __init__(self, subject: ProxySubject, settings: Settings, seed: int) -> None:
        self.subject, self.settings, self.seed = subject, settings, seed
        self.told: list[float] = []
        self.failure: str | None = None

    @property
    def done(self) -> int:
        """Folds so far."""
        return len(self.told)

    def train(self, units: int) -> None:
        """Train without so many folds more, and judge by each."""
        for unit in range(self.done, self.done + units):
            score = np.inf
            if self.failure is None:
                score, self.failure = self.subject.surprise(self.settings, self.subject.fold(unit), self.seed)
            self.told.append(score)

    def score(self) -> float:
        """Return minus the mean over the folds so far."""
        mean = float(np.mean(self.told)) if self.told else np.inf
        return -mean if mean < np.inf else FAILED
