"""What a generator is told of several objectives: who was best, and what the others are worth."""

import numpy as np
import pytest

from tasks.propose import propose
from tasks.storage import read_table
from tasks.train_generator import generation_context, train_generator
from tests.tasks.several_goals import Round

LEFT, RIGHT = {"name": "near_left", "goal": "minimise"}, {"name": "near_right", "goal": "minimise"}
LOW = {"name": "height", "goal": "satisfy", "at_most": 0.4}


def told(folder, *objectives, **more):
    here = Round(folder, *objectives, **more)
    with here.open() as context:
        known = generation_context(context, 1, here.library, here.dataset, here.proxy)
    rows = here.known.set_index("object").loc[list(known.known)]
    assert len(rows) == 24
    assert (np.diff(known.known_log_reward) <= 0).all()
    return known, rows


def test_of_one_objective_the_best_value_comes_first(tmp_path):
    _, rows = told(tmp_path, LEFT)
    assert rows["value"].is_monotonic_increasing


def test_what_keeps_to_a_limit_comes_first_and_the_others_by_how_far_they_are_off(tmp_path):
    known, rows = told(tmp_path, LEFT, LOW)
    inside = rows["value[height]"] <= 0.4
    n = int(inside.sum())
    assert inside.tolist() == [True] * n + [False] * (24 - n)
    assert rows["value"][:n].is_monotonic_increasing
    assert rows["value[height]"][n:].is_monotonic_increasing
    assert known.known_log_reward[n - 1] > known.known_log_reward[n]


def test_of_several_objectives_the_front_comes_first(tmp_path):
    known, rows = told(tmp_path, LEFT, RIGHT, missing=[(7, 0)])
    values = -rows[["value[near_left]", "value[near_right]"]].to_numpy()
    beaten = [bool(((values >= one).all(1) & (values > one).any(1)).any()) for one in values]
    assert beaten[:-1] == sorted(beaten[:-1])
    assert np.isnan(values[-1]).any()  # what was not measured in full comes last
    better, worse = known.log_reward(["x=0.500, y=0.500", "x=0.500, y=0.950"])
    assert better > worse


GENERATORS = {
    "genetic": {"kind": "genetic", "generations": 6, "offspring": 30, "proposals": 30},
    "gflownet": {"kind": "gflownet", "construction": {"kind": "betas"}, "proposals": 30, "steps": 8, "batch_size": 8},
}


@pytest.mark.parametrize("generator", GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize("objectives", [[LEFT, RIGHT], [LEFT, RIGHT, LOW], [LEFT, LOW]], ids=len)
def test_a_generator_follows_the_reward_of_all_goals_and_makes_proposals(tmp_path, objectives, generator):
    here = Round(tmp_path, *objectives, generator=generator)
    stage = train_generator.fn(here.ref, 1, here.library, here.dataset, here.proxy, None)
    assert stage.metrics["met"] > 50
    proposed = propose.fn(here.ref, 1, here.library, here.dataset, here.proxy, stage)
    with here.open() as context:
        objects = read_table(proposed.path(context, "proposals.parquet"))["object"].tolist()
        known = generation_context(context, 1, here.library, here.dataset, here.proxy)
    assert len(objects) > 10
    if generator["kind"] == "genetic":
        assert known.log_reward(objects).mean() > known.log_reward(list(known.library)).mean() + 1.0
