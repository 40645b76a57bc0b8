from __future__ import annotations

import numpy as np
import pytest

from data.records import Prediction
from models.acquisition.cost_aware import CostAware
from models.acquisition.expected_improvement import ExpectedImprovement
from models.component import ComponentError
from models.protocols import Scoring
from models.spaces.base import BaseSpace, Fact, require_space

PREDICTION = Prediction(np.array([0.0, 1.5, -1.0]), np.array([1.0, 0.5, 2.0]))
COST = np.array([1.0, 8.0, 0.5])
GAIN = ExpectedImprovement(scale="plain").score((PREDICTION,), Scoring(measured=np.array([[0.7]])))


def about(**known):
    return Scoring(measured=np.array([[0.7]]), **known)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_it_is_the_improvement_per_unit_of_cost(exponent):
    value = CostAware(exponent=exponent).score((PREDICTION,), about(cost=COST))
    np.testing.assert_allclose(np.exp(value), GAIN / COST**exponent)


def test_another_currency_changes_no_difference():
    value, dear = (CostAware().score((PREDICTION,), about(cost=cost)) for cost in (COST, 1e6 * COST))
    np.testing.assert_allclose(value - dear, np.log(1e6))


def test_without_costs_they_grow_by_a_power_of_the_heavy_atoms():
    molecules = ("CCO", "c1ccccc1CCCC", "C")
    value = CostAware().score((PREDICTION,), about(objects=molecules))
    np.testing.assert_allclose(np.exp(value), GAIN / np.array([0.3, 1.0, 0.1]) ** 3)
    linear = CostAware(size_exponent=1.0).score((PREDICTION,), about(objects=molecules))
    np.testing.assert_allclose(np.exp(linear), GAIN / np.array([0.3, 1.0, 0.1]))
    # Costs that are known come before.
    both = CostAware().score((PREDICTION,), about(objects=molecules, cost=COST))
    np.testing.assert_allclose(np.exp(both), GAIN / COST)


def test_neither_costs_nor_molecules_is_refused():
    with pytest.raises(ValueError, match="'cost_aware' needs costs, or the objects to estimate them from"):
        CostAware().score((PREDICTION,), about())
    with pytest.raises(ValueError, match="needs costs"):
        CostAware().score((PREDICTION,), about(objects=("CCO",)))


@pytest.mark.parametrize(
    "cost", [[1.0, 0.0, 2.0], [1.0, -1.0, 2.0], [1.0, np.inf, 2.0], [1.0, np.nan, 2.0], [1.0, 2.0]]
)
def test_costs_that_are_none_are_refused(cost):
    with pytest.raises(ValueError, match="Costs must be 3 positive finite numbers"):
        CostAware().score((PREDICTION,), about(cost=np.array(cost)))


class Words(BaseSpace):
    """Words, of which people want to know the length."""

    kind = "words_of_the_cost_test"
    nouns = ("word", "words")
    facts = {"length": Fact("Length")}

    def told(self):
        return "words"

    def standard(self, text):
        return text

    def outside(self, obj):
        return None

    def facts_of(self, obj):
        return {"length": float(len(obj))}


def test_the_size_that_a_cost_grows_with_is_a_fact_of_the_space():
    known = about(objects=("ABC", "ABCDEFGHIJ", "A"), space=Words())
    value = CostAware(size="length").score((PREDICTION,), known)
    np.testing.assert_allclose(np.exp(value), GAIN / np.array([0.3, 1.0, 0.1]) ** 3)
    told = "takes the fact 'heavy_atoms' for the size of words; those of the space 'words_of_the_cost_test' are length"
    for refused in (lambda: CostAware().score((PREDICTION,), known), lambda: require_space(CostAware(), Words())):
        with pytest.raises(ComponentError, match=told):
            refused()
