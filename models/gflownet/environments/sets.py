"""Choose k of n elements; the target factorises, so its normaliser and marginals are known at any size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from models.gflownet.environments.counting import CountingEnvironment, CountStates
from models.registry import Component


class SetEnvironment(CountingEnvironment):
    """Sets of k of n elements, filled in any order, with R(x) = exp(-sum of the energies of the elements).

    A set with its k-th element is terminal. Every set of j elements has j parents and j! trajectories.
    """

    kind: ClassVar[str] = "set"
    distance = "overlap"
    cites: ClassVar[tuple[str, ...]] = ("pan2023forwardlooking",)
    small: ClassVar[Mapping[str, Any]] = {"elements": 6, "chosen": 3}

    class Options(Component.Options):
        """Options of the set environment."""

        elements: int = Field(10, ge=1, description="n, the elements to choose from.")
        chosen: int = Field(5, ge=1, description="k, the elements of a set.")
        energies: tuple[float, ...] | None = Field(None, description="One per element; null: uniform in [-1, 1].")
        seed: int = Field(0, ge=0, description="Seed of drawn energies.")

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.chosen > self.elements:
                raise ValueError(
                    f"a set cannot have more elements than there are: got chosen {self.chosen} of {self.elements} "
                    "elements. Lower `chosen` or raise `elements`"
                )
            if self.energies is not None and len(self.energies) != self.elements:
                raise ValueError(
                    f"each element needs one energy: got {len(self.energies)} energies, expected {self.elements}. "
                    "Give one per element, or leave `energies` out to have them drawn"
                )
            return self

    def __init__(self, options: SetEnvironment.Options | None = None, /, **values: Any) -> None:
        chosen = SetEnvironment.Options(**values) if options is None else options
        super().__init__(chosen.elements, 1, chosen.chosen, chosen)
        self.n_features = chosen.elements
        if chosen.energies is None:
            generator = torch.Generator().manual_seed(chosen.seed)
            self.energies = 2.0 * torch.rand(chosen.elements, generator=generator, dtype=torch.float64) - 1.0
        else:
            self.energies = torch.tensor(chosen.energies, dtype=torch.float64)
        self._element = torch.arange(chosen.elements)

    def decode(self, states: CountStates) -> list[tuple[int, ...]]:
        """Return the elements of each set, ascending."""
        members = states.count.nonzero()[:, 1].tolist()
        ends = states.count.sum(1).cumsum(0).tolist()
        return [tuple(members[a:b]) for a, b in zip([0, *ends], ends, strict=False)]

    def k_hot(self, states: CountStates) -> Tensor:
        """Return (S, k) int64: the elements, ascending."""
        element = torch.where(states.count > 0, self._element, self.n_features)
        return element.sort(1).values[:, : self.total]

    def log_reward(self, states: CountStates) -> Tensor:
        """Return (S,) float64: minus the sum of the energies of the elements."""
        return -(states.count.double() @ self.energies)

    def log_partial(self, states: CountStates) -> Tensor:
        """Return (S,) float64: the same sum over the elements so far."""
        return self.log_reward(states)

    def log_normaliser(self) -> float:
        """Return log Z, the log of the elementary symmetric polynomial e_k of exp(-energy)."""
        return float(_log_symmetric(-self.energies, self.total)[-1, self.total])

    def log_inclusion(self) -> Tensor:
        """Return (n,) float64: the log-probability that an element is in a set drawn in proportion to its reward.

        For element i that is exp(-e_i) e_{k-1}(others) / e_k; the polynomial of the others is the convolution of those
        of the elements before and after i, which has no subtraction.
        """
        k = self.total
        before = _log_symmetric(-self.energies, k)[:-1, :k]
        after = _log_symmetric(-self.energies.flip(0), k).flip(0)[1:, :k]
        others = (before + after.flip(1)).logsumexp(1)
        out: Tensor = others - self.energies - self.log_normaliser()
        return out


def _log_symmetric(log_x: Tensor, k: int) -> Tensor:
    """Return (n + 1, k + 1): the log of e_j of the first i values exp(log_x), j up to k."""
    row = torch.full((k + 1,), -torch.inf, dtype=torch.float64, device=log_x.device)
    row[0] = 0.0
    rows = [row]
    for value in log_x:
        grown = torch.logaddexp(row[1:], row[:-1] + value)
        row = torch.cat([row[:1], grown])
        rows.append(row)
    return torch.stack(rows)
