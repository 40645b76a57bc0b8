"""Training of a GFlowNet: sampling, replay, one packed loss, checkpoints from which training goes on bit for bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from models.gflownet.environments.base import Environment, States
from models.gflownet.exploration.replay import Replay
from models.gflownet.objectives.base import Objective
from models.gflownet.policies.backward import BackwardPolicy, BackwardWalk
from models.gflownet.policies.base import Policy
from models.gflownet.trajectories import Paths, Trajectories, sample_backward, sample_forward
from models.registry import Options

S = TypeVar("S", bound=States)

Reward = Callable[[S], tuple[Tensor, Sequence[Hashable]]]
"""Terminal states -> log-rewards (B,) and the objects they are (strings, None outside the space)."""
Report = Callable[[int, int, Mapping[str, float]], None]


class TrainingError(RuntimeError):
    """Training cannot go on: something is not finite. The message names what."""


class TrainerOptions(Options):
    """How long and how to train."""

    steps: int = Field(100, ge=1)
    batch_size: int = Field(64, ge=2, description="Trajectories per step, replayed ones included.")
    learning_rate: float = Field(2e-3, gt=0)
    log_z_learning_rate: float = Field(0.1, gt=0)
    final_rate: float = Field(0.1, gt=0, le=1, description="Learning rates fall linearly to this share at the end.")
    clip_norm: float = Field(10.0, gt=0)
    epsilon: float = Field(0.05, ge=0, le=1, description="Share of states that act uniformly at random.")
    replay_share: float = Field(0.25, ge=0, lt=1, description="Share of the batch that comes from the replay.")
    replay_capacity: int = Field(1000, ge=1)
    checkpoint_every: int = Field(50, ge=1)


@dataclass(frozen=True)
class _Batch(Generic[S]):
    paths: Paths[S]
    log_reward: Tensor
    fresh: int
    distinct: int


class Trainer(Generic[S]):
    """Trains a policy in place. All randomness comes from `generator`; the global state is never touched."""

    def __init__(
        self,
        env: Environment[S],
        policy: Policy[S],
        reward: Reward[S],
        *,
        objective: Objective,
        backward: BackwardPolicy,
        options: TrainerOptions,
        generator: torch.Generator,
    ) -> None:
        self.env, self.policy, self.reward = env, policy, reward
        self.objective, self.backward, self.options, self.generator = objective, backward, options, generator
        self.log_z = nn.Parameter(torch.zeros(()))
        self.optimizer = torch.optim.Adam(
            [
                {"params": list(policy.parameters()), "lr": options.learning_rate},
                {"params": [self.log_z], "lr": options.log_z_learning_rate},
            ],
            fused=True,
        )
        self.replay: Replay[S] = Replay(options.replay_capacity, env.source(0))
        self.done = 0
        self.history: list[dict[str, float]] = []

    def train(self, *, checkpoint: Path | None = None, fingerprint: str = "", report: Report | None = None) -> None:
        """Train to the last step, going on from the checkpoint if there is one.

        Args:
            checkpoint: file to go on from and to write to, atomically; None: none.
            fingerprint: names what is trained; a checkpoint of something else is refused.
            report: called after every step.

        Raises:
            TrainingError: a reward, a probability, the loss or a gradient is not finite.
            ValueError: the checkpoint belongs to another training.
        """
        if checkpoint is not None and checkpoint.is_file():
            self.restore(checkpoint, fingerprint)
        while self.done < self.options.steps:
            metrics = self.step()
            if report is not None:
                report(self.done, self.options.steps, metrics)
            if checkpoint is not None and (
                self.done % self.options.checkpoint_every == 0 or self.done == self.options.steps
            ):
                self.save(checkpoint, fingerprint)

    def step(self) -> dict[str, float]:
        """Take one step of gradient descent and return its metrics."""
        batch = self._draw()
        if not bool(batch.log_reward.isfinite().all()):
            raise TrainingError(f"Step {self.done}: a log-reward is not finite; a reward must be a finite number.")
        trajectories = self.assess(batch.paths, batch.log_reward)
        if self.done == 0:
            trajectories = self._start_log_z(trajectories)
        loss = self.objective.loss(trajectories)
        self._check(trajectories, loss)
        self._descend(loss)
        self.done += 1
        fresh = slice(0, batch.fresh)
        metrics = {
            "step": float(self.done),
            "loss": loss.item(),
            "log_z": self.log_z.item(),
            "log_reward": batch.log_reward[fresh].mean().item(),
            "unique": batch.distinct / batch.fresh,
            "length": float(trajectories.alive[:, fresh].sum(0).float().mean()),
        }
        self.history.append(metrics)
        return metrics

    def _draw(self) -> _Batch[S]:
        options = self.options
        replayed = int(options.batch_size * options.replay_share) if len(self.replay) else 0
        fresh = options.batch_size - replayed
        paths = sample_forward(self.env, self.policy, fresh, self.generator, epsilon=options.epsilon)
        log_reward, keys = self.reward(paths.terminal)
        if replayed:
            terminal, old = self.replay.sample(replayed, self.generator)
            walk = BackwardWalk(self.env, self.policy, self.backward)
            paths = Paths.cat([paths, sample_backward(self.env, walk, terminal, self.generator)])
            log_reward = torch.cat([log_reward, old.to(log_reward.dtype)])
        inside = torch.tensor([key is not None for key in keys])
        if options.replay_share and bool(inside.any()):
            names = [key for key in keys if key is not None]
            self.replay.add(paths.terminal[:fresh][inside], log_reward[:fresh][inside], names)
        return _Batch(paths, log_reward, fresh, len(set(keys)))

    def assess(self, paths: Paths[S], log_reward: Tensor) -> Trajectories:
        """Return what the objective sees of trajectories: one packed pass over all their transitions."""
        answer = self.policy.score(paths.before, paths.forward, paths.after if self.backward.needs_logits else None)
        mask = self.env.backward_mask(paths.after)
        log_pb = self.backward.log_prob(mask, answer.backward_logits).gather(1, paths.backward[:, None])[:, 0]
        log_pb = log_pb + self.env.log_correction(paths.before, paths.forward, paths.after)
        first = paths.time == 0
        return Trajectories(
            log_pf=paths.pad(answer.log_pf),
            log_pb=paths.pad(log_pb.to(answer.log_pf.dtype)),
            log_flow=paths.pad(torch.where(first, self.log_z, answer.log_flow)),
            alive=paths.pad(torch.ones_like(first)),
            log_reward=log_reward,
            condition=log_reward.new_zeros((len(log_reward), 0)),
        )

    @torch.no_grad()
    def _start_log_z(self, trajectories: Trajectories) -> Trajectories:
        """Set log Z to the batch mean of log R + log P_B - log P_F: from 0 it may never arrive."""
        gap = trajectories.log_reward + (trajectories.log_pb - trajectories.log_pf).sum(0)
        self.log_z.fill_(gap.mean())
        with torch.enable_grad():
            flow = torch.cat([self.log_z.expand(1, len(trajectories)), trajectories.log_flow[1:]])
        return Trajectories(**{**vars(trajectories), "log_flow": flow})

    def _check(self, trajectories: Trajectories, loss: Tensor) -> None:
        for name in ("log_pf", "log_pb", "log_flow"):
            if not bool(getattr(trajectories, name).isfinite().all()):
                raise TrainingError(
                    f"Step {self.done}: {name} of a transition is not finite: the policy network has diverged, or an "
                    "action was taken that the masks forbid. Lower the learning rate, or report the environment."
                )
        if not bool(loss.isfinite()):
            raise TrainingError(f"Step {self.done}: the loss is {loss.item()}; log-rewards are too far apart for it.")

    def _descend(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_([*self.policy.parameters(), self.log_z], self.options.clip_norm)
        if not bool(norm.isfinite()):
            raise TrainingError(f"Step {self.done}: the gradient is not finite. Lower the learning rate.")
        left = 1.0 - self.done / self.options.steps
        share = self.options.final_rate + (1.0 - self.options.final_rate) * left
        rates = (self.options.learning_rate, self.options.log_z_learning_rate)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * share
        self.optimizer.step()

    def save(self, path: Path, fingerprint: str) -> None:
        """Write the checkpoint atomically: a reader sees the old one or the new one."""
        state = {
            "fingerprint": fingerprint,
            "done": self.done,
            "policy": self.policy.state_dict(),
            "log_z": self.log_z.detach(),
            "optimizer": self.optimizer.state_dict(),
            "replay": self.replay.state(),
            "generator": self.generator.get_state(),
            "history": self.history,
        }
        write_atomically(state, path)

    def restore(self, path: Path, fingerprint: str) -> None:
        """Go back to a checkpoint.

        Raises:
            ValueError: it belongs to another training.
        """
        state = torch.load(path, weights_only=True)
        if state["fingerprint"] != fingerprint:
            raise ValueError(
                f"The checkpoint {path} belongs to another training: got {state['fingerprint']!r}, expected "
                f"{fingerprint!r}. Remove it, or train with the options it was made with."
            )
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        with torch.no_grad():
            self.log_z.copy_(state["log_z"])
        self.replay.load_state(state["replay"])
        self.generator.set_state(state["generator"])
        self.done, self.history = state["done"], list(state["history"])


def write_atomically(state: Mapping[str, Any], path: Path) -> None:
    """Save tensors, numbers and strings so that a kill at any moment leaves a whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
