"""Trained GFlowNets as one: the law of what is drawn, its weights, its state, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.generators.composed import ComposedSamplers
from models.generators.gflownet import GFlowNetGenerator
from models.protocols import Composing, GenerationContext, Generator
from models.registry import ComponentError, build
from models.spaces.sequences import Sequences

SPACE = Sequences(alphabet="dna", length=2)
SPEC = {"kind": "gflownet", "construction": {"kind": "letters", "hidden": [8]}, "steps": 30, "batch_size": 8}
EVERY = 16


def context(seed=0, letter="A", **changes):
    return GenerationContext(
        SPACE, lambda texts: np.array([2.0 * t.count(letter) for t in texts]), seed=seed, **changes
    )


def untrained(mode="append", **options):
    return build("generator", {**SPEC, "construction": {**SPEC["construction"], "mode": mode}, **options})


@pytest.fixture(scope="module")
def trained() -> dict[str, GFlowNetGenerator]:
    """One sampler that wants A and one that wants C. Each object is built in one way: its probability is exact."""
    found = {letter: untrained() for letter in "AC"}
    for seed, (letter, generator) in enumerate(found.items()):
        generator.fit(context(seed, letter))
    return found


@pytest.fixture
def members(trained, tmp_path):
    """Their files, as a campaign keeps them."""
    return {name: kept(one, tmp_path / f"{name}.pt") for name, one in trained.items()}


def kept(generator, path, /, **changes):
    spec = {key: value for key, value in generator.sparse().items() if value is not None}
    state = {"campaign": path.stem, "round": 1, "generator": spec, "space": SPACE.config(), "state": generator.state()}
    torch.save(state | changes, path)
    return path


def composed(members, weights=(1.0, 1.0), **options):
    parts = [{"from": name, "weight": weight} for name, weight in zip(members, weights, strict=True)]
    generator = ComposedSamplers.from_config({"kind": "composed", "members": parts, **options})
    generator.fit(context(members=members))
    return generator


def law(generator, seed=0):
    return {one.object: np.exp(one.log_prob) for one in generator.sample(EVERY, seed=seed)}


def test_it_is_a_generator_that_names_what_it_draws_from(members):
    generator = composed(members)
    assert isinstance(generator, Generator)
    assert isinstance(generator, Composing)
    assert generator.origins == ("A", "C")


def test_its_law_is_the_mean_of_the_laws_of_its_members(trained, members):
    drawn, first, second = law(composed(members, (0.7, 0.3), weigh="laws")), law(trained["A"]), law(trained["C"])
    assert drawn == pytest.approx({obj: 0.7 * first[obj] + 0.3 * second[obj] for obj in first})
    assert sum(drawn.values()) == pytest.approx(1.0)


def test_members_may_build_their_objects_in_different_ways(trained, tmp_path):
    both_ends = untrained("prepend_append")
    both_ends.fit(context(2, "C"))
    files = {name: kept(one, tmp_path / f"{name}.pt") for name, one in (("A", trained["A"]), ("B", both_ends))}
    assert len(law(composed(files))) == EVERY


def test_alone_a_member_is_drawn_from_as_it_is(trained, members):
    alone = law(composed({"A": members["A"]}, (3.0,)))
    assert alone == pytest.approx(law(trained["A"]))


def test_weights_of_rewards_count_what_the_rewards_add_up_to(trained, members):
    log_z = [float(one.state()["log_z"]) for one in trained.values()]
    wanted = np.array([0.7, 0.3]) * np.exp(log_z)
    assert composed(members, (0.7, 0.3)).shares == pytest.approx(wanted / wanted.sum())
    assert composed(members, (0.7, 0.3), weigh="laws").shares == pytest.approx([0.7, 0.3])


def test_a_draw_is_the_same_under_its_seed_and_after_a_restart(members):
    generator = composed(members)
    again = ComposedSamplers.from_config(generator.config())
    again.load_state(generator.state(), context())
    assert again.sample(10, seed=4) == generator.sample(10, seed=4)
    assert again.sample(10, seed=4) != again.sample(10, seed=5)
    assert {one.source for one in again.sample(10, seed=4)} == {"composed"}


def test_a_history_tells_the_share_of_each_member(members):
    rows = composed(members).history()
    assert [row["step"] for row in rows] == [1.0, 2.0]
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"space": {**SPACE.config(), "length": 3}}, "another space: it has length 3"),
        ({"generator": {**SPEC, "conditioning": {"kind": "inverse_temperature"}}}, "conditioned by"),
    ],
)
def test_a_member_that_does_not_fit_is_refused(trained, tmp_path, changes, told):
    with pytest.raises(ValueError, match=told):
        composed({"A": kept(trained["A"], tmp_path / "A.pt", **changes)}, (1.0,))


def test_rewards_cannot_be_weighed_where_log_z_was_not_learnt(tmp_path):
    generator = untrained(objective={"kind": "log_partition_variance"}, steps=3)
    generator.fit(context())
    members = {"V": kept(generator, tmp_path / "V.pt")}
    with pytest.raises(ValueError, match=r"does not learn log Z.*weigh: laws"):
        composed(members, (1.0,))
    assert composed(members, (1.0,), weigh="laws").sample(3, seed=0)


def test_outside_a_campaign_there_is_nothing_to_draw_from():
    generator = build("generator", {"kind": "composed", "members": [{"from": "earlier"}]})
    with pytest.raises(ValueError, match="no trained sampler of earlier"):
        generator.fit(context())


def test_a_member_named_twice_is_refused():
    with pytest.raises(ComponentError, match="twice; add its weights up"):
        build("generator", {"kind": "composed", "members": [{"from": "a"}, {"from": "a"}]})


def test_a_file_starts_at_the_folder_of_the_campaign_and_a_name_does_not(tmp_path):
    parts = [{"from": "kept/0.pt"}, {"from": "earlier"}]
    generator = build("generator", {"kind": "composed", "members": parts}, base=tmp_path)
    assert generator.origins == (str(tmp_path / "kept/0.pt"), "earlier")
