"""Fronts and hypervolumes of plain tuples, beside their definitions and beside the arrays of the acquisitions."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.pareto import fronts, hypervolume, inverted_generational_distance, r2_indicator, shares, undominated
from models.acquisition.pareto import pareto_fronts, undominated_boxes

entries = st.integers(-3, 4).map(float) | st.floats(-3, 4, allow_subnormal=False)


def points_of(k, most=7):
    return st.lists(st.tuples(*[entries] * k), max_size=most)


problems = st.integers(1, 5).flatmap(lambda k: st.tuples(points_of(k), st.tuples(*[st.floats(-2, 1)] * k)))


def dominates(a, b):
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


def by_inclusion_and_exclusion(points, reference):
    """The volume of a union of boxes, from the volumes of all their intersections."""
    above = [p for p in set(points) if all(x > low for x, low in zip(p, reference, strict=True))]
    total = 0.0
    for size in range(1, len(above) + 1):
        for some in combinations(above, size):
            corner = [min(x) for x in zip(*some, strict=True)]
            volume = math.prod(x - low for x, low in zip(corner, reference, strict=True))
            total += volume if size % 2 else -volume
    return total


@given(problems)
def test_the_hypervolume_is_that_of_the_union_of_boxes(problem):
    points, reference = problem
    assert hypervolume(points, reference) == pytest.approx(by_inclusion_and_exclusion(points, reference), abs=1e-8)


@given(problems)
def test_the_share_of_a_point_is_what_would_be_lost_without_it_and_its_equals(problem):
    points, reference = problem
    points = [points[i] for i in undominated(points)]
    whole = hypervolume(points, reference)
    lost = [whole - hypervolume([p for p in points if p != point], reference) for point in points]
    told = [share * whole for share in shares(points, reference)]
    assert told == pytest.approx(lost, abs=1e-8)


@given(problems, st.permutations(range(5)))
def test_the_order_of_points_and_of_entries_changes_no_volume(problem, order):
    points, reference = problem
    order = [k for k in order if k < len(reference)]
    turned = [tuple(point[k] for k in order) for point in reversed(points)]
    expected = hypervolume(points, reference)
    assert hypervolume(turned, tuple(reference[k] for k in order)) == pytest.approx(expected, abs=1e-9)


@given(problems)
def test_another_point_never_takes_volume_away(problem):
    points, reference = problem
    volumes = [hypervolume(points[:n], reference) for n in range(len(points) + 1)]
    assert all(b >= a - 1e-9 for a, b in pairwise(volumes))


@given(st.integers(1, 4).flatmap(lambda k: points_of(k, 20)))
def test_a_front_is_what_nothing_left_dominates(points):
    left = list(range(len(points)))
    for front in fronts(points):
        assert front == [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        left = [i for i in left if i not in front]
    assert left == []
    assert undominated(points) == (fronts(points)[0] if points else [])


@given(st.integers(1, 4).flatmap(lambda k: points_of(k, 20)))
def test_fronts_are_those_of_the_acquisitions(points):
    expected = pareto_fronts(np.array(points).reshape(len(points), -1)) if points else []
    assert fronts(points) == [front.tolist() for front in expected]


@given(st.integers(2, 3).flatmap(lambda k: points_of(k, 12)))
def test_the_hypervolume_and_the_boxes_of_the_acquisitions_fill_the_space_together(points):
    k = len(points[0]) if points else 2
    low, high = undominated_boxes(np.array(points).reshape(-1, k), np.full(k, -1.0))
    free = (np.minimum(high, 5.0) - low).prod(1).sum()
    assert hypervolume(points, (-1.0,) * k) == pytest.approx(6.0**k - free, abs=1e-8)


def sphere(n, k):
    """Points of which none dominates another."""
    drawn = np.abs(np.random.default_rng(0).normal(size=(n, k)))
    return [tuple(map(float, row)) for row in drawn / np.linalg.norm(drawn, axis=1, keepdims=True)]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("n", "k"), [(2000, 2), (500, 3), (150, 4)])
def test_a_front_of_some_hundred_points_is_no_trouble(n, k):
    points = sphere(n, k)
    reference = (0.0,) * k
    assert fronts(points) == [list(range(n))]
    assert hypervolume(points, reference) == pytest.approx({2: math.pi / 4, 3: math.pi / 6, 4: 0.308}[k], rel=0.35)
    assert 0.0 < sum(shares(points, reference)) <= 1.0


def test_the_largest_and_smallest_values_that_are_taken_give_a_number():
    points = [(1e100, -1e100, 3.0, 1e-300), (-1e100, 1e100, 2.0, 2e-300)]
    assert not math.isnan(hypervolume(points, (-1e100,) * 4))
    assert all(0.0 <= share <= 1.0 for share in shares(points, (-1.01e100, -1.01e100, 0.0, 0.0)))


def test_fronts_are_read_without_numpy():
    told = "import sys, data.pareto; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", told], check=True)


def test_the_distance_from_a_front_is_zero_where_all_of_it_was_found_and_grows_with_what_is_missing():
    front = [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)]
    assert inverted_generational_distance([*front, (0.0, 0.0)], front) == 0.0
    assert inverted_generational_distance(front[:2], front) == pytest.approx(math.hypot(0.5, 0.5) / 3)
    assert inverted_generational_distance([], front) == math.inf


def test_r2_is_the_mean_of_the_least_weighted_distances_from_utopia():
    weights = [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)]
    assert r2_indicator([(1.0, 1.0)], (1.0, 1.0), weights) == 0.0
    assert r2_indicator([(1.0, 0.0)], (1.0, 1.0), weights) == pytest.approx((0.0 + 0.5 + 1.0) / 3)
    assert r2_indicator([(1.0, 0.0), (0.0, 1.0)], (1.0, 1.0), weights) == pytest.approx(0.5 / 3)
