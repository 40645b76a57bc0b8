"""Training of a GFlowNet: sampling, replay, one packed loss, checkpoints from which training goes on bit for bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from models.gflownet.environments.base import Environment, States
from models.gflownet.exploration.replay import Replay
from models.gflownet.objectives.base import Objective
from models.gflownet.policies.backward import BackwardPolicy, BackwardWalk
from models.gflownet.policies.base import Answer, Exploration, Policy, PolicyDiverged
from models.gflownet.policies.recorded import Recorder
from models.gflownet.trajectories import Paths, Trajectories, sample_backward, sample_forward
from models.registry import Options, build

S = TypeVar("S", bound=States)

Reward = Callable[[S], tuple[Tensor, Sequence[Hashable]]]
"""Terminal states -> log-rewards (B,) and the objects they are (None outside the space)."""
Report = Callable[[int, int, Mapping[str, float]], None]
Evaluate = Callable[[], Mapping[str, float]]


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
    replay: dict[str, Any] = Field(
        default_factory=lambda: {"kind": "prioritised", "capacity": 1000}, description="Kind of the replay."
    )
    checkpoint_every: int = Field(50, ge=1)


@dataclass(frozen=True)
class _Batch(Generic[S]):
    """Trajectories with their rewards; the first `fresh` are new. `answer` is there if sampling has judged them."""

    paths: Paths[S]
    log_reward: Tensor
    fresh: int
    distinct: int
    answer: Answer | None


class Trainer(Generic[S]):
    """Trains a policy in place. All randomness comes from `generator`; the global state is never touched.

    Args:
        env: the environment.
        policy: the policy to train.
        reward: of terminal states.
        objective: the loss.
        backward: the backward policy.
        options: how long and how to train.
        generator: source of all randomness.
        backward_network: gives the logits of a backward policy with a network of its own; trained too.
        partial: log-reward of unfinished states, for forward-looking objectives; the environment's own by default.
        evaluate: measures the policy; its figures enter the history at every `evaluate_every`-th step.

    Raises:
        ValueError: parts do not go together; the message says which and what to use.
    """

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
        backward_network: Policy[S] | None = None,
        partial: Callable[[S], Tensor] | None = None,
        evaluate: Evaluate | None = None,
    ) -> None:
        self.env, self.policy, self.reward = env, policy, reward
        self.objective, self.backward, self.options, self.generator = objective, backward, options, generator
        self.partial, self.evaluate = partial or env.log_partial, evaluate
        self.backward_network = backward_network if backward.network == "own" else policy
        self._check_parts()
        self.log_z = nn.Parameter(torch.zeros(()))
        self._parameters = [p for p in policy.parameters() if p.requires_grad]
        if backward.network == "own":
            self._parameters += list(self.backward_network.parameters())
        self.optimizer = torch.optim.Adam(
            [
                {"params": self._parameters, "lr": options.learning_rate},
                {"params": [self.log_z], "lr": options.log_z_learning_rate},
            ],
            fused=True,
        )
        self.replay: Replay[S] = build("replay", options.replay).start(env)
        self._recorder = Recorder(env, policy) if Recorder.suits(env, policy) else None  # type: ignore[arg-type]
        self.done = 0
        self.history: list[dict[str, float]] = []

    def _check_parts(self) -> None:
        reason = self.objective.refusal(self.env)
        if reason is not None:
            raise ValueError(reason)
        if self.backward_network is None:
            raise ValueError(
                f"The backward policy {self.backward.kind!r} has a network of its own; got none. Give the trainer "
                "`backward_network`, or use `tied`."
            )
        if self.objective.on_policy and self.options.replay_share:
            raise ValueError(
                f"The objective {self.objective.kind!r} must know the law that trajectories were drawn from, and that "
                f"of a replay is not known: got replay_share {self.options.replay_share}, expected 0."
            )

    @property
    def walk(self) -> BackwardWalk[S]:
        """A sampler of backward actions."""
        return BackwardWalk(self.env, self.backward_network, self.backward)

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
        try:
            batch = self._draw()
        except PolicyDiverged as error:
            raise TrainingError(f"Step {self.done}: {error}") from error
        trajectories = self.assess(batch.paths, batch.log_reward, batch.answer)
        if self.done == 0:
            trajectories = self._start_log_z(trajectories)
        loss = self.objective.loss(trajectories)
        value = loss.item()
        if not -torch.inf < value < torch.inf:
            self._explain(trajectories, value)
        self._descend(loss)
        self.done += 1
        metrics = {
            "step": float(self.done),
            "loss": value,
            "log_z": self.log_z.item(),
            "log_reward": batch.log_reward[: batch.fresh].mean().item(),
            "unique": batch.distinct / batch.fresh,
            "length": len(batch.paths.row) / len(batch.paths),
        }
        self.history.append(metrics)
        return metrics

    def _draw(self) -> _Batch[S]:
        options = self.options
        replayed = int(options.batch_size * options.replay_share) if len(self.replay) else 0
        fresh = options.batch_size - replayed
        paths, answer = self._sample(fresh)
        log_reward, keys = self.reward(paths.terminal)
        if not -torch.inf < log_reward.sum().item() < torch.inf:
            raise TrainingError(f"Step {self.done}: a log-reward is not finite; a reward must be a finite number.")
        if options.replay_share:
            kept, names = paths.terminal, keys
            values = log_reward
            if replayed:
                terminal, old = self.replay.sample(replayed, self.generator)
                again = sample_backward(self.env, self.walk, terminal, self.generator)
                answer = None if answer is None else Answer.cat([answer, self._judge(again)])
                paths = Paths.cat([paths, again])
                log_reward = torch.cat([log_reward, old.to(log_reward.dtype)])
            self._remember(kept, values, names)
        return _Batch(paths, log_reward, fresh, len(set(keys)), answer)

    def _sample(self, n: int) -> tuple[Paths[S], Answer | None]:
        exploration = Exploration(epsilon=self.options.epsilon)
        if self._recorder is not None:
            return self._recorder.draw(
                n, self.generator, exploration=exploration, backward=self.backward.network == "tied"
            )
        return sample_forward(self.env, self.policy, n, self.generator, exploration=exploration), None

    def _remember(self, terminal: S, log_reward: Tensor, keys: Sequence[Hashable]) -> None:
        inside = [place for place, key in enumerate(keys) if key is not None]
        if inside:
            index = torch.tensor(inside, device=log_reward.device)
            self.replay.add(terminal[index], log_reward[index], [keys[place] for place in inside])

    def _judge(self, paths: Paths[S]) -> Answer:
        after = paths.after if self.backward.network == "tied" else None
        return self.policy.score(paths.before, paths.forward, after, paths.conditions)

    def assess(self, paths: Paths[S], log_reward: Tensor, answer: Answer | None = None) -> Trajectories:
        """Return what the objective sees of trajectories: one packed pass over all their transitions.

        Args:
            paths: B trajectories.
            log_reward: (B,).
            answer: what the policy says of their transitions, if it has been asked already.
        """
        answer = self._judge(paths) if answer is None else answer
        pad = _Padding(paths)
        log_pb = self._log_pb(paths, answer).to(answer.log_pf.dtype)
        log_flow = answer.log_flow
        if self.objective.forward_looking:
            log_flow = log_flow + self.partial(paths.before).to(log_flow.dtype)
        log_pf = pad(answer.log_pf)
        known = paths.log_behaviour.to(log_pf.dtype)
        return Trajectories(
            log_pf=log_pf,
            log_pb=pad(log_pb),
            log_flow=torch.cat([self.log_z.expand(1, len(paths)), pad(log_flow)[1:]]),
            alive=pad.alive,
            log_reward=log_reward,
            condition=log_reward.new_zeros((len(log_reward), 0)) if paths.condition is None else paths.condition,
            log_behaviour=known,
            **{name: pad(getattr(self, f"_{name}")(paths)) for name in self.objective.needs},
        )

    def _log_pb(self, paths: Paths[S], answer: Answer) -> Tensor:
        """Return (P,) log P_B, corrections included."""
        logits = answer.backward_logits
        if self.backward.network == "own":
            logits = self.backward_network.backward_logits(paths.after, paths.conditions)
        log_pb = self.backward.log_prob(self.env, paths.after, logits).gather(1, paths.backward[:, None])[:, 0]
        return log_pb + self.env.log_correction(paths.before, paths.forward, paths.after)

    def _log_stop(self, paths: Paths[S]) -> Tensor:
        stop = torch.full_like(paths.forward, self.env.stop or 0)
        return self.policy.score(paths.before, stop, None, paths.conditions).log_pf

    @torch.no_grad()
    def _log_state_reward(self, paths: Paths[S]) -> Tensor:
        stop = torch.full_like(paths.forward, self.env.stop or 0)
        return self.reward(self.env.step(paths.before, stop))[0]

    def _log_inflow(self, paths: Paths[S]) -> Tensor:
        """Return (P,): log sum over the parents p of the state after of F(p) P_F, corrected for merged objects."""
        env, after, given = self.env, paths.after, paths.conditions
        row, action = env.backward_mask(after).nonzero(as_tuple=True)
        child = after[row]
        parent, forward = env.backstep(child, action), env.redo(child, action)
        answer = self.policy.score(parent, forward, None, None if given is None else given[row])
        flow = answer.log_flow
        if self.objective.forward_looking:
            flow = flow + self.partial(parent).to(flow.dtype)
        flow = torch.where(env.is_source(parent), self.log_z, flow)
        logits = self.backward_network.backward_logits(after, given) if self.backward.needs_logits else None
        log_pb = self.backward.log_prob(env, after, logits)[row, action]
        correction = _logsumexp(log_pb + env.log_correction(parent, forward, child), row, len(after))
        return _logsumexp(flow + answer.log_pf, row, len(after)) - correction.to(flow.dtype)

    @torch.no_grad()
    def _start_log_z(self, trajectories: Trajectories) -> Trajectories:
        """Set log Z to the batch mean of log R + log P_B - log P_F: from 0 it may never arrive."""
        gap = trajectories.log_reward + (trajectories.log_pb - trajectories.log_pf).sum(0)
        self.log_z.fill_(gap.mean())
        with torch.enable_grad():
            flow = torch.cat([self.log_z.expand(1, len(trajectories)), trajectories.log_flow[1:]])
        return replace(trajectories, log_flow=flow)

    def _explain(self, trajectories: Trajectories, loss: float) -> None:
        """Name what made the loss infinite or NaN.

        Raises:
            TrainingError: always.
        """
        for name in ("log_pf", "log_pb", "log_flow"):
            if not bool(getattr(trajectories, name).isfinite().all()):
                raise TrainingError(
                    f"Step {self.done}: {name} of a transition is not finite: the policy network has diverged, or an "
                    "action was taken that the masks forbid. Lower the learning rate, or report the environment."
                )
        raise TrainingError(f"Step {self.done}: the loss is {loss}; log-rewards are too far apart for it.")

    def _descend(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_([*self._parameters, self.log_z], self.options.clip_norm)
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


class _Padding:
    """Spreads values of P transitions to (T, B), 0 where there is none."""

    def __init__(self, paths: Paths[Any]) -> None:
        self._shape = (int(paths.time.max()) + 1, len(paths))
        self._index = paths.time * len(paths) + paths.row
        self.alive = torch.zeros(self._shape, dtype=torch.bool, device=paths.row.device)
        self.alive.view(-1)[self._index] = True

    def __call__(self, values: Tensor) -> Tensor:
        flat = values.new_zeros(self._shape[0] * self._shape[1])
        return flat.index_copy(0, self._index, values).view(self._shape)


def _logsumexp(values: Tensor, row: Tensor, n: int) -> Tensor:
    """Return (n,): the log of the sum of exp(values) that belong to each row."""
    with torch.no_grad():
        top = values.new_full((n,), -torch.inf).scatter_reduce(0, row, values.detach(), "amax")
    return top + values.new_zeros(n).index_add(0, row, (values - top[row]).exp()).log()


def write_atomically(state: Mapping[str, Any], path: Path) -> None:
    """Save tensors, numbers and strings so that a kill at any moment leaves a whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
