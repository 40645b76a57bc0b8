"""Policies: forward laws are normalised, packed scores equal single ones, backward laws cover the true parents."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.gflownet.environments.base import NotProvided
from models.gflownet.environments.fragments import FragmentEnvironment
from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.policies.backward import BackwardWalk, LearnedBackward, MaximumEntropyBackward, TiedBackward
from models.gflownet.policies.base import Exploration, draw
from models.gflownet.policies.mlp import MLP
from models.gflownet.policies.transformer import FragmentTransformer
from models.gflownet.policies.uniform import UniformFragments
from models.gflownet.training.trajectories import sample_backward, sample_forward
from models.registry import kinds

ENV = FragmentEnvironment(only=("c1ccccc1", "C#N", "O", "C", "N"), max_heavy_atoms=11, max_fragments=5)


def transformer(prior=0.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return FragmentTransformer(ENV, dim=16, layers=2, heads=2, prior=prior, generator=generator)


@pytest.mark.parametrize("policy", [transformer(), UniformFragments(ENV)], ids=["transformer", "uniform"])
def test_probabilities_of_all_legal_actions_sum_to_one(policy):
    states = sample_forward(ENV, policy, 20, torch.Generator().manual_seed(0)).before
    row, action = ENV.forward_mask(states).nonzero(as_tuple=True)
    log_pf = policy.score(states[row], action, None).log_pf.double()
    total = torch.zeros(len(states), dtype=torch.float64).index_add(0, row, log_pf.exp().detach())
    assert total.tolist() == pytest.approx([1.0] * len(states), abs=1e-5)


def test_a_packed_score_is_the_score_of_each_transition_alone():
    policy = transformer()
    paths = sample_forward(ENV, policy, 10, torch.Generator().manual_seed(1))
    packed = policy.score(paths.before, paths.forward, paths.after)
    for place in range(len(paths.forward)):
        one = slice(place, place + 1)
        alone = policy.score(paths.before[one], paths.forward[one], paths.after[one])
        assert alone.log_pf.item() == pytest.approx(packed.log_pf[place].item(), abs=1e-5)
        assert alone.log_flow.item() == pytest.approx(packed.log_flow[place].item(), abs=1e-5)
        assert torch.allclose(alone.backward_logits[0], packed.backward_logits[place], atol=1e-5)


def test_full_exploration_is_the_uniform_policy():
    n = 6000
    explored = sample_forward(
        ENV, transformer(prior=3.0), n, torch.Generator().manual_seed(2), exploration=Exploration(epsilon=1.0)
    )
    uniform = UniformFragments(ENV)
    root = explored.forward[explored.time == 0]
    expected = n * math.exp(uniform.score(ENV.source(1), root[:1], None).log_pf.item())
    counts = torch.bincount(root - 1, minlength=ENV.n_fragments)[ENV.tables.root_ok].float()
    assert ((counts - expected).abs() < 5 * expected**0.5).all()


def test_the_prior_favours_frequent_fragments():
    policy = transformer(prior=2.0)
    legal = ENV.tables.root_ok.nonzero()[:, 0]
    log_pf = policy.score(ENV.source(len(legal)), 1 + legal, None).log_pf
    counts = torch.tensor([float(ENV.vocabulary.fragments[i].count) for i in legal.tolist()])
    assert log_pf.argmax() == counts.argmax()


def test_frozen_weights_are_forgotten_afterwards():
    policy = transformer()
    action = 1 + ENV.tables.root_ok.nonzero()[:1, 0]
    with policy.frozen():
        before = policy.score(ENV.source(1), action, None).log_pf.item()
    with torch.no_grad():
        policy.root_bias.weight[action - 1] += 3.0
    assert policy.score(ENV.source(1), action, None).log_pf.item() > before + 0.1


@pytest.mark.parametrize("kind", sorted(kinds("backward_policy")))
def test_backward_laws_cover_exactly_the_true_parents(kind):
    backward = kinds("backward_policy")[kind]()
    paths = sample_forward(ENV, UniformFragments(ENV), 30, torch.Generator().manual_seed(3))
    mask = ENV.backward_mask(paths.after)
    logits = transformer().backward_logits(paths.after).detach()
    if kind == "maximum_entropy":
        with pytest.raises(NotProvided, match="cannot count the trajectories"):
            backward.log_prob(ENV, paths.after, logits)
        return
    probability = backward.log_prob(ENV, paths.after, logits).exp()
    assert torch.equal(probability > 0, mask)
    assert probability.sum(1).tolist() == pytest.approx([1.0] * len(mask), abs=1e-5)


@pytest.mark.parametrize("backward", [TiedBackward(), LearnedBackward()], ids=["tied", "learned"])
def test_a_backward_policy_with_logits_is_trained_and_survives_the_source(backward):
    env = HyperGrid(dimensions=2, height=4)
    inner = env.step(env.step(env.source(1), torch.tensor([0])), torch.tensor([1]))
    states = type(inner).cat([inner, env.source(1)])
    logits = torch.zeros((2, 3), requires_grad=True)
    chosen = backward.log_prob(env, states, logits)[0, 0]
    chosen.backward()
    assert logits.grad[0].tolist() == pytest.approx([0.5, -0.5, 0.0])
    assert logits.grad[1].tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="needs the logits"):
        backward.log_prob(env, states, None)


def test_the_maximum_entropy_law_makes_all_trajectories_to_an_object_as_likely():
    env = HyperGrid(dimensions=2, height=4)
    walk = BackwardWalk(env, MLP(env, generator=torch.Generator()), MaximumEntropyBackward())
    end = env.step(env.source(1), torch.tensor([0]))
    for action in (0, 1, 1, 2):
        end = env.step(end, torch.tensor([action]))
    many = end[torch.zeros(600, dtype=torch.int64)]
    paths = sample_backward(env, walk, many, torch.Generator().manual_seed(0))
    log_pb = walk.log_probs(paths.after).gather(1, paths.backward[:, None])[:, 0]
    total = torch.zeros(600, dtype=torch.float64).index_add(0, paths.row, log_pb)
    assert total.exp().tolist() == pytest.approx([1 / 6] * 600)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**31), width=st.integers(1, 40))
def test_an_illegal_action_is_never_drawn(seed, width):
    generator = torch.Generator().manual_seed(seed)
    legal = torch.rand((64, width), generator=generator) < 0.3
    legal[:, width // 2] = True
    logits = torch.where(legal, 20 * torch.randn((64, width), generator=generator), -torch.inf)
    assert legal.gather(1, draw(logits, generator)[:, None]).all()


def test_draws_follow_their_law():
    law = torch.tensor([0.1, 0.0, 0.6, 0.3])
    drawn = draw(law.log().expand(20_000, -1), torch.Generator().manual_seed(0))
    assert torch.bincount(drawn, minlength=4).div(20_000).tolist() == pytest.approx(law.tolist(), abs=0.02)
