"""Fronts by definition, and boxes by what they cover."""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.acquisition.pareto import pareto_fronts, undominated, undominated_boxes

seeds = st.integers(0, 2**32 - 1)
objectives = st.integers(1, 4)


def points(seed, m, k, ties):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, (m, k)).astype(float) if ties else rng.normal(size=(m, k))


def dominated_by_any(one, others):
    return any(all(o >= one) and any(o > one) for o in others)


@given(seed=seeds, m=st.integers(0, 15), k=objectives, ties=st.booleans())
@settings(max_examples=60, deadline=None)
def test_undominated_is_whom_no_other_point_beats(seed, m, k, ties):
    values = points(seed, m, k, ties)
    assert undominated(values).tolist() == [not dominated_by_any(one, values) for one in values]


@given(seed=seeds, m=st.integers(0, 15), k=objectives, ties=st.booleans())
@settings(max_examples=60, deadline=None)
def test_each_front_is_undominated_once_the_ones_before_are_gone(seed, m, k, ties):
    values = points(seed, m, k, ties)
    left = list(range(m))
    for front in pareto_fronts(values):
        assert front.tolist() == [i for i in left if not dominated_by_any(values[i], values[left])]
        left = [i for i in left if i not in front]
    assert left == []


def test_equal_points_do_not_beat_each_other_and_huge_values_do_not_hide_small_ones():
    fronts = [front.tolist() for front in pareto_fronts(np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 2.0]]))]
    assert fronts == [[0, 1], [2]]
    assert undominated(np.array([[1e300, 0.0], [1e300, 1.0], [-1e300, 2.0]])).tolist() == [False, True, True]


def volume_dominated(front, reference):
    """By inclusion and exclusion over all subsets of the front."""
    total = 0.0
    for size in range(1, len(front) + 1):
        for some in combinations(front, size):
            total -= (-1) ** size * np.prod(np.maximum(np.min(some, axis=0) - reference, 0.0))
    return total


@given(seed=seeds, f=st.integers(0, 7), k=objectives, ties=st.booleans())
@settings(max_examples=80, deadline=None)
def test_boxes_and_what_the_front_dominates_fill_the_space_above_the_reference(seed, f, k, ties):
    values, reference = points(seed, f, k, ties), np.full(k, 0.5 if ties else -0.7)
    low, high = undominated_boxes(values, reference)
    top = 5.0
    assert (low >= reference).all()
    assert (high > low).all()
    volume = np.prod(np.minimum(high, top) - low, axis=1).sum()
    assert volume + volume_dominated(values, reference) == pytest.approx((top - reference[0]) ** k)


@given(seed=seeds, f=st.integers(0, 8), k=objectives)
@settings(max_examples=60, deadline=None)
def test_a_point_is_in_one_box_if_nobody_dominates_it_and_in_none_otherwise(seed, f, k):
    front, reference = points(seed, f, k, False), np.full(k, -0.7)
    low, high = undominated_boxes(front, reference)
    asked = np.random.default_rng(seed + 1).uniform(-0.7, 3.0, (100, k))
    inside = ((asked[:, None] > low) & (asked[:, None] <= high)).all(2).sum(1)
    dominated = (front[None] >= asked[:, None]).all(2).any(1)
    assert inside.tolist() == (~dominated).astype(int).tolist()


@pytest.mark.parametrize(("k", "f"), [(5, 9), (6, 8), (7, 7)])
def test_boxes_of_many_objectives_are_exact_too(k, f):
    front, reference = points(3, f, k, False), np.full(k, -1.5)
    low, high = undominated_boxes(front, reference)
    volume = np.prod(np.minimum(high, 5.0) - low, axis=1).sum()
    assert volume + volume_dominated(front, reference) == pytest.approx(6.5**k)


def test_boxes_of_many_objectives_take_seconds():
    front = np.abs(np.random.default_rng(0).normal(size=(20, 8)))
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    begun = time.process_time()
    low, _ = undominated_boxes(front, np.full(8, -0.1))
    assert len(low) == 2909
    assert time.process_time() - begun < 15  # half a second on an idle core; slab by slab for itself it was a minute


def test_two_objectives_take_one_box_for_each_member_of_the_front_and_one_more():
    front = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [0.5, 0.5], [9.0, -1.0]])  # the last two count for nothing
    low, high = undominated_boxes(front[:3], np.zeros(2))
    assert low.tolist() == [[3.0, 0.0], [2.0, 1.0], [1.0, 2.0], [0.0, 3.0]]
    assert high.tolist() == [[np.inf, 1.0], [np.inf, 2.0], [np.inf, 3.0], [np.inf, np.inf]]
    more = undominated_boxes(front, np.zeros(2))
    assert np.prod(np.minimum(more[1], 10) - more[0], axis=1).sum() == np.prod(np.minimum(high, 10) - low, axis=1).sum()


def test_without_a_front_all_above_the_reference_is_one_box():
    low, high = undominated_boxes(np.zeros((0, 3)), np.array([1.0, 2.0, 3.0]))
    assert (low.tolist(), high.tolist()) == ([[1.0, 2.0, 3.0]], [[np.inf] * 3])


@pytest.mark.parametrize(("k", "f", "most"), [(2, 50, 51), (3, 50, 101), (4, 50, 500)])
def test_a_front_takes_few_boxes(k, f, most):
    front = np.abs(np.random.default_rng(0).normal(size=(f, k)))
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    low, high = undominated_boxes(front, np.full(k, -0.1))
    assert f < len(low) == len(high) <= most
