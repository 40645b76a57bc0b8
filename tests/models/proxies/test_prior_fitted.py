"""Prior-fitted networks: densities of buckets, exact posteriors of what they learn from, labels as a set."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from models.component import ComponentError
from models.proxies import prior_fitted
from models.proxies.prior_fitted import LABELS, PriorFitted, shipped_network
from models.proxies.prior_fitted_network import (
    Bars,
    Draw,
    ManyProcesses,
    OneProcess,
    PriorFittedNetwork,
    fitted_network,
)


def bars(buckets: int = 20) -> Bars:
    values = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    return Bars.of(values, buckets).double()


def test_buckets_have_equal_mass_of_the_prior() -> None:
    values = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    made = Bars.of(values, 10)
    inner = torch.bucketize(values, made.edges[1:-1])
    assert torch.bincount(inner).tolist() == pytest.approx([1000] * 10, abs=2)


def test_the_density_integrates_to_one_and_has_the_moments_that_are_told() -> None:
    made = bars()
    logits = torch.randn(20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = torch.linspace(-40.0, 40.0, 160_001, dtype=torch.float64)
    density = made.log_density(logits.expand(len(y), -1), y).exp()
    step = 5e-4
    total, mean = float(density.sum() * step), float((density * y).sum() * step)
    variance = float((density * (y - mean).square()).sum() * step)
    assert total == pytest.approx(1.0, abs=1e-3)
    assert [float(one) for one in made.moments(logits)] == pytest.approx([mean, variance], abs=2e-3)


def test_half_of_a_tails_mass_is_within_its_bucket() -> None:
    made = bars()
    certain = torch.full((20,), -100.0, dtype=torch.float64)
    certain[0] = 100.0
    y = torch.linspace(float(made.edges[0]), float(made.edges[1]), 100_001, dtype=torch.float64)
    density = made.log_density(certain.expand(len(y), -1), y).exp()
    assert float(torch.trapezoid(density, y)) == pytest.approx(0.5, abs=1e-4)


def test_the_exact_density_of_a_known_process_is_the_ratio_of_joint_densities() -> None:
    prior = OneProcess()
    draw = prior.draw(3, torch.Generator().manual_seed(0))
    n, last = draw.shown, draw.shown + 1

    def joint(row: int, size: int) -> float:
        x, y = draw.x[row, :size].double(), draw.y[row, :size].double()
        covariance = prior.covariance(x, x) + prior.noise * torch.eye(size, dtype=torch.float64)
        return float(
            torch.distributions.MultivariateNormal(torch.zeros(size, dtype=torch.float64), covariance).log_prob(y)
        )

    for row in range(3):
        assert float(prior.log_density(draw)[row, 0]) == pytest.approx(joint(row, last) - joint(row, n), abs=1e-5)


def test_labels_are_a_set_and_what_is_asked_has_no_say() -> None:
    network = PriorFittedNetwork(3, bars(), 16, 2, 2).double()
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(1, 12, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(1, 7, generator=generator, dtype=torch.float64)
    order = torch.randperm(7, generator=generator)
    with torch.no_grad():
        together = network(x, y)
        shuffled = network(torch.cat([x[:, order], x[:, 7:]], 1), y[:, order])
        alone = network(x[:, [*range(7), 9]], y)
    torch.testing.assert_close(shuffled, together, rtol=0, atol=1e-10)
    torch.testing.assert_close(alone[:, 0], together[:, 2], rtol=0, atol=1e-10)


def test_draws_are_standardised_by_their_labels_and_fill_few_columns() -> None:
    draw = ManyProcesses().draw(16, torch.Generator().manual_seed(3))
    known = draw.y[:, : draw.shown]
    torch.testing.assert_close(known.mean(1), torch.zeros(16), rtol=0, atol=1e-5)
    used = draw.x.abs().sum(1).gt(0).sum(1)
    assert used.min() >= 1
    assert used.float().median() < 10


@pytest.mark.trial
@pytest.mark.timeout(600)
def test_a_known_process_is_learnt_to_a_twentieth_of_a_nat() -> None:
    prior = OneProcess()
    network = fitted_network(prior, seed=11, steps=1500, width=64, layers=3)
    generator, gaps = torch.Generator().manual_seed(12), []
    with torch.no_grad():
        for _ in range(40):
            draw = prior.draw(64, generator)
            gaps.append(float((prior.log_density(draw) - network.log_density(draw)).mean()))
    assert -0.01 < np.mean(gaps) <= 0.05


def test_the_shipped_network_has_learnt_more_than_the_spread_of_the_labels() -> None:
    network, generator, gains = shipped_network(), torch.Generator().manual_seed(4), []
    prior = ManyProcesses(features=20)
    with torch.no_grad():
        for _ in range(8):
            draw = prior.draw(16, generator)
            told = network.log_density(Draw(draw.x.double(), draw.y.double(), draw.shown))
            new = draw.y[:, draw.shown :]
            gains.append(float((told + 0.5 * new.square() + 0.5 * math.log(2.0 * math.pi)).mean()))
    assert np.mean(gains) > 0.2


def test_features_of_many_columns_are_refused_with_what_to_do() -> None:
    x = np.random.default_rng(0).normal(size=(30, 21))
    with pytest.raises(ValueError, match=r"at most 20 columns .* identity has 21.*components: 20.*gaussian_process"):
        PriorFitted(features="identity").fit(x, x[:, 0], seed=0)
    proxy = PriorFitted(features="identity", components=20)
    proxy.fit(x, x[:, 0], seed=0)
    assert np.isfinite(proxy.predict(x).mean).all()


def test_of_many_labels_as_many_are_read_as_the_network_has_learnt_from() -> None:
    x = np.random.default_rng(0).normal(size=(LABELS + 30, 2))
    proxy = PriorFitted(features="identity")
    proxy.fit(x, x[:, 0], seed=0)
    assert len(proxy.state()["z"]) == LABELS


def test_densities_are_in_the_unit_of_the_target() -> None:
    x = np.random.default_rng(0).normal(size=(30, 2))
    told = []
    for factor in (1.0, 1000.0):
        proxy = PriorFitted(features="identity")
        proxy.fit(x, factor * x[:, 0], seed=0)
        told.append(proxy.log_density(x, factor * x[:, 1]))
    np.testing.assert_allclose(told[1] + math.log(1000.0), told[0], rtol=0, atol=1e-6)


def test_a_state_of_another_network_is_refused() -> None:
    x = np.random.default_rng(0).normal(size=(10, 2))
    proxy = PriorFitted(features="identity")
    proxy.fit(x, x[:, 0], seed=0)
    state = proxy.state() | {"network": torch.zeros(32, dtype=torch.uint8)}
    with pytest.raises(ValueError, match="made with another shipped network"):
        PriorFitted(features="identity").load_state(state)


def test_a_network_that_is_not_the_shipped_one_is_refused(tmp_path, monkeypatch) -> None:
    (tmp_path / "prior_fitted.json").write_text(json.dumps({"sha256": "0"}))
    monkeypatch.setattr(prior_fitted, "_folder", lambda: tmp_path)
    shipped_network.cache_clear()
    prior_fitted.provenance.cache_clear()
    try:
        with pytest.raises(ComponentError, match="is not the one that was shipped"):
            shipped_network()
    finally:
        shipped_network.cache_clear()
        prior_fitted.provenance.cache_clear()
