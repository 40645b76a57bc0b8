"""Shares of a union's members: they add up, follow success, and never leave a member without."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.generators.shares import SET, adapted_shares


@given(
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=4),
    st.lists(st.sampled_from(["k0", "k1", "k2", "initial"]), max_size=40),
)
def test_they_add_up_and_keep_half_of_what_was_set(weights, sources):
    shares = np.array(weights) / np.sum(weights)
    adapted = adapted_shares(shares, [f"k{i}" for i in range(len(shares))], sources)
    assert adapted.sum() == pytest.approx(1.0)
    assert (adapted >= SET * shares - 1e-12).all()


def test_where_nothing_was_bought_they_are_as_set():
    shares = np.array([0.3, 0.7])
    assert adapted_shares(shares, ["a", "b"], ["initial"] * 20) == pytest.approx(shares)
    assert adapted_shares(shares, ["a", "b"], []) == pytest.approx(shares)


def test_members_of_one_kind_divide_what_it_earned():
    adapted = adapted_shares(np.array([0.2, 0.4, 0.4]), ["a", "a", "b"], ["a"] * 10)
    assert adapted == pytest.approx([0.5 * 0.2 + 0.5 / 3, 0.5 * 0.4 + 0.5 * 2 / 3, 0.5 * 0.4])


def test_the_best_tenth_counts_as_much_as_all_purchases():
    sources = ["a"] + ["b"] * 9
    assert adapted_shares(np.array([0.5, 0.5]), ["a", "b"], sources)[0] == pytest.approx(0.25 + 0.025 + 0.25)
