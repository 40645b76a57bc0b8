"""What a published system must tell, so that anybody can try its claim: `discover reproduce NAME`.

A claim is tried seed by seed. Each seed gives figures by name; checks say which of them must be how large, or larger
than which other of the same seed. Nothing is judged from one seed.
"""

from __future__ import annotations

import math
import statistics
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from data.config import digest
from data.student import student
from models.registry import Component, OptionsT

FEWEST_SEEDS = 3
"""Seeds of which a verdict is given; of fewer only the figures are told."""

SHOWN, IN_PART, NOT_SHOWN, NOT_JUDGED = "shown", "shown in part", "not shown", "not judged"


@dataclass(frozen=True)
class Purchase:
    """A value that a campaign has.

    Attributes:
        round: in which it came; 0 is what the campaign began with.
        object: its text.
        value: as measured.
    """

    round: int
    object: str
    value: float


class Bench(Protocol):
    """What a system may use while it is tried."""

    @property
    def home(self) -> Path:
        """Folder of the workspace, which has the public tables."""

    def progress(self, done: int, total: int, told: Mapping[str, float]) -> None:
        """Tell how far the seed is."""

    def campaign(self, config: Mapping[str, Any], tell: Callable[[int], None]) -> list[Purchase]:
        """Run a campaign in a workspace of the seed's own, or go on where it was broken off; no report is made of it.

        Args:
            config: the keys of a campaign file; files are named absolutely. Campaigns of a seed differ by `name`.
            tell: called with the number of the round whenever a stage of it begins or gets further.

        Returns:
            What was measured, by round and in the order of purchase; failed calls are left out.

        Raises:
            ConfigError, ComponentError, SourceError: the configuration cannot be used.
            RuntimeError: the campaign ended before its last round; the message says why.
        """


@dataclass(frozen=True)
class Check:
    """What must hold for a claim to be shown.

    Attributes:
        told: in words, a statement that the figures bear out or not.
        figure: name of a figure of each seed.
        than: another figure of the same seed, whose value is taken off; empty: none.
        at_least, at_most: bounds. Without `than` the mean over the seeds must keep them. With it the whole 95 %
            interval of the mean difference must lie beyond, so that a lucky seed, or no difference, shows nothing.
            Without either the figure is told and nothing is promised of it.
        medians: whether the median over the seeds must keep the bounds, and with `than` the difference of both
            medians: for figures of which one bad seed says little. A median has no interval here.
    """

    told: str
    figure: str
    than: str = ""
    at_least: float | None = None
    at_most: float | None = None
    medians: bool = False

    @property
    def promises(self) -> bool:
        """Whether there is a bound to keep."""
        return self.at_least is not None or self.at_most is not None

    def judge(self, results: Sequence[Mapping[str, Any]]) -> Judged:
        """Return whether it holds.

        Args:
            results: figures of each seed.

        Raises:
            KeyError: a seed has no such figure.
        """
        names = [self.figure, *filter(None, [self.than])]
        columns = [[float(one[name]) for one in results] for name in names]
        values = [row[0] - math.fsum(row[1:]) for row in zip(*columns, strict=True)]
        if not all(map(math.isfinite, values)):
            return Judged(self, tuple(values), (math.nan,) * len(names), math.nan, None, not self.promises)
        centres = tuple(statistics.median(one) if self.medians else math.fsum(one) / len(one) for one in columns)
        low, high = self.at_least, self.at_most
        if self.medians:
            found, half = centres[0] - math.fsum(centres[1:]), None
        else:
            found, half = math.fsum(values) / len(values), _half(values)
        if self.than and not self.medians:
            spare = math.inf if half is None else half
            holds = (low is None or found - spare > low) and (high is None or found + spare < high)
        else:
            holds = (low is None or found >= low) and (high is None or found <= high)
        return Judged(self, tuple(values), centres, found, half, holds)

    @property
    def wanted(self) -> str:
        """The bounds in words."""
        over, under = ("more than", "less than") if self.than and not self.medians else ("at least", "at most")
        low = "" if self.at_least is None else f"{over} {self.at_least:g}"
        high = "" if self.at_most is None else f"{under} {self.at_most:g}"
        return " and ".join(filter(None, (low, high))) or "told, not promised"


def _half(values: Sequence[float]) -> float | None:
    """Return half the width of the 95 % interval of a mean (Student); None of one value."""
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return student(n - 1) * deviation / math.sqrt(n)


@dataclass(frozen=True)
class Judged:
    """A check and what the seeds say.

    Attributes:
        check: which.
        values: of each seed: the figure, or the difference.
        centres: mean or median over the seeds of the figure, and of the other one if there is one.
        found: what must keep the bounds: the mean or median over the seeds, or the difference.
        half: half the width of the 95 % interval of a mean (Student); None of one seed, and of medians.
        holds: whether the check does; true of one that promises nothing.
    """

    check: Check
    values: tuple[float, ...]
    centres: tuple[float, ...]
    found: float
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
    """(group, kind) of what a user would choose; empty of a study that no file can use, as its claim then says."""
    settings: ClassVar[tuple[str, ...]] = ()
    """What a file says besides, such as `training: {intrinsic: {place: joint}}`."""
    where: ClassVar[str] = ""
    """Of what every campaign has without a key for it: where a user meets it, a sentence."""
    example: ClassVar[str] = ""
    """File of a campaign or a sampler that uses it, from the root of the repository; of a study empty, or its code."""
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
    promised = [one for one in judged if one.check.promises]
    if any(len(one.values) < FEWEST_SEEDS for one in promised):
        return NOT_JUDGED
    held = sum(one.holds for one in promised)
    return SHOWN if held == len(promised) else IN_PART if held else NOT_SHOWN
