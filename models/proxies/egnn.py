"""An ensemble of equivariant graph networks on atoms in space, trained together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from data.records import FloatArray
from models.featurisers.geometries import Geometries, Geometry
from models.featurisers.graphs import ATOM_FEATURES, BOND_FEATURES
from models.proxies.gnn_ensemble import GnnEnsemble
from models.proxies.networks import BatchedLinear, BatchedMlp
from models.threads import single_thread

_SQUARE = 10.0
"""Squared distances are in units of so many square angstrom: those of second neighbours are then about 1."""

_GAIN = 1e-3


class _Layer(nn.Module):
    """One round of messages between all pairs of atoms of a molecule, for M members."""

    def __init__(self, members: int, width: int, moving: bool, generator: torch.Generator) -> None:
        super().__init__()
        # The first layer of the message on (h_i, h_j, d, bond), in three parts: two of them need each atom only once.
        self.here = BatchedLinear(members, width, width, generator)
        self.there = BatchedLinear(members, width, width, generator)
        self.pair = BatchedLinear(members, 1 + BOND_FEATURES, width, generator)
        self.message = BatchedLinear(members, width, width, generator)
        self.gate = BatchedLinear(members, width, 1, generator)
        self.update = BatchedMlp(members, [2 * width, width, width], generator)
        self.move = BatchedMlp(members, [width, width, 1], generator) if moving else None
        if self.move is not None:
            with torch.no_grad():
                for one in self.move.layers[-1].parameters():
                    one.mul_(_GAIN)

    def forward(self, h: Tensor, x: Tensor, ends: Tensor, bonds: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features `(M, A, w)` and positions `(M, A, 3)` after the messages.

        Args:
            h: features of atoms.
            x: positions.
            ends: shape `(2, P)`, from j to i.
            bonds: shape `(P, g)`.
            others: atoms of the molecule beside this one, at least 1, shape `(A, 1)`.
        """
        j, i = ends
        apart = x[:, i] - x[:, j]
        square = apart.square().sum(-1, keepdim=True)
        pair = torch.cat([torch.log1p(square / _SQUARE), bonds.expand(len(h), -1, -1)], -1)
        h, before = nn.functional.layer_norm(h, h.shape[-1:]), h
        inner = nn.functional.silu(self.here(h)[:, i] + self.there(h)[:, j] + self.pair(pair))
        m = nn.functional.silu(self.message(inner))
        if self.move is not None:
            x = x + torch.zeros_like(x).index_add(1, i, apart * self.move(m)) / others
        m = m * torch.sigmoid(self.gate(m))
        total = torch.zeros_like(h).index_add(1, i, m)
        return before + self.update(torch.cat([h, total], -1)), x


class BatchedEgnn(nn.Module):
    """Equivariant graph networks for M members at once, up to the head.

    Args:
        members: M.
        width: of the atoms' features between the layers.
        layers: rounds of messages.
        outputs: targets.
        moving: whether positions are updated.
        atoms: mean number of atoms of a molecule, which scales the sum over atoms.
        generator: of the initial weights.
    """

    atoms: Tensor

    def __init__(
        self,
        members: int,
        width: int,
        layers: int,
        outputs: int,
        moving: bool,
        atoms: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.encode = BatchedLinear(members, ATOM_FEATURES, width, generator)
        self.layers = nn.ModuleList(_Layer(members, width, moving, generator) for _ in range(layers))
        self.head = BatchedMlp(members, [2 * width, width, outputs], generator)
        self.register_buffer("atoms", torch.tensor(atoms))

    def pooled(self, molecules: Geometries) -> Tensor:
        """Return mean and sum of the atoms' last features, shape `(M, n, 2 width)`."""
        h, _, molecule = self.atoms_of(molecules)
        h = nn.functional.layer_norm(h, h.shape[-1:])
        total = h.new_zeros(len(h), len(molecules), h.shape[2]).index_add(1, molecule, h)
        count = torch.bincount(molecule, minlength=len(molecules)).to(h.dtype)[None, :, None]
        return torch.cat([total / count, total / self.atoms], -1)

    def atoms_of(self, molecules: Geometries) -> tuple[Tensor, Tensor, Tensor]:
        """Return features `(M, A, w)`, not normalised, and positions `(M, A, 3)` of atoms in the end, and molecules."""
        atoms, positions, ends, bonds, molecule = molecules.joined()
        h = self.encode(atoms)
        x = positions.expand(len(h), -1, -1)
        others = (torch.bincount(molecule, minlength=len(molecules))[molecule, None] - 1).clamp_min(1).to(h.dtype)
        for layer in self.layers:
            h, x = layer(h, x, ends, bonds, others)
        return h, x, molecule


class Egnn(GnnEnsemble):
    """Graph networks that are blind to how a molecule lies in space (E(n)), on one conformer of each.

    Messages go between all pairs of heavy atoms: with m_ij = f(h_i, h_j, |x_i - x_j|^2, bond) and a gate e_ij from 0
    to 1, `h_i += g(h_i, sum_j e_ij m_ij)`; with `moving` also `x_i += mean_j (x_i - x_j) w(m_ij)`. Predictions do not
    change when a molecule is turned, shifted or mirrored, nor with the order of its atoms: enantiomers, too, are one.
    Distances enter as logarithms and features are normalised between the layers, unlike in the paper: what is far
    larger than anything that was trained on must not be predicted beyond all bounds.

    A conformer costs some 10 to 100 ms of each molecule that the process has not met (ETKDG and a force field, see
    `models.oracles.conformer`), and the time of a message grows with the square of the atoms: meant for properties of
    shape and for pools of thousands, not for generators that ask about a hundred thousand molecules.

    Reference: Satorras, Hoogeboom and Welling, E(n) equivariant graph neural networks, ICML (2021).
    """

    kind = "egnn"
    cites: ClassVar[tuple[str, ...]] = ("satorras2021egnn", "wang2020etkdg", "halgren1996mmff94")
    collection = Geometries

    class Options(GnnEnsemble.Options):
        """Options of the equivariant networks."""

        members: int = Field(3, ge=2, le=100, description="members, each trained on its own bootstrap sample")
        width: int = Field(32, ge=1, description="features of an atom between the layers")
        layers: int = Field(3, ge=1, le=12, description="rounds of messages between all pairs of atoms")
        moving: bool = Field(False, description="whether positions are updated too")
        steps: int = Field(500, ge=1, description="minibatches of a training from nothing")
        batch: int = Field(32, ge=2, description="objects of a minibatch")

        def cited(self) -> tuple[str, ...]:
            """Return the papers of every ensemble of networks."""
            return tuple(key for key in super().cited() if key != "fey2019pyg")

    def _network(self, outputs: int, atoms: float, generator: torch.Generator) -> Any:
        options = self.options
        return BatchedEgnn(options.members, options.width, options.layers, outputs, options.moving, atoms, generator)

    def of_geometries(self, geometries: Sequence[Geometry]) -> FloatArray:
        """Return what each member predicts of n geometries, in the unit of the target, shape `(M, n)`.

        Raises:
            RuntimeError: the proxy was not trained.
        """
        fitted = self._ready()
        members: Any = fitted.members
        with single_thread(), torch.no_grad():
            z = members.head(members.head_input(Geometries.of(geometries, torch.float64)))[:, :, 0].numpy()
        return np.asarray(fitted.target.location[0] + fitted.target.scale[0] * z)
