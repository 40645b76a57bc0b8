"""Neural processes: labels are a set, questions do not see one another, and tasks teach how to read labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.proxies.neural_process import NeuralProcess, trained_process
from models.proxies.prior_fitted_network import Draw, OneProcess
from models.systems.neural_processes import both_strands


@pytest.mark.parametrize("labels", [1, 7])
def test_labels_are_a_set_and_questions_do_not_see_one_another(labels: int) -> None:
    torch.manual_seed(0)
    network = NeuralProcess(3, latents=2, width=16, layers=2, heads=2).double()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, labels, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(2, labels, generator=generator, dtype=torch.float64)
    asked = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    order = torch.randperm(labels, generator=generator)
    with torch.no_grad():
        mean, std = network(x, y, asked)
        shuffled, _ = network(x[:, order], y[:, order], asked)
        alone, _ = network(x, y, asked[:, 3:4])
    torch.testing.assert_close(shuffled, mean, rtol=0, atol=1e-10)
    torch.testing.assert_close(alone[:, 0], mean[:, 3], rtol=0, atol=1e-10)
    assert (std >= 0.05).all()


def test_density_is_that_of_the_mean_and_the_deviation() -> None:
    torch.manual_seed(0)
    network = NeuralProcess(1, latents=2, width=16, layers=1, heads=2)
    draw = OneProcess().draw(3, torch.Generator().manual_seed(0))
    with torch.no_grad():
        mean, std = network(draw.x[:, : draw.shown], draw.y[:, : draw.shown], draw.x[:, draw.shown :])
        expected = torch.distributions.Normal(mean, std).log_prob(draw.y[:, draw.shown :])
        torch.testing.assert_close(network.log_density(draw), expected)


class Slopes:
    """Straight lines through nothing, each of its own slope."""

    features = 1

    def draw(self, sets: int, generator: torch.Generator) -> Draw:
        x = torch.rand(sets, 20, 1, generator=generator) * 2 - 1
        slope = torch.randn(sets, 1, generator=generator)
        return Draw(x, slope * x[:, :, 0] + 0.05 * torch.randn(sets, 20, generator=generator), 10)


@pytest.mark.slow
def test_other_tasks_teach_what_a_new_one_is_like() -> None:
    network = trained_process(Slopes(), seed=0, steps=600, width=32, layers=2)
    draw = Slopes().draw(200, torch.Generator().manual_seed(9))
    with torch.no_grad():
        mean, _ = network(draw.x[:, :10], draw.y[:, :10], draw.x[:, 10:])
    assert (mean - draw.y[:, 10:]).square().mean().sqrt() < 0.2


def test_strands_are_read_from_both_ends() -> None:
    both = both_strands(["AACC", "TTAG"])
    assert both.shape == (2, 2, 16)
    np.testing.assert_array_equal(both[1, 0], both_strands(["GGTT"])[0, 0])
    np.testing.assert_array_equal(both[1, 1], both_strands(["CTAA"])[0, 0])
