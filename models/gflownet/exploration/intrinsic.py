"""Generative augmented flow networks: states that a training has rarely seen are worth something of their own.

Novelty is the error of a network that is trained to predict a fixed random one (random network distillation): large
where it was seldom trained, and falling with each visit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Generic, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from models.gflownet.environments.base import Environment, NotProvided, States
from models.gflownet.exploration.schedule import Schedule
from models.gflownet.policies.base import initialise
from models.gflownet.training.trajectories import Paths, Trajectories
from models.registry import Options

S = TypeVar("S", bound=States)


class IntrinsicOptions(Options):
    """Rewards of novelty beside that of the object; as their scale goes to 0 the target is the reward alone."""

    place: Literal["edge", "state", "joint"] = Field(
        "joint", description="On transitions, on finished objects, or on both."
    )
    scale: float | Schedule = Field(
        default_factory=lambda: Schedule(shape="linear", start=0.01, end=0.0, share=0.75),
        description="What the error of the prediction is multiplied by.",
    )
    width: int = Field(128, ge=1, description="Units of a layer of both networks.")
    learning_rate: float = Field(1e-3, gt=0, description="Of the network that predicts.")

    def cited(self) -> tuple[str, ...]:
        """Return the papers of both ideas."""
        return ("pan2023gafn", "burda2019rnd")


class Intrinsic(Generic[S]):
    """Gives each state a reward of novelty, and learns to give it less the next time.

    Transitions: F(s) P_F(s'|s) = F(s') P_B(s|s') + r(s') for s' that is not terminal, so P_B is replaced by
    P_B + r(s') / F(s'). Objects: R(x) is replaced by R(x) + r(x). Any objective that balances flows can be trained on
    what comes out. r(s) = scale * |predictor(s) - target(s)|, and no gradient goes through it.

    Args:
        options: where novelty counts, and how much.
        env: an environment with k-hot features.
        generator: source of the initial weights.

    Raises:
        NotProvided: the environment has no such features.

    Reference: Pan et al., Generative augmented flow networks, ICLR 2023, arXiv:2210.03308; Burda et al., Exploration
    by random network distillation, ICLR 2019, arXiv:1810.12894.
    """

    def __init__(self, options: IntrinsicOptions, env: Environment[S], generator: torch.Generator) -> None:
        if not env.n_features:
            raise NotProvided(
                f"The environment {env.kind!r} has no k-hot features, by which `intrinsic` knows what is new. Leave "
                "`intrinsic` out, or explore by epsilon, temperature or local search."
            )
        self.options, self.env = options, env
        self.target, self.predictor = (_Network(env.n_features, options.width, generator) for _ in range(2))
        self.target.requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.predictor.parameters(), lr=options.learning_rate)

    def augmented(self, trajectories: Trajectories, paths: Paths[S], scale: float) -> tuple[Trajectories, float]:
        """Return what an objective is to see of trajectories, and their mean novelty; learn from them.

        Args:
            trajectories: as the policies judged them.
            paths: their transitions.
            scale: at this step.
        """
        hot = self.env.k_hot(paths.after)
        error = (self.predictor(hot) - self.target(hot)).norm(dim=1)
        reward = paths.pad(scale * error.detach())
        self._learn(error.mean())
        alive = trajectories.alive
        last = alive & ~torch.cat([alive[1:], torch.zeros_like(alive[:1])])
        mean = float(error.detach().mean())
        if not scale:
            return trajectories, mean
        log_reward, log_pb = trajectories.log_reward, trajectories.log_pb
        if self.options.place != "edge":
            log_reward = torch.logaddexp(log_reward, (reward * last).sum(0).log().to(log_reward.dtype))
        if self.options.place != "state":
            beside = reward.log().to(log_pb.dtype) - trajectories.next_flow
            log_pb = torch.where(alive & ~last, torch.logaddexp(log_pb, beside), log_pb)
        return replace(trajectories, log_reward=log_reward, log_pb=log_pb), mean

    def scale(self, step: int, steps: int) -> float:
        """Return the scale at a step of so many."""
        scale = self.options.scale
        return scale.at(step, steps) if isinstance(scale, Schedule) else scale

    def state(self) -> dict[str, Any]:
        """Return the weights of both networks and the course of the predictor."""
        return {
            "target": self.target.state_dict(),
            "predictor": self.predictor.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self.target.load_state_dict(state["target"])
        self.predictor.load_state_dict(state["predictor"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _learn(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


class _Network(nn.Module):
    """Three layers over the sum of the embeddings of a state's features."""

    def __init__(self, features: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        with torch.device("meta"):
            self.first = nn.Embedding(features + 1, width, padding_idx=features)
            self.second, self.third = nn.Linear(width, width), nn.Linear(width, width // 2 or 1)
        self.to_empty(device="cpu")
        initialise(self, generator)
        with torch.no_grad():
            self.first.weight[features] = 0.0

    def forward(self, hot: Tensor) -> Tensor:
        x = functional.embedding_bag(hot, self.first.weight, mode="sum", padding_idx=self.first.padding_idx)
        x = self.second(functional.leaky_relu(x))
        out: Tensor = self.third(functional.leaky_relu(x))
        return out
