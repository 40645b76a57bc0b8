"""An additive process over random trees: what a sum of few variables at a time is worth, and that trees are random."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from models.proxies.gaussian_process import GaussianProcess
from models.proxies.random_decomposition import RandomDecomposition, additive, random_tree


def additive_waves(x):
    return np.sin(2 * np.pi * x + np.arange(x.shape[1])).sum(1)


def connected(edges, p):
    seen, left = {0}, [tuple(edge) for edge in edges]
    for _ in range(p):
        for a, b in left:
            if a in seen or b in seen:
                seen |= {a, b}
    return len(seen) == p


@pytest.mark.parametrize("p", [2, 3, 7, 60])
def test_a_tree_has_all_variables_and_no_circle(p):
    for seed in range(5):
        edges = random_tree(p, np.random.default_rng(seed)).tolist()
        assert len(edges) == p - 1
        assert all(a != b for a, b in edges)
        assert connected(edges, p)


def test_all_trees_are_equally_likely():
    rng = np.random.default_rng(0)
    drawn = Counter(frozenset(frozenset(edge) for edge in random_tree(4, rng).tolist()) for _ in range(4800))
    assert len(drawn) == 4**2
    chi_square = sum((count - 300) ** 2 / 300 for count in drawn.values())
    assert chi_square < 37.7  # of 15 degrees of freedom, once in a thousand


def test_one_variable_alone_is_learnt_too():
    x = np.linspace(0, 1, 12)[:, None]
    proxy = RandomDecomposition(features="identity")
    proxy.fit(x, np.sin(6 * x[:, 0]), seed=0)
    new = np.array([[0.31], [0.77]])
    assert proxy.predict(new).mean == pytest.approx(np.sin(6 * new[:, 0]), abs=0.02)


def test_the_derivative_by_the_length_scale_is_that_of_differences():
    rng = np.random.default_rng(0)
    a, b, edges = rng.random((4, 5)), rng.random((3, 5)), random_tree(5, rng)
    k, slope = additive(a, b, edges, 0.7)
    h = 1e-5
    difference = (additive(a, b, edges, 0.7 * np.exp(h))[0] - additive(a, b, edges, 0.7 * np.exp(-h))[0]) / (2 * h)
    np.testing.assert_allclose(slope, difference, atol=1e-8)
    np.testing.assert_allclose(additive(a, a, edges, 0.7)[0].diagonal(), 1.0)
    assert (k < 1).all()


def test_a_sum_of_functions_of_single_variables_is_learnt_better_than_by_one_distance():
    rng = np.random.default_rng(0)
    x, new = rng.random((120, 15)), rng.random((200, 15))
    errors = []
    for proxy in (
        RandomDecomposition(features="identity"),
        GaussianProcess(features="identity", length_scales="one"),
    ):
        proxy.fit(x, additive_waves(x), seed=0)
        errors.append(float(np.sqrt(np.mean((proxy.predict(new).mean - additive_waves(new)) ** 2))))
    assert errors[0] < 0.7 * errors[1]


def test_another_tree_is_drawn_when_other_objects_are_measured_unless_it_is_to_stay():
    x = np.random.default_rng(0).random((20, 8))
    for redrawn in (True, False):
        first, again, later = (RandomDecomposition(features="identity", redrawn=redrawn) for _ in range(3))
        first.fit(x[:15], additive_waves(x[:15]), seed=4)
        again.fit(x[:15][::-1], 1000 * additive_waves(x[:15][::-1]), seed=4)
        later.fit(x, additive_waves(x), seed=4)
        assert first.edges == again.edges
        assert (first.edges == later.edges) is not redrawn


def test_features_that_only_count_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="needs dense features"):
        RandomDecomposition(features="morgan_counts").fit(["C", "CC", "CCC", "CO", "CN"], np.arange(5.0), seed=0)


def test_of_many_labels_so_many_are_learnt_as_are_allowed():
    x = np.random.default_rng(0).random((40, 3))
    proxy = RandomDecomposition(features="identity", labels=10, likelihood_points=6)
    proxy.fit(x, additive_waves(x), seed=0)
    assert len(proxy.state()["y"]) == 10
