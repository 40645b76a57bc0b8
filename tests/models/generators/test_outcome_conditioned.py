"""A GFlowNet pre-trained without a reward: what is kept of it, what becomes of it in a round, what is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from models.gflownet.training.pretraining import objects_of
from models.protocols import GenerationContext, Generator, Pretraining
from models.registry import ComponentError, build
from models.spaces.molecules import Molecules
from models.spaces.sequences import Sequences

SPACE = Sequences(alphabet="dna", length=3)
LETTERS = {"kind": "letters", "hidden": [16]}
SHORT = {"steps": 20, "batch_size": 8}


def generator(**options):
    spec = {"kind": "outcome_conditioned", "construction": LETTERS, "pretrain": SHORT, "steps": 5, "batch_size": 8}
    return build("generator", {**spec, "warm_up_steps": 10, "random": 40, "outcomes": 10, **options})


def context(**changes):
    return GenerationContext(SPACE, lambda texts: np.array([3.0 * t.count("A") for t in texts]), seed=1, **changes)


def test_it_is_a_generator_that_pretrains():
    one = generator()
    assert isinstance(one, Generator)
    assert isinstance(one, Pretraining)
    assert one.pretrains
    assert not generator(pretrain=None).pretrains
    one.check(SPACE)


def test_a_pretraining_is_made_once_for_all_with_the_same_space_and_options(tmp_path):
    first, again = generator().pretraining(SPACE, cache=tmp_path)
    assert not again
    second, again = generator(steps=9, outcomes=3).pretraining(SPACE, cache=tmp_path)
    assert again
    assert second["fingerprint"] == first["fingerprint"]
    for name, weights in first["policy"].items():
        assert torch.equal(second["policy"][name], weights)
    for other in (generator(pretrain={**SHORT, "seed": 1}), generator(construction={**LETTERS, "mode": "insert"})):
        assert not other.pretraining(SPACE, cache=tmp_path)[1]


def test_one_of_another_space_or_network_is_refused():
    state, _ = generator().pretraining(SPACE)
    generator(pretrain={"from": "earlier"}).check_pretrained(state, SPACE, "The campaign 'earlier'")
    with pytest.raises(ValueError, match="'earlier' was pre-trained for another space"):
        generator().check_pretrained(state, Sequences(alphabet="dna", length=4), "The campaign 'earlier'")
    with pytest.raises(ValueError, match="another space, construction or network"):
        generator(construction={"kind": "letters", "hidden": [8]}).check_pretrained(state, SPACE, "It")


def test_a_round_is_the_same_each_time_and_its_state_is_restored(tmp_path):
    fitted = [generator() for _ in range(2)]
    for one in fitted:
        one.fit(context(cache=tmp_path))
    drawn = [one.object for one in fitted[0].sample(20, seed=3)]
    assert drawn == [one.object for one in fitted[1].sample(20, seed=3)]
    other = generator()
    other.load_state(fitted[0].state(), context())
    assert drawn == [one.object for one in other.sample(20, seed=3)]
    assert other.state()["best"] == fitted[0].state()["best"] != []


def test_without_a_pretraining_exactly_the_outcomes_are_drawn_in_proportion_to_the_reward(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "models.generators.outcome_conditioned.imitate", lambda _t, _b, members, *_: seen.extend(members)
    )
    known = ("AAA", "AAC", "ACC", "CCC")
    values = np.array([3.0, 2.0, 1.0, 0.0])
    one = generator(pretrain=None, random=0, draws=4000)
    one.fit(context(known=known, known_log_reward=values))
    counts = Counter(member.object for member in seen)
    weights = np.exp(values)
    assert [counts[name] / 4000 for name in known] == pytest.approx(weights / weights.sum(), abs=0.03)


def test_the_next_round_begins_from_the_last_one_and_its_best(tmp_path):
    first = generator()
    first.fit(context(cache=tmp_path))
    torch.save(first.state(), tmp_path / "generator.pt")
    second = generator()
    second.fit(context(cache=tmp_path, warm_start=tmp_path / "generator.pt"))
    assert second.sample(5, seed=0)


def test_objects_without_features_and_what_is_no_plain_reward_are_refused():
    with pytest.raises(ValueError, match="sees it by 0/1 features"):
        build("generator", {"kind": "outcome_conditioned"}).check(Molecules())
    with pytest.raises(ValueError, match="learns no flows"):
        generator(pretrain={"objective": {"kind": "trajectory_balance"}}).check(SPACE)
    with pytest.raises(ComponentError, match="no conditioning"):
        generator(conditioning={"kind": "inverse_temperature"})
    with pytest.raises(ValueError, match="given no pre-training of earlier"):
        generator(pretrain={"from": "earlier"}).fit(context())


@pytest.mark.parametrize("length", [3, 12])
def test_the_number_of_objects_is_known_where_every_way_has_as_many_choices(length):
    bound = generator()._bind(Sequences(alphabet="dna", length=length))
    assert objects_of(bound) == pytest.approx(4.0**length, rel=1e-4)
