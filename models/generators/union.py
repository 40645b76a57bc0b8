"""Several generators as one: each proposes its share of the candidates."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from data.records import Candidate, FloatArray, Origin
from data.tables.tally import Tally
from models.generators.diverse_shares import DiverseShares
from models.generators.origins import KEY, Origins, Told, from_state, joined, to_state
from models.generators.shares import adapted_shares
from models.protocols import (
    Checked,
    Composing,
    FromLibraries,
    GenerationContext,
    Generator,
    Remembering,
    Sharing,
    Starting,
    TradingOff,
)
from models.registry import Component, ComponentError, build, located
from models.spaces.base import BaseSpace, require_space
from models.tuning.diversity import CITES

DIVERSITY = "diversity"
"""Key of what a union's state keeps for the next round where shares follow diversity."""


class Member(BaseModel):
    """One generator of a union and its share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    generator: dict[str, Any] = Field(description="{kind: ..., option: ...} of a generator")
    share: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="its part of the candidates, relative")

    @field_validator("generator")
    @classmethod
    def _located(cls, generator: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        base = (info.context or {}).get("base")
        try:
            return generator if base is None else located("generator", generator, base)
        except ComponentError:  # told when the member is made, in its own words
            return generator


class Union(Component["Union.Options"]):
    """Draw candidates from several generators in proportion to their shares; each remembers its source.

    Members are fitted one after the other on the same log-reward, each with a seed, a checkpoint and a warm start of
    its own. They teach each other: the best that a member met are hints for those after it, and for those before it in
    the next round. Half of a share is fixed; the rest moves, with the work that a member does, to those whose proposals
    were bought and are among the best measured (`models.generators.shares`), or, with `diversity`, to those that find
    most and differ most from the others (`models.generators.diverse_shares`). What a member cannot deliver, the others
    do. A candidate that several propose counts for the first.
    """

    group = "generator"
    kind = "union"

    class Options(Component.Options):
        """Options of the generator `union`."""

        members: tuple[Member, ...] = Field(min_length=1, description="generators and their shares")
        adapt: bool = Field(default=True, description="whether shares follow what is bought and found")
        hints: int = Field(default=100, ge=0, description="best objects of a member that others start from; 0: none")
        diversity: bool = Field(
            default=False, description="whether shares also follow how different the members' proposals are"
        )

        @field_validator("members")
        @classmethod
        def _flat(cls, members: tuple[Member, ...]) -> tuple[Member, ...]:
            for member in members:
                if member.generator.get("kind") == "union":
                    raise ValueError("a union cannot be a member of a union; list its members here instead")
            return members

        @model_validator(mode="after")
        def _diverse_shares_move(self) -> Self:
            if self.diversity and not self.adapt:
                raise ValueError("diversity moves the shares, and `adapt: false` holds them; leave one of them out")
            return self

        def cited(self) -> tuple[str, ...]:
            """Return the paper on diversity, where shares follow it."""
            return CITES if self.diversity else ()

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._members: list[Generator] = [build("generator", member.generator) for member in self.options.members]
        shares = np.array([member.share for member in self.options.members])
        self._shares = self._set = shares / shares.sum()
        self._diverse = DiverseShares()
        self._best: list[dict[str, float]] = [{} for _ in self._members]
        self._starts: frozenset[str] = frozenset()
        """Measured objects and those of the library."""
        self._hinted: dict[str, Origin] = {}
        """How the best of the round before, which members started from, were made."""
        self._names = [f"{index}-{member.generator['kind']}" for index, member in enumerate(self.options.members)]

    def check(self, space: BaseSpace[Any]) -> None:
        """Check every member that can be checked.

        Raises:
            ValueError: a member cannot be used in this space.
        """
        for member in self._members:
            require_space(member, space)
            if isinstance(member, Checked):
                member.check(space)

    def check_objectives(self, k: int) -> None:
        """Look whether every member can be used where k objectives are to be improved.

        Raises:
            ValueError: one cannot.
        """
        for member in self._members:
            if isinstance(member, TradingOff):
                member.check_objectives(k)

    @property
    def sources(self) -> tuple[str, ...]:
        """Kinds of the members: what candidates may have as their source."""
        return tuple(_kind(member, spec) for member, spec in zip(self._members, self.options.members, strict=True))

    @property
    def members(self) -> tuple[Generator, ...]:
        """The generators, in order."""
        return tuple(self._members)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Names of the members' libraries."""
        return tuple(name for member in self._members if isinstance(member, FromLibraries) for name in member.libraries)

    @property
    def origins(self) -> tuple[str, ...]:
        """Campaigns and files whose trained generators the members draw from, each once."""
        return tuple(
            dict.fromkeys(name for member in self._members if isinstance(member, Composing) for name in member.origins)
        )

    def check_member(self, member: Mapping[str, Any], space: BaseSpace[Any]) -> None:
        """Refuse what a campaign trained if one of the members that draw from such cannot use it.

        Raises:
            ValueError: it cannot be used.
        """
        for one in self._members:
            if isinstance(one, Composing):
                one.check_member(member, space)

    def tallies(self, space: BaseSpace[Any], cache: Path | None, largest: int | None = None) -> list[Tally]:
        """Return what became of the rows of the members' libraries; arguments as `FromLibraries.tallies`.

        Raises:
            SourceError: a file cannot be read.
        """
        members = [member for member in self._members if isinstance(member, FromLibraries)]
        return [tally for member in members for tally in member.tallies(space, cache, largest)]

    def left(self) -> tuple[int, int, int] | None:
        """Return the sums of what the members say of their libraries, None where none has one."""
        told = [member.left() for member in self._members if isinstance(member, FromLibraries)]
        counts = [one for one in told if one is not None]
        return tuple(map(sum, zip(*counts, strict=True))) if counts else None  # type: ignore[return-value]  # of three

    def fit(self, context: GenerationContext) -> None:
        """Fit every member, in order.

        The warm start of a union is its `state`, so it is taken apart into one file per member for the time of the fit.

        Raises:
            ValueError: the warm start comes from a union of other members.
        """
        if self.options.adapt and context.sources:
            self._shares = self._adapted(context)
        self._starts = frozenset((*context.known, *context.library))
        with tempfile.TemporaryDirectory() as folder:
            warm_starts, self._best = self._split(context.warm_start, Path(folder))
            for index, (member, warm_start) in enumerate(zip(self._members, warm_starts, strict=True)):
                member.fit(replace(self._own(context, index), warm_start=warm_start))
                self._best[index] = member.best(self.options.hints) if isinstance(member, Sharing) else {}

    def _adapted(self, context: GenerationContext) -> FloatArray:
        if not self.options.diversity:
            return adapted_shares(self._set, self.sources, context.sources)
        self._diverse = DiverseShares(self._diversity_before(context.warm_start))
        best = float(np.max(context.known_log_reward)) if len(context.known_log_reward) else -np.inf
        return self._diverse.shares(
            self._set, self.sources, context.known, context.sources, best, context.space, context.seed
        )

    @staticmethod
    def _diversity_before(warm_start: Path | None) -> Mapping[str, Any] | None:
        if warm_start is None:
            return None
        import torch  # only where a state must be read

        state: Mapping[str, Any] | None = torch.load(warm_start, weights_only=True).get(DIVERSITY)
        return state

    def lineage(self, objects: Sequence[str]) -> dict[str, Origin]:
        """Return how objects and their ancestors were made, through all members: one starts from what another met."""
        sources = [member.lineage for member in self._members if isinstance(member, Remembering)]
        return joined([*sources, self._begun_of(self._best), Origins(self._hinted).closure], objects, self._starts)

    def _begun_of(self, met: Sequence[Mapping[str, float]]) -> Told:
        """Return what tells the origin of what members met whose proposals descend from no others."""
        starting = [
            (member.origin, best)
            for member, best in zip(self._members, met, strict=True)
            if isinstance(member, Starting)
        ]
        return lambda objects: {obj: Origin(origin) for obj in objects for origin, best in starting if obj in best}

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct candidates, the members' shares of n as near as whole numbers allow."""
        seeds = [int(word) for word in np.random.SeedSequence(seed).generate_state(2 * len(self._members))]
        found: dict[str, Candidate] = {}
        for member, quota, own_seed in zip(self._members, self._quotas(n), seeds, strict=False):
            self._take(found, member, quota, len(found) + quota, own_seed)
        for index in np.argsort(-self._shares, kind="stable"):
            if len(found) >= n:
                break
            self._take(found, self._members[index], n, n, seeds[len(self._members) + index])
        return list(found.values())

    def state(self) -> dict[str, Any]:
        """Return the states of the members, in order, with their names."""
        return {
            "names": list(self._names),
            "members": [member.state() for member in self._members],
            "best": [dict(met) for met in self._best],
            KEY: to_state(self._hinted),
            "shares": self._shares.tolist(),
            **({DIVERSITY: self._diverse.state()} if self.options.diversity else {}),
        }

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: the state comes from a union of other members.
        """
        self._require_same_members(state)
        self._best = self._told(state)
        self._hinted = from_state(state.get(KEY))
        self._starts = frozenset((*context.known, *context.library))
        self._shares = np.array(state.get("shares", self._set.tolist()))
        self._diverse = DiverseShares(state.get(DIVERSITY))
        for index, (member, own) in enumerate(zip(self._members, state["members"], strict=True)):
            member.load_state(own, self._own(context, index))

    def history(self) -> list[dict[str, float]]:
        """Return the members' metrics one after the other, each row with the index of its `member` and its share."""
        return [
            {**row, "member": float(index), "share": float(share)}
            for index, (member, share) in enumerate(zip(self._members, self._shares, strict=True))
            for row in member.history()
        ]

    def _own(self, context: GenerationContext, index: int) -> GenerationContext:
        seed = int(np.random.SeedSequence([context.seed, index]).generate_state(1)[0])
        path = context.checkpoint
        checkpoint = None if path is None else path.with_name(f"{path.stem}.{self._names[index]}{path.suffix}")
        return replace(
            context,
            seed=seed,
            checkpoint=checkpoint,
            warm_start=None,
            hints=self._hints(context, index),
            effort=context.effort * float(self._shares[index] / self._set[index]),
        )

    def _hints(self, context: GenerationContext, index: int) -> tuple[str, ...]:
        """Return the best objects of the other members that are not measured, best first."""
        measured = set(context.known)
        met = {obj: value for place, best in enumerate(self._best) if place != index for obj, value in best.items()}
        ranked = sorted((obj for obj in met if obj not in measured), key=lambda obj: (-met[obj], obj))
        return tuple(ranked[: self.options.hints])

    def _split(self, warm_start: Path | None, folder: Path) -> tuple[list[Path | None], list[dict[str, float]]]:
        self._hinted = {}
        if warm_start is None:
            return [None] * len(self._members), [{} for _ in self._members]
        import torch  # only where a state must be read

        state = torch.load(warm_start, weights_only=True)
        self._require_same_members(state)
        paths = [folder / f"{name}.pt" for name in self._names]
        for path, own in zip(paths, state["members"], strict=True):
            torch.save(own, path)
        best = self._told(state)
        self._hinted = self._given_over(state, best)
        return list(paths), best

    def _given_over(self, state: Mapping[str, Any], best: Sequence[Mapping[str, float]]) -> dict[str, Origin]:
        """Return how all that members had from others was made, as the state of the round before tells it.

        That is the best that each met, which are hints for the others now, and whatever else stands in the state of a
        member that did not make it: hints of earlier rounds, which a member may carry on for many.
        """
        made, earlier = [from_state(own.get(KEY)) for own in state["members"]], from_state(state.get(KEY))
        wanted = dict.fromkeys(obj for met in best for obj in met)
        every = {obj for told in (*made, earlier) for obj in told}
        for own, told in zip(state["members"], made, strict=True):
            wanted |= dict.fromkeys(text for text in _texts(own) if text in every and text not in told)
        sources = [*(Origins(told).closure for told in made), self._begun_of(best), Origins(earlier).closure]
        return joined(sources, list(wanted), self._starts)

    def _told(self, state: Mapping[str, Any]) -> list[dict[str, float]]:
        return [dict(met) for met in state.get("best", [{} for _ in self._members])]  # states of before have none

    def _require_same_members(self, state: Mapping[str, Any]) -> None:
        if list(state["names"]) != self._names:
            raise ValueError(
                f"The state is that of a union of {', '.join(state['names'])}; this union has "
                f"{', '.join(self._names)}. Load it into the union that made it, or fit again."
            )

    def _quotas(self, n: int) -> list[int]:
        """Divide n by the shares: whole parts first, then one each to the largest remainders."""
        exact = self._shares * n
        quotas = np.floor(exact + 1e-9).astype(int)
        for index in np.argsort(quotas - exact, kind="stable")[: n - int(quotas.sum())]:
            quotas[index] += 1
        return [int(quota) for quota in quotas]

    def _take(self, found: dict[str, Candidate], member: Generator, n: int, limit: int, seed: int) -> None:
        if n == 0:
            return
        for candidate in member.sample(n, seed=seed):
            if len(found) == limit:
                return
            found.setdefault(candidate.id, candidate)


def _texts(state: Any) -> Iterator[str]:
    """Yield the texts in the lists of a state."""
    for value in state.values() if isinstance(state, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _texts(value)
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, str))


def _kind(generator: Generator, spec: Member) -> str:
    return generator.kind if isinstance(generator, Component) else str(spec.generator["kind"])
