"""Crossover and mutation: every product is a molecule of the space, and what is attached comes from the data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from data.chemistry.bounds import outside, strained
from data.chemistry.molecules import canonical
from models.spaces.molecule_editing import chain_pieces, close_molecule, join, open_molecule, ring_pieces
from models.spaces.molecule_operators import Operators, count_palette
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=12, min_heavy_atoms=2, elements=("H", "C", "N", "O", "F", "S"))
LIBRARY = [
    "O=C1C=CC(=O)C=C1",
    "N#CC(C#N)=Cc1ccccc1",
    "O=[N+]([O-])c1ccc(F)cc1",
    "CCOC(=O)c1ccncc1",
    "CS(=O)(=O)c1ccccc1",
    "C[C@H](N)C(=O)O",
    "c1ccc2nsnc2c1",
    "CC(C)=NO",
    "[O-][n+]1ccccc1C",
    "C#CCO",
]

MACROCYCLE = "C1CCCCCCCCCCC1"

molecules = st.sampled_from(LIBRARY)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def operators():
    return Operators(count_palette(LIBRARY, SPACE), SPACE)


def check(product):
    mol = Chem.MolFromSmiles(product)
    assert outside(mol, SPACE) is None
    assert strained(mol) is None
    assert canonical(product) == product
    assert not any(atom.GetFormalCharge() and atom.GetTotalNumHs() for atom in mol.GetAtoms())


@settings(deadline=None)
@given(molecule=molecules, seed=seeds, steps=st.integers(1, 5))
def test_mutants_stay_inside_the_space_step_after_step(operators, molecule, seed, steps):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        mutant = operators.mutate(molecule, rng)
        if mutant is None:
            return
        assert mutant != molecule
        check(mutant)
        molecule = mutant


@settings(deadline=None)
@given(first=molecules, second=molecules, seed=seeds)
def test_crossovers_stay_inside_the_space_and_are_new(operators, first, second, seed):
    child = operators.crossover(first, second, np.random.default_rng(seed))
    if child is not None:
        assert child not in (first, second)
        check(child)


def test_most_edits_succeed_and_differ(operators):
    rng = np.random.default_rng(0)
    mutants = [operators.mutate(LIBRARY[i % len(LIBRARY)], rng) for i in range(300)]
    children = [operators.crossover(LIBRARY[i % 7], LIBRARY[(i + 1) % 7], rng) for i in range(300)]
    for products in (mutants, children):
        assert sum(product is not None for product in products) > 220
        assert len(set(products)) > 60


def test_the_same_seed_gives_the_same_products(operators):
    def products():
        rng = np.random.default_rng(5)
        return [operators.mutate(smiles, rng) for smiles in LIBRARY]

    assert products() == products()


def test_mutations_reach_every_kind_of_edit(operators):
    def features(smiles):
        mol = Chem.MolFromSmiles(smiles)
        return mol.GetNumHeavyAtoms(), mol.GetRingInfo().NumRings()

    start, rng = "CCCCCC1CCCC1", np.random.default_rng(1)
    atoms, rings = features(start)
    found = [features(mutant) for mutant in (operators.mutate(start, rng) for _ in range(300)) if mutant]
    assert {n - atoms for n, _ in found} >= {-1, 0, 1}
    assert {n - rings for _, n in found} >= {-1, 0, 1}


def test_the_palette_is_what_the_library_holds():
    halogen_free = count_palette(["CCO", "CCN", "CC(=O)O"], SPACE)
    assert not any("S" in group or "F" in group for group in halogen_free.groups)
    with_nitro = count_palette(["O=[N+]([O-])c1ccccc1"] * 3, SPACE)
    assert any("[N+:1]" in group for group in with_nitro.groups)


def test_every_element_of_the_space_can_be_drawn_and_frequent_ones_are_drawn_more():
    palette = count_palette(LIBRARY, SPACE)
    weight = dict(zip(palette.elements, palette.element_weights, strict=True))
    assert set(weight) == {"C", "N", "O", "F", "S"}
    assert min(weight.values()) > 0
    assert weight["C"] > weight["N"] > weight["F"]
    assert sum(weight.values()) == pytest.approx(1)


@pytest.mark.parametrize("smiles", LIBRARY)
def test_a_molecule_that_is_opened_and_closed_is_itself_without_stereochemistry(smiles):
    flat = Chem.MolFromSmiles(smiles)
    Chem.RemoveStereochemistry(flat)
    assert close_molecule(open_molecule(smiles), SPACE) == Chem.MolToSmiles(flat)


@pytest.mark.parametrize("smiles", LIBRARY)
def test_the_two_sides_of_a_cut_joined_again_are_the_molecule(smiles):
    mol, whole = open_molecule(smiles), close_molecule(open_molecule(smiles), SPACE)
    for pieces in (chain_pieces(mol), ring_pieces(mol)):
        for one, other in zip(pieces[::2], pieces[1::2], strict=True):
            assert len(one) + len(other) == mol.GetNumAtoms()
            assert not any(atom in one and atom in other for atom in range(mol.GetNumAtoms()))
            again = join(mol, one, mol, other)
            if again is not None:
                assert close_molecule(again, SPACE) == whole


@pytest.mark.parametrize(
    ("smiles", "pairs"),
    [
        ("C1CCCCC1", 15),  # any two of six bonds
        ("CC1CC1C", 3),
        ("C1CC2CCC1C2", 8),  # two bonds of one bridge: 3 + 3, and 1 of the short bridge in each of its two rings
        ("C1CCC2(C1)CCCC2", 20),  # ten in each of the two rings
        ("c1ccc2ccccc2c1", 20),  # of the eleven bonds, pairs of one side of the bond that both rings share
        ("C1CCCCCCC1", 0),  # too large a ring
        ("CCCC", 0),
    ],
)
def test_rings_are_cut_in_all_pairs_of_bonds_that_divide_them(smiles, pairs):
    assert len(ring_pieces(open_molecule(smiles))) == 2 * pairs


def test_a_text_that_is_no_molecule_gives_nothing(operators):
    assert operators.mutate("C1CC", np.random.default_rng(0)) is None
    assert operators.crossover("C1CC", "CCO", np.random.default_rng(0)) is None


def test_large_rings_are_made_and_bought_only_where_the_space_allows_it():
    strict, lenient = Molecules(max_heavy_atoms=20), Molecules(max_heavy_atoms=20, strained_rings="allow")
    assert strict.outside(MACROCYCLE) is None  # known ones are read all the same
    assert strict.unfit(MACROCYCLE) == "a ring of more than 8 atoms"
    assert lenient.unfit(MACROCYCLE) is None

    def reasons(space):
        edits = space.variation([MACROCYCLE])
        mutants = {edits.mutate(MACROCYCLE, np.random.default_rng(seed)) for seed in range(20)} - {None}
        return {strained(Chem.MolFromSmiles(text)) for text in mutants}

    assert reasons(strict) <= {None}
    assert "a ring of more than 8 atoms" in reasons(lenient)
