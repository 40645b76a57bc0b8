"""A library file as the source of candidates: virtual screening."""

from __future__ import annotations

import hashlib
import heapq
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from data.records import Candidate, FloatArray, Making
from data.tables.prepared import Part, PreparedLibrary
from data.tables.tally import Tally, pool_tally
from models.library_options import LibraryOptions
from models.protocols import GenerationContext
from models.registry import Component
from models.sealed import DamagedCheckpoint, read_sealed, write_sealed
from models.spaces.base import BaseSpace

logger = logging.getLogger(__name__)

CHUNK = 2048
"""Objects that are scored at once: what a proxy needs for them is some ten megabytes."""


@dataclass(slots=True)
class _Progress:
    """How far a pass through the library is: what a checkpoint holds."""

    parts: int = 0
    kept: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Object -> (priority, log-reward)."""
    counts: Counter[str] = field(default_factory=Counter)
    """rows, refused, merged, known (in the campaign), asked (of these, without a value), scored."""
    met: set[str] = field(default_factory=set)
    """Members that are in the campaign."""
    refused: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)

    def to_state(self) -> dict[str, Any]:
        return {
            "parts": self.parts,
            "molecules": list(self.kept),
            "priority": [pair[0] for pair in self.kept.values()],
            "log_reward": [pair[1] for pair in self.kept.values()],
            "counts": dict(self.counts),
            "met": sorted(self.met),
            "refused": dict(self.refused),
            "first": list(self.first),
            "history": [dict(row) for row in self.history],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> _Progress:
        pairs = zip(state["priority"], state["log_reward"], strict=True)
        return cls(
            state["parts"],
            dict(zip(state["molecules"], pairs, strict=True)),
            Counter(state["counts"]),
            set(state["met"]),
            Counter(state["refused"]),
            list(state["first"]),
            [dict(row) for row in state["history"]],
        )


class PoolGenerator(Component["PoolGenerator.Options"]):
    """Propose members of a library that are not in the campaign: the best by log-reward, or drawn in proportion to it.

    `fit` goes through the library once, in its order and in parts: standard form (kept in the workspace, so that later
    rounds find it), log-reward, and the `keep` objects of highest priority. The priority is

    * `draw: best`: the log-reward;
    * `draw: proportional`: log-reward + Gumbel noise. The first n are then n draws without replacement with
      probabilities proportional to the rewards, over the whole library and not only over what is kept;
    * `draw: uniform`: Gumbel noise alone; no reward is computed. Meant for the control arm.

    The noise of an object is a hash of the seed and its text: it does not depend on the order of the file, nor on
    how often an object occurs in it. `sample` returns the first n of what was kept, whatever its seed: the draw was
    made by `fit`. Identity is asked only of what is kept; a second form of one object is dropped there.

    Reference: Kool, van Hoof and Welling, Stochastic beams and where to find them, ICML 2019 (Gumbel top-k).
    """

    group = "generator"
    kind = "pool"
    origin: ClassVar[str] = str(Making.LIBRARY)
    cites = ("kool2019beams",)

    def cited(self) -> tuple[str, ...]:
        """Return the paper of draws without replacement, where there are draws."""
        return () if self.options.draw == "best" else self.cites

    class Options(LibraryOptions):
        """Options of the generator `pool`."""

        keep: int = Field(default=10_000, ge=1, description="objects kept in each round; at least `proposals`")
        draw: Literal["best", "proportional", "uniform"] = Field(
            default="best", description="best by reward; at random in proportion to reward; at random"
        )

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._candidates: list[tuple[str, str, float]] | None = None
        self._progress = _Progress()

    def check(self, space: BaseSpace[Any]) -> None:
        """Look for one object of the library that is inside the space.

        Raises:
            SourceError: the file cannot be read, or none of its rows is such an object.
        """
        PreparedLibrary(self.options.library(space), space).require_molecule()

    @property
    def libraries(self) -> tuple[str, ...]:
        """Name of the library."""
        return (self.options.name,)

    def tallies(self, space: BaseSpace[Any], cache: Path | None, largest: int | None = None) -> list[Tally]:
        """Read the library and return what became of its rows; arguments as `FromLibraries.tallies`.

        Raises:
            SourceError: the file cannot be read.
        """
        options = self.options
        file = options.library(space)
        columns, size = options.told_columns(space), file.path.stat().st_size
        if largest is not None and size > largest:
            return [Tally("pool", options.name, space.nouns, columns, size=size)]
        return [pool_tally(PreparedLibrary(file, space, cache), options.name, space.nouns, columns)]

    def left(self) -> tuple[int, int, int]:
        """Return how many members the library has, how many were not asked for, and how many failed or are out."""
        counts, offered = self._progress.counts, len(self._candidates or ())
        left = offered if counts["scored"] <= self.options.keep else counts["scored"]
        return counts["known"] + counts["scored"], left, counts["asked"]

    def fit(self, context: GenerationContext) -> None:
        """Go through the library; killed and called again with the same context, it goes on from its checkpoint.

        Raises:
            SourceError: the file cannot be read, or none of its rows is an object inside the space.
        """
        library = PreparedLibrary(self.options.library(context.space), context.space, context.cache)
        key = _key(library, context, self.config())
        self._progress = progress = _load(context.checkpoint, key)
        for part in library.parts(progress.parts):
            self._take(part, context)
            _save(context.checkpoint, key, progress)
            row = progress.history[-1]
            context.progress(progress.parts, progress.parts, row)
        if progress.counts["rows"] == progress.refused.total():
            library.require_molecule()
        self._candidates = self._identified(context)
        self._tell(library)

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return the first n of what was kept; the seed has no part in it.

        Raises:
            RuntimeError: `fit` was not called.
        """
        del seed
        if self._candidates is None:
            raise RuntimeError("The generator 'pool' has not read its library; call `fit` or `load_state` first.")
        return [Candidate(id=key, object=obj, source=self.kind) for key, obj, _ in self._candidates[:n]]

    def state(self) -> dict[str, Any]:
        """Return the kept objects with identity and log-reward, the counts of refused rows and the history."""
        kept = self._candidates or []
        return {
            "ids": [key for key, _, _ in kept],
            "molecules": [obj for _, obj, _ in kept],
            "log_reward": torch.tensor([value for _, _, value in kept], dtype=torch.float64),
            "counts": dict(self._progress.counts),
            "refused": dict(self._progress.refused),
            "first": list(self._progress.first),
            "history": self.history(),
        }

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned; the library is not read again."""
        del context
        values = state["log_reward"].tolist()
        self._candidates = list(zip(state["ids"], state["molecules"], values, strict=True))
        self._progress = _Progress(
            counts=Counter(state["counts"]),
            refused=Counter(state["refused"]),
            first=list(state["first"]),
            history=[dict(row) for row in state["history"]],
        )

    def history(self) -> list[dict[str, float]]:
        """Return, per part of the library, the counts so far, and the best and the worst kept reward."""
        return [dict(row) for row in self._progress.history]

    @property
    def refused(self) -> dict[str, int]:
        """Reason -> rows of the library that were refused for it."""
        return dict(self._progress.refused.most_common())

    def _take(self, part: Part, context: GenerationContext) -> None:
        progress, asked = self._progress, frozenset(context.asked)
        known = asked.union(context.known)
        new = [obj for obj in part.molecules if obj not in known and obj not in progress.kept]
        for begin in range(0, len(new), CHUNK):
            self._score(new[begin : begin + CHUNK], context)
        progress.parts += 1
        progress.refused.update(part.refused)
        progress.first = (progress.first + [f"line {r.line}: {r.text!r}, {r.reason}" for r in part.first])[:3]
        here = known.intersection(part.molecules) - progress.met
        progress.met |= here
        progress.counts.update(
            rows=part.rows,
            refused=sum(part.refused.values()),
            merged=part.rows - sum(part.refused.values()) - len(part.molecules),
            known=len(here),
            asked=len(here & asked),
            scored=len(new),
        )
        progress.history.append(self._metrics())

    def _score(self, objects: Sequence[str], context: GenerationContext) -> None:
        rewards = self._rewards(objects, context)
        noise = np.zeros(len(objects))
        if self.options.draw != "best":
            noise = np.array([gumbel(context.seed, obj) for obj in objects])
        priority = (noise if self.options.draw == "uniform" else rewards + noise).tolist()
        # Two forms of one object are told apart only at the end, and measured ones may stand in another form too.
        room = self.options.keep + self.options.keep // 20 + len(context.known) + len(context.asked) + 16
        kept = self._progress.kept
        worst = min((pair[0] for pair in kept.values()), default=-math.inf) if len(kept) >= room else -math.inf
        found = zip(objects, zip(priority, rewards.tolist(), strict=True), strict=True)
        kept.update(item for item in found if item[1][0] >= worst)
        best = heapq.nsmallest(room, kept.items(), key=lambda item: (-item[1][0], item[0]))
        self._progress.kept = dict(best)

    def _rewards(self, objects: Sequence[str], context: GenerationContext) -> FloatArray:
        if self.options.draw == "uniform":
            return np.zeros(len(objects))
        return np.asarray(context.log_reward(objects), dtype=np.float64)

    def _metrics(self) -> dict[str, float]:
        progress = self._progress
        rewards = [value for _, value in progress.kept.values()]
        row = {"step": float(progress.parts), **{name: float(n) for name, n in sorted(progress.counts.items())}}
        if rewards and self.options.draw != "uniform":
            row |= {"best": max(rewards), "worst_kept": min(rewards)}
        return row

    def _identified(self, context: GenerationContext) -> list[tuple[str, str, float]]:
        """Return (identity, object, log-reward) of what is kept, one form of each object, none measured."""
        measured = set(map(context.space.identity, (*context.known, *context.asked)))
        found: dict[str, tuple[str, float]] = {}
        for obj, (_, reward) in self._progress.kept.items():
            if len(found) == self.options.keep:
                break
            key = context.space.identity(obj)
            if key not in measured:
                found.setdefault(key, (obj, reward))
        return [(key, obj, reward) for key, (obj, reward) in found.items()]

    def _tell(self, library: PreparedLibrary) -> None:
        counts, refused = self._progress.counts, self._progress.refused
        if not refused:
            return
        reasons = "; ".join(f"{reason} ({n})" for reason, n in refused.most_common(3))
        logger.info(
            "%d of %d rows of %s were refused: %s. The first: %s.",
            *(refused.total(), counts["rows"], library.file.path.name, reasons, "; ".join(self._progress.first)),
        )


def gumbel(seed: int, obj: str) -> float:
    """Return a standard Gumbel number that belongs to an object under a seed, the same in every process."""
    digest = hashlib.blake2b(obj.encode(), digest_size=8, key=str(seed).encode()).digest()
    uniform = (int.from_bytes(digest, "big") + 0.5) / 2**64
    # The nearest number to 1 would give infinity.
    return -math.log(max(-math.log(uniform), 2.0**-65))


def _key(library: PreparedLibrary, context: GenerationContext, config: Mapping[str, Any]) -> str:
    """Return what a checkpoint must have been made of to be gone on from."""
    told = [library.key(), str(context.seed), config["draw"], str(config["keep"]), *context.known, "", *context.asked]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _load(checkpoint: Path | None, key: str) -> _Progress:
    if checkpoint is None or not checkpoint.is_file():
        return _Progress()
    try:
        state = read_sealed(checkpoint)
    except DamagedCheckpoint:
        logger.warning("The checkpoint %s is damaged; the library is gone through anew.", checkpoint)
        return _Progress()
    if state["key"] != key:
        logger.warning("The library or what is measured changed since %s was written; begun anew.", checkpoint.name)
        return _Progress()
    return _Progress.from_state(state)


def _save(checkpoint: Path | None, key: str, progress: _Progress) -> None:
    if checkpoint is None:
        return
    write_sealed({"key": key, **progress.to_state()}, checkpoint)
