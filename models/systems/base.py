"""What a published system must tell, so that anybody can try its claim: `discover reproduce NAME`.

A claim is tried seed by seed. Each seed gives figures by name; checks say which of them must be how large, or larger
than which other of the same seed. Nothing is judged from one seed.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from data.config import digest
from data.student import student
from models.registry import Component, OptionsT

FEWEST_SEEDS = 3
"""Seeds of which a verdict is given; of fewer only the figures are told."""

SHOWN, IN_PART, NOT_SHOWN, NOT_JUDGED = "shown", "shown in part", "not shown", "not judged"


class Bench(Protocol):
    """What a system may use while it is tried."""

    @property
    def home(self) -> Path:
        """Folder of the workspace, which has the public tables."""

    def progress(self, done: int, total: int, told: Mapping[str, float]) -> None:
        """Tell how far the seed is."""


@dataclass(frozen=True)
class Check:
    """What must hold for a claim to be shown.

    Attributes:
        told: in words, a statement that the figures bear out or not.
        figure: name of a figure of each seed.
        than: another figure of the same seed, whose value is taken off; empty: none.
        at_least, at_most: bounds. Without `than` the mean over the seeds must keep them. With it the whole 95 %
            interval of the mean difference must lie beyond, so that a lucky seed, or no difference, shows nothing.
    """

    told: str
    figure: str
    than: str = ""
    at_least: float | None = None
    at_most: float | None = None

    def judge(self, results: Sequence[Mapping[str, Any]]) -> Judged:
        """Return whether it holds.

        Args:
            results: figures of each seed.

        Raises:
            KeyError: a seed has no such figure.
        """
        values = [float(one[self.figure]) - (float(one[self.than]) if self.than else 0.0) for one in results]
        n = len(values)
        if not all(map(math.isfinite, values)):
            return Judged(self, tuple(values), math.nan, None, False)
        mean = math.fsum(values) / n
        half = None
        if n > 1:
            deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
            half = student(n - 1) * deviation / math.sqrt(n)
        low, high = self.at_least, self.at_most
        if self.than:
            spare = math.inf if half is None else half
            holds = (low is None or mean - spare > low) and (high is None or mean + spare < high)
        else:
            holds = (low is None or mean >= low) and (high is None or mean <= high)
        return Judged(self, tuple(values), mean, half, holds)

    @property
    def wanted(self) -> str:
        """The bounds in words."""
        over, under = ("more than", "less than") if self.than else ("at least", "at most")
        low = "" if self.at_least is None else f"{over} {self.at_least:g}"
        high = "" if self.at_most is None else f"{under} {self.at_most:g}"
        return " and ".join(filter(None, (low, high)))


@dataclass(frozen=True)
class Judged:
    """A check and what the seeds say.

    Attributes:
        check: which.
        values: of each seed: the figure, or the difference.
        mean: over the seeds.
        half: half the width of its 95 % interval (Student); None of one seed.
        holds: whether the check does.
    """

    check: Check
    values: tuple[float, ...]
    mean: float
    half: float | None
    holds: bool


class System(Component[OptionsT]):
    """A published system: its claim, and how it is tried here.

    `parts` names the components by which campaigns and samplers use it.
    """

    group: ClassVar[str] = "system"
    title: ClassVar[str] = ""
    claim: ClassVar[str] = ""
    """What the paper says, in our words."""
    protocol: ClassVar[str] = ""
    """What is done here, and what is the measure."""
    parts: ClassVar[tuple[tuple[str, str], ...]] = ()
    """(group, kind) of what a user would choose."""
    settings: ClassVar[tuple[str, ...]] = ()
    """What a file says besides, such as `training: {intrinsic: {place: joint}}`."""
    example: ClassVar[str] = ""
    """File of a campaign or a sampler that uses it, from the root of the repository."""
    checks: ClassVar[tuple[Check, ...]] = ()
    axes: ClassVar[tuple[str, str]] = ("", "")
    """Labels of the curves, where a seed gives curves; the second axis is logarithmic if its label ends in `(log)`."""
    version: ClassVar[int] = 1
    """Raised when the protocol or the code changes what comes out: older verdicts are then out of date."""

    @abstractmethod
    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Try the claim with one seed; the same seed gives the same figures.

        Returns:
            Figures by name, finite: of what was never reached within the budget, the budget. Under `curves`, if any,
            arm -> `[x, y]`.
        """

    def judge(self, results: Sequence[Mapping[str, Any]]) -> list[Judged]:
        """Return the checks and what the seeds say of each."""
        return [check.judge(results) for check in self.checks]

    @property
    def identity(self) -> str:
        """The sha256 of what decides the figures of a seed."""
        return digest([self.version, self.config()])


def verdict(judged: Sequence[Judged]) -> str:
    """Return the verdict: `shown` where all checks hold; of fewer than `FEWEST_SEEDS` seeds there is none."""
    if any(len(one.values) < FEWEST_SEEDS for one in judged):
        return NOT_JUDGED
    held = sum(one.holds for one in judged)
    return SHOWN if held == len(judged) else IN_PART if held else NOT_SHOWN
