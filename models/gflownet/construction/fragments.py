"""Molecules of fragments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from models.gflownet.construction.base import Bound, Construction, Member, hash_of
from models.gflownet.environments.base import Environment
from models.gflownet.environments.fragments import FragmentEnvironment, FragmentStates
from models.gflownet.policies.transformer import FragmentTransformer
from models.gflownet.policies.uniform import UniformFragments
from models.registry import Component, FolderPath
from models.spaces.base import BaseSpace
from models.spaces.molecules import Molecules, of_molecules


class Fragments(Construction["Fragments.Options"]):
    """Molecules of fragments of a vocabulary, by a transformer."""

    kind = "fragments"
    cites = ("bengio2021flow", "ma2023symmetry", "vaswani2017attention", "degen2008brics")
    spaces = ("molecules",)

    class Options(Component.Options):
        """The fragments, and the shape of the network."""

        vocabulary: FolderPath | None = Field(None, description="Vocabulary file of fragments; null: the shipped one.")
        max_fragments: int = Field(9, ge=1, le=64, description="Fragments of the largest molecule.")
        dim: int = Field(64, ge=8, description="Width of the policy; a multiple of heads.")
        layers: int = Field(3, ge=1)
        heads: int = Field(4, ge=1, description="Attention heads.")
        prior: float = Field(0.5, ge=0, description="Weight of the fragments' frequencies in the untrained policy.")

    def bind(self, space: BaseSpace[Any]) -> BoundFragments:
        """Return the molecules of fragments within the bounds of a space.

        Raises:
            VocabularyError: there is no such vocabulary file, or it is none.
            ValueError: the space is empty.
        """
        molecules, options = of_molecules(space), self.options
        env = fragment_environment(molecules, options.vocabulary, options.max_fragments)
        return BoundFragments(env, molecules, options)


class BoundFragments(Bound[FragmentStates]):
    """Molecules of fragments; of a member's many building orders one is drawn by the backward law.

    Args:
        env: the environment.
        space: of the molecules.
        shape: of the network.
    """

    def __init__(self, env: FragmentEnvironment, space: Molecules, shape: Fragments.Options) -> None:
        self.env: FragmentEnvironment = env
        self.space, self._shape = space, shape
        self.uniform = UniformFragments(env)

    def decode(self, states: FragmentStates) -> list[str | None]:
        """Return the canonical SMILES, without stereochemistry."""
        return self.env.decode(states)

    def members(self, objects: Iterable[str]) -> list[Member]:
        """Return the molecules that decompose into fragments of the vocabulary within the bounds."""
        found = []
        for smiles in objects:
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
        self, *, conditions: int, generator: torch.Generator, env: Environment[Any] | None = None
    ) -> FragmentTransformer:
        """Return a transformer over fragments.

        Raises:
            ValueError: dim is no multiple of heads.
        """
        shape = self._shape.model_dump(include={"dim", "layers", "heads", "prior"})
        return FragmentTransformer(self.env, **shape, conditions=conditions, generator=generator)

    def digest(self) -> str:
        """Return a hash of the fragments and their sites."""
        return hash_of(f"{f.smiles} {f.atoms} {f.capacity}" for f in self.env.vocabulary.fragments)


def fragment_environment(space: Molecules, vocabulary: Path | None, max_fragments: int) -> FragmentEnvironment:
    """Return the fragment environment of a space; the same one for the same arguments and unchanged file.

    Raises:
        VocabularyError: there is no such vocabulary file, or it is none.
        ValueError: the space is empty.
    """
    changed = vocabulary.stat().st_mtime_ns if vocabulary is not None and vocabulary.is_file() else 0
    return _environment(space, vocabulary, max_fragments, changed)


@lru_cache(maxsize=4)
def _environment(space: Molecules, vocabulary: Path | None, max_fragments: int, changed: int) -> FragmentEnvironment:
    del changed  # Only part of the key: a rewritten file is read again.
    return FragmentEnvironment(
        vocabulary=vocabulary,
        max_heavy_atoms=space.max_heavy_atoms,
        min_heavy_atoms=space.min_heavy_atoms,
        elements=space.elements,
        max_fragments=max_fragments,
    )
