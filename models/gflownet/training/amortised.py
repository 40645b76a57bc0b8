"""One policy for many graphs: transitions of a round, in random order, balance the flows of each graph by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.environments.vertex_sets import VertexSetEnvironment, VertexStates
from models.gflownet.exploration.schedule import Schedule
from models.gflownet.objectives.detailed_balance import DetailedBalance
from models.gflownet.objectives.forward_looking import ForwardLookingDetailedBalance
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.base import ON_POLICY, Exploration, Policy
from models.gflownet.training.trajectories import Trajectories, sample_forward
from models.registry import Options


class AmortisedOptions(Options):
    """How long and how to train."""

    rounds: int = Field(100, ge=1, description="Rounds of sampling, each followed by its steps.")
    batch_size: int = Field(32, ge=1, description="Trajectories of a round, each on a graph drawn anew.")
    transitions: int = Field(128, ge=1, description="Transitions of a step; a round has as many steps as it can fill.")
    learning_rate: float = Field(3e-3, gt=0)
    final_rate: float = Field(0.1, gt=0, le=1, description="Share of the learning rate that is left at the end.")
    clip_norm: float = Field(10.0, gt=0)
    epsilon: float = Field(0.05, ge=0, le=1, description="Share of the actions that is uniformly at random.")
    coldness: Schedule = Field(
        default_factory=lambda: Schedule.constant(1.0),
        description="What log-rewards are multiplied by, over the rounds: low first, so that all solutions are met.",
    )


@dataclass(frozen=True)
class _Round:
    """The P transitions of a round."""

    before: VertexStates
    after: VertexStates
    forward: Tensor
    backward: Tensor

    def take(self, index: Tensor) -> _Round:
        return _Round(self.before[index], self.after[index], self.forward[index], self.backward[index])


class AmortisedTrainer:
    """Trains a policy that reads the graph, in place; all randomness comes from `generator`.

    Flows are of a graph, and the flow of its empty set is what the network says: there is no log Z to learn for each
    graph. Transitions are balanced one by one, so no trajectory is kept whole, however long it is (Zhang et al.,
    NeurIPS 2023, arXiv:2305.17010, algorithm 1). The backward policy is uniform over the true parents.

    Args:
        env: the graphs.
        policy: the policy to train; it reads the graph of a state.
        objective: detailed balance, forward-looking or not.
        options: how long and how to train.
        generator: source of all randomness.
    """

    def __init__(
        self,
        env: VertexSetEnvironment,
        policy: Policy[Any],
        objective: DetailedBalance,
        options: AmortisedOptions,
        generator: torch.Generator,
    ) -> None:
        self.env, self.policy, self.objective = env, policy, objective
        self.options, self.generator = options, generator
        self.backward = UniformBackward()
        self.parameters = [one for one in policy.parameters() if one.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=options.learning_rate, fused=True)
        self.done = 0

    @classmethod
    def forward_looking(
        cls, env: VertexSetEnvironment, policy: Policy[Any], options: AmortisedOptions, generator: torch.Generator
    ) -> AmortisedTrainer:
        """Return a trainer by forward-looking detailed balance."""
        return cls(env, policy, ForwardLookingDetailedBalance(), options, generator)

    def train(self, report: Callable[[int, int, Mapping[str, float]], None] | None = None) -> None:
        """Train to the last round; `report` is called after each."""
        while self.done < self.options.rounds:
            figures = self.round()
            if report is not None:
                report(self.done, self.options.rounds, figures)

    def round(self) -> dict[str, float]:
        """Sample trajectories, take their transitions in random order, and descend; return the mean loss and gain."""
        options, generator = self.options, self.generator
        exploration = Exploration(epsilon=options.epsilon)
        graphs = torch.randint(len(self.env.graphs), (options.batch_size,), generator=generator)
        paths = sample_forward(
            self.env, self.policy, len(graphs), generator, exploration=exploration, start=self.env.starts(graphs)
        )
        drawn = _Round(paths.before, paths.after, paths.forward, paths.backward)
        coldness = options.coldness.at(self.done, options.rounds)
        share = Schedule(shape="cosine", start=1.0, end=options.final_rate).at(self.done, options.rounds)
        self.optimizer.param_groups[0]["lr"] = options.learning_rate * share
        losses = []
        order = torch.randperm(len(drawn.forward), generator=generator)
        for start in range(0, len(order), options.transitions):
            index = order[start : start + options.transitions]
            loss = self.loss(drawn.take(index), coldness)
            losses.append(self._descend(loss))
        self.done += 1
        return {"loss": sum(losses) / len(losses), "gain": self.env.gain(paths.terminal).mean().item()}

    def loss(self, drawn: _Round, coldness: float) -> Tensor:
        """Return the objective's loss of P transitions, each a trajectory that ends in the flow of its next state."""
        env, n = self.env, len(drawn.forward)
        both = VertexStates.cat([drawn.before, drawn.after])
        # Of terminal states no action is legal, and nothing that is said of one is used.
        answer = self.policy.score(both, torch.cat([drawn.forward, torch.zeros_like(drawn.forward)]), None)
        partial = coldness * env.log_reward(both).to(answer.log_flow.dtype)
        flow = answer.log_flow + partial if self.objective.forward_looking else answer.log_flow
        following = torch.where(drawn.after.done, partial[n:], flow[n:])
        log_pb = self.backward.log_prob(env, drawn.after, None).gather(1, drawn.backward[:, None])[:, 0]
        return self.objective.loss(
            Trajectories(
                log_pf=answer.log_pf[None, :n],
                log_pb=log_pb.to(flow.dtype)[None],
                log_flow=flow[None, :n],
                alive=torch.ones((1, n), dtype=torch.bool),
                log_reward=following,
                condition=following.new_zeros((n, 0)),
                log_behaviour=torch.full((n,), torch.nan),
            )
        )

    def _descend(self, loss: Tensor) -> float:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.options.clip_norm))
        if not norm < torch.inf:
            raise FloatingPointError(f"Round {self.done}: the gradient is not finite. Lower the learning rate.")
        self.optimizer.step()
        return loss.item()


def best_of(
    env: VertexSetEnvironment, policy: Policy[Any], draws: int, generator: torch.Generator
) -> tuple[Tensor, list[tuple[str, ...]]]:
    """Return the best gain of some draws for each graph of an environment, (G,) float64, and the sets that have it."""
    graphs = torch.arange(len(env.graphs)).repeat_interleave(draws)
    ended = sample_forward(
        env, policy, len(graphs), generator, exploration=ON_POLICY, start=env.starts(graphs)
    ).terminal
    gains = env.gain(ended).view(-1, draws)
    best, place = gains.max(1)
    return best, env.decode(ended[torch.arange(len(best)) * draws + place])
