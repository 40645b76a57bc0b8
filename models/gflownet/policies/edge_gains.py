"""A policy over acyclic graphs that reads what each edge would add to the score."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from models.gflownet.environments.base import Environment
from models.gflownet.environments.dag import DagEnvironment, DagStates
from models.gflownet.policies.base import initialise
from models.gflownet.policies.flat import FlatPolicy, Outputs
from models.gflownet.policies.recipes import PolicyRecipe
from models.registry import Component

MOST_KNOWN = 500_000
"""States of which it is kept in mind what there is to win."""


class EdgeGains(FlatPolicy[DagStates]):
    """A perceptron over edges and gains, added to what the gains alone say.

    The gain d of an edge is the difference of the log-reward, a term of one node, so that all gains of a graph cost no
    more than its score. In a fixed point log P_F(edge) - log P_F(stop) = d - log(k + 1) + V(s'), with k the edges of s
    and V(s') = -log P_F(stop | s') >= 0 what else there is to win. Before training the law of the edges is as
    min(exp(d), 1 + d), and V is what greedy ascent wins, plus log(1 + sum of exp(d) / (k + 1)) over the edges that win
    nothing. Thus the network learns numbers of the size of 1 where log-rewards differ by thousands, and an untrained
    policy stops where there is nothing to win. Whether to stop and which edge are apart: what is learnt of one does not
    move the other. Backward logits are a number per edge, whatever the state.

    Args:
        env: graphs with a score.
        hidden: widths of the hidden layers.
        generator: source of the initial weights.
        conditions: numbers in the encoded condition; 0 without conditioning.

    Raises:
        NotProvided: the graphs have no score.

    Reference: Deleu et al., Bayesian structure learning with generative flow networks, UAI 2022, arXiv:2202.13903, for
    the balance; the form of the logits is ours.
    """

    def __init__(
        self,
        env: DagEnvironment,
        *,
        generator: torch.Generator,
        hidden: Sequence[int] = (128, 128),
        conditions: int = 0,
    ) -> None:
        super().__init__(env)
        self.graphs = env
        self._won: dict[Hashable, float] = {}
        edges = env.nodes**2
        with torch.device("meta"):
            self.first = nn.Linear(2 * edges + 2, hidden[0])
            self.condition = nn.Linear(conditions, hidden[0], bias=False) if conditions else None
            widths = [*hidden, edges + 2]
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(hidden, widths[1:], strict=True))
            self.taken_back = nn.Parameter(torch.empty(edges + 1))
        self.dense = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        self.to_empty(device="cpu")
        initialise(self, generator)
        with torch.no_grad():
            self.dense[-1].weight.mul_(0.1)

    def network(self, states: DagStates, condition: Tensor | None = None) -> Outputs:
        """Judge states, differentiably."""
        legal = self.graphs.forward_mask(states)[:, :-1]
        gains = self.graphs.gains(states).flatten(1)
        edges = states.edges.flatten(1).to(gains.dtype)
        number = edges.sum(1, keepdim=True)
        within = torch.where(legal, gains, 0.0)
        to_win = self._to_win(states)[:, None]
        summary = torch.cat([number / self.graphs.nodes, to_win.log1p()], 1)
        x = self.first(torch.cat([edges, within / (4.0 + within.abs()), summary], 1))
        if condition is not None and self.condition is not None:
            x = x + self.condition(condition)
        for layer in self.dense:
            x = layer(x.relu())
        allowed = torch.where(legal, 0.0, -torch.inf).masked_fill(~legal.any(1, keepdim=True), 0.0)
        known = torch.minimum(gains, gains.clamp(min=0.0).log1p())
        spare = torch.where(legal & (gains <= 0.0), gains.exp(), 0.0).sum(1, keepdim=True) / (number + 1.0)
        value = (to_win + spare.log1p()).clamp(min=1e-3)
        stop = x[:, -2:-1] - value - (-torch.expm1(-value)).log()
        forward = torch.cat([(known + x[:, :-2] + allowed).log_softmax(1), stop], 1)
        return Outputs(forward, self.taken_back.expand(len(states), -1), x[:, -1])

    @torch.no_grad()
    def _to_win(self, states: DagStates) -> Tensor:
        """Return (S,) how much greedy ascent from states adds to the log-reward; each state is worked out once."""
        keys, won = self.graphs.keys(DagStates(torch.zeros_like(states.done), states.edges, states.reached)), self._won
        if len(won) > MOST_KNOWN:
            won.clear()
        new = {key: place for place, key in enumerate(keys) if key not in won}
        if new:
            index = torch.tensor(list(new.values()))
            won.update(zip(new, self._ascended(states[index]).tolist(), strict=True))
        return torch.tensor([won[key] for key in keys])

    def _ascended(self, states: DagStates) -> Tensor:
        """Return (S,) how much is added by the edge of the largest gain, again and again until none has a gain."""
        env, total, row = self.graphs, torch.zeros(len(states)), torch.arange(len(states))
        states = DagStates(torch.zeros_like(states.done), states.edges, states.reached)
        while len(row):
            gains = env.gains(states).flatten(1).masked_fill(~env.forward_mask(states)[:, :-1], 0.0)
            best, place = gains.max(1)
            going = best > 0
            row = row[going]
            total[row] += best[going]
            states = env.step(states[going], place[going])
        return total


class EdgeGainsRecipe(PolicyRecipe):
    """Perceptron over the edges of an acyclic graph and what each edge would add to its score."""

    kind: ClassVar[str] = "edge_gains"
    cites: ClassVar[tuple[str, ...]] = ("deleu2022bayesian",)

    class Options(Component.Options):
        """Shape of the perceptron."""

        hidden: tuple[PositiveInt, ...] = Field((128, 128), min_length=1, description="Widths of the hidden layers.")

    def build(self, env: Environment[Any], generator: torch.Generator, conditions: int = 0) -> EdgeGains:
        """Return an untrained network."""
        if not isinstance(env, DagEnvironment) or env.options.score == "none":
            raise ValueError(
                f"The policy {self.kind!r} is made for environments of kind 'dag' with a score; got {env.kind!r}. Use "
                "the policy 'mlp'."
            )
        return EdgeGains(env, generator=generator, hidden=self.options.hidden, conditions=conditions)
