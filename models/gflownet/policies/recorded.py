"""On-policy batches of a tabulated environment and a multilayer perceptron, judged while they are drawn.

Sampling has to run the network on every state anyway. Between sampling and the loss no weight changes, so the loss
takes the outputs and activations of sampling instead of a second forward pass: same values, same gradient. Small
batches run without bookkeeping in buffers of fixed shape; large ones judge each distinct state of a step once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.gflownet.environments.tabulated import IndexStates, Tabulated
from models.gflownet.policies.base import ON_POLICY, Answer, Exploration, PolicyDiverged, behaviour
from models.gflownet.policies.mlp import MLP
from models.gflownet.trajectories import Paths

DENSE = 64
"""Batches up to this size keep finished trajectories in the batch: that costs less than taking them out."""


@dataclass(frozen=True)
class _Tape:
    """What was computed while drawing: R rows of the network and P transitions.

    Attributes:
        index: (R,) states of the rows.
        hidden: activations (R, width) after each hidden layer.
        out: (R, n_out) outputs.
        condition: (R, C), or None.
        before: (P,) row of the state before each transition.
        origin, target, action, time, row: (P,) the transitions.
        log_law: (P,) log-probability of the action when it was drawn; None if drawn from the policy itself.
    """

    index: Tensor
    hidden: list[Tensor]
    out: Tensor
    condition: Tensor | None
    before: Tensor
    origin: Tensor
    target: Tensor
    action: Tensor
    time: Tensor
    row: Tensor
    log_law: Tensor | None


class Recorder:
    """Draws trajectories from an MLP over a tabulated environment and scores them with what drawing has computed."""

    def __init__(self, env: Tabulated, policy: MLP[IndexStates]) -> None:
        self.env, self.policy = env, policy
        self._longest = int(env.graph.level.max())
        n = len(env.graph.states)
        hot = env.k_hot(IndexStates(env.graph.states.done, torch.arange(n, device=env.graph.states.done.device)))
        self._first = torch.zeros((n, env.n_features + 1), device=hot.device).scatter_(1, hot, 1.0)
        self._first[:, -1] = 1.0  # the bias
        self._forbidden = torch.zeros(n, env.n_actions, device=hot.device)
        self._forbidden.masked_fill_(~env.legal & env.legal.any(1, keepdim=True), -torch.inf)
        # A finished trajectory stays where it is.
        everywhere = torch.arange(n, device=hot.device)[:, None].expand(-1, env.n_actions)
        self._next = torch.where(env.following < 0, everywhere, env.following).contiguous()
        self._number = torch.zeros(n, dtype=torch.int64, device=hot.device)

    def draw(
        self,
        n: int,
        generator: torch.Generator,
        *,
        exploration: Exploration = ON_POLICY,
        condition: Tensor | None = None,
        backward: bool = True,
    ) -> tuple[Paths[IndexStates], Answer]:
        """Return n trajectories and what the policy says of them, differentiably.

        Args:
            n: trajectories.
            generator: source of all randomness.
            exploration: see there.
            condition: (n, C), or None.
            backward: whether the backward logits of the states after the transitions are wanted.

        Raises:
            PolicyDiverged: the policy's probabilities are not finite.
        """
        with torch.no_grad():
            weights = self._weights()
            step = self._dense if n <= DENSE else self._sparse
            tape, terminal = step(n, generator, weights, exploration, condition)
            after, tape = self._after(tape, weights, condition) if backward else (None, tape)
        out = _Recorded.apply(self, tape, weights, *self._parameters())  # type: ignore[no-untyped-call]
        heads = self.policy.split(out)
        law = (heads.forward + self._forbidden.index_select(0, tape.index)).log_softmax(1)
        log_pf = law.reshape(-1).take(tape.before * self.env.n_actions + tape.action)
        logits = None if after is None else heads.backward.index_select(0, after)
        drawn = log_pf.detach() if tape.log_law is None else tape.log_law
        log_behaviour = drawn.new_zeros(n).index_add_(0, tape.row, drawn)
        return self._paths(tape, terminal, log_behaviour, condition), Answer(
            log_pf, heads.log_flow.take(tape.before), logits
        )

    def _parameters(self) -> list[Tensor]:
        policy = self.policy
        extra = [] if policy.condition is None else [policy.condition.weight]
        return [policy.first.weight, policy.bias, *extra, *(p for layer in policy.layers for p in layer.parameters())]

    def _weights(self) -> list[tuple[Tensor | None, Tensor]]:
        """Return (bias, weight (in, out)) of each layer; the first weight has the bias as its last row."""
        policy = self.policy
        first = policy.first.weight.detach().clone()
        first[-1] = policy.bias
        return [(None, first), *((layer.bias, layer.weight.T) for layer in policy.dense)]

    def _dense(
        self,
        n: int,
        generator: torch.Generator,
        weights: list[tuple[Tensor | None, Tensor]],
        exploration: Exploration,
        condition: Tensor | None,
    ) -> tuple[_Tape, Tensor]:
        """Draw in buffers of fixed shape; every step judges all n states, finished ones too."""
        env, width, longest = self.env, self.env.n_actions, self._longest
        device = self._next.device
        noise = torch.empty((longest, n, width), device=device).exponential_(generator=generator)
        noises = noise.clamp_(min=1e-12).log_().unbind(0)
        buffers = [torch.empty((longest, n, w.shape[1]), device=device) for _, w in weights]
        slots = list(zip(*(buffer.unbind(0) for buffer in buffers), strict=True))
        laws = None if exploration.none else torch.empty((longest, n, width), device=device)
        shift = None if condition is None or self.policy.condition is None else self.policy.condition(condition)
        index = torch.zeros(n, dtype=torch.int64, device=device)
        visited, actions = [index], []
        first, rest = weights[0][1], weights[1:]
        for time in range(longest):
            slot = slots[time]
            x = torch.mm(self._first.index_select(0, index), first, out=slot[0])
            if shift is not None:
                x.add_(shift)
            for (bias, weight), place in zip(rest, slot[1:], strict=True):
                x = torch.addmm(bias, x.relu_(), weight, out=place)  # type: ignore[arg-type]
            logits = x[:, :width] + self._forbidden.index_select(0, index)
            if laws is not None:
                logits = laws[time].copy_(behaviour(logits, exploration, env.stop))
            action = noises[time].sub_(logits).argmin(1)
            index = self._next.take(index.mul(width).add_(action))
            visited.append(index)
            actions.append(action)
            if bool(env.done.take(index).all()):
                break
        else:
            raise PolicyDiverged
        return self._compact(visited, actions, buffers, laws, condition), index

    def _compact(
        self,
        visited: list[Tensor],
        actions: list[Tensor],
        buffers: list[Tensor],
        laws: Tensor | None,
        condition: Tensor | None,
    ) -> _Tape:
        """Keep the rows of transitions that took place."""
        steps, n = len(actions), len(actions[0])
        states, action = torch.cat(visited), torch.cat(actions)
        place = (~self.env.done.take(states[: steps * n])).nonzero()[:, 0]
        origin, action, row = states.take(place), action.take(place), place % n
        layers = [buffer.view(-1, buffer.shape[2]).index_select(0, place) for buffer in buffers]
        log_law = None
        if laws is not None:
            log_law = laws.view(-1, laws.shape[2]).index_select(0, place).gather(1, action[:, None])[:, 0]
        return _Tape(
            index=origin,
            hidden=layers[:-1],
            out=layers[-1],
            condition=None if condition is None else condition[row],
            before=torch.arange(len(place), device=place.device),
            origin=origin,
            target=states.take(place + n),
            action=action,
            time=place // n,
            row=row,
            log_law=log_law,
        )

    def _sparse(
        self,
        n: int,
        generator: torch.Generator,
        weights: list[tuple[Tensor | None, Tensor]],
        exploration: Exploration,
        condition: Tensor | None,
    ) -> tuple[_Tape, Tensor]:
        """Draw with each distinct state of a step judged once, and finished trajectories taken out."""
        env, width = self.env, self.env.n_actions
        device = self._next.device
        index = torch.zeros(n, dtype=torch.int64, device=device)
        row, terminal = torch.arange(n, device=device), index.clone()
        parts: list[tuple[Tensor, ...]] = []
        judged: list[tuple[Tensor, list[Tensor], Tensor | None]] = []
        rows, time = 0, 0
        while len(row):
            if time == self._longest:
                raise PolicyDiverged
            states, given, where = self._distinct(index, None if condition is None else condition[row])
            layers = self._judge(states, weights, given)
            law = behaviour(layers[-1][:, :width] + self._forbidden.index_select(0, states), exploration, env.stop)
            law = law.index_select(0, where)
            noise = torch.empty_like(law).exponential_(generator=generator).clamp_(min=1e-12).log_()
            action = noise.sub_(law).argmin(1)
            target = self._next.take(index * width + action)
            log_law = law.gather(1, action[:, None])[:, 0]
            parts.append((where + rows, index, target, action, torch.full_like(row, time), row, log_law))
            judged.append((states, layers, given))
            rows, time = rows + len(states), time + 1
            done = env.done.take(target)
            ended, going = done.nonzero()[:, 0], done.logical_not().nonzero()[:, 0]
            terminal[row.take(ended)] = target.take(ended)
            index, row = target.take(going), row.take(going)
        before, origin, target, action, when, row, log_law = (torch.cat(part) for part in zip(*parts, strict=True))
        layers = [torch.cat(layer) for layer in zip(*(layers for _, layers, _ in judged), strict=True)]
        states = torch.cat([part for part, _, _ in judged])
        given = None if condition is None else torch.cat([part for _, _, part in judged if part is not None])
        tape = _Tape(states, layers[:-1], layers[-1], given, before, origin, target, action, when, row, log_law)
        return tape, terminal

    def _distinct(self, index: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return the distinct states, their conditions and the place of each state among them, without sorting."""
        every = torch.arange(len(index), device=index.device)
        if condition is not None:
            return index, condition, every
        self._number[index] = every
        kept = (self._number.take(index) == every).nonzero()[:, 0]
        states = index.take(kept)
        self._number[states] = every[: len(kept)]
        return states, None, self._number.take(index)

    def _judge(
        self, index: Tensor, weights: list[tuple[Tensor | None, Tensor]], condition: Tensor | None
    ) -> list[Tensor]:
        """Return the activations of each hidden layer and the output, (U, width) each."""
        x = self._first.index_select(0, index) @ weights[0][1]
        if condition is not None and self.policy.condition is not None:
            x.add_(self.policy.condition(condition))
        layers = [x]
        for bias, weight in weights[1:]:
            layers.append(torch.addmm(bias, layers[-1].relu_(), weight))  # type: ignore[arg-type]
        return layers

    def _after(
        self, tape: _Tape, weights: list[tuple[Tensor | None, Tensor]], condition: Tensor | None
    ) -> tuple[Tensor, _Tape]:
        """Return the tape's rows of the states after the transitions (P,), judging terminal states where it matters."""
        n = int(tape.row.max()) + 1
        slot = torch.zeros((int(tape.time.max()) + 2) * n, dtype=torch.int64, device=tape.row.device)
        place = tape.time * n + tape.row
        slot[place] = tape.before
        after = slot.take(place + n)
        last = self.env.done.take(tape.target).nonzero()[:, 0]
        ends = tape.target.take(last)
        if bool((self.env.parents.index_select(0, ends).sum(1) > 1).any()):
            given = None if condition is None else condition.index_select(0, tape.row.take(last))
            states, given, where = self._distinct(ends, given)
            layers = self._judge(states, weights, given)
            after[last] = where + len(tape.index)
            tape = _Tape(
                **{
                    **vars(tape),
                    "index": torch.cat([tape.index, states]),
                    "hidden": [torch.cat(pair) for pair in zip(tape.hidden, layers[:-1], strict=True)],
                    "out": torch.cat([tape.out, layers[-1]]),
                    "condition": None if given is None else torch.cat([tape.condition, given]),  # type: ignore[list-item]
                }
            )
        # Where an only parent leaves no choice the logits do not matter: row 0 does as well as any.
        return after, tape

    def _paths(
        self, tape: _Tape, terminal: Tensor, log_behaviour: Tensor, condition: Tensor | None
    ) -> Paths[IndexStates]:
        env = self.env
        origin = IndexStates(torch.zeros_like(tape.origin, dtype=torch.bool), tape.origin)
        return Paths(
            before=origin,
            after=IndexStates(env.done.take(tape.target), tape.target),
            forward=tape.action,
            backward=env.undo(origin, tape.action),
            time=tape.time,
            row=tape.row,
            terminal=IndexStates(torch.ones_like(terminal, dtype=torch.bool), terminal),
            log_behaviour=log_behaviour,
            condition=condition,
        )


class _Recorded(torch.autograd.Function):
    """The network's output as it was recorded, with the gradient of the weights."""

    @staticmethod
    def forward(
        ctx: Any, recorder: Recorder, tape: _Tape, weights: list[tuple[Tensor | None, Tensor]], *parameters: Tensor
    ) -> Tensor:
        ctx.recorder, ctx.tape, ctx.weights = recorder, tape, weights
        return tape.out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        recorder, tape, weights = ctx.recorder, ctx.tape, ctx.weights
        grads: list[Tensor] = []
        for (_, weight), x in zip(reversed(weights[1:]), reversed(tape.hidden), strict=True):
            grads[:0] = [gradient.T @ x, gradient.sum(0)]
            gradient = (gradient @ weight.T).mul_(x > 0)
        first = recorder._first.index_select(0, tape.index).T @ gradient
        bias = first[-1].clone()
        first[-1] = 0.0
        extra = [] if tape.condition is None else [gradient.T @ tape.condition]
        return (None, None, None, first, bias, *extra, *grads)
