"""The tilted walk of edits, judged by its exact law in a space of words where every edit is known."""

import itertools

import numpy as np
import pytest

from models.gflownet.editing.tilted import beta_of, effective, slope_of, tilt, without_replacement
from models.gflownet.editing.walk import EditWalk

LETTERS, LENGTH = "abc", 4
WORDS = ["".join(letters) for letters in itertools.product(LETTERS, repeat=LENGTH)]
PLACE = {word: i for i, word in enumerate(WORDS)}


class Letters:
    """Edits of words: one letter becomes another one; crossing two takes the head of one and the tail of the other."""

    def mutate(self, obj, rng):
        at = int(rng.integers(LENGTH))
        other = [letter for letter in LETTERS if letter != obj[at]]
        return obj[:at] + other[int(rng.integers(len(other)))] + obj[at + 1 :]

    def crossover(self, first, second, rng):
        cut = int(rng.integers(1, LENGTH))
        return first[:cut] + second[cut:]


def kernel(starts, mutation_share):
    """The probabilities of one edit, (words, words), from the description of the walk."""
    out = np.zeros((len(WORDS), len(WORDS)))
    for word in WORDS:
        for at, letter in itertools.product(range(LENGTH), LETTERS):
            if letter != word[at]:
                out[PLACE[word], PLACE[word[:at] + letter + word[at + 1 :]]] += mutation_share / (LENGTH * 2)
        for start, cut in itertools.product(starts, range(1, LENGTH)):
            child = word[:cut] + start[cut:]
            out[PLACE[word], PLACE[child]] += (1 - mutation_share) / (len(starts) * (LENGTH - 1))
    return out


def log_reward(words):
    return np.array([1.3 * word.count("a") - 0.8 * word.count("b") + 0.5 * (word[0] == word[-1]) for word in words])


def walk_law(starts, depth, mutation_share):
    one = kernel(starts, mutation_share)
    here = np.bincount([PLACE[start] for start in starts], minlength=len(WORDS)) / len(starts)
    total = np.zeros(len(WORDS))
    for _ in range(depth):
        here = here @ one
        total += here / depth
    return total


STARTS = ("bbcb", "cbbc", "bccb")


@pytest.mark.parametrize("slopes", [None, [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], ids=["learnt", "none", "whole"])
def test_weighted_draws_have_the_law_of_the_walk_times_the_reward(slopes):
    walk = EditWalk(Letters(), STARTS, 3, 0.6)
    weights = walk_law(STARTS, 3, 0.6) * np.exp(1.5 * log_reward(WORDS))
    drawn = np.zeros((150, len(WORDS)))
    for seed in range(len(drawn)):
        rng = np.random.default_rng(seed)
        tilted = tilt(walk, log_reward, rng, edits=30, parents=10, share=0.1, beta=1.5, slopes=slopes)
        for word, weight in tilted.weights.items():
            drawn[seed, PLACE[word]] += np.exp(weight)
    error = drawn.std(0) / np.sqrt(len(drawn))
    large = weights > 0.005 * weights.sum()
    assert large.sum() > 20
    assert (np.abs(drawn.mean(0) - weights)[large] < 4.5 * error[large]).all()
    assert (error[large] < 0.35 * weights[large]).all()


def test_few_draws_are_right_on_average():
    """3 edits of each of 5 parents: the estimate of E_walk[R^b] has no bias, whatever it learns on the way."""
    walk = EditWalk(Letters(), STARTS, 3, 0.6)
    expected = float(walk_law(STARTS, 3, 0.6) @ np.exp(log_reward(WORDS)))
    estimates = []
    for seed in range(3000):
        rng = np.random.default_rng(seed)
        estimates.append(np.exp(tilt(walk, log_reward, rng, edits=3, parents=5, share=0.1, beta=1.0).log_z))
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - expected) < 4 * error
    assert error < 0.05 * expected


def test_a_higher_power_moves_the_draws_towards_the_reward():
    walk = EditWalk(Letters(), STARTS, 3, 0.6)
    means = []
    for beta in (0.1, 1.0, 3.0):
        tilted = tilt(walk, log_reward, np.random.default_rng(1), edits=50, parents=20, share=0.1, beta=beta)
        weights = np.exp(np.array(list(tilted.weights.values())) - tilted.log_z)
        means.append(float(weights @ log_reward(list(tilted.weights))))
    assert means[0] < means[1] < means[2]


def test_without_the_prior_objects_of_one_reward_weigh_the_same_however_often_the_walk_meets_them():
    walk = EditWalk(Letters(), STARTS, 3, 0.6)
    tilted = tilt(walk, log_reward, np.random.default_rng(1), edits=50, parents=20, share=0.1, beta=2.0, prior=False)
    objects = list(tilted.weights)
    np.testing.assert_allclose(list(tilted.weights.values()), 2.0 * log_reward(objects))


def test_the_power_makes_the_first_edits_worth_the_share_that_is_asked_for():
    rewards = np.random.default_rng(0).normal(size=400)
    for share in (0.05, 0.2, 0.5):
        assert effective(beta_of(rewards, share) * rewards) == pytest.approx(share * 400, rel=1e-3)
    assert beta_of(5 * rewards, 0.2) == pytest.approx(beta_of(rewards, 0.2) / 5, rel=1e-3)


def test_rewards_that_are_all_alike_give_a_power_of_one():
    assert beta_of(np.full(30, -2.0), 0.1) == 1.0


def test_draws_without_replacement_differ_and_their_weights_sum_up_right():
    rng = np.random.default_rng(0)
    log_weights = np.log(np.array([0.4, 0.3, 0.1, 0.1, 0.05, 0.05]))
    sums = []
    for _ in range(20_000):
        chosen, log_inclusion = without_replacement(log_weights, 3, rng)
        assert len(set(chosen.tolist())) == 3
        sums.append(np.exp(log_weights[chosen] - log_inclusion).sum())
    assert np.mean(sums) == pytest.approx(1.0, abs=0.01)


def test_all_are_drawn_where_there_are_few():
    chosen, log_inclusion = without_replacement(np.log(np.array([0.5, 0.5])), 5, np.random.default_rng(0))
    assert sorted(chosen.tolist()) == [0, 1]
    assert log_inclusion.tolist() == [0.0, 0.0]


def test_the_slope_is_that_of_the_line_through_the_values():
    own = np.linspace(-3, 3, 400)
    place = np.repeat(np.arange(400), 4)
    assert slope_of(own, place, 0.7 * own[place] + 2.0, 0.0) == pytest.approx(0.7, abs=0.05)
    assert slope_of(own, place, -own[place], 0.5) == 0.0
    assert slope_of(own[:2], place[:8], own[place[:8]], 0.5) == 0.5


def test_a_walk_without_any_edit_is_refused():
    class Nothing:
        def mutate(self, obj, rng):
            return None

        def crossover(self, first, second, rng):
            return None

    walk = EditWalk(Nothing(), STARTS, 3, 0.5)
    with pytest.raises(ValueError, match="No edit of any of the 3 objects"):
        tilt(walk, log_reward, np.random.default_rng(0), edits=3, parents=5, share=0.1)
