"""Generators remember of what they made their proposals: to the end, without circles, through files and unions."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.records import Making, Origin
from models.generators.origins import Origins, from_state, grounded, joined, to_state
from models.protocols import Building, GenerationContext, Remembering
from models.registry import build
from models.spaces.molecules import Molecules

SMALL = Molecules(max_heavy_atoms=10, min_heavy_atoms=2, elements=("H", "C", "N", "O", "F"))
MOLECULES = ("CCO", "CCN", "CCCC", "CC(=O)O", "c1ccccc1", "c1ccncc1", "CC#N", "C=CC=O", "CCOC", "CNC", "C1CCCC1")
WORDS = build("space", {"kind": "sequences", "alphabet": "ACGT", "min_length": 3, "max_length": 8})
POINTS = build("space", {"kind": "vectors", "variables": {"x": [0, 1], "y": [0, 1]}})
SPACES = {
    "molecules": (SMALL, MOLECULES),
    "sequences": (WORDS, tuple(WORDS.random(12, 0))),
    "vectors": (POINTS, tuple(POINTS.random(12, 0))),
}
SEARCHES = {
    "genetic": {"kind": "genetic", "generations": 4, "offspring": 20, "population": 30},
    "edits": {"kind": "edits", "parents": 15, "edits": 5},
}


def reward(objects):
    return np.array([float(sum(map(ord, obj)) % 17) for obj in objects])


def context(space="molecules", **changes):
    of, library = SPACES[space]
    known = library[:3]
    given = {"known": known, "known_log_reward": reward(known), "library": library, "seed": 3}
    return GenerationContext(**{"space": of, "log_reward": reward, **given, **changes})


def fitted(kind, ctx):
    generator = build("generator", SEARCHES[kind])
    generator.fit(ctx)
    return generator


def proposals(generator, n=40):
    return [candidate.object for candidate in generator.sample(n, seed=1)]


def leaves(lineage, objects):
    """What the lineages of objects begin with; none may be its own ancestor."""
    found, open_ = set(), [(obj, ()) for obj in objects]
    seen = set()
    while open_:
        obj, below = open_.pop()
        assert obj not in below
        if obj in seen:
            continue
        seen.add(obj)
        parents = lineage[obj].parents if obj in lineage else ()
        found |= set() if parents else {obj}
        open_ += [(parent, (*below, obj)) for parent in parents]
    return found


def carried_through_a_file(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("kind", SEARCHES)
def test_every_proposal_descends_from_known_or_library_objects(kind, space):
    ctx = context(space)
    generator = fitted(kind, ctx)
    assert isinstance(generator, Remembering)
    drawn = proposals(generator)
    lineage = generator.lineage(drawn)
    assert leaves(lineage, drawn) <= {*ctx.known, *ctx.library}
    bred = [obj for obj in drawn if obj not in ctx.library]
    assert bred
    assert all(obj in lineage for obj in bred)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("kind", SEARCHES)
def test_mutations_have_one_parent_and_all_parents_are_members_of_the_space(kind, space):
    generator = fitted(kind, context(space))
    lineage = generator.lineage(proposals(generator))
    assert {origin.operation for origin in lineage.values()} <= {Making.MUTATION, Making.CROSSOVER, Making.BOTH}
    for obj, origin in lineage.items():
        assert 1 <= len(origin.parents) <= (1 if origin.operation == Making.MUTATION else 2)
        assert obj not in origin.parents
        assert all(SPACES[space][0].outside(parent) is None for parent in origin.parents)


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_state_keeps_the_lineage(kind):
    generator = fitted(kind, context())
    other = build("generator", SEARCHES[kind])
    other.load_state(carried_through_a_file(generator.state()), context())
    assert proposals(other) == proposals(generator)
    assert other.lineage(proposals(generator)) == generator.lineage(proposals(generator))


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_state_of_before_has_none_and_is_loaded(kind):
    generator = fitted(kind, context())
    state = generator.state()
    del state["origins"]
    other = build("generator", SEARCHES[kind])
    other.load_state(state, context())
    assert proposals(other) == proposals(generator)
    assert other.lineage(proposals(generator)[:1]) == {}


def test_what_is_bred_when_too_few_are_left_is_remembered_too():
    generator = build("generator", {**SEARCHES["genetic"], "generations": 1, "offspring": 5})
    generator.fit(context())
    drawn = proposals(generator, 60)
    assert leaves(generator.lineage(drawn), drawn) <= set(MOLECULES)
    assert all(obj in generator.lineage([obj]) for obj in drawn if obj not in MOLECULES)


def test_what_is_carried_over_keeps_its_lineage(tmp_path):
    first = fitted("genetic", context())
    torch.save(first.state(), tmp_path / "state.pt")
    before = first.lineage(proposals(first))
    later = context(seed=4, warm_start=tmp_path / "state.pt", library=MOLECULES[:3])
    second = build("generator", {**SEARCHES["genetic"], "fresh": 0})
    second.fit(later)
    drawn = proposals(second)
    lineage = second.lineage(drawn)
    assert leaves(lineage, drawn) <= set(MOLECULES)
    inherited = before.keys() & lineage.keys()
    assert inherited
    assert all(lineage[obj] == before[obj] for obj in inherited)


def test_a_unions_lineage_goes_through_what_members_gave_each_other(tmp_path):
    spec = {"kind": "union", "members": [{"generator": one} for one in SEARCHES.values()]}
    state = None
    for round in range(5):
        union = build("generator", spec)
        union.fit(context(seed=round, warm_start=state))
        state = tmp_path / f"{round}.pt"
        torch.save(union.state(), state)
        again = build("generator", spec)
        again.load_state(torch.load(state, weights_only=True), context(seed=round))
        drawn = proposals(again)
        assert leaves(again.lineage(drawn), drawn) <= set(MOLECULES)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=2)), max_size=40))
def test_joined_memories_have_no_circles_and_lose_nothing_that_is_grounded(told):
    first, second = Origins(), Origins()
    for number, (child, parents) in enumerate(told):
        (first, second)[number % 2].record(
            f"o{child}", Origin("made", tuple(f"o{p}" for p in dict.fromkeys(parents) if p != child))
        )
    objects = [f"o{number}" for number in range(13)]
    lineage = joined([first.closure, second.closure], objects)
    leaves(lineage, objects)
    assert first.closure(objects).keys() | second.closure(objects).keys() >= lineage.keys()
    assert joined([first.closure], objects) == first.closure(objects)
    assert from_state(to_state(lineage)) == lineage


def test_a_circle_of_two_memories_is_entered_where_something_came_into_it():
    ways = {"a": [Origin("x", ("b",))], "b": [Origin("y", ("a",)), Origin("z", ("start",))]}
    found = grounded(lambda obj: ways.get(obj, []), ["a", "b"])
    assert found == {"a": Origin("x", ("b",)), "b": Origin("z", ("start",))}


@pytest.mark.parametrize(
    ("space", "obj", "way"),
    [
        (WORDS, "ACGTTG", ("ACG", "ACGT", "ACGTT", "ACGTTG")),
        (Molecules(), "Cc1ccc(Oc2ccccc2)cc1", None),
        (POINTS, POINTS.random(1, 0)[0], ()),
    ],
)
def test_a_gflownet_shows_a_way_of_building_where_parts_are_objects(space, obj, way):
    generator = build("generator", {"kind": "gflownet"})
    assert isinstance(generator, Building)
    shown = generator.building(obj, space)
    assert shown == generator.building(obj, space)
    if way is not None:
        assert shown == way
    else:
        assert len(shown) > 2
        assert shown[-1] == obj
        assert all(space.outside(part) is None for part in shown)


def test_what_a_gflownet_does_not_build_it_does_not_show():
    assert build("generator", {"kind": "gflownet"}).building("AAAAAAAAAAAAAAAAAAA", WORDS) == ()
