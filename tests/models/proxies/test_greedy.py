"""Greedy ensembles: proxies picked from a pool, and members that are rewarded for differing."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from models.proxies.greedy_ensemble import GreedyEnsemble, picked
from models.proxies.greedy_members import LIMIT, distinctness, put_member, some_members
from models.proxies.mlp_ensemble import MlpEnsemble
from models.proxies.networks import BatchedMlp
from models.registry import build
from tests.models.proxies.problems import TEST, TRAIN, Y_TEST, Y, fitted, rmse


def likelihood(counts: tuple[int, ...], table: np.ndarray) -> float:
    weights = np.array(counts) / sum(counts)
    return float(np.log(weights @ np.exp(table)).mean())


def test_each_pick_is_the_best_addition_and_never_worse_than_the_best_member() -> None:
    table = np.random.default_rng(0).normal(-1.0, 1.0, (4, 25))
    counts = np.zeros(4, dtype=int)
    course = []
    for _ in range(6):
        additions = [likelihood(tuple(counts + np.eye(4, dtype=int)[k]), table) for k in range(4)]
        counts[int(np.argmax(additions))] += 1
        course.append((max(additions), counts.tolist()))
    assert picked(table, 6).tolist() == max(course)[1]
    assert likelihood(tuple(picked(table, 6)), table) >= table.mean(1).max()


def test_many_picks_are_near_the_best_weights_of_all() -> None:
    table = np.random.default_rng(1).normal(-1.0, 1.5, (3, 40))
    grid = [one for one in product(range(21), repeat=3) if sum(one) == 20]
    best = max(likelihood(one, table) for one in grid)
    assert likelihood(tuple(picked(table, 100)), table) > best - 0.005


def test_a_member_that_is_better_everywhere_is_picked_once_and_alone() -> None:
    table = np.stack([np.full(10, -1.0), np.full(10, -2.0)])
    assert picked(table, 20).tolist() == [1, 0]


def test_a_bad_member_of_the_pool_does_no_harm() -> None:
    bad = {"kind": "random_forest", "members": 10, "min_leaf": 25}
    proxy = GreedyEnsemble(pool=[{"kind": "gaussian_process"}, bad], folds=3)
    proxy.fit(TRAIN, Y, seed=0)
    assert proxy.counts[0] > 4 * proxy.counts[1]
    assert rmse(proxy.predict(TEST), Y_TEST) < 1.1 * rmse(fitted("gaussian_process").predict(TEST), Y_TEST)


def test_a_pool_of_one_is_that_proxy() -> None:
    proxy = GreedyEnsemble(pool=[{"kind": "gaussian_process", "kernel": "descriptors"}])
    proxy.fit(TRAIN, Y, seed=0)
    alone = fitted("gaussian_process", kernel="descriptors")
    np.testing.assert_allclose(proxy.predict(TEST).mean, alone.predict(TEST).mean, atol=1e-12)
    np.testing.assert_allclose(proxy.predict(TEST).std, alone.predict(TEST).std, atol=1e-12)


def test_features_that_it_is_given_are_those_of_members_that_name_none() -> None:
    pool = [{"kind": "gaussian_process"}, {"kind": "random_forest", "features": "morgan_counts"}]
    proxy = GreedyEnsemble(pool=pool, features="descriptors")
    assert [proxy._made(k).featuriser.kind for k in range(2)] == ["descriptors", "morgan_counts"]
    assert {"caruana2004selection", "rasmussen2006gp", "breiman2001forests"} <= set(proxy.cited())


def test_a_mistake_in_the_pool_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="gaussian_proces"):
        build("proxy", {"kind": "greedy_ensemble", "pool": [{"kind": "gaussian_proces"}]})
    with pytest.raises(ValueError, match="kind: name"):
        build("proxy", {"kind": "greedy_ensemble", "pool": [{"members": 3}]})


def network(members: int, seed: int) -> BatchedMlp:
    return BatchedMlp(members, [2, 4, 1], torch.Generator().manual_seed(seed))


def test_distinctness_is_the_mean_square_from_one_member_and_less_than_that_from_several() -> None:
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(3))
    one, two = network(1, 0), network(2, 1)
    squares = (one(x) - two(x)).square().clamp_max(LIMIT).mean((1, 2))
    assert distinctness(one, some_members(two, [0]), x).item() == pytest.approx(squares[0].item(), rel=1e-5)
    assert squares.min() <= distinctness(one, two, x) <= squares.mean() + 1e-6
    assert distinctness(some_members(two, [1]), some_members(two, [1]), x).item() == pytest.approx(0.0, abs=1e-7)


def test_a_member_is_taken_out_and_put_back() -> None:
    whole, x = network(3, 0), torch.ones(1, 2)
    torch.testing.assert_close(some_members(whole, [2, 0])(x), whole(x)[[2, 0]])
    put_member(whole, 1, network(1, 9))
    torch.testing.assert_close(whole(x)[1:2], network(1, 9)(x))


def test_greedy_members_disagree_more_where_there_were_no_data() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0.7, 2.0, (60, 1)) * rng.choice([-1.0, 1.0], (60, 1))
    y, gap = np.sin(3.0 * x[:, 0]), np.linspace(-0.4, 0.4, 21)[:, None]
    spread = {}
    for diversity in ("bootstrap", "greedy"):
        proxy = MlpEnsemble(
            features="identity", members=3, width=24, steps=150, diversity=diversity, diversity_weight=0.3
        )
        proxy.fit(x, y, seed=0)  # type: ignore[arg-type]
        spread[diversity] = proxy.between_members(gap).mean()
    assert spread["greedy"] > 1.3 * spread["bootstrap"]
