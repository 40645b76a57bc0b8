"""Training of a GFlowNet: sampling, replay, one packed loss, checkpoints from which training goes on bit for bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from models.gflownet.conditioning.base import Conditioning
from models.gflownet.conditioning.partition import LogPartition
from models.gflownet.environments.base import Environment, States
from models.gflownet.exploration.averaging import AveragedPolicy, frozen_copy
from models.gflownet.exploration.intrinsic import Intrinsic, IntrinsicOptions
from models.gflownet.exploration.local_search import LocalSearchOptions, local_search
from models.gflownet.exploration.replay import Replay
from models.gflownet.exploration.schedule import Schedule
from models.gflownet.objectives.base import Objective
from models.gflownet.policies.backward import BackwardPolicy, BackwardWalk
from models.gflownet.policies.base import Exploration, Policy, PolicyDiverged
from models.gflownet.training.assessment import Assessor
from models.gflownet.training.decomposition import Decomposition
from models.gflownet.training.guide import Guide
from models.gflownet.training.plateau import Plateau
from models.gflownet.training.recorded import Recorder
from models.gflownet.training.trajectories import Paths, Scores, Trajectories, sample_backward, sample_forward
from models.registry import Options, build
from models.sealed import read_sealed, write_sealed
from models.threads import one_blas_thread

S = TypeVar("S", bound=States)

Reward = Callable[[S], tuple[Tensor, Sequence[Hashable]]]
"""Terminal states -> log-rewards (B,) and the objects they are (None outside the space)."""
Fraction = Annotated[float, Field(ge=0, le=1)]
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
    schedule: Literal["constant", "linear", "cosine", "exponential"] = Field(
        "linear", description="Course of the learning rates over the steps."
    )
    final_rate: float = Field(0.1, gt=0, le=1, description="Share of the learning rates that is left at the end.")
    clip_norm: float = Field(10.0, gt=0)
    epsilon: Fraction | Schedule = Field(0.05, description="Share of the actions that is uniformly at random.")
    temperature: PositiveFloat | Schedule = Field(1.0, description="Logits are divided by it when sampling.")
    early_stop: float = Field(0.0, ge=0, lt=1, description="Share of the actions that stops at once, where it may.")
    sampling_decay: float = Field(
        0.0, ge=0, lt=1, description="Decay of the averaged policy that samples; 0: the policy itself samples."
    )
    replay_share: float = Field(0.25, ge=0, lt=1, description="Share of the batch that comes from the replay.")
    replay: dict[str, Any] = Field(
        default_factory=lambda: {"kind": "prioritised", "capacity": 1000}, description="Kind of the replay."
    )
    local_search: LocalSearchOptions | None = Field(
        None, description="Improve each fresh trajectory back and forth; what is tried joins the batch."
    )
    intrinsic: IntrinsicOptions | None = Field(
        None, description="Rewards for states that were rarely seen, less and less."
    )
    patience: int | None = Field(
        None, ge=1, description="End after so many steps without a better mean loss of the last 50; null: never."
    )
    evaluate_every: int = Field(50, ge=1, description="Steps between evaluations, where there is one.")
    checkpoint_every: int = Field(50, ge=1)

    def cited(self) -> tuple[str, ...]:
        """Return the papers of local search, of the averaged policy and of novelty, where there is one."""
        novelty = () if self.intrinsic is None else self.intrinsic.cited()
        local = ("kim2024local",) * (self.local_search is not None)
        return local + ("jain2023mogfn",) * (self.sampling_decay > 0) + novelty


@dataclass(frozen=True)
class _Batch(Generic[S]):
    """Trajectories with their rewards; the first `fresh` are new. `scores` are there if sampling has judged them."""

    paths: Paths[S]
    log_reward: Tensor
    fresh: int
    distinct: int
    scores: Scores | None


@dataclass(frozen=True)
class Fresh(Generic[S]):
    """Trajectories just drawn, with their log-rewards (B,); so many of the objects are distinct."""

    paths: Paths[S]
    log_reward: Tensor
    distinct: int


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
        conditioning: what the reward depends on besides the object; drawn anew for each trajectory.

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
        conditioning: Conditioning | None = None,
    ) -> None:
        self.env, self.policy, self.reward = env, policy, reward
        self.objective, self.backward, self.options, self.generator = objective, backward, options, generator
        self.evaluate, self.conditioning = evaluate, conditioning
        self.partition = LogPartition(0 if conditioning is None else conditioning.width, generator)
        network = self._checked(backward_network if backward.network == "own" else policy)
        self.prior: Policy[S] | None = frozen_copy(policy) if objective.relative else None
        """The policy that the target of the objective is relative to: the trained one as it was at first."""
        self.guide: Guide[S] | None = None
        """What is made of the objects met so far, where the objective asks."""
        if "log_guide" in objective.needs:
            self.guide = Guide(env, objective.options.sharpness)
        self.decomposition: Decomposition[S] | None = None
        """The potentials that stand in for partial rewards, where the objective learns some."""
        if objective.learns_potentials:
            self.decomposition = Decomposition(env, policy, objective.options)
        self.assessor = Assessor(
            env,
            policy,
            backward,
            objective,
            network,
            self.partition,
            partial or env.log_partial,
            self._stopped,
            self.prior,
            self.guide,
            self.decomposition,
        )
        self._parameters = [p for p in policy.parameters() if p.requires_grad]
        if backward.network == "own":
            self._parameters += list(network.parameters())
        self._all = [*self._parameters, *self.partition.parameters()]
        self.optimizer = torch.optim.Adam(
            [
                {"params": self._parameters, "lr": options.learning_rate},
                {"params": list(self.partition.parameters()), "lr": options.log_z_learning_rate},
            ],
            fused=True,
        )
        self.replay: Replay[S] = build("replay", options.replay).start(env)
        self._average = AveragedPolicy(policy, options.sampling_decay) if options.sampling_decay else None
        self._intrinsic = None if options.intrinsic is None else Intrinsic(options.intrinsic, env, generator)
        self._recorder: Recorder | None = None
        if self._average is None and Recorder.suits(env, policy):
            self._recorder = Recorder(env, policy, self.assessor)  # type: ignore[arg-type]
        self._rates = Schedule.constant(1.0)
        if options.schedule != "constant":
            self._rates = Schedule(shape=options.schedule, start=1.0, end=options.final_rate)
        self.done, self.ended = 0, False
        self.history: list[dict[str, float]] = []

    def _checked(self, network: Policy[S] | None) -> Policy[S]:
        reason = self.objective.refusal(self.env)
        if reason is not None:
            raise ValueError(reason)
        if network is None:
            raise ValueError(
                f"The backward policy {self.backward.kind!r} has a network of its own; got none. Give the trainer "
                "`backward_network`, or use `tied`."
            )
        if self.objective.on_policy and (self.options.replay_share or self.options.local_search):
            raise ValueError(
                f"The objective {self.objective.kind!r} must know the law that trajectories were drawn from, and that "
                f"of a replay or a local search is not known: got replay_share {self.options.replay_share} and "
                f"local_search {self.options.local_search}, expected 0 and none."
            )
        if "log_guide" in self.objective.needs and self.conditioning is not None:
            raise ValueError(
                f"The objective {self.objective.kind!r} compares the rewards of objects, and under conditioning there "
                "is none that holds for all. Use trajectory_balance."
            )
        if self.options.intrinsic is not None and not self.objective.zero_at_optimum:
            raise ValueError(
                f"The objective {self.objective.kind!r} compares laws and balances no flows: rewards of novelty have "
                "no place in it. Use trajectory_balance, detailed_balance or sub_trajectory_balance, or leave "
                "`intrinsic` out."
            )
        return network

    def keep_as_prior(self) -> None:
        """Take the policy as it is now for the prior, where the objective has one."""
        if self.prior is not None:
            self.prior.load_state_dict(self.policy.state_dict())

    @property
    def walk(self) -> BackwardWalk[S]:
        """A sampler of backward actions."""
        return self.assessor.walk

    @property
    def log_z(self) -> Tensor:
        """Log Z; with conditioning, the part that all conditions share."""
        return self.partition.value

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
        plateau = Plateau(self.options.patience, [row["loss"] for row in self.history])
        with one_blas_thread():
            while not self.ended:
                metrics = self.step()
                self.ended = self.done == self.options.steps or plateau.reached(metrics["loss"])
                if self.evaluate is not None and (self.done % self.options.evaluate_every == 0 or self.ended):
                    metrics.update(self.evaluate())
                if report is not None:
                    report(self.done, self.options.steps, metrics)
                if checkpoint is not None and (self.done % self.options.checkpoint_every == 0 or self.ended):
                    self.save(checkpoint, fingerprint)

    def step(self) -> dict[str, float]:
        """Take one step of gradient descent and return its metrics."""
        return self._learn(self._drawn(self.options.batch_size))

    def draw(self, n: int) -> Fresh[S]:
        """Draw n trajectories, ask for their rewards, and remember the objects, for `learn` of this or other trainers.

        Raises:
            TrainingError: a probability or a reward is not finite.
        """
        batch = self._drawn(n, replaying=False)
        return Fresh(batch.paths, batch.log_reward, batch.distinct)

    def learn(self, fresh: Sequence[Fresh[S]], replayed: int = 0) -> dict[str, float]:
        """Take one step of gradient descent on trajectories that others may have drawn, and return its metrics.

        Args:
            fresh: trajectories with their rewards, drawn without conditioning.
            replayed: trajectories to objects of the replay that join them, as far as there are any.
        """
        paths, rewards = [one.paths for one in fresh], [one.log_reward for one in fresh]
        n = sum(map(len, paths))
        if replayed and len(self.replay):
            terminal, old = self.replay.sample(replayed, self.generator)
            paths.append(sample_backward(self.env, self.walk, terminal, self.generator))
            rewards.append(old)
        log_reward = torch.cat([one.to(rewards[0].dtype) for one in rewards])
        return self._learn(_Batch(Paths.cat(paths), log_reward, n, sum(one.distinct for one in fresh), None))

    def _drawn(self, n: int, *, replaying: bool = True) -> _Batch[S]:
        try:
            return self._draw(n, replaying)
        except PolicyDiverged as error:
            raise TrainingError(f"Step {self.done}: {error}") from error

    def _learn(self, batch: _Batch[S]) -> dict[str, float]:
        if self.guide is not None:
            self.guide.add(batch.paths.terminal, batch.log_reward)
        told: dict[str, float] = {}
        if self.decomposition is not None:
            share = self._rates.at(self.done, self.options.steps)
            learnt = self.decomposition.learn(batch.paths, batch.log_reward, self.generator, share)
            told["potential_error"] = learnt
        trajectories = self.assessor.assess(batch.paths, batch.log_reward, batch.scores)
        if self.done == 0:
            trajectories = self._start_log_z(trajectories)
        if self._intrinsic is not None:
            scale = self._intrinsic.scale(self.done, self.options.steps)
            trajectories, mean = self._intrinsic.augmented(trajectories, batch.paths, scale)
            told |= {"novelty": mean, "intrinsic_scale": scale}
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
            **told,
        }
        self.history.append(metrics)
        return metrics

    def _draw(self, n: int, replaying: bool) -> _Batch[S]:
        options = self.options
        replayed = int(n * options.replay_share) if replaying and len(self.replay) else 0
        fresh = n - replayed
        raw, condition = self._conditions(n)
        paths, scores = self._sample(fresh, None if condition is None else condition[:fresh])
        values, keys = self._valued(paths.terminal)
        log_reward = self._conditioned(values, raw, slice(0, fresh))
        more: list[Paths[S]] = []
        rewards = [log_reward]
        if options.local_search is not None:
            tried, found = self._search(options.local_search, paths, log_reward, None if raw is None else raw[:fresh])
            more, rewards = [*more, *tried], [*rewards, *found]
        if replayed:
            terminal, old = self.replay.sample(replayed, self.generator)
            shown, given = self._in_hindsight(old, raw, condition, slice(fresh, None))
            more.append(sample_backward(self.env, self.walk, terminal, self.generator, condition=given))
            rewards.append(self._conditioned(old, shown, slice(None)))
        if options.replay_share:
            self._remember(paths.terminal, values, keys)
        distinct = len(set(keys))
        if more:
            extra = Paths.cat(more)
            scores = None if scores is None else Scores.join([scores, self.assessor.score(extra)])
            paths, log_reward = Paths.cat([paths, extra]), torch.cat([part.to(log_reward.dtype) for part in rewards])
        return _Batch(paths, log_reward, fresh, distinct, scores)

    def _conditions(self, n: int) -> tuple[Tensor | None, Tensor | None]:
        """Draw raw conditions (n, C0) and encode them (n, C)."""
        if self.conditioning is None:
            return None, None
        raw = self.conditioning.draw(n, self.generator)
        return raw, self.conditioning.encode(raw)

    def _in_hindsight(
        self, values: Tensor, raw: Tensor | None, condition: Tensor | None, rows: slice
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return raw (n, C0) and encoded (n, C) conditions of replayed objects, of which the reward gave `values`."""
        if self.conditioning is None or raw is None or condition is None:
            return None, None
        shown = self.conditioning.in_hindsight(values, raw[rows], self.generator)
        return shown, condition[rows] if torch.equal(shown, raw[rows]) else self.conditioning.encode(shown)

    def _conditioned(self, values: Tensor, raw: Tensor | None, rows: slice) -> Tensor:
        if self.conditioning is None or raw is None:
            return values
        return self.conditioning.log_reward(values, raw[rows])

    def _valued(self, terminal: S) -> tuple[Tensor, Sequence[Hashable]]:
        """Return what the reward says, before any condition.

        Raises:
            TrainingError: a log-reward is not finite.
        """
        values, keys = self.reward(terminal)
        if not -torch.inf < values.sum().item() < torch.inf:
            raise TrainingError(f"Step {self.done}: a log-reward is not finite; a reward must be a finite number.")
        return values, keys

    def _stopped(self, terminal: S, condition: Tensor | None) -> Tensor:
        """Return the log-rewards of states as objects, for objectives that ask for them everywhere."""
        if condition is not None:
            raise ValueError(
                f"The objective {self.objective.kind!r} asks for the reward of every state, which is not made for "
                "conditioning. Use trajectory_balance or sub_trajectory_balance."
            )
        return self.reward(terminal)[0]

    def _sample(self, n: int, condition: Tensor | None) -> tuple[Paths[S], Scores | None]:
        exploration = self._exploration()
        if self._recorder is not None:
            drawn: Any = self._recorder.draw(n, self.generator, exploration=exploration, condition=condition)
            return drawn  # type: ignore[no-any-return]
        sampler = self.policy if self._average is None else self._average.policy
        return sample_forward(self.env, sampler, n, self.generator, exploration=exploration, condition=condition), None

    def _exploration(self) -> Exploration:
        epsilon, temperature = (
            value.at(self.done, self.options.steps) if isinstance(value, Schedule) else value
            for value in (self.options.epsilon, self.options.temperature)
        )
        return Exploration(epsilon=epsilon, temperature=temperature, early_stop=self.options.early_stop)

    def _search(
        self, options: LocalSearchOptions, paths: Paths[S], log_reward: Tensor, raw: Tensor | None
    ) -> tuple[list[Paths[S]], list[Tensor]]:
        """Return the trajectories that a local search tries, and their log-rewards."""

        def reward(terminal: S) -> tuple[Tensor, Sequence[Hashable]]:
            values, keys = self._valued(terminal)
            if self.options.replay_share:
                self._remember(terminal, values, keys)
            return self._conditioned(values, raw, slice(None)), keys

        found = local_search(
            self.env,
            self.policy,
            self.walk,
            paths,
            log_reward,
            reward,
            self.generator,
            **options.model_dump(),
        )
        return [one.paths for one in found.proposals], [one.log_reward for one in found.proposals]

    def _remember(self, terminal: S, log_reward: Tensor, keys: Sequence[Hashable]) -> None:
        inside = [place for place, key in enumerate(keys) if key is not None]
        if inside:
            index = torch.tensor(inside, device=log_reward.device)
            self.replay.add(terminal[index], log_reward[index], [keys[place] for place in inside])

    @torch.no_grad()
    def _start_log_z(self, trajectories: Trajectories) -> Trajectories:
        """Set log Z to the batch mean of log R + log P_B (or of the prior) - log P_F: from 0 it may never arrive."""
        beside = trajectories.log_pb if trajectories.log_prior is None else trajectories.log_prior
        gap = trajectories.log_reward + (beside - trajectories.log_pf).sum(0)
        self.partition.initialise(gap.mean())
        condition = trajectories.condition if trajectories.condition.shape[1] else None
        with torch.enable_grad():
            flow = torch.cat([self.partition(condition, len(trajectories))[None], trajectories.log_flow[1:]])
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
        for parameter in self._all:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in self._all if parameter.grad is not None]
        norm = torch.stack(torch._foreach_norm(gradients)).norm().item()
        if not norm < torch.inf:
            raise TrainingError(f"Step {self.done}: the gradient is not finite. Lower the learning rate.")
        if norm > self.options.clip_norm:
            torch._foreach_mul_(gradients, self.options.clip_norm / norm)
        share = self._rates.at(self.done, self.options.steps)
        rates = (self.options.learning_rate, self.options.log_z_learning_rate)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * share
        self.optimizer.step()
        if self._average is not None:
            self._average.update(self.policy)

    def save(self, path: Path, fingerprint: str) -> None:
        """Write the checkpoint atomically: a reader sees the old one or the new one."""
        write_sealed({"fingerprint": fingerprint, **self.state()}, path)

    def state(self) -> dict[str, Any]:
        """Return everything that training goes on from; tensors are the trainer's own, not copies."""
        return {
            "done": self.done,
            "ended": self.ended,
            "policy": self.policy.state_dict(),
            "backward": self._backward_state(),
            "prior": None if self.prior is None else self.prior.state_dict(),
            "average": None if self._average is None else self._average.state(),
            "guide": None if self.guide is None else self.guide.state(),
            "decomposition": None if self.decomposition is None else self.decomposition.state(),
            "intrinsic": None if self._intrinsic is None else self._intrinsic.state(),
            "partition": self.partition.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "replay": self.replay.state(),
            "generator": self.generator.get_state(),
            "history": self.history,
        }

    def restore(self, path: Path, fingerprint: str) -> None:
        """Go back to a checkpoint.

        Raises:
            DamagedCheckpoint: it is not what was written.
            ValueError: it belongs to another training.
        """
        state = checkpoint_of(path, fingerprint)
        self._load(state)
        self.replay.load_state(state["replay"])
        self.generator.set_state(state["generator"])

    def adopt(self, state: Mapping[str, Any]) -> None:
        """Go on from where another training of the same parts was; the options and the source of randomness stay.

        Args:
            state: what `state` of the other one returned, copied; without `replay` the objects met stay too.
        """
        self._load(state)
        if "replay" in state:
            self.replay.load_state(state["replay"])

    def disturb(self, deviation: float) -> None:
        """Multiply every weight of the policy by 1 plus a normal number of this standard deviation."""
        with torch.no_grad():
            for weight in self._parameters:
                weight.mul_(1.0 + deviation * torch.randn(weight.shape, generator=self.generator, dtype=weight.dtype))

    def _load(self, state: Mapping[str, Any]) -> None:
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.partition.load_state_dict(state["partition"])
        if state["backward"] is not None:
            self.assessor.backward_network.load_state_dict(state["backward"])
        if self.prior is not None:
            self.prior.load_state_dict(state["prior"])
        if self._average is not None:
            self._average.load_state(state["average"])
        if self.guide is not None:
            self.guide.load_state(state["guide"])
        if self.decomposition is not None:
            self.decomposition.load_state(state["decomposition"])
        if self._intrinsic is not None:
            self._intrinsic.load_state(state["intrinsic"])
        self.done, self.ended, self.history = state["done"], state["ended"], list(state["history"])

    def _backward_state(self) -> dict[str, Tensor] | None:
        """Return the weights of a backward policy with a network of its own."""
        return self.assessor.backward_network.state_dict() if self.backward.network == "own" else None


def write_atomically(state: Mapping[str, Any], path: Path) -> None:
    """Save tensors, numbers and strings so that a kill at any moment leaves a whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def checkpoint_of(path: Path, fingerprint: str) -> dict[str, Any]:
    """Return what a checkpoint holds.

    Raises:
        DamagedCheckpoint: it is not what was written.
        ValueError: it belongs to another training.
    """
    state = read_sealed(path)
    if state["fingerprint"] != fingerprint:
        raise ValueError(
            f"The checkpoint {path} belongs to another training: got {state['fingerprint']!r}, expected "
            f"{fingerprint!r}. Remove it, or train with the options it was made with."
        )
    return state
