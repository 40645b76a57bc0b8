"""Metrics against values worked out by hand, and estimates against exact ones."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from models.gflownet.environments.fragments import FragmentEnvironment
from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.judging.exact import enumerate_graph, forward_log_probs, merge, terminal_law
from models.gflownet.judging.metrics import (
    Modes,
    exact_metrics,
    hamming_distance,
    log_probability,
    log_z_error,
    pearson,
    relative_mean_error,
    spearman,
    tanimoto_distance,
    top_k,
    top_k_diversity,
    top_k_reward,
)
from models.gflownet.policies.backward import BackwardWalk, MaximumEntropyBackward, TiedBackward, UniformBackward
from models.gflownet.policies.mlp import MLP
from models.gflownet.policies.uniform import UniformFragments

LN2, LN3 = math.log(2), math.log(3)


def test_exact_metrics_are_those_worked_out_by_hand():
    # Target 1/4, 3/4 over a, b; the policy gives a 1/2 in two states.
    found = exact_metrics(np.array([0.3, 0.2, 0.5]), np.log([1.0, 1.0, 3.0]), ["a", "a", "b"], log_z=1.0)
    middle_a, middle_b = 3 / 8, 5 / 8
    jsd = 0.5 * (0.5 * math.log(0.5 / middle_a) + 0.5 * math.log(0.5 / middle_b))
    jsd += 0.5 * (0.25 * math.log(0.25 / middle_a) + 0.75 * math.log(0.75 / middle_b))
    assert found == pytest.approx(
        {
            "tv": 0.25,
            "l1_sum": 0.5,
            "jsd": jsd,
            "kl": 0.25 * math.log(0.5) + 0.75 * math.log(1.5),
            "expected_reward": 2.0,
            "expected_reward_error": 2.0 / 2.5 - 1.0,
            "spearman": math.nan,
            "pearson": math.nan,
            "log_z_error": 2 * LN2 - 1.0,
        },
        nan_ok=True,
    )


def test_a_perfect_law_has_no_error():
    rewards = np.log([1.0, 2.0, 5.0])
    found = exact_metrics(np.array([1.0, 2.0, 5.0]) / 8, rewards, ["a", "b", "c"], log_z=3 * LN2)
    assert found["expected_reward"] == pytest.approx(30 / 8)
    assert found["spearman"] == pytest.approx(1.0)
    assert found["pearson"] == pytest.approx(1.0)
    rest = {key: value for key, value in found.items() if key not in ("expected_reward", "spearman", "pearson")}
    assert rest == pytest.approx(dict.fromkeys(rest, 0.0), abs=1e-12)


def test_what_lies_outside_the_space_is_lost():
    found = exact_metrics(np.array([0.5, 0.25, 0.25]), np.array([0.0, -50.0, -60.0]), ["a", None, None])
    assert found["tv"] == pytest.approx(0.5)
    assert found["expected_reward"] == pytest.approx(0.5)
    assert found["kl"] == pytest.approx(LN2)
    assert "log_z_error" not in found


def test_a_policy_that_misses_an_object_has_infinite_divergence():
    found = exact_metrics(np.array([1.0, 0.0]), np.zeros(2), ["a", "b"])
    assert found["kl"] == math.inf
    assert found["tv"] == 0.5


def test_large_rewards_do_not_spoil_the_relative_error():
    found = exact_metrics(np.array([0.5, 0.5]), np.array([2000.0, 2000.0 + LN3]), ["a", "b"])
    assert found["expected_reward"] == math.inf
    assert found["expected_reward_error"] == pytest.approx(2.0 / 2.5 - 1.0)


def test_probabilities_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match=r"add up to 0\.900000, expected 1"):
        exact_metrics(np.array([0.5, 0.4]), np.zeros(2), ["a", "b"])


def test_a_law_with_no_object_is_refused():
    with pytest.raises(ValueError, match="all are None"):
        exact_metrics(np.array([0.5, 0.5]), np.zeros(2), [None, None])


def test_errors_of_log_z_and_of_the_mean_reward():
    assert log_z_error(5.0, np.log([1.0, 7.0])) == pytest.approx(5.0 - 3 * LN2)
    assert relative_mean_error(np.array([1.0, 2.0, 3.0]), 2.5) == pytest.approx(-0.2)


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=20))
@settings(deadline=None, max_examples=40)
def test_correlations_are_those_of_scipy(pairs):
    x, y = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(pearson(x, y))
        assert math.isnan(spearman(x, y))
    else:
        assert pearson(x, y) == pytest.approx(pearsonr(x, y).statistic, abs=1e-12)
        assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_a_probability_of_zero_has_a_rank_but_no_linear_correlation():
    assert spearman(np.array([-math.inf, 0.0, 1.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(1.0)
    assert math.isnan(pearson(np.array([-math.inf, 0.0, 1.0]), np.array([1.0, 2.0, 3.0])))


@pytest.mark.parametrize(
    "backward", [UniformBackward(), TiedBackward(), MaximumEntropyBackward()], ids=lambda b: b.kind
)
def test_log_probabilities_by_backward_sampling_are_the_exact_ones(backward):
    env = HyperGrid(dimensions=2, height=4)
    policy = MLP(env, hidden=(16,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        policy.layers[-1].weight.mul_(3.0)
    graph = enumerate_graph(env)
    law = terminal_law(graph, forward_log_probs(graph, policy))
    terminal = graph.states[graph.terminal]
    walk = BackwardWalk(env, policy, backward)
    got = log_probability(env, policy, walk, terminal, torch.Generator().manual_seed(2), draws=1000)
    assert np.abs(got - np.log(law)).max() < 0.1
    few = log_probability(env, policy, walk, terminal, torch.Generator().manual_seed(2), draws=2)
    assert np.abs(few - np.log(law)).mean() > 3 * np.abs(got - np.log(law)).mean()


def test_log_probabilities_of_many_states_come_in_their_order():
    env = HyperGrid(dimensions=1, height=5)
    policy = MLP(env, hidden=(16,), generator=torch.Generator().manual_seed(1))
    graph = enumerate_graph(env)
    law = terminal_law(graph, forward_log_probs(graph, policy))
    index = torch.randint(5, (9000,), generator=torch.Generator().manual_seed(3))
    walk = BackwardWalk(env, policy, UniformBackward())
    got = log_probability(env, policy, walk, graph.states[graph.terminal][index], torch.Generator(), draws=1)
    # In one dimension there is one trajectory to each state: a single draw is exact.
    assert got == pytest.approx(np.log(law)[index.numpy()], abs=1e-5)


def test_log_probabilities_under_conditions_are_those_of_the_condition():
    env = HyperGrid(dimensions=1, height=4)
    policy = MLP(env, hidden=(16,), generator=torch.Generator().manual_seed(1), conditions=2)
    graph = enumerate_graph(env)
    terminal, walk = graph.states[graph.terminal], BackwardWalk(env, policy, UniformBackward())
    condition = 3 * torch.eye(2).repeat_interleave(4, 0)
    twice = type(terminal).cat([terminal, terminal])
    got = log_probability(env, policy, walk, twice, torch.Generator(), draws=1, condition=condition)
    for part, row in ((got[:4], condition[:1]), (got[4:], condition[4:5])):
        law = terminal_law(graph, forward_log_probs(graph, policy, row.expand(len(graph.origin), -1)))
        assert part == pytest.approx(np.log(law), abs=1e-5)
    assert np.abs(got[:4] - got[4:]).max() > 1e-3


def test_log_probabilities_are_of_molecules_where_several_states_are_one():
    env = FragmentEnvironment(only=("c1ccccc1", "C#N", "O"), max_heavy_atoms=10, max_fragments=3)
    policy = UniformFragments(env)
    graph = enumerate_graph(env)
    law = merge(graph.objects, terminal_law(graph, forward_log_probs(graph, policy)))
    walk = BackwardWalk(env, policy, UniformBackward())
    terminal = graph.states[graph.terminal]
    got = log_probability(env, policy, walk, terminal, torch.Generator().manual_seed(0), draws=300)
    exact = np.log([law[name] for name in graph.objects])
    assert np.abs(got - exact).max() < 0.25
    assert np.abs(got - exact).mean() < 0.05


def test_the_distance_of_molecules_is_one_minus_their_tanimoto_similarity():
    from rdkit import Chem, DataStructs
    from rdkit.Chem import rdFingerprintGenerator

    molecules = ["CCO", "CCN", "c1ccccc1O"]
    make = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = [make.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in molecules]
    expected = [[1 - DataStructs.TanimotoSimilarity(a, b) for b in bits] for a in bits]
    assert tanimoto_distance(molecules, molecules) == pytest.approx(np.array(expected))


def test_hamming_distance_counts_different_places():
    assert hamming_distance(["ACGT", "AAAA"], ["ACGA"]).tolist() == [[1.0], [2.0]]
    assert hamming_distance([(0, 1)], [(1, 0), (0, 1)]).tolist() == [[2.0, 0.0]]
    with pytest.raises(ValueError, match=r"got lengths \[2, 3\]"):
        hamming_distance(["AB"], ["ABC"])


def test_the_top_is_of_distinct_objects():
    objects, rewards = ["a", "b", "a", None, "c"], np.array([2.0, 3.0, 2.0, 9.0, 1.0])
    assert top_k(objects, rewards, 2) == [("b", 3.0), ("a", 2.0)]
    assert top_k_reward(objects, rewards, 3) == 2.0
    with pytest.raises(ValueError, match="The best 4 of 3 distinct objects"):
        top_k(objects, rewards, 4)


def test_diversity_is_the_mean_distance_of_pairs():
    objects, rewards = ["AAAA", "AAAT", "TTTT", "CCCC"], np.array([4.0, 3.0, 2.0, 1.0])
    assert top_k_diversity(objects, rewards, 3, hamming_distance) == pytest.approx((1 + 4 + 3) / 3)
    with pytest.raises(ValueError, match="at least the best 2"):
        top_k_diversity(objects, rewards, 1, hamming_distance)


def test_modes_by_threshold_are_counted_against_distinct_objects():
    modes = Modes(2.0)
    assert modes.update(["a", "b", "a", None], np.array([3.0, 1.0, 3.0, 9.0])) == 1
    assert modes.update(["b", "c"], torch.tensor([1.0, 2.0])) == 2
    assert modes.curve == [(2, 1), (3, 2)]
    assert modes.modes == ["a", "c"]


def test_greedy_modes_are_chosen_best_first():
    modes = Modes(1.0, distance=hamming_distance, cutoff=1)
    assert modes.update(["AAA", "AAB", "ABB"], np.array([2.0, 3.0, 1.0])) == 1
    assert modes.modes == ["AAB"]
    # A better one next to AAB takes its place, and what only AAB kept out comes in.
    assert modes.update(["BAB"], np.array([4.0])) == 3
    assert modes.modes == ["BAB", "AAA", "ABB"]
    assert modes.update(["CCC"], np.array([0.5])) == 3
    assert modes.curve == [(3, 1), (4, 3), (5, 3)]


def test_a_similarity_of_exactly_the_cutoff_is_too_near():
    distances = {("a", "a"): 0.0, ("b", "b"): 0.0, ("a", "b"): 1.0 - 0.7, ("b", "a"): 1.0 - 0.7}
    modes = Modes(0.0, distance=lambda a, b: np.array([[distances[x, y] for y in b] for x in a]), cutoff=0.3)
    assert modes.update(["a", "b"], np.array([2.0, 1.0])) == 1


def greedy(seen, cutoff):
    chosen = []
    for key in sorted(seen, key=lambda name: -seen[name]):
        if seen[key] >= 2 and all(hamming_distance([key], [mode])[0, 0] > cutoff for mode in chosen):
            chosen.append(key)
    return chosen


@given(st.lists(st.lists(st.tuples(*[st.integers(0, 2)] * 3), max_size=8), max_size=5))
@settings(deadline=None, max_examples=30)
def test_greedy_modes_do_not_depend_on_the_order_of_discovery(batches):
    rank = np.random.default_rng(0).permutation(27)

    def reward(key):
        return float(rank[key[0] * 9 + key[1] * 3 + key[2]])

    modes, seen = Modes(2.0, distance=hamming_distance, cutoff=1), {}
    for batch in batches:
        modes.update(batch, np.array([reward(key) for key in batch]))
        seen.update({key: reward(key) for key in batch})
        assert modes.modes == greedy(seen, 1)
        assert modes.curve[-1] == (len(seen), len(greedy(seen, 1)))


def test_restored_modes_go_on_as_if_never_saved():
    first = Modes(1.0, distance=hamming_distance, cutoff=1)
    first.update(["AAA", "AAB", "CBB"], np.array([2.0, 3.0, 1.0]))
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = Modes(1.0, distance=hamming_distance, cutoff=1)
    second.load_state(torch.load(file, weights_only=True))
    for modes in (first, second):
        modes.update(["BAB", "AAA"], np.array([4.0, 2.0]))
    assert first.modes == second.modes == ["BAB", "AAA", "CBB"]
    assert first.curve == second.curve == [(3, 2), (4, 3)]


def test_modes_of_molecules_are_less_similar_than_the_cutoff():
    modes = Modes(0.0, distance=tanimoto_distance, cutoff=0.3)
    modes.update(["CCCCCCCC", "CCCCCCCCC", "c1ccncc1"], np.array([1.0, 2.0, 3.0]))
    assert modes.modes == ["c1ccncc1", "CCCCCCCCC"]
