"""The generator `gflownet` over objects that are no molecules: exact laws, forward-looking objectives, resuming."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.objects import NotStandardError
from models.protocols import GenerationContext
from models.registry import ComponentError, Options, build
from models.spaces.base import BaseSpace

LETTERS = {"kind": "sequence", "alphabet": "ABC", "min_length": 1, "max_length": 3}


class Palindromes(BaseSpace["Palindromes.Options"]):
    """Words of A, B and C; those that are no palindromes are outside if `strict`."""

    kind = "palindromes_of_a_test"
    nouns = ("word", "words")
    features = neighbours = {"kind": "one_hot", "alphabet": "ABC", "length": 8}

    class Options(Options):
        strict: bool = False

    def told(self):
        return "words"

    def standard(self, text):
        if not text or set(text) - set("ABC"):
            raise NotStandardError("letters other than A, B and C")
        return text

    def outside(self, obj):
        return "no palindrome" if self.options.strict and obj != obj[::-1] else None


def log_reward(words):
    return np.array([1.5 * word.count("A") - 0.5 * word.count("C") for word in words])


def context_of(**values):
    return GenerationContext(**{"space": Palindromes(), "log_reward": log_reward, "seed": 3, **values})


def generator_of(environment=LETTERS, **values):
    plain = {"kind": "plain", "environment": environment, "policy": {"kind": "mlp", "hidden": [32]}}
    options = {"steps": 150, "batch_size": 32, "learning_rate": 0.02, "max_states": 1000, "construction": plain}
    return build("generator", {"kind": "gflownet", **options, **values})


@pytest.mark.parametrize("max_states", [1000, 0], ids=["table", "states"])
def test_words_are_sampled_in_proportion_to_their_reward(max_states):
    generator = generator_of(max_states=max_states)
    generator.fit(context_of())
    drawn = generator.sample(39, seed=1)
    assert len({candidate.smiles for candidate in drawn}) == len(drawn) > 25
    words = [word for length in (1, 2, 3) for word in _words(length)]
    target = np.exp(log_reward(words))
    target = dict(zip(words, target / target.sum(), strict=True))
    gap = [abs(np.exp(candidate.log_prob) - target[candidate.smiles]) for candidate in drawn]
    assert sum(gap) / 2 < 0.1


def _words(length):
    return [first + rest for first in "ABC" for rest in (_words(length - 1) if length > 1 else [""])]


def test_the_history_of_a_small_space_has_the_exact_distance_to_the_reward():
    generator = generator_of(evaluate_every=50, learning_rate=0.005)
    generator.fit(context_of())
    judged = [row for row in generator.history() if "tv" in row]
    assert [row["step"] for row in judged] == [50.0, 100.0, 150.0]
    assert judged[-1]["tv"] < 0.1 < judged[0]["tv"] < 1
    assert judged[-1]["log_z_error"] < 0.1


def test_words_outside_the_space_are_not_proposed():
    generator = generator_of(steps=400)
    generator.fit(context_of(space=Palindromes(strict=True)))
    drawn = [candidate.smiles for candidate in generator.sample(30, seed=0)]
    palindromes = {word for length in (1, 2, 3) for word in _words(length) if word == word[::-1]}
    assert {"A", "AA", "AAA"} <= set(drawn) <= palindromes
    assert generator.history()[-1]["tv"] < 0.2


@pytest.mark.parametrize("objective", ["forward_looking_detailed_balance", "forward_looking_sub_trajectory_balance"])
def test_objectives_that_look_forward_work_where_unfinished_words_are_words(objective):
    generator = generator_of(objective={"kind": objective}, steps=300)
    generator.fit(context_of())
    assert generator.history()[-1]["tv"] < 0.1
    fixed = generator_of(environment={**LETTERS, "min_length": 3}, objective={"kind": objective})
    with pytest.raises(ValueError, match="reward of unfinished words, which the construction 'plain' does not have"):
        fixed.check(Palindromes())


def test_learned_potentials_need_no_reward_of_what_is_unfinished():
    environment, objective = {**LETTERS, "min_length": 3}, {"kind": "learned_energy_decomposition"}
    generator = generator_of(environment=environment, objective=objective, steps=200, learning_rate=0.01)
    generator.fit(context_of())
    assert generator.history()[-1]["tv"] < 0.1


@pytest.mark.parametrize("on", ["states", "edges"])
def test_learned_potentials_outlive_a_kill_and_go_on_in_the_next_round(tmp_path, on):
    def kill(done, total, metrics):
        if done == 15:
            raise KeyboardInterrupt

    objective = {"kind": "learned_energy_decomposition", "potentials": on, "balance": "sub_trajectory"}
    few = {"objective": objective, "steps": 20, "checkpoint_every": 10}
    whole, context = generator_of(**few), context_of(library=("AAA", "ABC"), checkpoint=tmp_path / "checkpoint.pt")
    whole.fit(replace(context, checkpoint=None))
    with pytest.raises(KeyboardInterrupt):
        generator_of(**few).fit(replace(context, progress=kill))
    again = generator_of(**few)
    again.fit(context)
    assert again.history() == whole.history()
    torch.save(again.state(), tmp_path / "state.pt")
    still = {"steps": 1, "learning_rate": 1e-12, "objective": {**objective, "potential_rate": 1e-12}}
    next_round = generator_of(**still)
    next_round.fit(context_of(warm_start=tmp_path / "state.pt", seed=4))
    for name, value in whole.state()["potentials"].items():
        assert torch.allclose(next_round.state()["potentials"][name], value, atol=1e-6)


def test_a_killed_training_on_a_table_ends_with_the_same_candidates(tmp_path):
    def kill(done, total, metrics):
        if done == 70:
            raise KeyboardInterrupt

    whole = generator_of()
    whole.fit(context_of(library=("AAA", "ABC"), known=("CCC",), known_log_reward=np.array([-1.5])))
    context = context_of(
        library=("AAA", "ABC"), known=("CCC",), known_log_reward=np.array([-1.5]), checkpoint=tmp_path / "checkpoint.pt"
    )
    with pytest.raises(KeyboardInterrupt):
        generator_of().fit(replace(context, progress=kill))
    again = generator_of()
    again.fit(context)
    assert again.sample(20, seed=2) == whole.sample(20, seed=2)
    assert again.history() == whole.history()


def test_a_checkpoint_of_other_options_is_said_to_be_so_and_training_begins_anew(tmp_path, caplog):
    context = context_of(checkpoint=tmp_path / "checkpoint.pt")
    generator_of(steps=50).fit(context)
    other = generator_of(steps=60)
    other.fit(context)
    assert "is of another training; this one begins anew" in caplog.text
    assert [row["step"] for row in other.history()] == [float(step) for step in range(1, 61)]


def test_a_path_of_the_construction_starts_at_the_folder_of_the_file(tmp_path):
    construction = {"kind": "fragments", "vocabulary": "small.json"}
    made = build("generator", {"kind": "gflownet", "construction": construction}, base=tmp_path)
    assert made.options.construction["vocabulary"] == str(tmp_path / "small.json")
    with pytest.raises(ComponentError, match="no option 'vocabulry'"):
        build("generator", {"kind": "gflownet", "construction": {"kind": "fragments", "vocabulry": 1}}, base=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"construction": None}, "does not say how a GFlowNet builds its words"),
        ({"construction": {"kind": "fragments"}}, "The construction 'fragments' is for molecules"),
        ({"dim": 16}, "told twice: by `construction` and by the generator's own dim"),
        ({"construction": {"kind": "plain", "environment": {"kind": "hypergrid"}}}, "cannot say how a known object"),
    ],
)
def test_a_construction_that_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        generator_of(**options).check(Palindromes())
