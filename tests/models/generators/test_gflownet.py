"""The generator `gflownet` through the Generator protocol, on a small vocabulary."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from rdkit import Chem

from data.chemistry.molecules import identity
from data.chemistry.vocabulary import VocabularyError, default_vocabulary
from models.generators import gflownet as module
from models.gflownet.construction.fragments import Fragments
from models.gflownet.training import prior
from models.protocols import GenerationContext, Generator
from models.registry import ComponentError, build
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=12, min_heavy_atoms=4, elements=("H", "C", "N", "O"))
SMALL = {"steps": 8, "batch_size": 16, "dim": 16, "layers": 1, "heads": 2, "checkpoint_every": 3, "warm_up_steps": 2}
LIBRARY = ("Cc1ccccc1O", "N#Cc1ccccc1", "CC(=O)Nc1ccccc1", "COc1ccccc1", "CCOC(C)=O", "CNC(=O)C=C", "Oc1ccncc1")

KNOWN = ("N#Cc1ccccc1", "NC(=O)CC=O", "Cc1ccccc1O")


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "small.json"
    names = ["C", "N", "O", "CC", "C=O", "C=C", "C#N", "c1ccccc1", "c1ccncc1", "Cl"]
    default_vocabulary().restrict(names).save(path)
    return path


def nitrogens(molecules):
    return np.array([2.0 * smiles.upper().count("N") - 0.05 * len(smiles) for smiles in molecules])


def context_of(**values):
    return GenerationContext(**{"space": SPACE, "log_reward": nitrogens, "seed": 3, "library": LIBRARY, **values})


def generator_of(vocabulary, **values):
    return build("generator", {"kind": "gflownet", "vocabulary": str(vocabulary), **SMALL, **values})


@pytest.fixture(scope="module")
def training(vocabulary, tmp_path_factory):
    """A trained generator, the folder of its checkpoint, and the steps that it told of."""
    folder, seen, generator = tmp_path_factory.mktemp("training"), [], generator_of(vocabulary)
    tell = lambda done, total, metrics: seen.append((done, total))  # noqa: E731
    generator.fit(context_of(checkpoint=folder / "checkpoint.pt", progress=tell))
    return generator, folder, seen


@pytest.fixture(scope="module")
def fitted(training):
    return training[0]


@pytest.fixture
def checkpoint(training, tmp_path):
    """A copy of the checkpoint."""
    return shutil.copytree(training[1], tmp_path / "training") / "checkpoint.pt"


def test_it_keeps_the_protocol(fitted):
    assert isinstance(fitted, Generator)


def test_candidates_are_distinct_members_of_the_space(fitted):
    candidates = fitted.sample(40, seed=1)
    assert len({c.id for c in candidates}) == len(candidates) == 40
    for candidate in candidates:
        mol = Chem.MolFromSmiles(candidate.smiles)
        assert Chem.MolToSmiles(mol) == candidate.smiles
        assert candidate.id == identity(candidate.smiles)
        assert candidate.source == "gflownet"
        assert 4 <= mol.GetNumHeavyAtoms() <= 12
        assert {atom.GetSymbol() for atom in mol.GetAtoms()} <= {"C", "N", "O"}
        assert candidate.log_prob < 0


def test_the_seed_of_sampling_decides(fitted):
    assert fitted.sample(10, seed=1) == fitted.sample(10, seed=1)
    assert fitted.sample(10, seed=1) != fitted.sample(10, seed=2)


def test_history_has_one_row_per_step(fitted):
    history = fitted.history()
    assert [row["step"] for row in history] == [float(step) for step in range(1, 9)]
    assert all({"loss", "log_z", "log_reward", "unique"} <= set(row) for row in history)
    assert all(0 < row["unique"] <= 1 for row in history)


def test_progress_is_reported(training):
    assert training[2] == [(step, 8) for step in range(1, 9)]


BETAS = {"kind": "inverse_temperature", "low": 0.5, "high": 2.0, "bins": 4}
VARIANTS = {
    "fragments": {},
    "fragments, tied": {"backward": {"kind": "tied"}},
    "fragments, learned": {"backward": {"kind": "learned"}},
    "atoms": {"environment": "atoms"},
    "atoms, learned, conditioned": {
        "environment": "atoms",
        "backward": {"kind": "learned"},
        "conditioning": BETAS,
        "sampling_decay": 0.5,
    },
}


def variant_of(name, vocabulary, **values):
    given = {} if VARIANTS[name].get("environment") == "atoms" else {"vocabulary": str(vocabulary)}
    return build("generator", {"kind": "gflownet", **given, **SMALL, **VARIANTS[name], "evaluate_every": 4, **values})


@pytest.fixture(scope="module")
def trained(vocabulary):
    """Trains a variant, or gives the one that is trained already."""

    @cache
    def train(name):
        generator = variant_of(name, vocabulary)
        generator.fit(context_of(known=KNOWN, known_log_reward=nitrogens(KNOWN)))
        return generator

    return train


@pytest.fixture(scope="module", params=list(VARIANTS))
def variant(request, trained):
    return request.param, trained(request.param)


def flat(state, prefix=""):
    """Tensors and plain values of a state by path."""
    if not isinstance(state, dict):
        return {prefix: state}
    return {key: value for name in state for key, value in flat(state[name], f"{prefix}/{name}").items()}


def assert_equal_states(got, expected):
    got, expected = flat(got), flat(expected)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(got[name], value) if isinstance(value, torch.Tensor) else got[name] == value, name


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    ("name", "killed_at"),
    [*((name, 5) for name in VARIANTS), ("fragments", 3), ("atoms, learned, conditioned", 3)],
)
def test_a_killed_training_ends_with_the_same_state_when_called_again(vocabulary, trained, tmp_path, name, killed_at):
    def kill(done, total, metrics):
        if done == killed_at:
            raise Killed

    whole = trained(name)
    context = context_of(known=KNOWN, known_log_reward=nitrogens(KNOWN), checkpoint=tmp_path / "checkpoint.pt")
    with pytest.raises(Killed):
        variant_of(name, vocabulary).fit(replace(context, progress=kill))
    # Killed at step 3, the checkpoint of that step is not written yet: only what was found is.
    assert context.checkpoint.exists() == (killed_at > 3)
    again = variant_of(name, vocabulary)
    again.fit(context)
    assert_equal_states(again.state(), whole.state())
    assert again.history()[-1]["reward_calls"] > 0
    assert again.sample(10, seed=4) == whole.sample(10, seed=4)


@pytest.mark.parametrize("name", ["checkpoint.pt", "checkpoint.pt.found"])
@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: b""], ids=["truncated", "emptied"])
def test_a_damaged_checkpoint_is_said_to_be_so_and_training_begins_anew(
    vocabulary, fitted, checkpoint, caplog, name, damage
):
    file = checkpoint.with_name(name)
    file.write_bytes(damage(file.read_bytes()))
    again = generator_of(vocabulary)
    again.fit(context_of(checkpoint=checkpoint))
    assert f"{file} is damaged; the training begins anew" in caplog.text
    assert_equal_states(again.state(), fitted.state())


def test_a_checkpoint_without_its_record_of_what_was_found_is_refused(vocabulary, checkpoint):
    for path in checkpoint.parent.glob("*.found"):
        path.unlink()
    with pytest.raises(ValueError, match="Remove the checkpoint to train anew"):
        generator_of(vocabulary).fit(context_of(checkpoint=checkpoint))


def test_every_variant_proposes_distinct_members_of_the_space(variant):
    _, generator = variant
    found = generator.sample(20, seed=1)
    assert len({candidate.id for candidate in found}) == len(found) == 20
    for candidate in found:
        mol = Chem.MolFromSmiles(candidate.smiles)
        assert candidate.id == identity(Chem.MolToSmiles(mol))
        assert 4 <= mol.GetNumHeavyAtoms() <= 12
        assert {atom.GetSymbol() for atom in mol.GetAtoms()} <= {"C", "N", "O"}
        assert np.isfinite(candidate.log_prob)


def test_the_state_of_every_variant_goes_through_a_file_of_weights_only(vocabulary, variant, tmp_path):
    name, generator = variant
    torch.save(generator.state(), tmp_path / "state.pt")
    again = variant_of(name, vocabulary)
    again.load_state(torch.load(tmp_path / "state.pt", weights_only=True), context_of())
    assert again.sample(10, seed=5) == generator.sample(10, seed=5)
    assert_equal_states(again.state(), generator.state())


def test_every_variant_starts_warm(vocabulary, variant, tmp_path):
    name, generator = variant
    torch.save(generator.state(), tmp_path / "state.pt")
    warm = variant_of(name, vocabulary, steps=1, learning_rate=1e-12)
    warm.fit(context_of(warm_start=tmp_path / "state.pt", seed=8))
    before, after = generator.state(), warm.state()
    for part in ("policy", "backward"):
        assert (before[part] is None) == (after[part] is None)
        for key, value in (before[part] or {}).items():
            assert torch.allclose(after[part][key], value, atol=1e-6)


def test_only_a_learned_backward_policy_has_a_network_of_its_own_and_training_moves_it(vocabulary, variant):
    name, generator = variant
    state = generator.state()
    assert (state["backward"] is not None) == ("learned" in name)
    if state["backward"] is not None:
        untrained = variant_of(name, vocabulary, steps=1, learning_rate=1e-12, warm_up_steps=0)
        untrained.fit(context_of(known=KNOWN, known_log_reward=nitrogens(KNOWN)))
        start = untrained.state()["backward"]
        assert any(not torch.allclose(start[key], value, atol=1e-5) for key, value in state["backward"].items())


def test_evaluations_stand_at_their_steps_and_at_the_end(variant):
    _, generator = variant
    history = generator.history()
    figures = {"spearman", "pearson", "modes", "reward_calls", "top_reward", "top_log_reward", "top_diversity"}
    assert [row["step"] for row in history if figures <= set(row)] == [4.0, 8.0]
    assert [row["step"] for row in history if figures & set(row)] == [4.0, 8.0]
    first, last = history[3], history[7]
    assert 20 <= first["reward_calls"] < last["reward_calls"]
    assert first["modes"] <= last["modes"] <= last["reward_calls"]
    assert first["top_log_reward"] <= last["top_log_reward"]
    for row in (first, last):
        assert -1 <= row["spearman"] <= 1
        assert 0 < row["top_diversity"] < 1


def test_what_is_evaluated_changes_nothing_in_training(vocabulary):
    states = []
    for values in ({"evaluate_every": 2}, {"held_out_molecules": 0}):
        generator = generator_of(vocabulary, **values)
        generator.fit(context_of())
        states.append(generator.state())
    assert_equal_states(*({**state, "history": None} for state in states))
    assert "spearman" not in states[1]["history"][-1]


def test_held_out_molecules_are_never_imitated_or_replayed(vocabulary, monkeypatch):
    seen, given = {}, []
    monkeypatch.setattr(
        module, "SampledEvaluator", lambda trainer, *given, **values: seen.update(values, trainer=trainer) or dict
    )
    monkeypatch.setattr(module, "imitate", lambda trainer, bound, members, *rest: given.extend(members))
    generator = generator_of(vocabulary, library_molecules=3, held_out_molecules=6, steps=1)
    generator.fit(context_of(known=KNOWN, known_log_reward=nitrogens(KNOWN)))
    held_out = set(seen["trainer"].env.decode(seen["held_out"].states))
    assert len(held_out) == len(seen["held_out"].log_reward) == 6
    assert len(given) == 3
    assert held_out & set(LIBRARY)
    assert not held_out & {member.object for member in given}
    assert not held_out & set(KNOWN)


def test_conditioned_candidates_are_drawn_at_the_highest_beta_or_at_the_one_asked_for(vocabulary, trained):
    # One beta of the range is drawn with one policy: only `sample_beta` tells the two generators apart.
    name = "atoms, learned, conditioned"
    highest, same, lowest = trained(name), *(variant_of(name, vocabulary, sample_beta=beta) for beta in (2.0, 0.5))
    for generator in (same, lowest):
        generator.load_state(highest.state(), context_of())
    assert same.sample(10, seed=0) == highest.sample(10, seed=0)
    assert lowest.sample(10, seed=0) != highest.sample(10, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_higher_beta_gives_better_molecules(vocabulary):
    small = Molecules(max_heavy_atoms=6, min_heavy_atoms=2, elements=("H", "C", "N"))
    options = {"conditioning": {**BETAS, "low": 0.1, "high": 3.0}, "dim": 32, "learning_rate": 5e-3, "max_rings": 1}
    trained = variant_of("atoms", vocabulary, **options, steps=100, batch_size=32)
    trained.fit(context_of(library=(), space=small))
    means = []
    for beta in (0.1, 3.0):
        generator = variant_of("atoms", vocabulary, **options, sample_beta=beta)
        generator.load_state(trained.state(), context_of(space=small))
        means.append(nitrogens([candidate.smiles for candidate in generator.sample(60, seed=0)]).mean())
    assert means[1] > means[0] + 1.0


def test_fragments_under_different_conditions_are_told_apart(vocabulary):
    space = Fragments(vocabulary=vocabulary, max_fragments=4, dim=16, layers=1, heads=2, prior=0.0).bind(SPACE)
    noise = torch.Generator().manual_seed(0)
    policy = space.policy(conditions=2, generator=noise)
    roots = space.env.tables.root_ok.nonzero()[:2, 0]
    states = space.env.step(space.env.source(2), 1 + roots)
    conditions = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    together = policy.backward_logits(states, conditions)
    alone = [policy.backward_logits(states[i : i + 1], conditions[i : i + 1]) for i in range(2)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


REFUSED = {
    "maximum_entropy": ({"backward": {"kind": "maximum_entropy"}}, "cannot count the trajectories"),
    "an on-policy objective with replay": ({"objective": {"kind": "reverse_kl"}}, "expected 0 and none"),
    "an on-policy objective with local search": (
        {"objective": {"kind": "forward_kl"}, "replay_share": 0, "local_search": {}},
        "expected 0 and none",
    ),
    "a forward-looking objective": (
        {"objective": {"kind": "forward_looking_detailed_balance"}},
        "reward of unfinished molecules, which .*Use 'detailed_balance'",
    ),
    "an objective that stops everywhere": ({"objective": {"kind": "modified_detailed_balance"}}, "every state may"),
    "an objective that compares, with conditioning": (
        {"objective": {"kind": "log_partition_variance"}, "conditioning": BETAS},
        "trajectories of the same condition",
    ),
    "a beta without conditioning": ({"sample_beta": 2.0}, "not conditioned on beta"),
    "a beta that was not trained": ({"conditioning": BETAS, "sample_beta": 3.0}, "beta from 0.5 to 2.0 only"),
}


@pytest.mark.parametrize("environment", ["fragments", "atoms"])
@pytest.mark.parametrize("name", list(REFUSED))
def test_what_cannot_be_trained_is_refused_by_the_check(vocabulary, environment, name):
    values, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        variant_of(environment, vocabulary, **values).check(SPACE)


@pytest.mark.parametrize("environment", ["fragments", "atoms"])
@pytest.mark.parametrize(
    "values",
    [{}, {"backward": {"kind": "learned"}}, {"objective": {"kind": "reverse_kl"}, "replay_share": 0}],
    ids=["default", "learned", "on-policy"],
)
def test_what_can_be_trained_passes_the_check(vocabulary, environment, values):
    generator = variant_of(environment, vocabulary, **values)
    generator.check(SPACE)
    assert generator.history() == []


def test_a_vocabulary_is_of_no_use_to_atoms(vocabulary):
    with pytest.raises(ValueError, match="Leave `vocabulary` out"):
        generator_of(vocabulary, environment="atoms").check(SPACE)


def test_networks_that_do_not_fit_are_refused(vocabulary, fitted):
    other = generator_of(vocabulary, dim=32)
    with pytest.raises(ValueError, match="network of another shape"):
        other.load_state(fitted.state(), context_of())
    other = generator_of(vocabulary, backward={"kind": "learned"})
    with pytest.raises(ValueError, match="has no backward network"):
        other.load_state(fitted.state(), context_of())
    with pytest.raises(ValueError, match="another vocabulary or space"):
        variant_of("atoms", vocabulary).load_state(fitted.state(), context_of())


def test_the_state_goes_through_a_file_of_weights_only(vocabulary, fitted, tmp_path):
    torch.save(fitted.state(), tmp_path / "state.pt")
    again = generator_of(vocabulary)
    again.load_state(torch.load(tmp_path / "state.pt", weights_only=True), context_of())
    assert again.sample(10, seed=5) == fitted.sample(10, seed=5)
    assert again.history() == fitted.history()


def test_the_number_of_threads_makes_no_difference(vocabulary, fitted):
    before = torch.get_num_threads()
    torch.set_num_threads(3 - min(before, 2))
    try:
        again = generator_of(vocabulary)
        again.fit(context_of())
        assert again.history() == fitted.history()
    finally:
        torch.set_num_threads(before)


def test_a_warm_start_begins_with_the_policy_of_the_round_before(vocabulary, fitted, tmp_path):
    torch.save(fitted.state(), tmp_path / "state.pt")
    warm = generator_of(vocabulary, steps=1, learning_rate=1e-12)
    warm.fit(context_of(warm_start=tmp_path / "state.pt", seed=8))
    before, after = fitted.state()["policy"], warm.state()["policy"]
    assert all(torch.allclose(after[name], value, atol=1e-6) for name, value in before.items())


def test_a_warm_start_from_another_vocabulary_is_refused(vocabulary, fitted, tmp_path):
    torch.save(fitted.state(), tmp_path / "state.pt")
    other = Molecules(max_heavy_atoms=12, min_heavy_atoms=4, elements=("H", "C", "N"))
    with pytest.raises(ValueError, match="another vocabulary or space"):
        generator_of(vocabulary).fit(context_of(space=other, warm_start=tmp_path / "state.pt"))


def test_training_moves_towards_the_reward(vocabulary):
    generator = generator_of(vocabulary, steps=25, batch_size=32, learning_rate=5e-3, dim=32)
    generator.fit(context_of(library=()))
    mean = nitrogens([c.smiles for c in generator.sample(100, seed=0)]).mean()
    control = build("generator", {"kind": "random", "vocabulary": str(vocabulary)})
    control.fit(context_of())
    assert mean > nitrogens([c.smiles for c in control.sample(100, seed=0)]).mean() + 1.5


def test_measured_molecules_keep_their_measured_reward(vocabulary):
    asked = []

    def log_reward(molecules):
        asked.extend(molecules)
        return nitrogens(molecules)

    known = ("N#Cc1ccccc1", "CCCCCCCCCCCCCC")
    generator = generator_of(vocabulary)
    generator.fit(context_of(log_reward=log_reward, known=known, known_log_reward=np.array([9.0, 1.0])))
    assert "N#Cc1ccccc1" not in asked
    assert len(asked) > 30
    assert max(row["log_reward"] for row in generator.history()) < 9.0 + 1e-6


def test_the_log_reward_is_asked_for_each_molecule_once(vocabulary):
    asked = []
    generator = generator_of(vocabulary)
    generator.fit(context_of(log_reward=lambda molecules: asked.extend(molecules) or nitrogens(molecules)))
    # The reference sample, which sets the floor, is judged on its own.
    assert len(asked) - len(set(asked)) <= 64


def test_an_untrained_generator_says_so(vocabulary):
    with pytest.raises(RuntimeError, match="not trained yet"):
        generator_of(vocabulary).sample(3, seed=0)
    assert generator_of(vocabulary).history() == []


def test_a_missing_vocabulary_is_named(tmp_path):
    with pytest.raises(VocabularyError, match="no vocabulary file"):
        generator_of(tmp_path / "missing.json").fit(context_of())


def test_an_unknown_option_is_refused_with_the_nearest_spelling():
    with pytest.raises(ComponentError, match="learning_rate"):
        build("generator", {"kind": "gflownet", "lerning_rate": 1.0})


def test_options_out_of_range_are_refused():
    with pytest.raises((ComponentError, ValidationError), match="epsilon"):
        build("generator", {"kind": "gflownet", "epsilon": 2.0})


def test_the_config_makes_an_equal_generator(vocabulary):
    generator = generator_of(vocabulary)
    assert build("generator", generator.config()).config() == generator.config()


# A prior


RELATIVE = {
    "objective": {"kind": "relative_trajectory_balance"},
    "prior_steps": 3,
    "steps": 3,
    "held_out_molecules": 0,
}


def test_a_prior_is_made_once_in_a_workspace_and_whatever_the_seed(vocabulary, tmp_path, monkeypatch):
    made = []
    imitate = prior.imitate
    monkeypatch.setattr(prior, "imitate", lambda *a, **k: made.append(1) or imitate(*a, **k))
    drawn = []
    for seed in (3, 3, 4):
        generator = generator_of(vocabulary, **RELATIVE)
        generator.fit(context_of(cache=tmp_path, seed=seed))
        drawn.append(generator.sample(20, seed=1))
    assert made == [1]
    assert drawn[0] == drawn[1] != drawn[2]
    generator_of(vocabulary, **RELATIVE | {"prior_steps": 4}).fit(context_of(cache=tmp_path))
    assert made == [1, 1]


def test_a_kept_prior_and_one_made_anew_train_the_same(vocabulary, tmp_path):
    kept, anew = (generator_of(vocabulary, **RELATIVE) for _ in range(2))
    generator_of(vocabulary, **RELATIVE).fit(context_of(cache=tmp_path))
    kept.fit(context_of(cache=tmp_path))
    anew.fit(context_of())
    assert kept.sample(20, seed=1) == anew.sample(20, seed=1)
    assert kept.history() == anew.history()


def test_a_damaged_prior_is_told_and_made_anew(vocabulary, tmp_path, caplog):
    generator_of(vocabulary, **RELATIVE).fit(context_of(cache=tmp_path))
    (file,) = tmp_path.rglob("*.pt")
    file.write_bytes(file.read_bytes()[:-9])
    generator_of(vocabulary, **RELATIVE).fit(context_of(cache=tmp_path))
    assert "is damaged; it is made anew" in caplog.text


def test_a_prior_that_cannot_be_kept_is_said_and_trains_the_same(vocabulary, tmp_path, caplog):
    (tmp_path / "priors").write_text("in the way")
    told, plain = (generator_of(vocabulary, **RELATIVE) for _ in range(2))
    told.fit(context_of(cache=tmp_path))
    plain.fit(context_of())
    assert told.sample(20, seed=1) == plain.sample(20, seed=1)
    assert "The prior of a library cannot be kept" in caplog.text


def test_log_z_is_of_the_size_of_the_reward_and_not_of_the_space(vocabulary):
    """At the first step the policy is its prior, and log Z the mean log R; that of the whole space is far larger."""
    flat = context_of(log_reward=lambda molecules: np.full(len(molecules), 1.5))
    options = {"steps": 1, "batch_size": 32, "replay_share": 0.0, "log_z_learning_rate": 1e-6, "held_out_molecules": 0}
    plain, relative = (generator_of(vocabulary, **{**first, **options}) for first in ({}, RELATIVE))
    for generator in (plain, relative):
        generator.fit(flat)
    assert relative.history()[-1]["log_z"] == pytest.approx(relative.history()[-1]["log_reward"], abs=1e-3)
    assert plain.history()[-1]["log_z"] > 4.0
