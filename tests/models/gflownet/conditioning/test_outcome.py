"""Conditions that are objects: what they are, what is refused, and that a short training reaches what it is asked for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from data.config import ConfigError
from data.sampler_config import parse_sampler
from models.generators.gflownet import GFlowNetGenerator
from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.judging.exact import terminal_law
from models.gflownet.judging.outcomes import learnt_flows
from models.gflownet.judging.study import build_study
from models.registry import build
from models.spaces.sequences import Sequences
from models.threads import single_thread

GRID = HyperGrid(dimensions=2, height=4)


def outcome(env=GRID, **options):
    return build("conditioning", {"kind": "outcome", **options}).of(env)


def study(environment, **changes):
    config = {"environment": environment, "conditioning": {"kind": "outcome"}, **changes}
    return build_study(parse_sampler(config), home=Path(), base=Path())


def test_objects_are_drawn_evenly_and_told_apart_by_what_the_network_sees():
    conditioning = outcome()
    raw = conditioning.draw(4000, torch.Generator().manual_seed(0))
    counts = np.bincount(raw[:, 0].long().numpy())
    assert len(counts) == 16
    assert counts.min() > 180
    every = conditioning.encode(torch.arange(16.0)[:, None])
    assert every.shape == (16, conditioning.width)
    assert len(every.unique(dim=0)) == 16


def test_only_what_was_asked_for_is_rewarded_and_hindsight_asks_for_what_came():
    conditioning = outcome(floor=0.01)
    values, raw = torch.tensor([3.0, 5.0]), torch.tensor([[3.0], [4.0]])
    assert conditioning.log_reward(values, raw).tolist() == [0.0, pytest.approx(math.log(0.01))]
    shown = conditioning.in_hindsight(values, raw, torch.Generator())
    assert conditioning.log_reward(values, shown).tolist() == [0.0, 0.0]


def test_values_are_the_numbers_of_the_objects():
    conditioning = outcome()
    at = study({"kind": "hypergrid", "dimensions": 2, "height": 4})
    states = at.graph.states[at.graph.terminal]
    assert at.reward(states)[0].tolist() == conditioning.numbers(at.graph.objects)[:, 0].tolist()


def test_before_it_has_an_environment_it_draws_nothing():
    with pytest.raises(RuntimeError, match="call `of` first"):
        build("conditioning", {"kind": "outcome"}).draw(2, torch.Generator())


def test_a_space_with_too_many_objects_is_refused():
    with pytest.raises(ConfigError, match="more than 20000 states"):
        study({"kind": "hypergrid", "dimensions": 4, "height": 12})


def test_a_reward_beside_it_is_refused():
    with pytest.raises(ConfigError, match="trained without a reward"):
        study({"kind": "hypergrid"}, reward={"kind": "python", "function": "math:sqrt"})


def test_an_environment_needs_no_reward_of_its_own():
    assert study({"kind": "sequence", "alphabet": "AC", "max_length": 2}).graph is not None


def test_a_campaign_refuses_it():
    generator = GFlowNetGenerator(conditioning={"kind": "outcome"})
    with pytest.raises(ValueError, match="a campaign has one"):
        generator.check(Sequences(alphabet="dna", length=3))


def test_a_short_training_reaches_what_it_is_asked_for():
    training = {"steps": 300, "batch_size": 32, "learning_rate": 5e-3, "epsilon": 0.1, "replay_share": 0.5}
    at = study(
        {"kind": "hypergrid", "dimensions": 2, "height": 3},
        policy={"kind": "mlp", "hidden": [64, 64]},
        objective={"kind": "sub_trajectory_balance"},
        training={**training, "evaluate_every": 300},
    )
    session = at.start(0)
    with single_thread():
        session.trainer.train()
    flow, policy = learnt_flows(at.graph, session.trainer)
    reached = [terminal_law(at.graph, policy[:, y].log())[y] for y in range(9)]
    assert np.mean(reached) > 0.9
    assert all(0.4 < one < 1.6 for one in flow[0].tolist())
