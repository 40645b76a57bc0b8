"""What every registered featuriser must do, and what each makes of its objects."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Descriptors as Rdkit

from data.chemistry.descriptors import NAMES
from models.featurisers.base import Featuriser, featuriser_of
from models.featurisers.graphs import ATOM_FEATURES, BOND_FEATURES, Graphs, graph
from models.registry import ComponentError, build, kinds

KINDS = {kind: cls for kind, cls in kinds("featuriser").items() if cls.__module__.startswith("models.")}
OBJECTS: dict[str, Any] = {
    "molecules": ["CCO", "c1ccccc1", "N#Cc1ccc(C#N)cc1", "CC(=O)Nc1ccccc1", "[Xe]", "C[N+](C)(C)C.[Cl-]", "C" * 40],
    "sequences": ["ACGT", "", "TTTTTTTT", "A", "GATTACA"],
    "subsets": ["{}", "0", "3, 1", "1, 4", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9", "9", "5, 7, 9"],
    "dags": ["{}", "0>1", "1>0", "0>1, 1>2", "2>3, 0>4", "4>0"],
    "arrays": np.random.default_rng(0).normal(size=(7, 3)),
    "compositions": ["Fe2O3", "FeO", "TiO2", "O2", "Fe"],
    "conformers": ["phi=0, psi=0", "phi=180, psi=0", "phi=-90, psi=7", "psi=-7, phi=90"],
    "vectors": ["t=20, s=water", "t=120, s=water", "t=20, s=dmf", "t=55.5, s=dmf"],
    "rows": ["a", "b", "c", "d"],
    "experiments": ["watch", "x=0", "x=1", "y=1"],
}
NONSENSE: dict[str, tuple[Any, str]] = {
    "molecules": (["CCO", "not a molecule"], "'not a molecule' is no valid SMILES"),
    "sequences": (["ACGT", "ACXT"], "got 'X' in 'ACXT'"),
    "subsets": (["0", "1, a"], "got 'a' in '1, a'"),
    "dags": (["0>1", "0>1, a>1"], "got 'a>1' in '0>1, a>1'"),
    "arrays": ([[0.0, 1.0], [np.nan, 1.0]], "the first is row 1"),
    "compositions": (["FeO", "Na2O"], "Na"),
    "conformers": (["phi=0, psi=0", "phi=0, psi=x"], "'phi=0, psi=x' is no conformer"),
    "vectors": (["t=20, s=water", "t=200, s=water"], "t=200 is outside 20 to 120"),
    "rows": (["a", "z"], "z"),
    "experiments": (["watch", "z=1"], "z is none of the variables x, y"),
}
TABLE = Path(__file__).with_name("rows.csv")
OBSERVED = Path(__file__).with_name("observed.csv")
OPTIONS: dict[str, dict[str, Any]] = {
    "angles": {"names": ["phi", "psi"]},
    "elements": {"elements": ["Fe", "Ti", "O"]},
    "variables": {"space": {"variables": {"t": [20, 120], "s": ["water", "dmf"]}}},
    "settings": {"space": {"data": str(OBSERVED), "settings": {"x": [0, 1], "y": [1]}}},
    "rows": {"space": {"path": str(TABLE), "key": "name", "columns": ["size", "colour"]}},
}
every = pytest.mark.parametrize("kind", list(KINDS))


def made(kind: str, **options: Any) -> Any:
    return build("featuriser", {"kind": kind, **OPTIONS.get(kind, {}), **options})


def objects_of(kind: str) -> Any:
    return OBJECTS[KINDS[kind].objects]  # type: ignore[attr-defined]


# Every featuriser


@every
def test_it_gives_a_row_of_finite_numbers_for_each_object(kind: str) -> None:
    objects, featuriser = objects_of(kind), made(kind)
    assert isinstance(featuriser, Featuriser)
    found = featuriser(objects)
    assert len(found) == len(found.dense) == len(found.counts) == len(objects)
    assert found.dense.shape[1] + found.counts.shape[1] > 0
    assert found.dense.dtype == np.float64
    assert np.isfinite(found.dense).all()
    assert found.counts.dtype == np.int32
    assert (found.counts >= 0).all()


@every
def test_different_objects_have_different_features(kind: str) -> None:
    found = made(kind)(objects_of(kind))
    assert len(np.unique(np.hstack([found.dense, found.counts]), axis=0)) == len(objects_of(kind))


@every
def test_an_object_has_the_same_features_in_any_company(kind: str) -> None:
    objects, featuriser = objects_of(kind), made(kind)
    together = featuriser(objects)
    order = np.random.default_rng(1).permutation(len(objects))
    shuffled = featuriser([objects[i] for i in order])
    np.testing.assert_array_equal(shuffled.dense, together.dense[order])
    np.testing.assert_array_equal(shuffled.counts, together.counts[order])
    for row in range(len(objects)):
        alone = made(kind)([objects[row]])
        np.testing.assert_array_equal(alone.dense[0], together.dense[row])
        np.testing.assert_array_equal(alone.counts[0], together.counts[row])


@every
def test_what_was_returned_can_be_changed_without_harm(kind: str) -> None:
    objects, featuriser = objects_of(kind), made(kind)
    before = featuriser(objects)
    dense, counts = before.dense.copy(), before.counts.copy()
    again = featuriser(deepcopy(objects))
    again.dense[:], again.counts[:] = 7.0, 7
    after = featuriser(objects)
    np.testing.assert_array_equal(after.dense, dense)
    np.testing.assert_array_equal(after.counts, counts)


@every
def test_an_empty_list_gives_no_row(kind: str) -> None:
    empty, full = made(kind)([]), made(kind)(objects_of(kind))
    assert len(empty) == len(empty.dense) == len(empty.counts) == 0
    assert empty.counts.shape[1] == full.counts.shape[1]
    if KINDS[kind].objects != "arrays":  # type: ignore[attr-defined]  # whose width is that of the rows
        assert empty.dense.shape[1] == full.dense.shape[1]


@every
def test_it_is_rebuilt_from_its_configuration(kind: str) -> None:
    featuriser = made(kind)
    again = featuriser_of(json.loads(json.dumps(featuriser.config())))
    assert again.config() == featuriser.config()
    np.testing.assert_array_equal(again(objects_of(kind)).dense, featuriser(objects_of(kind)).dense)
    if kind not in OPTIONS:
        assert featuriser_of(kind).config() == featuriser.config()


@every
def test_what_is_no_object_of_its_sort_is_named(kind: str) -> None:
    objects, words = NONSENSE[KINDS[kind].objects]  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=words):
        made(kind)(objects)


@every
def test_rows_can_be_taken_by_number(kind: str) -> None:
    found = made(kind)(objects_of(kind))
    some = found[np.array([2, 0, 2])]
    np.testing.assert_array_equal(some.dense, found.dense[[2, 0, 2]])
    np.testing.assert_array_equal(some.counts, found.counts[[2, 0, 2]])
    assert len(some) == 3


def test_an_unknown_featuriser_is_refused_with_the_nearest() -> None:
    with pytest.raises(ComponentError, match="Did you mean 'morgan_counts'"):
        featuriser_of("morgan_count")
    with pytest.raises(ComponentError, match="no option 'lengt'"):
        featuriser_of({"kind": "one_hot", "lengt": 4})


# Molecules


def test_descriptors_are_rdkits_and_stand_in_the_dense_block() -> None:
    found = made("descriptors")(["CC(=O)Nc1ccccc1"])
    mol = Chem.MolFromSmiles("CC(=O)Nc1ccccc1")
    for name in ("MolLogP", "TPSA"):
        assert found.dense[0, NAMES.index(name)] == pytest.approx(getattr(Rdkit, name)(mol), rel=1e-6)
    assert found.counts.shape == (1, 0)
    assert made("morgan_counts")(["CCO"]).dense.shape == (1, 0)


def test_both_blocks_are_those_of_descriptors_and_of_counts() -> None:
    molecules = OBJECTS["molecules"]
    both = made("both")(molecules)
    np.testing.assert_array_equal(both.dense, made("descriptors")(molecules).dense)
    np.testing.assert_array_equal(both.counts, made("morgan_counts")(molecules).counts)


def test_counts_count_atom_environments() -> None:
    octane, decane = made("morgan_counts")(["C" * 8, "C" * 10]).counts
    # A methylene far from the ends looks alike in both; decane has two more of it at each radius.
    assert set(np.flatnonzero(octane)) == set(np.flatnonzero(decane))
    assert decane.sum() - octane.sum() == 6
    assert (decane >= octane).all()


# Sequences


def test_composition_counts_atoms_of_each_element_and_rings_beside_the_environments() -> None:
    featuriser = build("featuriser", {"kind": "composition_and_counts"})
    morgan, composition = featuriser(["OC1=CC=CC=C1Cl", "OC1CCCCC1"]).kinds
    assert np.array_equal(
        morgan, build("featuriser", {"kind": "morgan_counts"})(["OC1=CC=CC=C1Cl", "OC1CCCCC1"]).counts
    )
    chlorophenol, cyclohexanol = composition
    # Hydrogen, carbon, oxygen and chlorine by their atomic numbers; then rings, and those that are aromatic.
    assert chlorophenol[[1, 6, 8, 17]].tolist() == [5, 6, 1, 1]
    assert cyclohexanol[[1, 6, 8, 17]].tolist() == [12, 6, 1, 0]
    assert (chlorophenol[118:].sum(), cyclohexanol[118:].sum()) == (2, 1)


def test_isomers_differ_in_their_environments_only() -> None:
    features = build("featuriser", {"kind": "composition_and_counts"})(["CCO", "COC"])
    morgan, composition = features.kinds
    assert not np.array_equal(*morgan)
    assert np.array_equal(*composition)


def test_one_hot_has_a_one_where_the_letter_stands() -> None:
    found = made("one_hot", alphabet="ab", length=3)(["ab", "bba", ""])
    np.testing.assert_array_equal(found.dense, [[1, 0, 0, 1, 0, 0], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]])


def test_the_squared_distance_is_twice_the_number_of_places_that_differ() -> None:
    rng = np.random.default_rng(2)
    sequences = ["".join(rng.choice(list("ACGT"), 12)) for _ in range(20)]
    dense = made("one_hot", length=12)(sequences).dense
    for i in range(1, 20):
        differ = sum(a != b for a, b in zip(sequences[0], sequences[i], strict=True))
        assert np.square(dense[0] - dense[i]).sum() == 2 * differ


def test_a_sequence_of_the_greatest_length_is_taken_and_a_longer_one_refused() -> None:
    featuriser = made("one_hot", length=4)
    assert featuriser(["ACGT"]).dense.sum() == 4
    with pytest.raises(ValueError, match=r"at most 4 letters; got 5 in 'ACGTA'\. Set its option `length`"):
        featuriser(["ACGT", "ACGTA"])


def test_letters_are_those_of_the_alphabet_and_no_others() -> None:
    with pytest.raises(ValueError, match=r"knows the letters 'ACGT'; got 'a' in 'a'\. Set its option `alphabet`"):
        made("one_hot")(["a"])


@pytest.mark.parametrize("options", [{"alphabet": "A"}, {"length": 0}])
def test_an_alphabet_or_length_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ComponentError, match=f"Option '{next(iter(options))}'"):
        made("one_hot", **options)


def test_one_hot_fills_the_block_that_is_asked_for_with_the_same_columns() -> None:
    sequences = OBJECTS["sequences"]
    dense, counted = made("one_hot", length=9)(sequences), made("one_hot", length=9, counted=True)(sequences)
    np.testing.assert_array_equal(dense.dense, counted.counts)
    assert dense.counts.shape == counted.dense.shape == (len(sequences), 0)


def test_letters_of_any_script_and_in_any_order_find_their_column() -> None:
    found = made("one_hot", alphabet="βα\U0001f9ecb", length=2)(["b", "αβ", "\U0001f9ec"])
    np.testing.assert_array_equal(
        found.dense, [[0, 0, 0, 1, 0, 0, 0, 0], [0, 1, 0, 0, 1, 0, 0, 0], [0, 0, 1] + 5 * [0]]
    )
    with pytest.raises(ValueError, match="got '\\\\x00'"):
        made("one_hot")(["A\0"])


def test_k_mers_are_counted_wherever_they_stand() -> None:
    found = made("k_mers", alphabet="ab", k=2)(["aab", "", "b", "bbbb"])
    # Columns: a, b, aa, ab, ba, bb.
    np.testing.assert_array_equal(
        found.counts, [[2, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 4, 0, 0, 0, 3]]
    )


def test_k_mers_are_those_of_a_count_by_hand() -> None:
    rng = np.random.default_rng(3)
    sequences = ["".join(rng.choice(list("ACGT"), length)) for length in (1, 3, 9, 17)]
    counts = made("k_mers", k=3)(sequences).counts
    for sequence, row in zip(sequences, counts, strict=True):
        assert row.sum() == sum(max(len(sequence) - k + 1, 0) for k in (1, 2, 3))
        word = "GCA"
        column = 4 + 16 + "ACGT".index("G") * 16 + "ACGT".index("C") * 4 + "ACGT".index("A")
        assert row[column] == sum(sequence[at : at + 3] == word for at in range(len(sequence)))


# Subsets


def test_members_have_a_one_and_others_none() -> None:
    found = made("membership", items=("x", "y,z", "w"))(['"y,z", x', "{}"])
    np.testing.assert_array_equal(found.counts, [[1, 1, 0], [0, 0, 0]])


# Arrays


def test_identity_gives_rows_of_numbers_as_they_are() -> None:
    table = OBJECTS["arrays"]
    np.testing.assert_array_equal(made("identity")(table).dense, table)
    np.testing.assert_array_equal(made("identity")([[1, 2], (3, 4), np.array([5, 6])]).dense, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(made("identity")(np.zeros((4, 2))).dense, np.zeros((4, 2)))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[1.0, 2.0], [3.0]], "all of one length"),
        (["CCO", "CCN"], r"For molecules use `features: both`"),
        ([[1.0, None], [2.0, "x"]], "takes rows of numbers"),
        ([1.0, 2.0], r"an array of shape \(n, p\); got shape \(2,\)"),
        (np.zeros((2, 2, 2)), r"got shape \(2, 2, 2\)"),
        ([[0.0, 1.0], [1.0, np.inf], [np.nan, 0.0]], "2 of 3 rows have others, the first is row 1"),
    ],
)
def test_what_is_no_table_of_finite_numbers_is_refused(rows: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made("identity")(rows)


# Graphs

MOLECULES = [*OBJECTS["molecules"], "C1CC1", "O=S(=O)(O)c1ccccc1", "[O-][N+](=O)C#N", "FB(F)Br", "[H][H]", "OC=CI"]


def rows_by_molecule(graphs: Graphs) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Atoms, bonds and ends of each molecule, taken apart again from the joined graph."""
    atoms, bonds, ends, molecule = graphs.joined()
    out = []
    for i in range(len(graphs)):
        own = (molecule == i).nonzero()[:, 0]
        inside = molecule[ends[0]] == i
        assert torch.equal(molecule[ends[0]], molecule[ends[1]])
        out.append((atoms[own], bonds[inside], ends[:, inside] - own[0]))
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_molecules_side_by_side_are_the_molecules_one_by_one(dtype: torch.dtype) -> None:
    together = rows_by_molecule(Graphs(MOLECULES, dtype))
    assert len(together) == len(MOLECULES)
    for smiles, parts in zip(MOLECULES, together, strict=True):
        alone = Graphs([smiles], dtype).joined()
        assert all(part.dtype == dtype for part in (alone[0], alone[1]))
        for part, own in zip(parts, alone[:3], strict=True):
            assert torch.equal(part, own)
        assert alone[3].tolist() == [0] * len(alone[0])


def test_some_molecules_of_many_are_those_of_their_rows() -> None:
    graphs, rows = Graphs(MOLECULES, torch.float32), [5, 2, 2, 9]
    for part, own in zip(
        graphs[torch.tensor(rows)].joined(), Graphs([MOLECULES[i] for i in rows], torch.float32).joined(), strict=True
    ):
        assert torch.equal(part, own)
    assert len(graphs[torch.tensor(rows)]) == 4


@pytest.mark.parametrize("smiles", MOLECULES)
def test_a_graph_has_the_atoms_of_the_molecule_and_each_bond_both_ways(smiles: str) -> None:
    mol, found = Chem.MolFromSmiles(smiles), graph(smiles)
    bonds = {(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()}
    assert found.atoms.shape == (mol.GetNumAtoms(), ATOM_FEATURES)
    assert found.bonds.shape == (2 * len(bonds), BOND_FEATURES)
    assert found.ends.shape == (2, 2 * len(bonds))
    assert {tuple(pair) for pair in found.ends.T.tolist()} == bonds | {(b, a) for a, b in bonds}
    by_ends = {tuple(pair): kind for pair, kind in zip(found.ends.T.tolist(), found.bonds.tolist(), strict=True)}
    assert all(by_ends[a, b] == by_ends[b, a] for a, b in bonds)
    assert set(found.atoms.unique().tolist()) | set(found.bonds.unique().tolist()) <= {0, 1}
    # Element, neighbours, charge, hydrogens and hybridisation: one of each, and two flags.
    assert set((found.atoms[:, :-2].sum(1)).tolist()) == {5}
    assert set((found.bonds[:, :-2].sum(1)).tolist()) <= {1}


def test_an_atom_is_told_by_element_charge_hydrogens_aromaticity_and_ring() -> None:
    different = ["[CH4]", "[NH4+]", "[NH2-]", "N", "[SiH4]", "[Xe]"]
    assert len({tuple(graph(smiles).atoms[0].tolist()) for smiles in different}) == len(different)
    benzene, cyclohexane = graph("c1ccccc1"), graph("C1CCCCC1")
    assert benzene.atoms[:, -2:].tolist() == [[1, 1]] * 6
    assert cyclohexane.atoms[:, -2:].tolist() == [[0, 1]] * 6
    kinds_of = {smiles: tuple(graph(smiles).bonds[0].tolist()) for smiles in ("CC", "C=C", "C#C", "C1CC1", "c1ccccc1")}
    assert len(set(kinds_of.values())) == 5


def test_a_text_that_is_no_molecule_has_no_graph() -> None:
    with pytest.raises(ValueError, match="'C1CC' is no valid SMILES; a graph needs"):
        Graphs(["CCO", "C1CC"], torch.float32)
