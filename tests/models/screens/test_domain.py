"""Nearness to what was measured: the most similar training molecule decides, and no other."""

import numpy as np
import pytest

from data.chemistry.molecules import morgan_counts
from models.featurisers.nearness import min_max
from models.protocols import Screen
from models.screens.domain import ApplicabilityDomain
from models.spaces.molecules import Molecules

TRAINING = ["CCO", "c1ccccc1O", "CC(=O)Nc1ccccc1", "N#Cc1ccc(C#N)cc1"]
OTHERS = ["CCCO", "c1ccccc1N", "CC(=O)Nc1ccccc1C", "FC(F)(F)C(F)(F)F", "O=C1C=CC(=O)C=C1", "BrC(Br)Br"]


def domain_of(training, limit):
    return ApplicabilityDomain(training, limit, Molecules().nearness)


def by_hand(one: str, other: str) -> float:
    """Shared counts of atom environments over all counts."""
    a, b = morgan_counts([one, other])
    return float(np.minimum(a, b).sum() / np.maximum(a, b).sum())


def test_it_is_a_screen():
    assert isinstance(domain_of(TRAINING, 0.3), Screen)


def test_the_similarity_is_that_to_the_nearest_training_molecule():
    found = domain_of(TRAINING, 0.3).similarity(OTHERS)
    expected = [max(by_hand(one, known) for known in TRAINING) for one in OTHERS]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(found, min_max(morgan_counts(OTHERS), morgan_counts(TRAINING)).max(1))


def test_what_was_measured_is_inside_however_narrow_the_domain():
    domain = domain_of(TRAINING, 1.0)
    np.testing.assert_array_equal(domain.similarity(TRAINING), 1.0)
    assert domain.refuse(TRAINING) == [None] * len(TRAINING)
    assert None not in domain.refuse(OTHERS)


def test_another_spelling_of_a_molecule_is_the_molecule():
    assert domain_of(["OCC"], 1.0).refuse(["C(O)C", "CCO"]) == [None, None]


def test_a_limit_of_zero_refuses_nothing():
    assert domain_of(TRAINING, 0.0).refuse(OTHERS) == [None] * len(OTHERS)


def test_the_limit_itself_passes_and_what_is_below_is_refused_with_the_limit():
    nearest = domain_of(TRAINING, 0.0).similarity(["CCCO"])[0]
    assert 0.2 < nearest < 0.9
    assert domain_of(TRAINING, nearest).refuse(["CCCO"]) == [None]
    (reason,) = domain_of(TRAINING, np.nextafter(nearest, 1.0)).refuse(["CCCO"])
    assert reason == f"Outside the proxy's domain: nothing measured is as similar as {nearest:g}."


def test_more_measurements_widen_the_domain():
    few, many = (domain_of(training, 0.4).refuse(OTHERS) for training in (TRAINING[:1], TRAINING))
    assert many.count(None) > few.count(None)
    for now, before in zip(many, few, strict=True):
        assert now is None or before is not None


def test_reasons_stand_in_the_order_of_the_molecules():
    mixed = [OTHERS[3], TRAINING[0], OTHERS[5], TRAINING[1]]
    assert [reason is None for reason in domain_of(TRAINING, 0.9).refuse(mixed)] == [False, True, False, True]


def test_a_molecule_is_judged_alike_among_thousands():
    domain = domain_of(TRAINING, 0.3)
    many = ["C" * (1 + i % 30) for i in range(1500)] + OTHERS
    np.testing.assert_array_equal(domain.similarity(many)[-len(OTHERS) :], domain.similarity(OTHERS))
    assert len(domain.refuse(many)) == len(many)


def test_an_empty_list_has_no_reasons():
    assert domain_of(TRAINING, 0.3).refuse([]) == []
    assert domain_of(TRAINING, 0.3).similarity([]).shape == (0,)


def test_a_text_that_is_no_molecule_is_named():
    with pytest.raises(ValueError, match="'C1CC' is no valid SMILES"):
        domain_of(TRAINING, 0.3).refuse(["CCO", "C1CC"])
    with pytest.raises(ValueError, match="'C1CC' is no valid SMILES"):
        domain_of(["C1CC"], 0.3)
