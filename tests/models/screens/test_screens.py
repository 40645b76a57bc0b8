"""Screens by catalogue, synthetic accessibility, descriptor and ring strain, through the registry."""

import sys
from typing import ClassVar

import pytest
from rdkit import Chem

from data.chemistry.accessibility import synthetic_accessibility
from models.registry import Component, ComponentError, build, kinds
from models.screens.base import MoleculeScreen


def refuse(molecules, **config):
    return build("screen", config).refuse(molecules)


@pytest.mark.parametrize("kind", list(kinds("screen")))
def test_every_screen_passes_ethanol_refuses_nonsense_and_takes_an_empty_list(kind):
    options = {"property_range": {"descriptor": "TPSA", "max": 100}}.get(kind, {})
    reasons = refuse(["CCO", "C1CC"], kind=kind, **options)
    assert reasons[0] is None
    assert "no valid SMILES" in reasons[1]
    assert refuse([], kind=kind, **options) == []


@pytest.mark.parametrize("kind", list(kinds("screen")))
def test_every_screen_is_rebuilt_from_its_configuration(kind):
    options = {"property_range": {"descriptor": "TPSA", "max": 100}}.get(kind, {})
    screen = build("screen", {"kind": kind, **options})
    assert build("screen", screen.config()).config() == screen.config()


def test_catalogues_refuse_by_name():
    quinone, ethanol = "O=C1C=CC(=O)C=C1", "CCO"
    assert "BRENK" in refuse([quinone], kind="filter_catalog", catalogs=["BRENK"])[0]
    assert refuse([quinone, ethanol], kind="filter_catalog", catalogs=["PAINS_A", "NIH"])[1] is None


def test_an_unknown_catalogue_is_an_error_with_the_nearest_one():
    with pytest.raises(ComponentError, match="the nearest is 'PAINS'"):
        build("screen", {"kind": "filter_catalog", "catalogs": ["PAIN"]})


def test_synthetic_accessibility_orders_benzene_before_a_cage():
    assert synthetic_accessibility("c1ccccc1") == pytest.approx(1.0, abs=0.05)
    assert synthetic_accessibility("C1CC2CC3CC1N2C3(C)O") > 4.5


def test_synthetic_accessibility_refuses_above_its_bound_only():
    cage = "C1CC2CC3CC1N2C3(C)O"
    reasons = refuse(["c1ccccc1", cage], kind="synthetic_accessibility", max=4)
    assert reasons[0] is None
    assert "at most 4 passes" in reasons[1]


LAUGHED_AT = {
    "O=C1C(=O)c2snnc2-c2nnsc21": "a quinone between two thiadiazoles",
    "CC(=O)C(=O)C(C)=O": "a vicinal tricarbonyl",
    "N=NC1=C(Cl)C(=O)C(=O)C1=O": "a diazene",
    "O=C1C=NN=C1": "a pyrazol-4-one",
    "Cc1nnnnc1C": "a tetrazine of four nitrogens in a row",
    "N=NS(=O)(=O)S(=O)(=O)N=C1C(=O)C1=O": "a disulfone",
}
MADE = {
    "O=C1C=CC(=O)C=C1": "benzoquinone",
    "N#CC(C#N)=C1C=CC(=C(C#N)C#N)C=C1": "TCNQ",
    "O=C1C(Cl)=C(Cl)C(=O)C(C#N)=C1C#N": "DDQ",
    "O=C1C(=O)c2ccccc2C1=O": "ninhydrin without water",
    "O=[N+]([O-])c1ccc([N+](=O)[O-])cc1": "dinitrobenzene",
    "FC(F)(F)c1ccc(C#N)cc1": "a benzonitrile",
}


def test_surroundings_that_nobody_has_seen_are_refused_and_known_acceptors_are_not():
    reasons = refuse(list(LAUGHED_AT), kind="familiar_environments")
    assert [name for name, reason in zip(LAUGHED_AT.values(), reasons, strict=True) if reason is None] == []
    reasons = refuse(list(MADE), kind="familiar_environments")
    assert [name for name, reason in zip(MADE.values(), reasons, strict=True) if reason is not None] == []


def test_how_many_atoms_may_be_in_such_surroundings_is_set():
    tricarbonyl = "CC(=O)C(=O)C(C)=O"
    reason = refuse([tricarbonyl], kind="familiar_environments", unseen=0)[0]
    atoms = int(reason.split()[0])
    assert atoms >= 3
    assert refuse([tricarbonyl], kind="familiar_environments", unseen=atoms) == [None]
    assert refuse([tricarbonyl], kind="familiar_environments", unseen=atoms - 1) != [None]


def test_the_scorer_leaves_the_search_path_alone():
    before = list(sys.path)
    synthetic_accessibility("CCO")
    assert sys.path == before


def test_property_ranges_include_their_bounds():
    # Ethane, propane, butane have 2, 3, 4 heavy atoms.
    reasons = refuse(["CC", "CCC", "CCCC"], kind="property_range", descriptor="HeavyAtomCount", min=3, max=3)
    assert [reason is None for reason in reasons] == [False, True, False]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"descriptor": "MolLogp", "max": 3}, "the nearest is 'MolLogP'"),
        ({"descriptor": "MolLogP"}, "expected `min`, `max` or both"),
        ({"descriptor": "MolLogP", "min": 3, "max": 1}, "above"),
    ],
)
def test_a_property_range_that_makes_no_sense_is_refused(options, words):
    with pytest.raises(ComponentError, match=words):
        build("screen", {"kind": "property_range", **options})


@pytest.mark.parametrize("smiles", ["C1CCCCCCCC1", "C1CCC=C=CC1", "C1CCC#CCC1", "C1CC2CCC1=C2", "C1=CC=C1", "C1C2CC12"])
def test_strained_rings_are_refused(smiles):

    assert refuse([smiles], kind="strained_rings")[0] is not None


@pytest.mark.parametrize(
    "smiles",
    [
        "c1cc2cccc3ccc4cccc1c4c23",
        "C1CC2CCC1C2",
        "O=C1C(=O)C(O)=C1O",
        "C1CC1",
        "c1ccc2c(c1)CC2",
        "C1CN2CCN1CC2",
        "C1=CC2=CC=CC3=C2C(=C1)N=S=N3",
    ],
)
def test_rings_that_exist_pass(smiles):
    assert refuse([smiles], kind="strained_rings") == [None]


def test_a_cage_without_a_geometry_is_refused_and_one_with_it_passes():
    cage, cubane = "O=C(c1cccc(Cl)c1)C1CN2CC(=O)N1C2=O", "C12C3C4C1C5C2C3C45"
    flat, solid, unreadable = refuse([cage, cubane, "C1CC"], kind="geometry")
    assert "no geometry" in flat
    assert solid is None
    assert "no valid SMILES" in unreadable
    assert refuse([cage], kind="strained_rings") == [None]  # which is what the screen is for


class _Counting(MoleculeScreen):
    """Says how often it was asked; without a kind it is no component."""

    asked: ClassVar[list[str]] = []
    lasting = True

    class Options(Component.Options):
        text: str = "no"

    def reason(self, mol):
        self.asked.append(Chem.MolToSmiles(mol))
        return f"{self.options.text} {len(self.asked)}" if mol.GetNumAtoms() > 2 else None


class _Derived(_Counting):
    """Might ask for more, so that its verdicts are not remembered."""


def test_a_verdict_is_made_once_for_equal_options_and_a_derived_class_says_so_itself():
    first = _Counting().refuse(["CCO", "CC", "CCO"])
    assert first == ["no 1", None, "no 1"]
    assert _Counting().refuse(["CC", "CCO"]) == [None, "no 1"]
    assert _Counting.asked == ["CCO", "CC"]
    assert _Counting(text="never").refuse(["CCO"]) == ["never 3"]
    assert _Derived().refuse(["CCO", "CCO"]) == ["no 4", "no 5"]


@pytest.mark.parametrize("kind", ["alerts", "familiar_environments", "filter_catalog", "geometry", "strained_rings"])
def test_what_is_remembered_is_what_is_found(kind):
    molecules = ["CCO", "C1=CC1", "O=C1C=CC(=O)C=C1", "CC(=O)Cl", "C1CC2CC3CC1N2C3(C)O", "no molecule", "[N-]=[N+]=NCC"]
    screen = build("screen", {"kind": kind})
    again = [build("screen", {"kind": kind}).refuse([smiles])[0] for smiles in molecules]
    assert screen.refuse(molecules) == screen.refuse(molecules[::-1])[::-1] == again
    assert [screen._of_text(smiles) for smiles in molecules] == again
