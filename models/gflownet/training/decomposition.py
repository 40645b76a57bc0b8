"""Learned energy decompositions: log R(x) as a sum of potentials over the transitions of a trajectory."""

from __future__ import annotations

from typing import Any, Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.exploration.averaging import frozen_copy
from models.gflownet.policies.base import Policy
from models.gflownet.training.trajectories import Paths

S = TypeVar("S", bound=States)


class DecompositionOptions(Protocol):
    """What an objective says of the potentials; see `LearnedEnergyDecomposition`."""

    @property
    def potentials(self) -> Literal["states", "edges"]:
        """What has a potential."""

    @property
    def dropout(self) -> float:
        """Share of the potentials that a fit leaves out."""

    @property
    def fits(self) -> int:
        """Steps on each batch."""

    @property
    def potential_rate(self) -> float:
        """Learning rate."""


class Decomposition(Generic[S]):
    """Learns potentials phi of transitions that add up to log R(x) along each trajectory.

    Fitted to the least squares of log R(x) - T sum z phi / sum z over trajectories of T transitions, with z = 0 for a
    random share of them: potentials of a trajectory that differ less are punished less. (Divided by T^2 that is the
    paper's; its code and this one do without.)

    The log-flow of a state is the network's plus the sum of phi on the way to it:

    * edges: phi is a number of each transition. (log R(x) - sum phi) / T is added to each, so that they add up.
    * states: phi(s -> s') = psi(s') - psi(s), psi a number of each state; the sum on the way is psi(s) - psi(source),
      and nothing is added: F(x) = R(x) at the end puts right what psi(x) lacks, for all ways to a state alike.

    The network is a second one of the policy's shape. No gradient of the flows goes through it.

    Args:
        env: the environment.
        policy: whose shape and first weights the network takes.
        options: see there.

    Reference: Jang et al., Learning energy decompositions for partial inference of GFlowNets, ICLR 2024,
    arXiv:2310.03301; the form on states is Pan et al.'s forward-looking one, ICML 2023, arXiv:2302.01687, with psi for
    the partial reward.
    """

    def __init__(self, env: Environment[S], policy: Policy[S], options: DecompositionOptions) -> None:
        self.env, self.options = env, options
        self.network: Policy[S] = frozen_copy(policy).requires_grad_(True)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=options.potential_rate, fused=True)

    def potentials(self, paths: Paths[S]) -> Tensor:
        """Return (T, B): phi of each transition, differentiably; 0 where there is none."""
        if self.options.potentials == "edges":
            return paths.pad(self.network.edge_values(paths.before, paths.forward, paths.conditions))
        sources, given = self.env.source(len(paths)), paths.conditions
        states = type(sources).cat([sources, paths.after])
        if paths.condition is not None and given is not None:
            given = torch.cat([paths.condition, given])
        values = self.network.state_values(states, given)
        first, after = values[: len(paths)], paths.pad(values[len(paths) :])
        return (after - torch.cat([first[None], after[:-1]])) * _alive(paths)

    def learn(self, paths: Paths[S], log_reward: Tensor, generator: torch.Generator, share: float = 1.0) -> float:
        """Fit the potentials to trajectories.

        Args:
            paths: B trajectories.
            log_reward: (B,) of their ends.
            generator: source of what is left out.
            share: of the learning rate.

        Returns:
            The mean of |log R(x) - sum phi| before the first step, in nats.
        """
        alive, log_reward = _alive(paths), log_reward.detach()
        length = alive.sum(0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.potential_rate * share
        error = 0.0
        for fit in range(self.options.fits):
            phi = self.potentials(paths)
            if not fit:
                error = float((log_reward - phi.detach().sum(0)).abs().mean())
            kept = alive & (torch.rand(alive.shape, generator=generator) >= self.options.dropout)
            kept = torch.where(kept.any(0), kept, alive)
            total = length * (phi * kept).sum(0) / kept.sum(0)
            self.optimizer.zero_grad(set_to_none=True)
            (log_reward - total).square().mean().backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        return error

    @torch.no_grad()
    def so_far(self, paths: Paths[S], log_reward: Tensor) -> Tensor:
        """Return (T, B): the sum of the potentials on the way to the state before each transition.

        Args:
            paths: B trajectories.
            log_reward: (B,) of their ends.
        """
        phi = self.potentials(paths)
        if self.options.potentials == "edges":
            alive = _alive(paths)
            phi = phi + alive * ((log_reward - phi.sum(0)) / alive.sum(0)).to(phi.dtype)
        return torch.cat([torch.zeros_like(phi[:1]), phi[:-1].cumsum(0)])

    def state(self) -> dict[str, Any]:
        """Return the weights of the network and the course of its training."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def _alive(paths: Paths[Any]) -> Tensor:
    """Return (T, B) bool: whether there is such a transition."""
    return paths.pad(torch.ones_like(paths.row)).bool()
