"""Molecules atom by atom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch
from pydantic import Field

from models.gflownet.construction.base import Bound, Construction, Member, hash_of
from models.gflownet.environments.atom_molecules import VALENCES
from models.gflownet.environments.atom_states import AtomStates
from models.gflownet.environments.atoms import AtomEnvironment
from models.gflownet.environments.base import Environment
from models.gflownet.policies.base import Policy
from models.gflownet.policies.uniform import UniformFlat
from models.registry import Component
from models.spaces.base import BaseSpace
from models.spaces.molecules import Molecules, of_molecules

MAX_ATOMS = 20
"""Heavy atoms of the largest molecule that is built atom by atom, whatever the space allows."""


class Atoms(Construction["Atoms.Options"]):
    """Molecules atom by atom, by a graph isomorphism network; of the elements that the environment knows."""

    kind = "atoms"
    cites = ("jain2023mogfn", "ma2023symmetry", "xu2019gin", "hu2020pretraining", "kim2025symmetry", "fey2019pyg")
    spaces = ("molecules",)

    class Options(Component.Options):
        """Bounds, and the shape of the network."""

        max_rings: int = Field(3, ge=0, description="Rings of a molecule.")
        dim: int = Field(64, ge=8, description="Width of the policy.")
        layers: int = Field(3, ge=1, description="Rounds of message passing.")

    def bind(self, space: BaseSpace[Any]) -> BoundAtoms:
        """Return the molecules that can be built atom by atom within the bounds of a space, up to `MAX_ATOMS` atoms.

        Raises:
            ValueError: no molecule of the space can be built so.
        """
        molecules = of_molecules(space)
        return BoundAtoms(atom_environment(molecules, self.options.max_rings), molecules, self.options)


class BoundAtoms(Bound[AtomStates]):
    """Molecules built atom by atom; of a member's Kekule structures one is drawn, once and for all.

    Args:
        env: the environment.
        space: of the molecules.
        shape: of the network.
    """

    def __init__(self, env: AtomEnvironment, space: Molecules, shape: Atoms.Options) -> None:
        self.env: AtomEnvironment = env
        self.space, self._shape = space, shape
        self.uniform = UniformFlat(env)

    def decode(self, states: AtomStates) -> list[str | None]:
        """Return the canonical SMILES, without stereochemistry."""
        return self.env.decode(states)

    def members(self, objects: Iterable[str]) -> list[Member]:
        """Return the neutral molecules within the elements, valences, rings and atoms of the environment."""
        generator = torch.Generator().manual_seed(0)
        found = []
        for smiles in objects:
            try:
                state = self.env.states_of([smiles], generator)
            except ValueError:
                continue
            (name,) = self.env.decode(state)
            if name is not None:
                found.append(Member(smiles, name, state))
        return found

    def states(self, members: Sequence[Member], generator: torch.Generator) -> AtomStates:
        """Return terminal states; nothing is drawn here."""
        del generator
        return AtomStates.cat([self.env.source(0), *(member.form for member in members)])

    def policy(
        self, *, conditions: int, generator: torch.Generator, env: Environment[Any] | None = None
    ) -> Policy[AtomStates]:
        """Return a graph isomorphism network."""
        from models.gflownet.policies.graph import AtomGIN  # PyG: a second of import that fragments never need

        return AtomGIN(
            self.env, dim=self._shape.dim, layers=self._shape.layers, conditions=conditions, generator=generator
        )

    def digest(self) -> str:
        """Return a hash of what fixes the numbers of the actions."""
        options = self.env.options
        return hash_of([*options.elements, str(options.max_atoms), str(self.env.orders), str(options.max_rings)])


@lru_cache(maxsize=4)
def atom_environment(space: Molecules, max_rings: int) -> AtomEnvironment:
    """Return the environment of molecules within the bounds of a space, up to `MAX_ATOMS` atoms.

    Elements of the space that the environment does not know (see `VALENCES`) do not occur in what is built.

    Raises:
        ValueError: no molecule of the space can be built so.
    """
    elements = tuple(symbol for symbol in space.elements if symbol in VALENCES)
    if not elements or "H" not in space.elements:
        raise ValueError(
            "The construction 'atoms' fills free valences with hydrogen and needs another element beside it: got the "
            f"elements {', '.join(space.elements) or 'none'}, expected H and some of {', '.join(VALENCES)}. Change "
            "`space.elements`, or use the construction 'fragments'."
        )
    largest = min(space.max_heavy_atoms, MAX_ATOMS)
    if largest < max(space.min_heavy_atoms, 2):
        raise ValueError(
            f"The construction 'atoms' builds molecules of 2 to {MAX_ATOMS} heavy atoms; the space asks for "
            f"{space.min_heavy_atoms} to {space.max_heavy_atoms}. Change the bounds of the space, or use the "
            "construction 'fragments'."
        )
    return AtomEnvironment(
        elements=elements, max_atoms=largest, min_atoms=max(space.min_heavy_atoms, 1), max_rings=max_rings
    )
