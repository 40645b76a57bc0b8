"""What is one molecule and what is two: a measurement of one is never an answer for the other."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.chemistry.molecules import canonical, compound, identity
from data.objects import HANDLE_LENGTH, handle

ONE_COMPOUND_TWO_MOLECULES = {
    "2-pyridone and 2-hydroxypyridine": ("O=c1cccc[nH]1", "Oc1ccccn1"),
    "tautomers of 4-methylimidazole": ("Cc1c[nH]cn1", "Cc1cnc[nH]1"),
    "thione and thiol": ("S=c1cccc[nH]1", "Sc1ccccn1"),
    "C=N stereoisomers of an amidine": (r"C/C(N)=N/C", r"C/C(N)=N\C"),
    "tautomers of an amidine": ("CN=C(C)N", "CNC(C)=N"),
    "E and Z guanidine": (r"CN/C(NC#N)=N/C", r"CN/C(NC#N)=N\C"),
}
"""Pairs with one standard InChIKey."""

TWO_COMPOUNDS = {
    "enantiomers": ("C[C@H](N)O", "C[C@@H](N)O"),
    "an enantiomer and the form without stereochemistry": ("C[C@H](N)O", "CC(N)O"),
    "double-bond stereoisomers": ("C/C=C/C", r"C/C=C\C"),
    "isotopologues": ("CCO", "[2H]CCO"),
    "acid and carboxylate": ("CC(=O)O", "CC(=O)[O-]"),
    "radical and molecule": ("C[CH2]", "CC"),
}


@pytest.mark.parametrize(("one", "other"), ONE_COMPOUND_TWO_MOLECULES.values(), ids=ONE_COMPOUND_TWO_MOLECULES)
def test_what_shares_an_inchikey_can_be_two_molecules(one, other):
    assert compound(one) == compound(other)
    assert identity(one) != identity(other)


@pytest.mark.parametrize(("one", "other"), TWO_COMPOUNDS.values(), ids=TWO_COMPOUNDS)
def test_two_compounds_are_two_molecules(one, other):
    assert compound(one) != compound(other)
    assert identity(one) != identity(other)


@pytest.mark.parametrize("texts", [("CCO", "OCC", "C(O)C"), ("c1ccccc1O", "C1=CC=CC=C1O", "Oc1ccccc1")])
def test_one_molecule_has_one_identity_however_it_is_written(texts):
    assert len({identity(text) for text in texts}) == 1


def test_an_identity_is_the_handle_of_the_canonical_text():
    assert identity("OCC") == handle(canonical("OCC")) == handle("CCO")


def test_coordination_isomers_are_two_molecules():
    assert identity("[NH3][Pt@SP1]([NH3])(Cl)Cl") != identity("[NH3][Pt@SP2]([NH3])(Cl)Cl")


@pytest.mark.parametrize("text", ["", "not a molecule", "C1CC", "c1cccc1"])
def test_what_is_no_molecule_has_no_identity(text):
    with pytest.raises(ValueError, match="no valid SMILES"):
        identity(text)
    with pytest.raises(ValueError, match="no valid SMILES"):
        compound(text)


@given(st.text(), st.text())
def test_handles_tell_texts_apart_and_pass_through_files_and_shells(one, other):
    assert (handle(one) == handle(other)) == (one == other)
    name = handle(one)
    assert len(name) == HANDLE_LENGTH
    assert set(name) <= set(string.ascii_lowercase + string.digits)
    assert json.loads(json.dumps(name)) == name


def test_the_handle_of_a_text_stays_what_it_is():
    """Ledgers hold handles: another rule would make every purchase unknown."""
    assert handle("CCO") == "mhetljdg5ffzi5xisi3boqbyr"
