"""Conditions that are objects of a space too large to list."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from data.config import ConfigError
from data.sampler_config import parse_sampler
from models.gflownet.environments.sequence import SequenceEnvironment
from models.gflownet.judging.study import build_study
from models.registry import build

ENV = SequenceEnvironment(alphabet="ACGT", min_length=3, max_length=40)


def drawn(**options):
    return build("conditioning", {"kind": "drawn_outcome", **options}).of(ENV)


def test_objects_of_any_space_are_drawn_and_told_apart_by_what_the_network_sees():
    conditioning = drawn()
    raw = conditioning.draw(50, torch.Generator().manual_seed(0))
    seen = conditioning.encode(raw)
    assert seen.shape == (50, ENV.n_features)
    assert len(seen.unique(dim=0)) == len(raw.unique(dim=0)) > 20
    assert seen.sum(1).min() >= 3


def test_only_what_was_asked_for_is_rewarded_and_hindsight_asks_for_what_came():
    conditioning = drawn(floor=0.01)
    values, objects = conditioning.values(ENV)(ENV.encode(["ACGT", "ACGTA", "TTT"]))
    assert objects == ["ACGT", "ACGTA", "TTT"]
    asked = conditioning.raw(ENV.encode(["ACGT", "ACGT", "TTTT"]))
    missed = pytest.approx(math.log(0.01))
    assert conditioning.log_reward(values, asked).tolist() == [0.0, missed, missed]
    shown = conditioning.in_hindsight(values, asked, torch.Generator())
    assert conditioning.log_reward(values, shown).tolist() == [0.0, 0.0, 0.0]


def test_a_sampler_file_is_told_to_list_its_objects():
    config = {"environment": {"kind": "sequence", "max_length": 3}, "conditioning": {"kind": "drawn_outcome"}}
    with pytest.raises(ConfigError, match="which lists the objects"):
        build_study(parse_sampler(config), home=Path(), base=Path())


def test_before_it_has_an_environment_it_draws_nothing():
    with pytest.raises(RuntimeError, match="call `of` first"):
        build("conditioning", {"kind": "drawn_outcome"}).draw(2, torch.Generator())
