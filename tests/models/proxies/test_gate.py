"""When a challenger takes a champion's place: beyond chance, calibrated, and of the same inputs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from data.records import Prediction
from models.proxies.gate import FEWEST_FAMILIES, Compared, compare, decide, paired_interval


def families(n: int, k: int) -> list[str]:
    return [f"family {i % k}" for i in range(n)]


def predictions(values: np.ndarray, error: float, seed: int, claimed: float | None = None) -> Prediction:
    noise = np.random.default_rng(seed).normal(scale=error, size=len(values))
    return Prediction(values + noise, np.full(len(values), claimed or error))


VALUES = np.random.default_rng(0).normal(size=120)


def judged(champion: Prediction, challenger: Prediction, k: int = 40) -> Compared:
    return compare(champion, challenger, VALUES, families(len(VALUES), k), seed=0)


def test_a_proxy_is_never_better_than_itself() -> None:
    same = predictions(VALUES, 0.5, 1)
    found = judged(same, same)
    assert (found.nll, found.low, found.high, found.rmse) == (0.0, 0.0, 0.0, 0.0)
    assert not decide({"newest": found}).promote


def test_half_the_error_is_promoted_and_twice_the_error_is_not() -> None:
    champion, better = predictions(VALUES, 0.6, 1), predictions(VALUES, 0.3, 2)
    assert decide({"newest": judged(champion, better)}).promote
    found = decide({"newest": judged(better, champion)})
    assert not found.promote
    assert found.reason.startswith("Not better: worse on newest. newest NLL +")


def test_better_on_one_side_and_worse_on_the_other_is_refused() -> None:
    champion, better, worse = (predictions(VALUES, error, seed) for error, seed in ((0.6, 1), (0.3, 2), (1.2, 3)))
    sides = {"holdout": judged(champion, better), "newest": judged(champion, worse)}
    assert not decide(sides).promote
    equal = judged(champion, champion)
    assert decide({"holdout": judged(champion, better), "newest": equal}).promote


def test_too_few_families_say_nothing_however_large_the_difference() -> None:
    champion, better = predictions(VALUES, 2.0, 1), predictions(VALUES, 0.1, 2)
    found = judged(champion, better, FEWEST_FAMILIES - 1)
    assert not found.better
    assert "of 7 families nothing can be told" in decide({"newest": found}).reason
    assert decide({"newest": judged(champion, better, FEWEST_FAMILIES)}).promote
    assert "too few objects" in decide({}).reason
    assert judged(better, champion, FEWEST_FAMILIES - 1).worse


def test_a_better_one_that_is_surer_than_it_may_be_is_refused() -> None:
    champion = predictions(VALUES, 3.0, 1)
    sure = predictions(VALUES, 0.5, 2, claimed=0.25)
    found = judged(champion, sure)
    assert found.better
    assert not found.calibrated
    verdict = decide({"newest": found})
    assert not verdict.promote
    assert verdict.reason.startswith("Better, but not calibrated: newest")
    surer_still = predictions(VALUES, 3.0, 1, claimed=0.3)
    assert judged(surer_still, sure).calibrated  # no farther from 90 % than what it takes the place of


def test_other_inputs_are_not_compared_whatever_the_figures_say() -> None:
    champion, better = predictions(VALUES, 0.6, 1), predictions(VALUES, 0.1, 2)
    verdict = decide({"newest": judged(champion, better)}, ["unit eV, now meV"])
    assert not verdict.promote
    assert "unit eV, now meV" in verdict.reason


def test_objects_of_one_family_count_together() -> None:
    rng = np.random.default_rng(3)
    shared = np.repeat(rng.normal(size=10), 12)
    low, high = paired_interval(shared, [f"{i // 12}" for i in range(120)], seed=0)
    alone = paired_interval(shared, [str(i) for i in range(120)], seed=0)
    assert high - low > 2.5 * (alone[1] - alone[0])


def test_the_interval_of_independent_differences_is_that_of_student() -> None:
    difference = np.random.default_rng(4).normal(size=200)
    low, high = paired_interval(difference, [str(i) for i in range(200)], seed=0)
    half = stats.t.ppf(0.975, 199) * difference.std(ddof=1) / np.sqrt(200)
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)
    assert (low + high) / 2 == pytest.approx(difference.mean(), abs=0.1 * half)


@pytest.mark.parametrize("k", [FEWEST_FAMILIES, 15, 60])
def test_of_equally_good_proxies_one_in_forty_is_promoted_by_chance(k: int) -> None:
    """One side of a 95 % interval; 400 pairs whose errors go together within families."""
    rng, promoted = np.random.default_rng(k), 0
    names = families(120, k)
    place = np.array([int(name.split()[1]) for name in names])
    for seed in range(400):
        both = rng.normal(scale=0.4, size=(2, k))[:, place] + rng.normal(scale=0.3, size=(2, 120))
        sides = [Prediction(VALUES + error, np.full(120, 0.5)) for error in both]
        promoted += compare(*sides, VALUES, names, seed=seed).better
    assert promoted <= stats.binom.ppf(0.999, 400, 0.025)
