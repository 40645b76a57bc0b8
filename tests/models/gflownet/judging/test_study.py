"""A sampler file becomes a training that is judged by facts; what does not go together is refused before it begins."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from data.config import ConfigError
from data.sampler_config import parse_sampler
from data.tables.obtain import ObtainError
from models.gflownet.environments.base import Environment
from models.gflownet.judging.evaluation import HeldOut, Seen, overlap_distance
from models.gflownet.judging.exact import enumerate_graph, forward_log_probs, merge, target_law, terminal_law
from models.gflownet.judging.metrics import hamming_distance
from models.gflownet.judging.study import build_study
from models.registry import ComponentError, find, kinds

GRID = {"kind": "hypergrid", "dimensions": 2, "height": 6}
QUICK = {"steps": 300, "batch_size": 32, "learning_rate": 5e-3, "replay_share": 0.0, "evaluate_every": 100}
SMALL_MLP = {"kind": "mlp", "hidden": [32, 32]}
OTHERS = {"masked": "total"}
"""Rewards of objects that all have one length."""
LENGTH = """
def length(objects):
    return [1.0 + len(item) for item in objects]

def total(objects):
    return [1.0 + sum(item) for item in objects]

def shout(objects):
    raise RuntimeError("no idea")
"""


@pytest.fixture
def built(tmp_path):
    """Builds the study of some keys of a file, in a folder with a module of rewards."""
    (tmp_path / "my_reward.py").write_text(LENGTH)

    def build(**keys):
        config = {"environment": GRID, "policy": SMALL_MLP, "training": QUICK, **keys}
        return build_study(parse_sampler(config), home=tmp_path, base=tmp_path)

    return build


def trained(study, seed=0):
    session = study.start(seed)
    session.trainer.train()
    return session


def test_training_brings_the_exact_law_near_the_target_and_the_figures_say_so(built):
    study = built()
    untrained = study.start(0).evaluator()
    session = trained(study)
    rows = [row for row in session.trainer.history if "tv" in row]
    assert [row["step"] for row in rows] == [100, 200, 300]
    assert rows[-1]["tv"] < 0.05 < 0.2 < untrained["tv"]
    assert rows[-1]["l1_sum"] == pytest.approx(2 * rows[-1]["tv"])
    assert rows[-1]["log_z_error"] < 0.1
    (law,) = session.laws()
    assert law.policy.sum() == pytest.approx(1.0, abs=1e-5)
    assert 0.5 * np.abs(law.policy - law.target).sum() == pytest.approx(rows[-1]["tv"])


def test_the_figures_over_a_table_are_those_of_the_environment_itself(built):
    study = built()
    session = study.start(0)
    own = enumerate_graph(study.base)
    policy = study.recipe.build(study.base, torch.Generator())
    policy.load_state_dict(session.trainer.policy.state_dict())
    law = merge(own.objects, terminal_law(own, forward_log_probs(own, policy)))
    target = merge(own.objects, target_law(study.base.log_reward(own.states[own.terminal]).numpy()))
    expected = 0.5 * sum(abs(law[key] - target[key]) for key in law)
    assert session.evaluator()["tv"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", list(kinds("environment")))
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "samples"])
def test_every_registered_environment_can_be_trained_and_judged(built, kind, exact):
    cls = find("environment", kind)
    own = cls.log_reward is not Environment.log_reward
    study = built(
        environment={"kind": kind, **{k: list(v) if isinstance(v, tuple) else v for k, v in cls.small.items()}},
        policy={"fragments": {"kind": "fragment_transformer", "dim": 16, "layers": 1, "heads": 2}}.get(kind, SMALL_MLP),
        reward={"kind": "environment"}
        if own
        else {"kind": "python", "function": f"my_reward:{OTHERS.get(kind, 'length')}"},
        training={"steps": 2, "batch_size": 8, "evaluate_every": 1},
        evaluation={"max_states": 50_000 if exact else 0, "held_out": 8, "draws": 2, "samples": 16},
    )
    study.try_out()
    row = trained(study).trainer.history[-1]
    if exact:
        assert 0 < row["tv"] < 1
        assert row["log_z_error"] >= 0
    else:
        assert -1 <= row["pearson"] <= 1
        assert row["reward_calls"] >= row["modes"]
        assert row["mean_reward"] > 0


def test_the_graph_network_is_judged_exactly_on_atoms(built):
    small = find("environment", "atoms").small
    study = built(
        environment={"kind": "atoms", **{k: list(v) if isinstance(v, tuple) else v for k, v in small.items()}},
        policy={"kind": "graph", "dim": 16, "layers": 1},
        reward={"kind": "python", "function": "my_reward:length"},
        training={"steps": 2, "batch_size": 8, "evaluate_every": 1},
    )
    assert "exactly" in study.judged_by()
    assert 0 < trained(study).trainer.history[-1]["tv"] < 1


def test_evaluating_more_often_does_not_change_the_training(built):
    for limit in (1000, 0):
        losses = [
            [
                row["loss"]
                for row in trained(
                    built(
                        training={**QUICK, "steps": 20, "evaluate_every": every},
                        evaluation={"max_states": limit, "samples": 8, "draws": 2},
                    )
                ).trainer.history
            ]
            for every in (2, 20)
        ]
        assert losses[0] == losses[1]


def test_log_p_from_samples_agrees_with_the_exact_law(built):
    """The correlation of estimates is that of the exact log p over the same objects, if there are enough draws."""
    keys = {"environment": {**GRID, "reward": "cosine"}, "training": {**QUICK, "steps": 60}}
    session = trained(built(**keys, evaluation={"max_states": 0, "held_out": 36, "draws": 200}))
    exact = trained(built(**keys))
    held_out = session.evaluator.held_out
    (law,) = exact.laws()
    log_p = dict(zip(law.objects, np.log(law.policy), strict=True))
    objects = exact.trainer.env.base.decode(held_out.states)
    expected = np.corrcoef([log_p[key] for key in objects], held_out.log_reward)[0, 1]
    assert session.trainer.history[-1]["pearson"] == pytest.approx(expected, abs=0.03)


def test_modes_are_counted_against_the_distinct_objects_the_reward_was_asked_for(built):
    study = built(training={**QUICK, "steps": 10}, evaluation={"mode_reward": 0.55, "top_k": 5})
    session = study.start(0)
    asked, judge = [], session.trainer.reward.reward

    def reward(states):
        judged = judge(states)
        asked.extend(zip(judged[1], judged[0].exp().tolist(), strict=True))
        return judged

    session.seen.reward = reward
    session.trainer.train()
    row, distinct = session.trainer.history[-1], dict(asked)
    assert row["reward_calls"] == len(distinct) < len(asked) == 10 * 32
    assert row["modes"] == sum(value > 0.55 for value in distinct.values()) > 0
    assert row["top_reward"] == pytest.approx(np.mean(sorted(distinct.values())[-5:]))


def test_held_out_objects_are_distinct_spread_over_the_rewards_and_the_same_for_all_seeds(built):
    study = built(
        environment={"kind": "set", "elements": 12, "chosen": 5}, evaluation={"max_states": 0, "held_out": 10}
    )
    first, second = (study.start(seed).evaluator.held_out for seed in (0, 1))
    assert torch.equal(first.states.count, second.states.count)
    assert len(set(study.env.decode(first.states))) == len(first.log_reward) == 10
    assert first.log_reward.max() == first.best
    gaps = first.log_reward.sort().values.diff()
    assert gaps.max() < 0.25 * (first.log_reward.max() - first.log_reward.min())


def test_a_conditional_sampler_is_judged_at_each_condition(built):
    study = built(
        conditioning={"kind": "inverse_temperature", "low": 0.5, "high": 3.0},
        evaluation={"conditions": [1, 3]},
        training={**QUICK, "steps": 400},
    )
    row = trained(study).trainer.history[-1]
    assert {key for key in row if key.startswith("tv")} == {"tv/beta_1", "tv/beta_3"}
    assert row["tv/beta_1"] < 0.15
    target = {case.name: target_law(case.log_reward(torch.tensor([0.0, 1.0])).numpy()) for case in study.cases}
    assert target["/beta_3"][1] == pytest.approx(1 / (1 + math.exp(-3)))


def test_a_space_is_sampled_by_its_construction_and_its_objects_are_those_of_campaigns(built):
    space = {"kind": "subsets", "items": ["a", "b", "c", "d"], "size": 2}
    study = built(environment=None, policy=None, space=space, reward={"kind": "python", "function": "my_reward:length"})
    # The function sees lists of two names, so every subset has the reward 3, and Z = 6 * 3.
    session = trained(study)
    (law,) = session.laws()
    assert sorted(map(str, law.objects)) == ["a, b", "a, c", "a, d", "b, c", "b, d", "c, d"]
    assert np.allclose(law.target, 1 / 6)
    assert session.evaluator()["tv"] < 0.02
    assert math.exp(session.trainer.partition.value.item()) == pytest.approx(18, rel=0.1)
    assert study.details["space"]["items"] == ["a", "b", "c", "d"]


def test_what_is_outside_a_space_has_the_least_reward(built):
    space = {"kind": "sequences", "alphabet": "AB", "length": 3, "pattern": "A.*"}
    (law,) = (
        built(environment=None, policy=None, space=space, reward={"kind": "python", "function": "my_reward:length"})
        .start(0)
        .laws()
    )
    assert {obj for obj in law.objects if obj is not None} == {"AAA", "AAB", "ABA", "ABB"}
    assert law.target[[obj is None for obj in law.objects]].sum() < 1e-7


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, "by `environment`, by `space` .* or by `density`"),
        ({"space": {"kind": "subsets", "n": 3}, "environment": GRID}, "give one"),
        ({"space": {"kind": "subsets", "n": 3}, "policy": SMALL_MLP}, "belongs to its `construction`"),
        ({"environment": GRID, "construction": {"kind": "plain"}}, "give `space` too"),
        ({"space": {"kind": "subsets", "n": 3}, "construction": {"kind": "letters"}}, "is for sequences"),
        ({"space": {"kind": "compositions", "elements": ["Ti", "O"]}}, "does not say how a GFlowNet"),
        ({"space": {"kind": "subsets", "n": 3}}, "has no reward of its own"),
    ],
)
def test_what_is_sampled_is_told_once(built, keys, told):
    with pytest.raises((ConfigError, ComponentError), match=told):
        built(**{"environment": None, "policy": None, **keys})


def test_the_conditions_are_one_the_middle_and_the_end_of_the_range_if_none_are_given(built):
    conditioning = {"kind": "inverse_temperature", "low": 0.5, "high": 8.5}
    assert [case.name for case in built(conditioning=conditioning).cases] == ["/beta_1", "/beta_4.5", "/beta_8.5"]


@pytest.mark.parametrize(
    ("objective", "told"), [("trajectory_balance", True), ("log_partition_variance", False), ("reverse_kl", False)]
)
def test_the_error_of_log_z_is_told_where_log_z_is_learnt(built, objective, told):
    session = trained(built(objective={"kind": objective}, training={**QUICK, "steps": 3}))
    assert ("log_z_error" in session.trainer.history[-1]) == told


def test_a_learned_backward_policy_has_a_network_of_its_own_which_is_trained_and_kept(built):
    study = built(backward_policy={"kind": "learned"}, training={**QUICK, "steps": 5})
    before = study.start(0).state()["backward"]
    after = trained(study).state()["backward"]
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_the_identity_is_that_of_the_training_and_not_of_its_spelling_or_seeds(built, tmp_path):
    python = {"kind": "python", "function": "my_reward:length"}
    known = built(reward=python).identity
    assert built(reward=python, seeds=[3, 4]).identity == known
    assert built(reward={**python, "floor": 1e-8}).identity == known
    assert built(reward=python, training={**QUICK, "steps": 301}).identity != known
    (tmp_path / "my_reward.py").write_text(LENGTH + "\n# changed\n")
    assert built(reward=python).identity != known


def test_a_table_is_looked_up_by_the_string(built, monkeypatch):
    values = np.random.default_rng(0).random(4**8)
    monkeypatch.setattr("models.gflownet.rewards.recipes.load_tfbind8", lambda home: values)
    study = built(
        environment={"kind": "sequence", "alphabet": "ACGT", "max_length": 8},
        reward={"kind": "table", "exponent": 1, "scale": 1},
        evaluation={"max_states": 0, "held_out": 4},
    )
    found = HeldOut.draw(study.start(0).trainer, study.reward, 4)
    for text, log_reward in zip(study.env.decode(found.states), found.log_reward.tolist(), strict=True):
        number = int(text.translate(str.maketrans("ACGT", "0123")), 4)
        assert math.exp(log_reward) == pytest.approx(max(values[number] / values.max(), 1e-3))


CONDITIONAL = {"kind": "inverse_temperature"}


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"environment": {"kind": "hypergird"}}, "Did you mean 'hypergrid'"),
        ({"environment": {**GRID, "hight": 3}}, "Did you mean 'height'"),
        ({"policy": {"kind": "mpl"}}, "Did you mean 'mlp'"),
        ({"policy": {"kind": "graph"}}, "'graph' is made for environments of kind 'atoms'.*Use the policy 'mlp'"),
        ({"environment": {"kind": "fragments"}}, "Use the policy 'fragment_transformer'"),
        ({"training": {"stps": 3}}, "unknown key 'stps'.*Did you mean 'steps'"),
        ({"training": {"epsilon": {"shape": "linear", "strat": 1.0, "end": 0.0}}}, "training cannot be used"),
        ({"reward": {"kind": "python", "function": "my_reward"}}, "module:function"),
        ({"reward": {"kind": "python", "function": "nowhere:f"}}, "no module 'nowhere'.*beside the sampler file"),
        ({"reward": {"kind": "python", "function": "my_reward:lenght"}}, "no function 'lenght'.*mean 'length'"),
        ({"environment": {"kind": "atoms"}}, "'atoms' has no reward of its own.*kind: python"),
        ({"reward": {"kind": "table"}}, "8 letters out of A, C, G, T"),
        ({"environment": {"kind": "set"}, "objective": {"kind": "modified_detailed_balance"}}, "'set' is not"),
        ({"conditioning": {"kind": "preference"}}, "one reward.*inverse_temperature"),
        ({"conditioning": CONDITIONAL, "evaluation": {"conditions": [64]}}, "must be from 0.5 to 32"),
        ({"conditioning": CONDITIONAL, "evaluation": {"conditions": [[1, 2]]}}, "has 1 numbers"),
        ({"evaluation": {"conditions": [1]}}, "no `conditioning`"),
        ({"policy": {"kind": "mlp", "scale_logits": True}}, "needs a `conditioning`"),
        (
            {
                "policy": {"kind": "mlp", "scale_logits": True},
                "conditioning": CONDITIONAL,
                "objective": {"kind": "detailed_balance"},
            },
            "learns flows",
        ),
        ({"seeds": [1, 1]}, "each seed is trained once"),
        ({"seed": 1}, "unknown key 'seed'.*Did you mean 'seeds'"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_to_do(built, keys, match):
    with pytest.raises((ConfigError, ComponentError), match=f"(?s){match}"):
        built(**keys)


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"reward": {"kind": "python", "function": "my_reward:shout"}}, "my_reward:shout raised RuntimeError: no idea"),
        (
            {
                "environment": {"kind": "fragments", "only": ["c1ccccc1", "O"], "max_heavy_atoms": 8},
                "reward": {"kind": "python", "function": "my_reward:length"},
                "policy": {"kind": "fragment_transformer", "dim": 16, "layers": 1, "heads": 2},
                "backward_policy": {"kind": "maximum_entropy"},
                "evaluation": {"max_states": 0},
            },
            "cannot count",
        ),
        ({"conditioning": CONDITIONAL, "objective": {"kind": "log_partition_variance"}}, "same condition"),
        ({"objective": {"kind": "reverse_kl"}, "training": {"replay_share": 0.5}}, "expected 0 and none"),
    ],
)
def test_what_only_a_step_can_tell_is_refused_by_trying_one(built, keys, match):
    with pytest.raises(ConfigError, match=f"(?s)cannot be trained.*{match}"):
        built(**keys).try_out()


def test_a_table_that_was_not_obtained_is_refused_with_the_command(built):
    with pytest.raises(ObtainError, match="discover data tfbind8"):
        built(environment={"kind": "sequence", "alphabet": "ACGT", "max_length": 8}, reward={"kind": "table"})


def test_a_space_of_one_reward_cannot_be_judged_from_samples(built):
    study = built(environment={**GRID, "r1": 0, "r2": 0}, evaluation={"max_states": 0})
    with pytest.raises(ConfigError, match="too few to compare"):
        study.start(0)


def test_what_was_seen_is_told_as_if_each_object_was_asked_for_once():
    seen = Seen(None, top_k=2, distance=hamming_distance, cutoff=1)
    seen.begin(math.log(2))
    seen.take(["aa", "ab", None, "aa"], [math.log(2), math.log(3), 9.0, math.log(2)])
    seen.take(["bb", "ab"], [math.log(2), math.log(3)])
    assert seen.drain() == [("aa", math.log(2)), ("ab", math.log(3)), ("bb", math.log(2))]
    assert seen.drain() == []
    figures = seen.figures()
    assert figures["reward_calls"] == 3
    assert figures["modes"] == 1  # aa and bb are one letter from ab, the best
    assert figures["top_reward"] == pytest.approx(2.5)
    assert figures["top_diversity"] == 1


def test_the_distance_by_overlap_ignores_order_and_counts_what_is_not_shared():
    found = overlap_distance([(1, 2, 3), (1, 1, 2)], [(3, 2, 4), (1,)])
    assert found.tolist() == [[1, 2], [2, 2]]
    assert Counter("aab") == Counter("aba")
