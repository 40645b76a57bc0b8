"""A space of molecules as a GFlowNet sees it: an environment, the policy made for it, and known molecules as states."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from models.gflownet.environments.atom_molecules import VALENCES
from models.gflownet.environments.atom_states import AtomStates
from models.gflownet.environments.atoms import AtomEnvironment
from models.gflownet.environments.base import Environment, States
from models.gflownet.environments.fragments import FragmentEnvironment, FragmentStates
from models.gflownet.policies.base import Policy
from models.gflownet.policies.flat import FlatPolicy, Outputs
from models.gflownet.policies.transformer import FragmentTransformer
from models.gflownet.policies.uniform import UniformFragments
from models.gflownet.rewards.molecules import space_environment
from models.spaces.molecules import Molecules

S = TypeVar("S", bound=States)

MAX_ATOMS = 20
"""Heavy atoms of the largest molecule that is built atom by atom, whatever the space allows."""


@dataclass(frozen=True)
class Member:
    """A molecule that the environment can build.

    Attributes:
        given: SMILES as it was given.
        smiles: what `decode` of the environment says of it, without stereochemistry.
        form: how it is built; only its space can read it.
    """

    given: str
    smiles: str
    form: Any


class MoleculeSpace(ABC, Generic[S]):
    """An environment whose objects are molecules (SMILES), and what depends on which environment it is."""

    env: Environment[S]
    uniform: Policy[S]
    """The policy that knows nothing: uniform over what is legal."""

    @abstractmethod
    def members(self, molecules: Iterable[str]) -> list[Member]:
        """Return those of the molecules (SMILES) that are in the space, in order."""

    @abstractmethod
    def states(self, members: Sequence[Member], generator: torch.Generator) -> S:
        """Return terminal states of members; where several are one molecule, `generator` may draw among them."""

    @abstractmethod
    def policy(
        self, *, dim: int, layers: int, heads: int, prior: float, conditions: int, generator: torch.Generator
    ) -> Policy[S]:
        """Return an untrained network.

        Args:
            dim: width.
            layers: blocks, or rounds of message passing.
            heads: attention heads, where there is attention.
            prior: weight of the fragments' frequencies, where there are fragments.
            conditions: numbers in the encoded condition; 0 without conditioning.
            generator: source of the initial weights.

        Raises:
            ValueError: the shape is impossible.
        """

    @abstractmethod
    def digest(self) -> str:
        """Return a hash of what gives the actions their meaning: networks of equal digests can be exchanged."""


class FragmentSpace(MoleculeSpace[FragmentStates]):
    """Molecules of fragments; of a member's many building orders one is drawn by the backward law.

    Args:
        env: the environment.
    """

    def __init__(self, env: FragmentEnvironment) -> None:
        self.env: FragmentEnvironment = env
        self.uniform = UniformFragments(env)

    def members(self, molecules: Iterable[str]) -> list[Member]:
        """Return the molecules that decompose into fragments of the vocabulary within the bounds."""
        found = []
        for smiles in molecules:
            try:
                tree = self.env.vocabulary.decompose(smiles)
            except ValueError:
                continue
            flat = self.env.vocabulary.assemble(tree) if self.env.contains(tree) else None
            if flat is not None:
                found.append(Member(smiles, flat, tree))
        return found

    def states(self, members: Sequence[Member], generator: torch.Generator) -> FragmentStates:
        """Return terminal states, with root and labelling of the sites drawn."""
        return self.env.trees([member.form for member in members], generator)

    def policy(
        self, *, dim: int, layers: int, heads: int, prior: float, conditions: int, generator: torch.Generator
    ) -> FragmentTransformer:
        """Return a transformer over fragments.

        Raises:
            ValueError: dim is no multiple of heads.
        """
        return FragmentTransformer(
            self.env, dim=dim, layers=layers, heads=heads, prior=prior, conditions=conditions, generator=generator
        )

    def digest(self) -> str:
        """Return a hash of the fragments and their sites."""
        return _hash(f"{f.smiles} {f.atoms} {f.capacity}" for f in self.env.vocabulary.fragments)


class AtomSpace(MoleculeSpace[AtomStates]):
    """Molecules built atom by atom; of a member's Kekule structures one is drawn, once and for all.

    Args:
        env: the environment.
    """

    def __init__(self, env: AtomEnvironment) -> None:
        self.env: AtomEnvironment = env
        self.uniform = UniformFlat(env)

    def members(self, molecules: Iterable[str]) -> list[Member]:
        """Return the neutral molecules within the elements, valences, rings and atoms of the environment."""
        generator = torch.Generator().manual_seed(0)
        found = []
        for smiles in molecules:
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
        self, *, dim: int, layers: int, heads: int, prior: float, conditions: int, generator: torch.Generator
    ) -> Policy[AtomStates]:
        """Return a graph isomorphism network; heads and prior are of no use to it."""
        del heads, prior
        from models.gflownet.policies.graph import AtomGIN  # PyG: a second of import that fragments never need

        return AtomGIN(self.env, dim=dim, layers=layers, conditions=conditions, generator=generator)

    def digest(self) -> str:
        """Return a hash of what fixes the numbers of the actions."""
        options = self.env.options
        return _hash([*options.elements, str(options.max_atoms), str(self.env.orders), str(options.max_rings)])


class UniformFlat(FlatPolicy[S], Generic[S]):
    """Uniform over the legal flat actions, forwards and backwards."""

    def network(self, states: S, condition: Tensor | None = None) -> Outputs:
        """Return zeros."""
        del condition
        zeros = torch.zeros((len(states), self.env.n_actions + self.env.n_backward), device=states.done.device)
        return Outputs(zeros[:, : self.env.n_actions], zeros[:, self.env.n_actions :], zeros[:, 0])


def fragment_space(space: Molecules, vocabulary: Path | None, max_fragments: int) -> FragmentSpace:
    """Return the molecules of fragments within the bounds of a campaign.

    Raises:
        VocabularyError: there is no such vocabulary file, or it is none.
        ValueError: the space is empty.
    """
    return FragmentSpace(space_environment(space, vocabulary, max_fragments))


@lru_cache(maxsize=4)
def atom_space(space: Molecules, max_rings: int) -> AtomSpace:
    """Return the molecules that can be built atom by atom within the bounds of a campaign, up to `MAX_ATOMS` atoms.

    Elements of the space that the environment does not know (see `VALENCES`) do not occur in what is built.

    Raises:
        ValueError: no molecule of the space can be built so.
    """
    elements = tuple(symbol for symbol in space.elements if symbol in VALENCES)
    if not elements or "H" not in space.elements:
        raise ValueError(
            "The environment 'atoms' fills free valences with hydrogen and needs another element beside it: got the "
            f"elements {', '.join(space.elements) or 'none'}, expected H and some of {', '.join(VALENCES)}. Change "
            "`space.elements`, or use the environment 'fragments'."
        )
    largest = min(space.max_heavy_atoms, MAX_ATOMS)
    if largest < max(space.min_heavy_atoms, 2):
        raise ValueError(
            f"The environment 'atoms' builds molecules of 2 to {MAX_ATOMS} heavy atoms; the space asks for "
            f"{space.min_heavy_atoms} to {space.max_heavy_atoms}. Change the bounds of the space, or use the "
            "environment 'fragments'."
        )
    env = AtomEnvironment(
        elements=elements, max_atoms=largest, min_atoms=max(space.min_heavy_atoms, 1), max_rings=max_rings
    )
    return AtomSpace(env)


def _hash(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
