"""The generator `gflownet` where several objectives are to be improved: one policy for all trade-offs between them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from models.protocols import GenerationContext, TradingOff, Utilities
from models.registry import build
from models.spaces.sequences import Sequences

SPACE = Sequences(alphabet="ABC", min_length=4, max_length=4)
KNOWN = ("ABBB", "BBBC", "BBBB")


def logs(words):
    """Of the shares of A and of C, squared: what has half of each is worse than the mean of the ends."""
    shares = np.array([[word.count("A"), word.count("C")] for word in words]).reshape(-1, 2) / 4
    return np.log(np.maximum(shares**2, 0.01))


def log_reward(words):
    return np.exp(logs(words)).sum(1)


def utilities_of(words, **values):
    return Utilities(**{"of": logs, "known": logs(words), "power": 8.0, **values})


def context_of(**values):
    known = {"known": KNOWN, "known_log_reward": log_reward(KNOWN), "utilities": utilities_of(KNOWN)}
    return GenerationContext(**{"space": SPACE, "log_reward": log_reward, "seed": 3, **known, **values})


CHEBYSHEV = {"kind": "preference", "scalarisation": "chebyshev"}
CONDITIONS = {
    "weighted sum": {"kind": "preference", "beta": {"low": 0.5, "high": 8.0}},
    "chebyshev": CHEBYSHEV,
    "focus region": {"kind": "focus_region"},
}


def generator_of(conditioning="chebyshev", **values):
    policy = {"kind": "mlp", "hidden": [64]}
    plain = {"kind": "plain", "policy": policy, "environment": {"kind": "sequence", "alphabet": "ABC", "max_length": 4}}
    options = {"steps": 400, "batch_size": 64, "learning_rate": 0.01, "max_states": 1000, "evaluate_every": 200}
    options["construction"] = plain
    told = CONDITIONS[conditioning] if isinstance(conditioning, str) else conditioning
    return build("generator", {"kind": "gflownet", "conditioning": told, **options, **values})


@pytest.fixture(scope="module")
def trained():
    """Trains a generator, or gives the one that is trained already."""

    @cache
    def train(conditioning, max_states=1000):
        generator = generator_of(conditioning, max_states=max_states)
        generator.fit(context_of())
        return generator

    return train


def drawn(generator, n=32, seed=1):
    return [candidate.object for candidate in generator.sample(n, seed=seed)]


@pytest.mark.parametrize("conditioning", CONDITIONS)
def test_the_policy_comes_to_the_law_of_the_middle_trade_off(trained, conditioning):
    # How near it comes is the matter of conditioning/test_trade_offs.py.
    last = trained(conditioning).history()[-1]
    assert last["tv"] < 0.4
    assert last["reward_calls"] > 40


@pytest.mark.parametrize("conditioning", ["chebyshev", "focus region"])
def test_candidates_reach_both_ends_of_the_front_and_its_middle(trained, conditioning):
    words = drawn(trained(conditioning))
    assert len(set(words)) == len(words) == 32
    assert {"AAAA", "CCCC"} <= set(words)
    assert sum(sorted(word) == list("AACC") for word in words) >= 3


def test_as_many_candidates_are_drawn_under_each_trade_off_in_turn():
    seen = []
    generator = generator_of({**CHEBYSHEV, "proposed": 4}, steps=1)
    generator.fit(context_of())
    (trainer, _) = generator.trained()
    encode = trainer.conditioning.encode
    trainer.conditioning.encode = lambda raw: (seen.append(raw), encode(raw))[1]
    assert len(generator.sample(8, seed=0)) == 8
    assert [row.tolist() for row in seen[-1]] == [pytest.approx([i / 3, 1 - i / 3]) for i in range(4)]


def test_other_trade_offs_give_other_words(trained):
    generator = trained("chebyshev")
    ends = generator_of({**CHEBYSHEV, "proposed": 2})
    ends.load_state(generator.state(), context_of())
    words = drawn(ends, 12)
    assert [word.count("C") > word.count("A") for word in words[:2]] in ([True, False], [False, True])
    assert sum(sorted(word) == list("AACC") for word in words) <= 1


def test_more_candidates_than_a_trade_off_has_come_from_the_others():
    generator = generator_of("chebyshev", steps=2)
    generator.fit(context_of())
    assert len(drawn(generator, 81)) > 70


def test_known_words_are_rewarded_by_what_was_measured():
    asked = []

    def remembering(words):
        asked.extend(words)
        return logs(words)

    known = utilities_of(KNOWN, of=remembering)
    generator = generator_of("chebyshev", steps=3)
    generator.fit(context_of(utilities=known))
    assert asked
    assert len(set(asked)) == len(asked)
    assert not set(asked) & set(KNOWN)
    assert not set(generator.best(100)) & set(KNOWN)


def test_the_best_words_are_told_by_the_log_reward(trained):
    best = trained("chebyshev").best(5)
    assert list(best.values()) == sorted(best.values(), reverse=True)
    assert all(value == log_reward([word])[0] for word, value in best.items())
    assert set(best) & {"AAAA", "CCCC"}


@pytest.mark.parametrize("max_states", [1000, 0], ids=["table", "states"])
@pytest.mark.parametrize("conditioning", CONDITIONS)
def test_a_killed_training_ends_with_the_same_bytes(tmp_path, conditioning, max_states):
    def kill(done, total, metrics):
        if done == 70:
            raise KeyboardInterrupt

    values = {"steps": 90, "max_states": max_states, "evaluate_every": 45}
    whole = generator_of(conditioning, **values)
    whole.fit(context_of(library=("AAAB", "ABCA")))
    context = context_of(library=("AAAB", "ABCA"), checkpoint=tmp_path / "checkpoint.pt")
    with pytest.raises(KeyboardInterrupt):
        generator_of(conditioning, **values).fit(replace(context, progress=kill))
    assert context.checkpoint.exists()
    again = generator_of(conditioning, **values)
    again.fit(context)
    assert again.sample(20, seed=2) == whole.sample(20, seed=2)
    assert again.history() == whole.history()
    assert again.best(50) == whole.best(50)
    for name, value in whole.state()["policy"].items():
        assert torch.equal(again.state()["policy"][name], value)


@pytest.mark.parametrize("conditioning", CONDITIONS)
def test_the_state_goes_through_a_file_of_weights_only(trained, tmp_path, conditioning):
    generator = trained(conditioning)
    torch.save(generator.state(), tmp_path / "state.pt")
    again = generator_of(conditioning)
    again.load_state(torch.load(tmp_path / "state.pt", weights_only=True), context_of())
    assert again.sample(10, seed=5) == generator.sample(10, seed=5)


def test_it_starts_warm(trained, tmp_path):
    generator = trained("chebyshev")
    torch.save(generator.state(), tmp_path / "state.pt")
    warm = generator_of(steps=1, learning_rate=1e-12)
    warm.fit(context_of(warm_start=tmp_path / "state.pt", seed=8))
    before, after = generator.state()["policy"], warm.state()["policy"]
    assert all(torch.allclose(after[name], value, atol=1e-6) for name, value in before.items())


def test_it_is_a_member_of_a_union(trained):
    spec = {"kind": "gflownet", **generator_of().options.model_dump(mode="json", exclude_unset=True)}
    members = [{"generator": spec}, {"generator": {"kind": "genetic", "generations": 1, "offspring": 20}}]
    union = build("generator", {"kind": "union", "members": members})
    assert isinstance(union, TradingOff)
    union.check(SPACE)
    union.check_objectives(2)
    union.fit(context_of(library=("AAAB", "ABCA", "BCCC", "CCAB")))
    sources = {candidate.source for candidate in union.sample(30, seed=0)}
    assert sources == {"gflownet", "genetic"}
    again = build("generator", {"kind": "union", "members": members})
    again.load_state(union.state(), context_of(library=("AAAB", "ABCA", "BCCC", "CCAB")))
    assert again.sample(30, seed=0) == union.sample(30, seed=0)
    with pytest.raises(ValueError, match="improves one"):
        union.check_objectives(1)


@pytest.mark.parametrize("conditioning", CONDITIONS)
def test_it_is_refused_where_one_objective_is_to_be_improved(conditioning):
    generator = generator_of(conditioning)
    generator.check(SPACE)
    with pytest.raises(ValueError, match=r"weighs several objectives against each other.*Leave `conditioning` out"):
        generator.check_objectives(1)
    with pytest.raises(ValueError, match="this campaign improves one"):
        generator.fit(context_of(utilities=None))


def test_the_number_of_objectives_need_not_be_told_and_must_be_right():
    told = generator_of({**CHEBYSHEV, "objectives": 3})
    told.check_objectives(3)
    with pytest.raises(ValueError, match="is for 3 objectives, and this campaign improves 2"):
        told.check_objectives(2)
    three = utilities_of(KNOWN, of=lambda words: np.zeros((len(words), 3)), known=np.zeros((3, 3)))
    untold = generator_of(steps=2)
    untold.check_objectives(3)
    untold.fit(context_of(utilities=three))
    assert len(untold.sample(20, seed=0)) == 20


def test_a_generator_without_trade_offs_goes_with_any_number_of_objectives():
    for conditioning in (None, {"kind": "inverse_temperature"}):
        generator = generator_of(conditioning, steps=2)
        generator.check_objectives(1)
        generator.check_objectives(5)
        generator.fit(context_of())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_beta": 3.0}, "the policy is not conditioned on beta"),
        ({"conditioning": CONDITIONS["weighted sum"], "sample_beta": 20.0}, r"beta from 0\.5 to 8\.0 only"),
        ({"objective": {"kind": "forward_looking_detailed_balance"}}, "Use 'detailed_balance'"),
        ({"objective": {"kind": "log_partition_variance"}}, "same condition"),
    ],
)
def test_what_does_not_go_with_a_trade_off_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        generator_of(**options).check(SPACE)


@pytest.mark.parametrize("potentials", ["states", "edges"])
def test_learned_potentials_go_with_trade_offs(potentials):
    """They are learnt of the reward under the condition that a trajectory was drawn for."""
    generator_of(objective={"kind": "learned_energy_decomposition", "potentials": potentials}).check(SPACE)
