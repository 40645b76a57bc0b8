"""Conformers by torsion angles: what turns, how angles are written, energies, files, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdMolTransforms

from models.oracles.base import bound
from models.registry import ComponentError, build
from models.spaces.base import require_space

DIPEPTIDE = "CC(=O)N[C@@H](C)C(=O)NC"
BONDS = {"phi": [1, 3, 4, 6], "psi": [3, 4, 6, 8]}


def space_of(smiles=DIPEPTIDE, **options):
    return build("space", {"kind": "torsions", "smiles": smiles, **options})


@pytest.fixture(scope="module")
def space():
    return space_of(bonds=BONDS)


@pytest.mark.parametrize(
    ("text", "standard"),
    [
        ("phi=-75, psi=60", "phi=-75, psi=60"),
        ("psi=60.4, phi=285", "phi=-75, psi=60"),
        ("phi=180, psi=-180", "phi=180, psi=180"),
        ("phi=-179.6, psi=179.4", "phi=180, psi=179"),
        ("phi=720, psi=-0.2", "phi=0, psi=0"),
        ("phi=-75°, psi=60°", "phi=-75, psi=60"),
    ],
)
def test_angles_are_written_in_degrees_within_half_a_turn(space, text, standard):
    assert space.standard(text) == standard


def test_angles_are_rounded_to_the_step():
    space = space_of(bonds=BONDS, step=15)
    assert space.standard("phi=52, psi=-173") == "phi=45, psi=180"
    assert len(set(space.random(1000, 0))) == 24**2


def test_bonds_that_turn_are_found_and_amides_only_where_asked_for():
    assert [one.atoms for one in space_of().turns] == [(1, 3, 4, 5), (3, 4, 6, 7)]
    assert [one.name for one in space_of(amides=True).turns] == ["t1", "t2", "t3", "t4"]
    assert [one.atoms[1:3] for one in space_of("CCCCC").turns] == [(1, 2), (2, 3)]


def test_bonds_may_be_named_by_two_atoms_or_four():
    assert space_of(bonds={"phi": [3, 4]}).turns[0].atoms == (1, 3, 4, 5)
    assert space_of(bonds=[[3, 4], [4, 6]]).names == ("t1", "t2")
    assert space_of(bonds=BONDS).turns[1].atoms == (3, 4, 6, 8)


def test_the_same_angles_of_another_molecule_are_another_conformer(space):
    mirrored = space_of("CC(=O)N[C@H](C)C(=O)NC", bonds=BONDS)
    assert space.reading() != mirrored.reading()
    assert space.reading() == space_of(bonds=BONDS, step=5).reading()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"smiles": "C1CC"}, "one molecule"),
        ({"smiles": "CCCC.O"}, "several fragments"),
        ({"smiles": "CC(=O)NC(C)C(=O)NC"}, "leaves open atom 4"),
        ({"smiles": "CCC=CCC"}, "leaves open bond 2-3"),
        ({"smiles": "c1ccccc1"}, "no bond of c1ccccc1 turns"),
        ({"smiles": "CCCC", "step": 7}, "divides a turn"),
        ({"smiles": "CCCC", "bonds": {"a": [0, 2]}}, "a does not turn: atoms 0 and 2 are not bonded"),
        ({"smiles": "CCCC", "bonds": {"a": [0, 1]}}, "nothing but hydrogen turns"),
        ({"smiles": "C1CCC1C", "bonds": {"a": [0, 1]}}, "in a ring or not single"),
        ({"smiles": "CCCC", "bonds": {"a": [1, 9]}}, "has the atom 9"),
        ({"smiles": "CCCC", "bonds": {"a": [1, 2], "b": [2, 1]}}, "stands twice"),
        ({"smiles": "CCCC", "bonds": {"a=": [1, 2]}}, "the name of an angle is a word"),
        ({"smiles": "CCCC", "bonds": {"a": [1, 2, 3]}}, "its four atoms, or the two of its bond"),
    ],
)
def test_what_is_no_space_of_conformers_is_refused(options, told):
    with pytest.raises(ComponentError, match=told):
        space_of(**options)


def test_energies_are_above_the_lowest_geometry_and_do_not_depend_on_what_was_asked_before():
    space = space_of("CCCC")
    energy = bound(build("oracle", {"kind": "conformer_energy"}), space)
    values = {one.object: one.value for one in energy.evaluate(["t1=180", "t1=65", "t1=0", "t1=-65"], keys=[])}
    assert values["t1=180"] == pytest.approx(0.0, abs=1e-3)
    assert 0.5 < values["t1=65"] < 1.0  # gauche butane by MMFF94: 0.78
    assert 4.0 < values["t1=0"] < 6.0
    assert values["t1=-65"] == pytest.approx(values["t1=65"], abs=1e-3)
    alone = bound(build("oracle", {"kind": "conformer_energy"}), space_of("CCCC"))
    assert alone.measure("t1=65") == pytest.approx(values["t1=65"], abs=1e-4)


def test_files_have_the_relaxed_geometry_with_the_torsions_held(space):
    rows = [{"id": "one", "conformer": "phi=-75, psi=60", "value": 0.5}, {"id": "none", "conformer": "nonsense"}]
    text = space.exports["sdf"](rows)
    one, none = text.split("$$$$\n")[:2]
    mol = Chem.MolFromMolBlock(one, removeHs=False)
    assert mol.GetNumAtoms() == 22
    assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == Chem.CanonSmiles(DIPEPTIDE)
    for atoms, angle in zip(BONDS.values(), (-75, 60), strict=True):
        assert rdMolTransforms.GetDihedralDeg(mol.GetConformer(), *atoms) == pytest.approx(angle, abs=0.5)
    assert "<value>\n0.5" in one
    assert none.startswith("none\n")


def test_a_molecule_without_parameters_is_refused_by_the_oracle_only():
    space = space_of("CCB(C)CC")
    with pytest.raises(ComponentError, match="needs MMFF94 parameters"):
        require_space(build("oracle", {"kind": "conformer_energy"}), space)
    assert space.random(3, 0)


def test_edits_turn_a_little_or_to_anywhere(space):
    variation, rng = space.variation([]), np.random.default_rng(0)
    turned = [space.degrees(variation.mutate("phi=170, psi=0", rng)) for _ in range(300)]
    away = np.array([(one[0] - 170 + 180) % 360 - 180 for one in turned])
    moved = away[away != 0]
    assert np.median(np.abs(moved)) < 60
    assert np.abs(moved).max() > 120
    child = space.degrees(variation.crossover("phi=1, psi=2", "phi=11, psi=12", rng))
    assert child[0] in (1, 11)
    assert child[1] in (2, 12)
