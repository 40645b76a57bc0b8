"""The generator `random`: distinct members of the space, no model."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from models.protocols import GenerationContext, Generator
from models.registry import build
from models.spaces.molecules import Molecules


def context_of(space):
    return GenerationContext(space=space, log_reward=lambda molecules: np.zeros(len(molecules)), seed=0)


SPACE = Molecules(max_heavy_atoms=14, min_heavy_atoms=5, elements=("H", "C", "N", "O", "F", "S", "Cl"))


@pytest.fixture(scope="module")
def control():
    generator = build("generator", {"kind": "random"})
    generator.fit(context_of(SPACE))
    return generator


def test_candidates_are_distinct_members_of_the_space(control):
    candidates = control.sample(100, seed=0)
    assert isinstance(control, Generator)
    assert len({c.id for c in candidates}) == 100
    for candidate in candidates:
        mol = Chem.MolFromSmiles(candidate.smiles)
        assert 5 <= mol.GetNumHeavyAtoms() <= 14
        assert {atom.GetSymbol() for atom in mol.GetAtoms()} <= set(SPACE.elements)
        assert candidate.source == "random"
        assert candidate.log_prob is None


def test_the_seed_decides(control):
    assert control.sample(20, seed=1) == control.sample(20, seed=1)
    assert control.sample(20, seed=1) != control.sample(20, seed=2)


def test_a_restored_generator_samples_the_same(control):
    again = build("generator", {"kind": "random"})
    again.load_state(control.state(), context_of(SPACE))
    assert again.sample(20, seed=1) == control.sample(20, seed=1)


def test_a_small_space_gives_what_it_has():
    generator = build("generator", {"kind": "random", "max_fragments": 1})
    generator.fit(context_of(Molecules(max_heavy_atoms=2, min_heavy_atoms=1, elements=("H", "C", "O"))))
    assert {c.smiles for c in generator.sample(50, seed=0)} == {"C", "O", "CC", "C=C", "C#C", "C=O"}


def test_an_empty_space_is_refused():
    with pytest.raises(ValueError, match="the space is empty"):
        build("generator", {"kind": "random"}).fit(
            context_of(Molecules(max_heavy_atoms=4, min_heavy_atoms=1, elements=("H", "Br")))
        )


def test_sampling_before_the_space_is_known_says_so():
    with pytest.raises(RuntimeError, match="no space yet"):
        build("generator", {"kind": "random"}).sample(1, seed=0)


def test_nothing_is_trained(control):
    assert control.history() == []
    assert control.state() == {}
