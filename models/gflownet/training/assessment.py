"""From trajectories to what an objective sees of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from models.gflownet.conditioning.partition import LogPartition
from models.gflownet.environments.base import Environment, States
from models.gflownet.objectives.base import Objective
from models.gflownet.policies.backward import BackwardPolicy, BackwardWalk
from models.gflownet.policies.base import Policy
from models.gflownet.training.decomposition import Decomposition
from models.gflownet.training.guide import Guide
from models.gflownet.training.trajectories import Paths, Scores, Trajectories

S = TypeVar("S", bound=States)


@dataclass(frozen=True)
class Assessor(Generic[S]):
    """Asks the policies about trajectories, in one packed pass, and pads the answers.

    Attributes:
        env, policy, backward, objective: what is trained, and how.
        backward_network: the network that a backward policy with logits asks; the policy itself for a tied one.
        partition: log Z, as a function of the condition.
        partial: log-reward of unfinished states, for forward-looking objectives.
        reward: of terminal states, for objectives that ask for the reward of stopping anywhere.
        prior: the policy of objectives whose target is relative to one, not trained.
        guide: of objectives that ask for one.
        decomposition: the potentials of objectives that learn some.
    """

    env: Environment[S]
    policy: Policy[S]
    backward: BackwardPolicy
    objective: Objective
    backward_network: Policy[S]
    partition: LogPartition
    partial: Callable[[S], Tensor]
    reward: Callable[[S, Tensor | None], Tensor]
    prior: Policy[S] | None = None
    guide: Guide[S] | None = None
    decomposition: Decomposition[S] | None = None

    @property
    def walk(self) -> BackwardWalk[S]:
        """A sampler of backward actions."""
        return BackwardWalk(self.env, self.backward_network, self.backward)

    def score(self, paths: Paths[S]) -> Scores:
        """Return what the policies say of all transitions, in one packed pass."""
        after = paths.after if self.backward.network == "tied" else None
        answer = self.policy.score(paths.before, paths.forward, after, paths.conditions)
        pad = Padding(paths)
        log_pb = self.log_pb(paths, answer.backward_logits).to(answer.log_pf.dtype)
        return Scores(pad(answer.log_pf), pad(log_pb), pad(answer.log_flow), pad.alive)

    def assess(self, paths: Paths[S], log_reward: Tensor, scores: Scores | None = None) -> Trajectories:
        """Return what the objective sees of trajectories.

        Args:
            paths: B trajectories.
            log_reward: (B,).
            scores: what the policies say of them, if they have been asked already.
        """
        needs = self.objective.needs
        made: dict[str, Tensor] = {}
        if scores is None and "log_stop" in needs and self.backward.network != "tied":
            scores, made["log_stop"] = self._score_and_stop(paths)
        scores = self.score(paths) if scores is None else scores
        log_flow = scores.log_flow
        pad = Padding(paths) if needs or self.objective.forward_looking else None
        if pad is not None and self.objective.forward_looking:
            log_flow = log_flow + pad(self.partial(paths.before).to(log_flow.dtype))
        if self.decomposition is not None:
            log_flow = log_flow + self.decomposition.so_far(paths, log_reward).to(log_flow.dtype)
        return Trajectories(
            log_pf=scores.log_pf,
            log_pb=scores.log_pb,
            log_flow=torch.cat([self.partition(paths.condition, len(paths))[None], log_flow[1:]]),
            alive=scores.alive,
            log_reward=log_reward,
            condition=log_reward.new_zeros((len(log_reward), 0)) if paths.condition is None else paths.condition,
            log_behaviour=paths.log_behaviour.to(log_flow.dtype),
            **{} if pad is None else {name: pad(getattr(self, f"_{name}")(paths)) for name in needs - made.keys()},
            **made,
        )

    def _score_and_stop(self, paths: Paths[S]) -> tuple[Scores, Tensor]:
        """Return scores and log-probabilities of stopping (T, B), each state being judged once for both."""
        n, pad = len(paths.forward), Padding(paths)
        stop = torch.full_like(paths.forward, self.env.stop or 0)
        twice = type(paths.before).cat([paths.before, paths.before])
        given = None if paths.conditions is None else torch.cat([paths.conditions, paths.conditions])
        answer = self.policy.score(twice, torch.cat([paths.forward, stop]), None, given)
        log_pb = self.log_pb(paths, None).to(answer.log_pf.dtype)
        scores = Scores(pad(answer.log_pf[:n]), pad(log_pb), pad(answer.log_flow[:n]), pad.alive)
        return scores, pad(answer.log_pf[n:])

    def log_pb(self, paths: Paths[S], logits: Tensor | None) -> Tensor:
        """Return (P,) log P_B, corrections included; `logits` (P, n_backward) are for a tied policy."""
        if self.backward.network == "own":
            logits = self.backward_network.backward_logits(paths.after, paths.conditions)
        log_pb = self.backward.chosen(self.env, paths.after, paths.backward, logits)
        return log_pb + self.env.log_correction(paths.before, paths.forward, paths.after)

    def _log_stop(self, paths: Paths[S]) -> Tensor:
        stop = torch.full_like(paths.forward, self.env.stop or 0)
        return self.policy.score(paths.before, stop, None, paths.conditions).log_pf

    @torch.no_grad()
    def _log_prior(self, paths: Paths[S]) -> Tensor:
        assert self.prior is not None  # the trainer makes one where the objective asks
        return self.prior.score(paths.before, paths.forward, None, paths.conditions).log_pf

    def _log_guide(self, paths: Paths[S]) -> Tensor:
        assert self.guide is not None  # the trainer makes one where the objective asks
        return self.guide.log_prob(paths).to(torch.get_default_dtype())

    @torch.no_grad()
    def _log_state_reward(self, paths: Paths[S]) -> Tensor:
        stop = torch.full_like(paths.forward, self.env.stop or 0)
        return self.reward(self.env.step(paths.before, stop), paths.conditions)

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
        source = self.partition(None if given is None else given[row], len(row))
        flow = torch.where(env.is_source(parent), source.to(flow.dtype), flow)
        logits = self.backward_network.backward_logits(after, given) if self.backward.needs_logits else None
        log_pb = self.backward.log_prob(env, after, logits)[row, action]
        correction = _logsumexp(log_pb + env.log_correction(parent, forward, child), row, len(after))
        return _logsumexp(flow + answer.log_pf, row, len(after)) - correction.to(flow.dtype)


class Padding:
    """Spreads values of P transitions to (T, B), 0 where there is none."""

    def __init__(self, paths: Paths[Any]) -> None:
        self._shape = (int(paths.time.max()) + 1, len(paths))
        self._index = paths.time * len(paths) + paths.row
        self.alive = torch.zeros(self._shape, dtype=torch.bool, device=paths.row.device)
        self.alive.view(-1)[self._index] = True

    def __call__(self, values: Tensor) -> Tensor:
        """Return the values (P,) as (T, B)."""
        flat = values.new_zeros(self._shape[0] * self._shape[1])
        return flat.index_copy(0, self._index, values).view(self._shape)


def _logsumexp(values: Tensor, row: Tensor, n: int) -> Tensor:
    """Return (n,): the log of the sum of exp(values) that belong to each row."""
    with torch.no_grad():
        top = values.new_full((n,), -torch.inf).scatter_reduce(0, row, values.detach(), "amax")
    return top + values.new_zeros(n).index_add(0, row, (values - top[row]).exp()).log()
