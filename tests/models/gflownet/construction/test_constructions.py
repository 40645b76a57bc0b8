"""What every construction promises: members come back as they are, what is drawn is inside, and partial rewards."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.gflownet.construction.base import construction_of
from models.gflownet.construction.drawing import draw_objects
from models.protocols import GenerationContext
from models.registry import build

SPACES = {
    "sequences": {"kind": "sequences", "alphabet": "dna", "min_length": 2, "max_length": 5},
    "patterned": {"kind": "sequences", "alphabet": "dna", "length": 5, "pattern": "[ACGT]*GC[ACGT]*"},
    "subsets": {"kind": "subsets", "items": ["ant", "bee", "cat", "dog"], "min_size": 1, "max_size": 3},
    "dags": {"kind": "dags", "variables": ["ant", "bee", "cat", "dog"], "max_parents": 2},
    "vectors": {
        "kind": "vectors",
        "variables": {
            "temperature": [20, 120],
            "dose": {"low": 0.1, "high": 10, "log": True},
            "n": {"integer": [1, 5]},
        },
    },
    "wide": {"kind": "vectors", "variables": {"n": {"integer": [0, 5000]}, "solvent": ["water", "ethanol"]}},
    "conformers": {"kind": "torsions", "smiles": "CCCCC"},
    "formulation": {
        "kind": "vectors",
        "variables": {"solvent": ["water", "ethanol"]},
        "fractions": {"resin": [0.2, 0.6], "oil": [0.1, 0.7], "wax": [0, 0.5]},
    },
}


@pytest.fixture(params=sorted(SPACES))
def space(request):
    return build("space", SPACES[request.param])


@pytest.fixture
def bound(space):
    return construction_of(None, space).bind(space)


def generator():
    return torch.Generator().manual_seed(0)


def test_random_objects_of_the_space_are_members_and_decode_to_themselves(space, bound):
    objects = list(space.random(12, 0))
    members = bound.members(objects)
    assert [member.given for member in members] == objects
    assert [member.object for member in members] == objects
    states = bound.states(members, generator())
    assert bound.decode(states) == objects


def test_what_the_uniform_policy_draws_is_inside_and_distinct(space, bound):
    drawn = draw_objects(bound, bound.uniform, 14, generator())
    objects = [obj for obj, _ in drawn.values()]
    assert len(set(objects)) == len(objects) >= 14
    assert [space.admit(obj) for obj in objects] == objects
    assert list(drawn) == [space.identity(obj) for obj in objects]


def test_an_untrained_network_gives_every_member_a_probability(space, bound):
    policy = bound.policy(conditions=0, generator=generator())
    drawn = draw_objects(bound, policy, 10, generator())
    assert len(drawn) == 10


def test_objects_of_another_space_are_no_members(bound):
    assert bound.members(["ZZZ!", "unheard=of"]) == []


def test_the_digest_is_that_of_the_actions(space, bound):
    same = construction_of(None, space).bind(space)
    other = build("space", SPACES["subsets" if space.kind != "subsets" else "vectors"])
    assert same.digest() == bound.digest() != construction_of(None, other).bind(other).digest()


def test_unfinished_objects_have_a_reward_where_they_are_objects(space, bound):
    partial = bound.partial(lambda objects: np.array([float(len(obj)) for obj in objects]))
    if space.kind in ("vectors", "torsions") or bound.env.stop is None:
        assert partial is None
        return
    state = bound.env.source(1)
    state = bound.env.step(state, torch.tensor([1]))
    state = bound.env.step(state, torch.tensor([2]))
    (text,) = bound.decode(state)
    assert text in {"CG", "bee, cat", "ant>bee, ant>cat"}
    assert partial(state).tolist() == [float(len(text))]
    (nothing,) = bound.decode(bound.env.source(1))
    assert nothing == ("{}" if space.kind == "dags" else None)
    assert partial(bound.env.source(1)).tolist() == [0.0 if nothing is None else 2.0]


def test_a_gflownet_learns_where_good_vectors_lie():
    space = build("space", {"kind": "vectors", "variables": {"x": [0, 1], "solvent": ["a", "b", "c"]}})

    def log_reward(objects):
        values = [space.value(obj) for obj in objects]
        return np.array([8.0 * (value["solvent"] == "b") - 40.0 * (value["x"] - 0.8) ** 2 for value in values])

    made = build("generator", {"kind": "gflownet", "steps": 250, "batch_size": 32, "learning_rate": 0.01})
    made.fit(
        GenerationContext(space, log_reward, seed=1, known=("x=0.1, solvent=a",), known_log_reward=np.array([-20.0]))
    )
    drawn = [space.value(candidate.smiles) for candidate in made.sample(100, seed=0)]
    assert np.mean([value["solvent"] == "b" for value in drawn]) > 0.95
    assert abs(np.mean([value["x"] for value in drawn]) - 0.8) < 0.05
