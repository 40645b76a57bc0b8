"""One policy for many graphs: transitions of a round, in random order, balance the flows of each graph by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.environments.vertex_sets import VertexSetEnvironment, VertexStates
from models.gflownet.exploration.schedule import Schedule
from models.gflownet.objectives.detailed_balance import DetailedBalance
from models.gflownet.objectives.forward_looking import ForwardLookingDetailedBalance
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.base import ON_POLICY, Exploration, Policy, PolicyDiverged
from models.gflownet.training.trainer import Report, TrainingError, checkpoint_of
from models.gflownet.training.trajectories import Trajectories, sample_forward
from models.registry import Options
from models.sealed import write_sealed


class AmortisedOptions(Options):
    """How long and how to train."""

    steps: int = Field(100, ge=1, description="Rounds of sampling, each followed by its steps of gradient descent.")
    batch_size: int = Field(32, ge=1, description="Trajectories of a round, each on a graph drawn anew.")
    transitions: int = Field(128, ge=1, description="Transitions of a gradient step, of which a round has several.")
    learning_rate: float = Field(3e-3, gt=0)
    final_rate: float = Field(0.1, gt=0, le=1, description="Share of the learning rate that is left at the end.")
    clip_norm: float = Field(10.0, gt=0)
    epsilon: float = Field(0.05, ge=0, le=1, description="Share of the actions that is uniformly at random.")
    coldness: Schedule = Field(
        default_factory=lambda: Schedule.constant(1.0),
        description="What log-rewards are multiplied by, over the rounds: low first, so that all solutions are met.",
    )
    evaluate_every: int = Field(50, ge=1, description="Rounds between evaluations, where there is one.")
    checkpoint_every: int = Field(50, ge=1)


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
        self.history: list[dict[str, float]] = []
        self.evaluate: Callable[[], Mapping[str, float]] | None = None

    @classmethod
    def forward_looking(
        cls, env: VertexSetEnvironment, policy: Policy[Any], options: AmortisedOptions, generator: torch.Generator
    ) -> AmortisedTrainer:
        """Return a trainer by forward-looking detailed balance."""
        return cls(env, policy, ForwardLookingDetailedBalance(), options, generator)

    @property
    def ended(self) -> bool:
        """Whether the last round was taken."""
        return self.done >= self.options.steps

    def train(self, report: Report | None = None, *, checkpoint: Path | None = None, fingerprint: str = "") -> None:
        """Train to the last round, going on from the checkpoint if there is one.

        Args:
            report: called after every round.
            checkpoint: file to go on from and to write to, atomically; None: none.
            fingerprint: names what is trained; a checkpoint of something else is refused.

        Raises:
            TrainingError: a gradient or a probability is not finite.
            ValueError: the checkpoint belongs to another training.
        """
        if checkpoint is not None and checkpoint.is_file():
            self.restore(checkpoint, fingerprint)
        options = self.options
        while not self.ended:
            metrics = self.round()
            if self.evaluate is not None and (self.done % options.evaluate_every == 0 or self.ended):
                metrics.update(self.evaluate())
            if report is not None:
                report(self.done, options.steps, metrics)
            if checkpoint is not None and (self.done % options.checkpoint_every == 0 or self.ended):
                self.save(checkpoint, fingerprint)

    def save(self, path: Path, fingerprint: str) -> None:
        """Write the checkpoint atomically: a reader sees the old one or the new one."""
        state = {
            "fingerprint": fingerprint,
            "done": self.done,
            "policy": self.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "history": self.history,
        }
        write_sealed(state, path)

    def restore(self, path: Path, fingerprint: str) -> None:
        """Go back to a checkpoint.

        Raises:
            DamagedCheckpoint: it is not what was written.
            ValueError: it belongs to another training.
        """
        state = checkpoint_of(path, fingerprint)
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.done, self.history = state["done"], list(state["history"])

    @property
    def log_z(self) -> Tensor:
        """Log Z of the first graph: the flow of its empty set, as the network says."""
        source = self.env.source(1)
        with torch.no_grad():
            flow = self.policy.score(source, torch.zeros(1, dtype=torch.int64), None).log_flow.double()
        partial = self.coldness * self.env.log_reward(source)
        return (flow + partial if self.objective.forward_looking else flow)[0]

    @property
    def coldness(self) -> float:
        """What the log-rewards of the last round were multiplied by."""
        return self.options.coldness.at(max(0, self.done - 1), self.options.steps)

    def round(self) -> dict[str, float]:
        """Sample trajectories, take their transitions in random order, and descend; return the mean loss and gain."""
        options, generator = self.options, self.generator
        exploration = Exploration(epsilon=options.epsilon)
        graphs = torch.randint(len(self.env.graphs), (options.batch_size,), generator=generator)
        try:
            paths = sample_forward(
                self.env, self.policy, len(graphs), generator, exploration=exploration, start=self.env.starts(graphs)
            )
        except PolicyDiverged as error:
            raise TrainingError(f"Round {self.done}: {error}") from error
        drawn = _Round(paths.before, paths.after, paths.forward, paths.backward)
        coldness = options.coldness.at(self.done, options.steps)
        share = Schedule(shape="cosine", start=1.0, end=options.final_rate).at(self.done, options.steps)
        self.optimizer.param_groups[0]["lr"] = options.learning_rate * share
        losses = []
        order = torch.randperm(len(drawn.forward), generator=generator)
        for start in range(0, len(order), options.transitions):
            index = order[start : start + options.transitions]
            loss = self.loss(drawn.take(index), coldness)
            losses.append(self._descend(loss))
        self.done += 1
        metrics = {
            "step": float(self.done),
            "loss": sum(losses) / len(losses),
            "sampled_gain": self.env.gain(paths.terminal).mean().item(),
        }
        self.history.append(metrics)
        return metrics

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
            raise TrainingError(f"Round {self.done}: the gradient is not finite. Lower the learning rate.")
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
