"""`discover sampler` on a density: a diffusion sampler from a file, with the vectors it draws."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipelines.cli import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from tasks.progress import listening

TRAINING = {"steps": 60, "batch_size": 32, "length": 8, "hidden": 16, "evaluate_every": 20, "checkpoint_every": 16}
CONFIG = {
    "density": {"kind": "gaussian_grid", "side": 1, "variance": 0.5},
    "training": TRAINING | {"local_search": {"every": 20, "chains": 8, "moves": 8, "burn_in": 2}},
    "evaluation": {"samples": 500},
}
OWN = """
import torch

def log_density(x):
    return -0.5 * ((x - 1.0) / 0.5).square().sum(1)

def bounded(x):
    return torch.where(x.sum(1) > 0.0, 0.0, -torch.inf)

def far(x):
    return -0.5 * ((x - 50.0) / 0.1).square().sum(1)

def of_lists(x):
    return [0.0] * len(x)
"""


@pytest.fixture
def sampler(bench, monkeypatch):
    """Writes a sampler file with a density and runs it; pictures of the course are empty."""
    monkeypatch.setattr("tasks.samplers.plots.learning", lambda _: None)
    for module in ("train", "summary"):
        monkeypatch.setattr(f"tasks.samplers.{module}.png", lambda _: b"")
    file = bench.folder / "gauss.yaml"
    (bench.folder / "own_density.py").write_text(OWN)

    def run(*arguments, **keys):
        file.write_text(yaml.safe_dump(CONFIG | keys))
        return bench.discover("sampler", str(file), "--plain", *arguments)

    run.home = bench.home
    return run


def result_and_draws(home):
    (folder,) = Path(home).glob("samplers/*/seed-0")
    result = json.loads((folder / "result.json").read_text())
    return result["metrics"], pd.read_csv(folder / "draws.csv")


def test_a_density_is_learnt_and_its_integral_held_between_bounds(sampler):
    told = sampler()
    assert told.exit == 0, told.message
    assert "judged from chains, and bridges to exact draws" in told.message
    figures, draws = result_and_draws(sampler.home)
    assert figures["log_z_lower"] - 0.05 < 0.0 < figures["log_z_upper"] + 0.05
    assert figures["log_z_sampled"] == pytest.approx(0.0, abs=0.1)
    assert figures["modes"] == 1
    assert list(draws) == ["x0", "x1", "log_density", "weight"]
    assert draws["weight"].mean() == pytest.approx(1.0)


def test_weighted_draws_have_the_mean_and_spread_of_a_density_of_ones_own(sampler):
    told = sampler(density={"kind": "python", "function": "own_density:log_density", "dimensions": 1})
    assert told.exit == 0, told.message
    figures, draws = result_and_draws(sampler.home)
    assert figures["log_z_sampled"] == pytest.approx(np.log(0.5 * np.sqrt(2 * np.pi)), abs=0.1)
    assert "log_z_error" not in figures
    mean = np.average(draws["x0"], weights=draws["weight"])
    assert mean == pytest.approx(1.0, abs=0.1)
    assert np.average((draws["x0"] - mean) ** 2, weights=draws["weight"]) == pytest.approx(0.25, abs=0.1)


def test_draws_of_which_nearly_none_count_are_not_to_be_relied_on(sampler):
    told = sampler(density={"kind": "python", "function": "own_density:far", "dimensions": 1})
    assert told.exit == 0, told.message
    assert "less than 1 % of the draws count" in told.message


def test_an_interrupted_training_ends_as_if_nothing_had_happened(sampler, monkeypatch, tmp_path):
    def interrupt(event):
        if event.done == 37:
            raise KeyboardInterrupt

    monkeypatch.setenv("DISCOVER_HOME", str(tmp_path / "undisturbed"))
    assert sampler().exit == 0
    monkeypatch.setenv("DISCOVER_HOME", str(sampler.home))
    with listening(interrupt):
        assert sampler().exit == EXIT_INTERRUPTED
    assert sampler().exit == 0
    (figures, draws), (undisturbed, same) = result_and_draws(sampler.home), result_and_draws(tmp_path / "undisturbed")
    assert figures == undisturbed
    assert draws.equals(same)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"environment": {"kind": "hypergrid"}}, "give one; got environment and density"),
        ({"policy": {"kind": "mlp"}, "conditioning": {"kind": "outcome"}}, "leave `policy` and `conditioning` out"),
        ({"density": {"kind": "funel"}}, "Did you mean 'funnel'?"),
        ({"density": {"kind": "many_well", "dimensions": 3}}, "multiple of 2"),
        ({"training": {"stps": 1}}, "Did you mean 'steps'?"),
        ({"training": {"objective": {"kind": "trajectory_balance"}}}, "`objective` belongs beside `training`"),
        ({"objective": {"kind": "flow_matching"}}, "cannot train a diffusion sampler"),
        ({"density": {"kind": "python", "function": "own_density:log_dens", "dimensions": 2}}, "has no function"),
        ({"density": {"kind": "python", "function": "own_density:of_lists", "dimensions": 2}}, "returned a list for 2"),
        (
            {"density": {"kind": "python", "function": "own_density:bounded", "dimensions": 2}},
            "returned -inf at (0, 0)",
        ),
        ({"density": {"kind": "python", "function": "own_density", "dimensions": 2}}, "expected `module:function`"),
    ],
)
def test_what_cannot_be_sampled_is_refused_before_anything_is_there(sampler, keys, message):
    told = sampler(**keys)
    assert told.exit == EXIT_BAD_INPUT
    assert message in told.message
    assert not Path(sampler.home, "samplers").exists()
