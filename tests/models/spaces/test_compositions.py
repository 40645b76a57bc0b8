"""Compositions: formulas in one form, charges that balance."""

import numpy as np
import pytest

from data.objects import NotStandardError
from models.registry import ComponentError, build


@pytest.fixture
def oxides():
    return build("space", {"kind": "compositions", "elements": ["Fe", "Ca", "H", "O"], "max_count": 4})


@pytest.mark.parametrize(
    ("text", "standard"),
    [("O3Fe2", "Fe2O3"), ("Fe4O6", "Fe2O3"), ("Ca(OH)2", "CaH2O2"), ("Fe₃O₄", "Fe3O4"), ("CaO·H2O", "CaH2O2")],
)
def test_one_composition_has_one_formula(oxides, text, standard):
    assert oxides.admit(text) == standard


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("CaO2", "charges do not balance: -2 is nearest to zero"),
        ("Fe3O", "charges do not balance: +4 is nearest to zero"),
        ("NaH", "an atom of Na, which is none of the elements"),
        ("Fe5O4", "5 atoms of Fe; at most 4"),
        ("O2", "1 different elements; expected 2 to 3"),
        ("Fe(OH", "is not closed"),
        ("Fe0.5O", "counts that are no whole numbers"),
        ("Qq2O", "is no symbol of an element"),
    ],
)
def test_what_is_outside_says_why(oxides, text, told):
    with pytest.raises(NotStandardError) as refused:
        oxides.admit(text)
    assert told in str(refused.value)


def test_all_balanced_compositions_of_a_small_space_are_drawn():
    space = build("space", {"kind": "compositions", "elements": ["Fe", "O"], "max_count": 4})
    assert sorted(space.random(99, 0)) == ["Fe2O3", "Fe3O4", "FeO"]  # Fe +2, +3, mixed; O -2
    only = build("space", {"kind": "compositions", "elements": ["Fe", "O"], "oxidation_states": {"Fe": [2]}})
    assert only.random(99, 0) == ["FeO"]


def test_edits_stay_balanced_and_families_are_chemical_systems(oxides):
    variation, rng = oxides.variation([]), np.random.default_rng(0)
    made = {variation.mutate("Fe2O3", rng) for _ in range(100)}
    assert len(made) > 5
    assert {oxides.outside(obj) for obj in made if obj} == {None}
    assert oxides.family("Ca(OH)2") == "Ca-H-O"


def test_features_are_counts_and_means_over_atoms(oxides):
    features = build("featuriser", oxides.features)(["Fe2O3"])
    assert features.counts.tolist() == [[2, 0, 0, 3]]
    # Fe: number 26, group 8, period 4, 55.845 u, 1.83; O: 8, 16, 2, 15.999 u, 3.44
    mean = [(2 * 26 + 3 * 8) / 5, (2 * 8 + 3 * 16) / 5, (2 * 4 + 3 * 2) / 5, (2 * 55.845 + 3 * 15.999) / 5]
    assert features.dense[0, :4] == pytest.approx(mean)
    assert features.dense[0, 4] == pytest.approx((2 * 1.83 + 3 * 3.44) / 5)
    assert features.dense[0, 7] == pytest.approx((0.4 * 0.6) ** 0.5 * (4 - 2))
    assert oxides.nearness(["Fe2O3"], ["FeO"])[0, 0] == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"elements": ["Fe", "Ca"]}, "have one sign, so no charges balance"),
        ({"elements": ["Fe", "Xx"]}, "'Xx' is no element of solids"),
        ({"elements": ["Fe", "O"], "min_elements": 3, "max_elements": 2}, "is above max_elements"),
        ({"elements": ["Fe", "O"], "oxidation_states": {"Ca": [2]}}, "which is none of `elements`"),
    ],
)
def test_a_space_without_compositions_is_refused(options, told):
    with pytest.raises(ComponentError, match=told):
        build("space", {"kind": "compositions", **options})
