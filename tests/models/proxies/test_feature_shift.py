"""Which features moved: the one that did, not those that follow it, and none where none did."""

import numpy as np
import pytest

from models.proxies.feature_shift import feature_shift


def sides(seed, columns=5, rows=500, moved=0.0):
    rng = np.random.default_rng(seed)
    before, after = rng.normal(size=(2, rows, columns))
    for side in (before, after):
        side[:, 1] += side[:, 0]  # follows the first
    after[:, 0] += moved
    after[:, 1] += moved
    return before, after, [f"x{column}" for column in range(columns)]


@pytest.mark.parametrize("seed", range(10))
def test_a_shift_of_half_a_deviation_is_found_and_measured(seed):
    before, after, names = sides(seed, moved=0.5)
    first, *_ = feature_shift(before, after, names, seed=seed, permutations=300)
    assert first.name == "x0"
    assert first.deviations == pytest.approx(0.5, abs=0.2)
    assert first.p == pytest.approx(1 / 301)


def test_what_only_follows_is_rarely_accused():
    accused = [
        one.name for seed in range(20) for one in feature_shift(*sides(seed, moved=0.5), seed=seed, permutations=200)
    ]
    assert accused.count("x0") >= 18
    assert accused.count("x1") <= 4


def test_where_nothing_moved_no_more_samples_accuse_than_the_level_says():
    wrong = sum(bool(feature_shift(*sides(seed, rows=60), seed=seed, permutations=200)) for seed in range(200))
    assert wrong <= 20  # of 200 at 5 %: more has a probability of 0.1 %


def test_a_shift_is_found_among_more_features_than_resamples_could_correct_for():
    before, after, names = sides(0, columns=150, rows=400, moved=0.8)
    assert "x0" in {one.name for one in feature_shift(before, after, names, seed=0, permutations=500)}


def test_constant_features_and_few_rows_say_nothing():
    same = np.ones((20, 3))
    assert feature_shift(same, same, ["a", "b", "c"], seed=0) == []
    assert feature_shift(np.zeros((7, 2)), np.ones((90, 2)), ["a", "b"], seed=0) == []


def test_names_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 and 2 columns and 3 names"):
        feature_shift(np.zeros((9, 2)), np.zeros((9, 2)), ["a", "b", "c"], seed=0)
