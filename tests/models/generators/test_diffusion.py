"""The generator `diffusion`: vectors in proportion to their reward, from texts alone."""

import numpy as np
import pytest
import torch

from models.protocols import Checked, GenerationContext, Generator
from models.registry import ComponentError, build
from models.spaces.sequences import Sequences
from models.spaces.vectors import Vectors

SPACE = Vectors(variables={"temperature": [20, 120], "ratio": {"low": 1, "high": 100, "log": True}})
SHORT = {"steps": 200, "length": 10}
LINE = np.linspace(20, 120, 10_001)
LAW = np.exp(-0.5 * ((LINE - 80.0) / 15.0) ** 2)
"""The reward of a temperature, on a grid."""


def hot(objects):
    """Log-reward: a Gaussian about 80 degrees, whatever the ratio."""
    return np.array([-0.5 * ((SPACE.value(obj)["temperature"] - 80.0) / 15.0) ** 2 for obj in objects])


def fitted(space=SPACE, log_reward=hot, seed=0, **options):
    generator = build("generator", {"kind": "diffusion", **SHORT, **options})
    generator.fit(GenerationContext(space, log_reward, seed=seed, known=tuple(space.random(3, 5))))
    return generator


@pytest.fixture(scope="module")
def trained():
    return fitted()


def test_vectors_are_drawn_in_proportion_to_their_reward(trained):
    assert isinstance(trained, Generator)
    assert isinstance(trained, Checked)
    candidates = trained.sample(500, seed=0)
    assert len({one.id for one in candidates}) == 500
    numbers = np.array([[SPACE.value(one.object)[name] for name in ("temperature", "ratio")] for one in candidates])
    mean = np.average(LINE, weights=LAW)
    assert numbers[:, 0].mean() == pytest.approx(mean, abs=2.5)
    assert numbers[:, 0].std() == pytest.approx(np.average((LINE - mean) ** 2, weights=LAW) ** 0.5, abs=2.5)
    places = np.log(numbers[:, 1]) / np.log(100)
    assert places.mean() == pytest.approx(0.5, abs=0.06)
    assert places.std() == pytest.approx(12**-0.5, abs=0.05)


def test_log_z_is_that_of_the_mean_reward_over_the_box(trained):
    assert trained.history()[-1]["log_z"] == pytest.approx(np.log(LAW.mean()), abs=0.15)


def test_the_seed_decides_and_a_restored_generator_samples_the_same(trained):
    again = build("generator", {"kind": "diffusion", **SHORT})
    again.load_state(trained.state(), GenerationContext(SPACE, hot, seed=0))
    assert again.sample(20, seed=1) == trained.sample(20, seed=1)
    assert fitted(steps=5).sample(20, seed=1) == fitted(steps=5).sample(20, seed=1)
    assert trained.sample(20, seed=1) != trained.sample(20, seed=2)
    assert again.history() == trained.history()


def test_choices_and_whole_numbers_are_stretches_of_their_range():
    space = Vectors(variables={"solvent": ["water", "ethanol", "dmf"], "count": {"integer": [1, 2]}})

    def worth(objects):
        return np.array([np.log(6.0) if "ethanol" in obj else 0.0 for obj in objects])

    trained = fitted(space, worth, steps=120)
    texts = [one.object for one in trained.sample(100, seed=0)]
    assert len(texts) == 6
    assert trained.history()[-1]["log_z"] == pytest.approx(np.log(8 / 3), abs=0.2)


def test_warm_starts_go_on_from_the_network(trained, tmp_path):
    torch.save(trained.state(), tmp_path / "state.pt")
    again = build("generator", {"kind": "diffusion", **SHORT, "steps": 2, "exploration": 0.0})
    again.fit(GenerationContext(SPACE, hot, seed=4, warm_start=tmp_path / "state.pt"))
    assert again.history()[0]["loss"] < 0.5 * trained.history()[0]["loss"]


def test_what_cannot_be_drawn_so_is_refused():
    generator = build("generator", {"kind": "diffusion"})
    with pytest.raises(ValueError, match="must sum to one"):
        generator.check(Vectors(fractions={"a": [0, 1], "b": [0, 1]}))
    with pytest.raises(ComponentError, match="made for spaces of kind 'vectors'; got 'sequences'"):
        generator.check(Sequences(alphabet="dna", length=4))
    with pytest.raises(ValueError, match="need the gradient of log R"):
        build("generator", {"kind": "diffusion", "langevin": True}).check(SPACE)


def test_sampling_before_training_says_so():
    with pytest.raises(RuntimeError, match="not trained yet"):
        build("generator", {"kind": "diffusion"}).sample(1, seed=0)
