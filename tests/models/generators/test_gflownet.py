"""The generator `gflownet` through the Generator protocol, on a small vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from rdkit import Chem

from data.molecules import identity
from data.vocabulary import VocabularyError, default_vocabulary
from models.protocols import GenerationContext, Generator, Space
from models.registry import ComponentError, build

SPACE = Space(max_heavy_atoms=12, min_heavy_atoms=4, elements=("H", "C", "N", "O"))
SMALL = {"steps": 8, "batch_size": 16, "dim": 16, "layers": 1, "heads": 2, "checkpoint_every": 3, "warm_up_steps": 2}
LIBRARY = ("Cc1ccccc1O", "N#Cc1ccccc1", "CC(=O)Nc1ccccc1", "COc1ccccc1", "CCOC(C)=O", "CNC(=O)C=C", "Oc1ccncc1")


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
def fitted(vocabulary):
    generator = generator_of(vocabulary)
    generator.fit(context_of())
    return generator


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


def test_progress_is_reported(vocabulary):
    seen = []
    generator_of(vocabulary).fit(context_of(progress=lambda done, total, metrics: seen.append((done, total))))
    assert seen == [(step, 8) for step in range(1, 9)]


def test_a_killed_training_ends_with_the_same_state_when_called_again(vocabulary, fitted, tmp_path):
    class Killed(Exception):
        pass

    def kill(done, total, metrics):
        if done == 5:
            raise Killed

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        generator_of(vocabulary).fit(context_of(checkpoint=path, progress=kill))
    assert path.exists()
    again = generator_of(vocabulary)
    again.fit(context_of(checkpoint=path))
    expected, got = fitted.state(), again.state()
    assert all(torch.equal(got["policy"][name], value) for name, value in expected["policy"].items())
    assert torch.equal(got["log_z"], expected["log_z"])
    assert got["history"] == expected["history"]
    assert again.sample(10, seed=4) == fitted.sample(10, seed=4)


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
    other = Space(max_heavy_atoms=12, min_heavy_atoms=4, elements=("H", "C", "N"))
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
