"""A policy that reads the gain of each edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.gflownet.environments.dag import DagEnvironment
from models.gflownet.judging.dag_posterior import edge_marginals
from models.gflownet.policies.base import ON_POLICY
from models.gflownet.training.trajectories import sample_forward
from models.registry import build


def test_untrained_it_draws_graphs_near_the_posterior() -> None:
    env = DagEnvironment(nodes=5)
    policy = build("policy", {"kind": "edge_gains"}).build(env, torch.Generator().manual_seed(0))
    drawn = sample_forward(env, policy, 2000, torch.Generator().manual_seed(0)).terminal
    exact = edge_marginals(env.scores.table)
    assert np.abs(drawn.edges.double().mean(0).numpy() - exact).mean() < 0.1


def test_its_judgement_of_a_state_does_not_depend_on_what_was_judged_before() -> None:
    env = DagEnvironment(nodes=4)
    policy = build("policy", {"kind": "edge_gains"}).build(env, torch.Generator().manual_seed(0))
    first = policy.network(env.source(1)).forward
    policy.sample(env.source(60), torch.Generator().manual_seed(1), ON_POLICY)
    assert torch.equal(policy.network(env.source(1)).forward, first)


def test_graphs_without_a_score_are_refused() -> None:
    env = DagEnvironment(nodes=4, score="none")
    with pytest.raises(ValueError, match="with a score"):
        build("policy", {"kind": "edge_gains"}).build(env, torch.Generator())
