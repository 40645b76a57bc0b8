"""Trained GFlowNets of earlier campaigns as one, which samples the weighted sum of their rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from data.records import Candidate, FloatArray, Making
from models.generators.gflownet import GFlowNetGenerator
from models.gflownet.construction.base import Bound
from models.gflownet.construction.drawing import candidates, log_probabilities
from models.gflownet.training.trainer import Trainer
from models.gflownet.training.trajectories import sample_forward
from models.protocols import GenerationContext
from models.registry import Component, build
from models.spaces.base import BaseSpace
from models.threads import single_thread

ENDING = ".pt"
"""Of the files that members are kept in; a name without it is that of a campaign."""
_DRAWS = 2
"""Backward trajectories per object and member."""
_PATIENCE = 10
"""Batches without a new object after which sampling ends."""


class Part(BaseModel):
    """A GFlowNet that was trained, and its weight."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    origin: str = Field(
        alias="from",
        min_length=1,
        description="`from`: a campaign of the workspace, as `discover status` lists it, or a file "
        "`round-000/gather_members/*.pt` that a campaign with this generator kept",
    )
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="of its reward, or of its law")

    @field_validator("origin")
    @classmethod
    def _located(cls, origin: str, info: ValidationInfo) -> str:
        base = (info.context or {}).get("base")
        return origin if base is None or not is_file(origin) else str(Path(base) / Path(origin).expanduser())


class ComposedSamplers(Component["ComposedSamplers.Options"]):
    """Draw from the GFlowNets that earlier campaigns trained, in proportion to sum_i w_i R_i; nothing is trained.

    R_i is what member i was trained on: the reward of the last round of its campaign. Each object is drawn by one
    member, by member i with probability w_i Z_i / sum_j w_j Z_j. The law of the objects is then that of the policy

        pi(a | s) = sum_i w_i F_i(s) pi_i(a | s) / sum_i w_i F_i(s)

    where F_i(s) is Z_i times the probability that member i passes s: its edge flows are the same. It needs no flow of
    a state, which trajectory balance does not learn, and no common backward policy or construction; it is exact as far
    as the members and their log Z are. With `weigh: laws` the probabilities are w_i: the law is sum_i w_i R_i / Z_i,
    and log Z is not used.

    Reference: Garipov et al., Compositional sculpting of iterative generative processes, NeurIPS 2023,
    arXiv:2309.16115 (mixtures; its products and differences of samplers need a classifier and are not here).
    """

    group: ClassVar[str] = "generator"
    kind: ClassVar[str] = "composed"
    origin: ClassVar[str] = str(Making.BUILT)
    cites: ClassVar[tuple[str, ...]] = ("garipov2023sculpting", "bengio2021flow")

    class Options(Component.Options):
        """Options of the generator `composed`."""

        members: tuple[Part, ...] = Field(min_length=1, description="{from: CAMPAIGN, weight: 0.7}, ...")
        weigh: Literal["rewards", "laws"] = Field(
            "rewards", description="what weights are of: the members' rewards, or their laws, each of total 1"
        )

        @field_validator("members")
        @classmethod
        def _different(cls, members: tuple[Part, ...]) -> tuple[Part, ...]:
            names = [member.origin for member in members]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"{twice!r} is a member twice; add its weights up and name it once")
            return members

    def __init__(self, options: ComposedSamplers.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._kept: list[dict[str, Any]] = []
        self._members: list[GFlowNetGenerator] = []

    @property
    def origins(self) -> tuple[str, ...]:
        """Campaigns and files that the members are from."""
        return tuple(member.origin for member in self.options.members)

    def fit(self, context: GenerationContext) -> None:
        """Read the members from the files that `context.members` names.

        Raises:
            ValueError: one is not there, is of another space, is conditioned, or has no log Z that is needed.
        """
        missing = [origin for origin in self.origins if origin not in context.members]
        if missing:
            raise ValueError(
                f"The generator 'composed' was given no trained sampler of {', '.join(missing)}. It is for campaigns, "
                "which look them up in their workspace."
            )
        kept = [torch.load(context.members[origin], weights_only=True, map_location="cpu") for origin in self.origins]
        self._take(kept, context)

    def _take(self, kept: Sequence[Mapping[str, Any]], context: GenerationContext) -> None:
        with single_thread():
            self._members = [self._trained(member, context.space) for member in kept]
        self._kept = [dict(member) for member in kept]

    def check_member(self, member: Mapping[str, Any], space: BaseSpace[Any]) -> None:
        """Refuse a member as `fit` would.

        Raises:
            ValueError: it is for another space, is conditioned, or has no log Z that is needed.
        """
        with single_thread():
            self._trained(member, space)

    def _trained(self, member: Mapping[str, Any], space: BaseSpace[Any]) -> GFlowNetGenerator:
        name, spec = member["campaign"], member["generator"]
        if member["space"] != space.config():
            raise ValueError(
                f"The sampler of the campaign {name!r} is for another space: {_differing(member['space'], space)} "
                "Members of a composition build the same objects. Give this campaign the space of that one, or leave "
                "it out."
            )
        if spec.get("conditioning") is not None:
            raise ValueError(
                f"The sampler of the campaign {name!r} is conditioned by {spec['conditioning'].get('kind')!r}: it is a "
                "policy for each condition, and has no one reward to add. Leave it out."
            )
        if self.options.weigh == "rewards" and not _has_log_z(member["state"]):
            objective = spec.get("objective", {}).get("kind")
            raise ValueError(
                f"The sampler of the campaign {name!r} was trained by {objective!r}, which does not learn log Z, and "
                "the weights of rewards need it. Set `weigh: laws`."
            )
        generator: GFlowNetGenerator = build("generator", spec)
        # The reward of this campaign is no matter of a member, which is trained.
        generator.load_state(member["state"], GenerationContext(space, lambda texts: np.zeros(len(texts)), seed=0))
        return generator

    @property
    def shares(self) -> FloatArray:
        """Probability that each member draws an object, `(members,)`."""
        logs = np.log([member.weight for member in self.options.members])
        if self.options.weigh == "rewards":
            logs += [float(member["state"]["log_z"]) for member in self._kept]
        weights = np.exp(logs - logs.max())
        shares: FloatArray = weights / weights.sum()
        return shares

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct candidates with estimates of their log-probability, deterministic under `seed`."""
        if not self._members:
            raise RuntimeError("The composition has no members yet; call `fit` or `load_state` first.")
        generator = torch.Generator().manual_seed(seed)
        trained = [member.trained() for member in self._members]
        with single_thread():
            drawn = self._draw(trained, n, generator)
            if not drawn:
                return []
            log_probs = self._log_probabilities(trained, [obj for obj, _ in drawn.values()], generator)
        return candidates(drawn, self.kind, log_probs)

    def _draw(
        self, trained: Sequence[tuple[Trainer[Any], Bound[Any]]], n: int, generator: torch.Generator
    ) -> dict[str, tuple[str, None]]:
        """Return up to n distinct objects, identity -> (text, None), in the order of drawing."""
        shares, batch = torch.from_numpy(self.shares), min(256, max(32, n))
        drawn: dict[str, tuple[str, None]] = {}
        idle = 0
        while len(drawn) < n and idle < _PATIENCE:
            before = len(drawn)
            by = torch.multinomial(shares, batch, replacement=True, generator=generator)
            texts: list[str | None] = [None] * batch
            for number, (trainer, bound) in enumerate(trained):
                places = by.eq(number).nonzero()[:, 0].tolist()
                if places:
                    paths = sample_forward(bound.env, trainer.policy, len(places), generator)
                    for place, text in zip(places, bound.decode(paths.terminal), strict=True):
                        texts[place] = text
            for text in texts:
                if text is not None and len(drawn) < n:
                    drawn.setdefault(trained[0][1].space.identity(text), (text, None))
            idle = idle + 1 if len(drawn) == before else 0
        return drawn

    def _log_probabilities(
        self, trained: Sequence[tuple[Trainer[Any], Bound[Any]]], texts: list[str], generator: torch.Generator
    ) -> FloatArray:
        """Return estimates of the log-probability of n objects, (n,): of the mean of the members' laws."""
        total = np.full(len(texts), -np.inf)
        place = {text: at for at, text in enumerate(texts)}
        for share, (trainer, bound) in zip(self.shares.tolist(), trained, strict=True):
            built = bound.members(texts)  # constructions may differ in what they can build
            if not built or share == 0.0:
                continue
            found = log_probabilities(trainer, bound.states(built, generator), generator, draws=_DRAWS)
            at = [place[member.given] for member in built]
            total[at] = np.logaddexp(total[at], np.log(share) + found)
        return total

    def state(self) -> dict[str, Any]:
        """Return the members: how each is built, its space, and its networks."""
        return {"members": [dict(member) for member in self._kept]}

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: it has other members.
        """
        if len(state["members"]) != len(self.options.members):
            raise ValueError(
                f"The state has {len(state['members'])} members; expected {len(self.options.members)}. Load it into "
                "the composition that made it."
            )
        self._take(state["members"], context)

    def history(self) -> list[dict[str, float]]:
        """Return a row per member: its number as `step`, its share of what is drawn, and its log Z."""
        return [
            {"step": float(number), "share": share, "log_z": float(member["state"]["log_z"])}
            for number, (share, member) in enumerate(zip(self.shares.tolist(), self._kept, strict=True), 1)
        ]


def is_file(origin: str) -> bool:
    """Return whether what members are from names a file, not a campaign."""
    return origin.endswith(ENDING)


def _has_log_z(state: Mapping[str, Any]) -> bool:
    """Return whether log Z was learnt: what does not learn it leaves it at what it was set to in the first step."""
    return len({row["log_z"] for row in state["history"]}) > 1


def _differing(theirs: Mapping[str, Any], space: Any) -> str:
    """Return where the spaces differ, in a sentence that began."""
    own = space.config()
    keys = [key for key in {**theirs, **own} if theirs.get(key) != own.get(key)]
    return "it has " + ", ".join(f"{key} {theirs.get(key)!r} and not {own.get(key)!r}" for key in keys) + "."
