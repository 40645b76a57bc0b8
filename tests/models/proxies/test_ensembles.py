"""What is particular to the ensembles: the bootstrap, both spreads, mixing, graphs, embeddings, and the warm refit."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import CalcNumRings

from data.records import FloatArray
from models.proxies.checks import digests
from models.proxies.mlp_ensemble import mixed
from models.proxies.network_ensemble import NetworkEnsemble
from models.proxies.out_of_bag import fit_uncertainty, out_of_bag, poisson_weights
from models.registry import ComponentError, build, find, kinds
from tests.models.proxies.problems import (
    FAR,
    LOGP,
    MOLECULES,
    TEST,
    TRAIN,
    Y_TEST,
    Y,
    agree,
    fitted,
    made,
    rmse,
    standard,
)

NETWORKS = [kind for kind, cls in kinds("proxy").items() if issubclass(cls, NetworkEnsemble)]
networks = pytest.mark.parametrize("kind", NETWORKS)


# The bootstrap


def test_how_often_a_member_sees_a_molecule_depends_on_the_molecule_and_the_seed_alone() -> None:
    keys = digests(MOLECULES)
    weights = poisson_weights(keys, 20, 3)
    assert weights.shape == (20, len(MOLECULES))
    order = np.random.default_rng(0).permutation(len(keys))
    np.testing.assert_array_equal(poisson_weights([keys[i] for i in order], 20, 3), weights[:, order])
    np.testing.assert_array_equal(poisson_weights(keys[10:30], 20, 3), weights[:, 10:30])
    assert (poisson_weights(keys, 20, 4) != weights).mean() > 0.3


def test_replicates_share_their_members() -> None:
    weights = poisson_weights(digests(["CCO", "CCN", "CCC", "CCO"]), 50, 0)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 3])
    assert (weights[:, 0] != weights[:, 1]).any()


def test_rows_of_numbers_are_told_apart_by_their_numbers() -> None:
    rows = np.random.default_rng(1).normal(size=(30, 3))
    listed = digests([row.tolist() for row in rows])
    assert listed == digests(rows)
    assert len(set(listed)) == 30


def test_weights_are_those_of_a_bootstrap() -> None:
    weights = poisson_weights([bytes([i % 256, i // 256]) * 8 for i in range(2000)], 50, 0)
    assert weights.mean() == pytest.approx(1.0, abs=0.01)
    assert weights.var() == pytest.approx(1.0, abs=0.02)
    assert (weights == 0).mean() == pytest.approx(np.exp(-1.0), abs=0.005)
    assert np.abs(np.corrcoef(weights) - np.eye(50)).max() < 0.12


def test_no_member_learns_from_fewer_than_two_rows() -> None:
    weights = poisson_weights(digests(["CCO", "CCN"]), 200, 0)
    assert ((weights > 0).sum(1) >= 2).all()


def test_out_of_bag_figures_are_over_the_members_that_did_not_see_the_row() -> None:
    guesses = np.array([[1.0, 5.0, 1.0], [3.0, 6.0, 2.0], [8.0, 7.0, 4.0]])
    weights = np.array([[0, 1, 1], [0, 0, 1], [2, 0, 3]])
    mean, variance = out_of_bag(guesses, weights)
    np.testing.assert_allclose(mean, [2.0, 6.5, np.nan])
    np.testing.assert_allclose(variance[:2], [2.0, 0.5])


def test_the_variance_has_the_noise_and_the_growth_that_the_errors_show() -> None:
    rng = np.random.default_rng(2)
    distance = np.abs(rng.normal(0.0, 3.0, 4000))
    true = 0.05 + 1.0 - np.exp(-0.5 * (distance / 4.0) ** 2)
    errors = np.sqrt(true) * rng.normal(size=4000)
    found = fit_uncertainty(errors, np.zeros(4000), distance, min_noise=1e-4)
    np.testing.assert_allclose(found.variance(np.zeros(4000), distance).mean(), true.mean(), rtol=0.1)
    assert found.noise == pytest.approx(0.05, rel=0.7)
    assert found.variance(np.zeros(1), np.array([1e6]))[0] >= 1.0


def test_the_spread_counts_for_as_much_as_it_explains() -> None:
    rng = np.random.default_rng(3)
    spread = rng.gamma(2.0, 0.5, 4000)
    for factor in (0.25, 1.0, 4.0):
        errors = np.sqrt(factor * spread + 0.01) * rng.normal(size=4000)
        assert fit_uncertainty(errors, spread, np.zeros(4000), min_noise=1e-4).spread == factor


def test_rows_that_every_member_saw_do_not_count() -> None:
    errors, spread, distance = np.full(50, 0.1), np.zeros(50), np.ones(50)
    errors[::2] = np.nan
    found = fit_uncertainty(errors, spread, distance, min_noise=1e-4)
    assert found == fit_uncertainty(errors[1::2], spread[1::2], distance[1::2], min_noise=1e-4)
    nothing = fit_uncertainty(np.full(5, np.nan), np.zeros(5), np.zeros(5), min_noise=1e-4)
    assert nothing.variance(np.zeros(1), np.zeros(1))[0] >= 1.0


# The forest


@pytest.mark.parametrize("uncertainty", ["spread", "jackknife"])
def test_a_forest_knows_how_well_it_predicts_by_either_spread(uncertainty: str) -> None:
    proxy = fitted("random_forest", members=200, uncertainty=uncertainty)
    prediction = proxy.predict(TEST)
    z = (Y_TEST - prediction.mean) / prediction.std
    assert 0.5 < np.sqrt(np.square(z).mean()) < 1.5
    seen, near, far = (proxy.predict(molecules).std.mean() for molecules in (TRAIN, TEST, FAR))
    assert seen < near < far
    mean, covariance = proxy.joint(TEST)
    np.testing.assert_allclose(mean, prediction.mean, atol=1e-6)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
    noise = np.square(prediction.std) - covariance.diagonal()
    np.testing.assert_allclose(noise, noise.mean(), atol=1e-5)


def test_the_spreads_differ_in_the_deviation_and_not_in_the_mean() -> None:
    spread, jackknife = (fitted("random_forest", uncertainty=kind).predict(TEST) for kind in ("spread", "jackknife"))
    np.testing.assert_array_equal(spread.mean, jackknife.mean)
    assert np.abs(spread.std - jackknife.std).max() > 0.01


def test_the_jackknife_is_the_variance_of_the_mean_over_data_sets() -> None:
    x = np.linspace(-2, 2, 60)[:, None]
    at = x[[7, 22, 30, 41, 55]]
    means, claimed = [], []
    for seed in range(12):
        values = np.sin(2 * x[:, 0]) + np.random.default_rng(seed).normal(0.0, 0.5, 60)
        proxy = fitted(
            *("random_forest", x, values, seed),
            **{"features": "identity", "members": 150, "uncertainty": "jackknife", "max_features": 1.0, "min_leaf": 3},
        )
        mean, covariance = proxy.joint(at)
        means.append(mean)
        claimed.append(covariance.diagonal())
    # At a training row nothing but the jackknife is in the covariance.
    true, told = np.var(means, axis=0, ddof=1), np.mean(claimed, axis=0)
    assert 0.5 * true.mean() < told.mean() < 2.0 * true.mean()


def test_more_trees_do_not_change_what_the_jackknife_estimates() -> None:
    few, many = (
        np.mean(
            [
                fitted("random_forest", members=n, uncertainty="jackknife", seed=s).joint(TRAIN)[1].trace()
                for s in range(3)
            ]
        )
        for n in (100, 400)
    )
    assert 0.6 < few / many < 1.6


# Mixing


def mixtures(bandwidth: float, alpha: float = 1.0, seed: int = 0, b: int = 80) -> tuple[Any, ...]:
    """Rows that name themselves: what a mixture is made of can be read off."""
    rng = np.random.default_rng(seed)
    z = torch.from_numpy(rng.normal(size=(b, 1)))
    weights = torch.from_numpy(rng.poisson(1.0, (4, b)).astype(np.float64))
    x, y, w = mixed(
        torch.eye(b, dtype=torch.float64), z, weights, torch.Generator().manual_seed(seed), alpha, bandwidth
    )
    own = x[:, torch.arange(b), torch.arange(b)]
    others = x.clone()
    others[:, torch.arange(b), torch.arange(b)] = 0.0
    return z[:, 0], weights, x, y[:, :, 0], w, own, others.argmax(2)


ALONE = 1.0 - 1e-6
"""Larger shares are those of rows that are their own partners."""


def test_partners_have_near_labels() -> None:
    z, weights, _, _, _, own, partner = mixtures(0.1)
    has = (weights > 0) & (own < ALONE)
    gap = (z[partner] - z[None]).abs()[has]
    at_random = (z[:, None] - z[None]).abs().mean()
    assert has.sum() > 50
    assert gap.mean() < 0.2 * at_random
    far = mixtures(100.0)
    assert (far[0][far[6]] - far[0][None]).abs()[(far[1] > 0) & (far[5] < ALONE)].mean() > 0.7 * at_random


def test_partners_are_rows_that_the_member_has() -> None:
    _, weights, _, _, _, own, partner = mixtures(0.5)
    member = torch.arange(4)[:, None].expand_as(partner)
    mixed_in = own < ALONE
    assert (weights[member[mixed_in], partner[mixed_in]] > 0).all()


def test_label_and_features_are_mixed_in_the_same_shares() -> None:
    z, weights, x, y, w, _, _ = mixtures(0.5)
    torch.testing.assert_close(x.sum(2), torch.ones_like(y))
    torch.testing.assert_close(x @ z, y)
    assert torch.equal(w, weights)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_have_the_beta_distribution(alpha: float) -> None:
    own = torch.cat([mixtures(100.0, alpha, seed)[5].flatten() for seed in range(15)]).numpy()
    own = own[own < ALONE]
    assert own.mean() == pytest.approx(0.5, abs=0.03)
    assert own.var() == pytest.approx(1.0 / (4.0 * (2.0 * alpha + 1.0)), rel=0.1)


def test_a_target_that_is_missing_on_either_side_is_missing_in_the_mixture() -> None:
    z = torch.tensor([[0.0, 1.0], [0.1, float("nan")], [0.2, 0.5]], dtype=torch.float64)
    x, y, _ = mixed(torch.eye(3, dtype=torch.float64), z, torch.ones(1, 3), torch.Generator().manual_seed(0), 1.0, 1.0)
    assert torch.isfinite(y[:, :, 0]).all()
    takes_the_second = x[0, :, 1] > 0
    assert torch.equal(torch.isnan(y[0, :, 1]), takes_the_second)


def test_an_ensemble_learns_from_mixtures_too() -> None:
    proxy, plain = fitted("mlp_ensemble", mixup=2.0), standard("mlp_ensemble")
    assert rmse(proxy.predict(TEST), Y_TEST) < 0.7 * Y_TEST.std()
    assert np.abs(proxy.predict(TEST).mean - plain.predict(TEST).mean).max() > 1e-3
    agree(fitted("mlp_ensemble", mixup=2.0).predict(TEST), proxy.predict(TEST), atol=1e-12)


# Graph networks


def renumbered(smiles: str, seed: int) -> str:
    mol = Chem.MolFromSmiles(smiles)
    order = np.random.default_rng(seed).permutation(mol.GetNumAtoms()).tolist()
    return str(Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False))


def test_a_molecule_whose_atoms_are_renumbered_has_the_same_prediction() -> None:
    proxy = standard("gnn_ensemble")
    molecules = TEST + FAR
    other = [renumbered(smiles, seed) for seed, smiles in enumerate(molecules)]
    assert sum(a != b for a, b in zip(molecules, other, strict=True)) > 0.8 * len(molecules)
    agree(proxy.predict(other), proxy.predict(molecules), atol=1e-6)
    for sort in ("last_layer", "gradient"):
        np.testing.assert_allclose(proxy.embed(other, kind=sort), proxy.embed(molecules, kind=sort), atol=1e-6)


def test_molecules_together_are_predicted_as_they_are_one_at_a_time() -> None:
    proxy = standard("gnn_ensemble")
    molecules = ["[Xe]", *MOLECULES, "C" * 50, "[Na+].[Cl-]", "C"]
    together = proxy.predict(molecules)
    alone = [proxy.predict([smiles]) for smiles in molecules]
    np.testing.assert_allclose(together.mean, [one.mean[0] for one in alone], rtol=0, atol=1e-6)
    np.testing.assert_allclose(together.std, [one.std[0] for one in alone], rtol=0, atol=1e-6)


def test_a_graph_network_tells_isomers_apart_that_have_the_same_atoms() -> None:
    mean = standard("gnn_ensemble").predict(["CCOCC", "CCCOC", "CCCCO", "CC(C)CO"]).mean
    assert len(np.unique(mean.round(4))) == 4


@pytest.mark.parametrize("features", ["identity", "one_hot"])
def test_a_graph_network_refuses_what_is_no_molecule_when_it_is_built(features: str) -> None:
    with pytest.raises(ValueError, match=r"A gnn_ensemble reads molecules.*or the proxy mlp_ensemble"):
        build("proxy", {"kind": "gnn_ensemble", "features": features})


# Embeddings

_DRAW = np.random.default_rng(5)
X, POINTS = _DRAW.normal(size=(40, 3)), _DRAW.normal(size=(12, 3))
VALUES = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
SMALL: dict[str, Any] = {"features": "identity", "members": 3, "width": 6, "depth": 2, "steps": 60}


@cache
def small() -> Any:
    return fitted("mlp_ensemble", X, VALUES, **SMALL)


def members_of(proxy: Any) -> list[torch.nn.Sequential]:
    """Each member as a plain network of torch, made of nothing but the state."""
    state, out = proxy.state(), []
    for m in range(proxy.options.members):
        layers: list[torch.nn.Module] = []
        for i in range(proxy.options.depth + 1):
            weight, bias = (state[f"network_layers.{i}.{part}"][m].double() for part in ("weight", "bias"))
            layer = torch.nn.Linear(*weight.shape, dtype=torch.float64)
            layer.weight.data, layer.bias.data = weight.T.clone(), bias[0].clone()
            layers += [layer, torch.nn.SiLU()]
        out.append(torch.nn.Sequential(*layers[:-1]))
    return out


def rows_of(proxy: Any, points: FloatArray) -> torch.Tensor:
    state = proxy.state()
    return ((torch.from_numpy(points) - state["design_mean"]) / state["design_scale"]).clamp(-5, 5)


def test_the_mean_is_that_of_the_members_as_plain_networks() -> None:
    location, scale = small().state()["target"][:, 0].tolist()
    with torch.no_grad():
        outputs = torch.stack([member(rows_of(small(), POINTS))[:, 0] for member in members_of(small())])
    np.testing.assert_allclose(small().predict(POINTS).mean, location + scale * outputs.mean(0).numpy(), atol=1e-6)


def test_the_gradient_sketch_approximates_the_tangent_kernel() -> None:
    kernel = np.zeros((len(POINTS), len(POINTS)))
    for member in members_of(small()):
        gradients = []
        for row in rows_of(small(), POINTS):
            found = torch.autograd.grad(member(row[None]).sum(), list(member.parameters()))
            gradients.append(torch.cat([one.flatten() for one in found]))
        stacked = torch.stack(gradients)
        kernel += (stacked @ stacked.T).numpy() / small().options.members
    sketch = small().embed(POINTS, kind="gradient")
    assert sketch.shape == (len(POINTS), 512)
    error = sketch @ sketch.T - kernel
    assert np.linalg.norm(error) < 0.15 * np.linalg.norm(kernel)
    np.testing.assert_allclose((sketch**2).sum(1), kernel.diagonal(), rtol=0.35)
    off = ~np.eye(len(POINTS), dtype=bool)
    assert np.corrcoef((sketch @ sketch.T)[off], kernel[off])[0, 1] > 0.95


def test_the_last_layer_is_what_the_output_is_linear_in() -> None:
    proxy = small()
    features = proxy.embed(POINTS, kind="last_layer")
    members, width = proxy.options.members, proxy.options.width
    assert features.shape == (len(POINTS), members * width)
    state = proxy.state()
    location, scale = state["target"][:, 0].tolist()
    weight = state[f"network_layers.{proxy.options.depth}.weight"].double().numpy().reshape(-1)
    bias = state[f"network_layers.{proxy.options.depth}.bias"].double().numpy().mean()
    output = features @ weight / np.sqrt(members) + bias
    np.testing.assert_allclose(proxy.predict(POINTS).mean, location + scale * output, atol=1e-6)


def test_a_wide_last_layer_is_projected_and_keeps_its_inner_products() -> None:
    wide = fitted("mlp_ensemble", X, VALUES, **{**SMALL, "members": 5, "width": 200, "steps": 20})
    features = wide.embed(POINTS, kind="last_layer")
    assert features.shape == (len(POINTS), 512)
    inner = np.zeros((len(POINTS), len(POINTS)))
    with torch.no_grad():
        for member in members_of(wide):
            hidden = member[:-1](rows_of(wide, POINTS)).numpy()
            inner += hidden @ hidden.T / 5
    assert np.linalg.norm(features @ features.T - inner) < 0.15 * np.linalg.norm(inner)


@networks
def test_distances_in_an_embedding_say_something_about_the_target(kind: str) -> None:
    features = standard(kind).embed(MOLECULES, kind="last_layer")
    distance = np.linalg.norm(features[:, None] - features[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = np.abs(LOGP - LOGP[distance.argmin(1)]).mean()
    assert nearest < 0.8 * np.abs(LOGP[:, None] - LOGP[None]).mean()


@networks
def test_no_molecule_has_an_empty_embedding(kind: str) -> None:
    for sort in ("last_layer", "gradient"):
        assert len(standard(kind).embed([], kind=sort)) == 0


# Refit

OLD = np.array([CalcNumRings(Chem.MolFromSmiles(smiles)) == 1 for smiles in MOLECULES])
"""Old molecules have one ring; what comes new has two, of which the old say nothing."""


def split() -> tuple[list[str], list[str], FloatArray, FloatArray]:
    old = [m for m, one in zip(MOLECULES, OLD, strict=True) if one]
    new = [m for m, one in zip(MOLECULES, OLD, strict=True) if not one]
    return old, new, LOGP[OLD], LOGP[~OLD]


REFIT: dict[str, Any] = {"refit": "replay", "refit_steps": 60}


@networks
def test_scratch_is_a_training_from_nothing(kind: str) -> None:
    old, new, old_values, new_values = split()
    proxy = made(kind, steps=20)
    mask = np.repeat([False, True], [len(old), len(new)])
    values = np.concatenate([old_values, new_values])
    proxy.refit(fitted(kind, old, old_values, steps=20).state(), old + new, values, mask, seed=3)
    agree(proxy.predict(TEST), fitted(kind, old + new, values, seed=3, steps=20).predict(TEST), atol=1e-12)


@networks
def test_a_refit_starts_from_the_previous_weights(kind: str) -> None:
    old, new, old_values, new_values = split()
    before = fitted(kind, old, old_values)
    proxy = made(kind, **REFIT | {"refit_steps": 1})
    state = before.state()
    kept = {name: one.clone() for name, one in state.items()}
    mask = np.repeat([False, True], [len(old), len(new)])
    proxy.refit(state, old + new, np.concatenate([old_values, new_values]), mask, seed=0)
    assert all(torch.equal(one, kept[name]) for name, one in state.items())
    weights = [name for name in state if name.endswith("weight")]
    for name in weights:
        moved = (proxy.state()[name] - state[name]).abs().max()
        assert 0 < moved < 0.01
    untrained = made(kind, steps=1)
    untrained.fit(old + new, np.concatenate([old_values, new_values]), seed=0)
    assert np.abs(proxy.predict(old).mean - before.predict(old).mean).max() < 0.3
    assert rmse(proxy.predict(old), old_values) < rmse(untrained.predict(old), old_values)


@networks
def test_a_refit_keeps_the_unit_of_the_target(kind: str) -> None:
    old, new, old_values, new_values = split()
    before = fitted(kind, old, old_values, steps=10)
    proxy = made(kind, **REFIT | {"refit_steps": 2})
    mask = np.repeat([False, True], [len(old), len(new)])
    proxy.refit(before.state(), old + new, np.concatenate([old_values, new_values]), mask, seed=0)
    np.testing.assert_array_equal(proxy.state()["target"], before.state()["target"])


@networks
def test_replay_keeps_what_was_known_and_learns_what_is_new(kind: str) -> None:
    old, new, old_values, new_values = split()
    before = fitted(kind, old, old_values)
    replay, alone = made(kind, **REFIT), made(kind, **REFIT)
    mask = np.repeat([False, True], [len(old), len(new)])
    replay.refit(before.state(), old + new, np.concatenate([old_values, new_values]), mask, seed=0)
    alone.refit(before.state(), new, new_values, np.ones(len(new), dtype=bool), seed=0)
    assert rmse(replay.predict(old), old_values) < rmse(alone.predict(old), old_values)
    assert rmse(replay.predict(new), new_values) < 0.7 * rmse(before.predict(new), new_values)


@networks
def test_a_refit_with_one_seed_gives_the_same_bits_and_does_not_mind_the_order(kind: str) -> None:
    old, new, old_values, new_values = split()
    before = fitted(kind, old, old_values, steps=10).state()
    molecules, values = old + new, np.concatenate([old_values, new_values])
    mask = np.repeat([False, True], [len(old), len(new)])
    order = np.random.default_rng(0).permutation(len(molecules))
    a, b, c = (made(kind, **REFIT | {"refit_steps": 10}) for _ in range(3))
    a.refit(before, molecules, values, mask, seed=1)
    b.refit(before, molecules, values, mask, seed=1)
    c.refit(before, [molecules[i] for i in order], values[order], mask[order], seed=1)
    agree(b.predict(TEST), a.predict(TEST), atol=0.0)
    agree(c.predict(TEST), a.predict(TEST), atol=1e-6)


@networks
def test_without_new_molecules_a_refit_goes_on_with_the_old(kind: str) -> None:
    before = standard(kind)
    proxy = made(kind, **REFIT | {"refit_steps": 5})
    proxy.refit(before.state(), TRAIN, Y, np.zeros(len(TRAIN), dtype=bool), seed=0)
    assert np.abs(proxy.predict(TRAIN).mean - before.predict(TRAIN).mean).max() < 0.3


@networks
def test_labels_that_now_spread_much_more_are_learnt_from_nothing_and_it_says_so(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    old, new, old_values, new_values = split()
    before = fitted(kind, old, old_values, steps=10)
    proxy = made(kind, steps=10, **REFIT)
    values = np.concatenate([old_values, 100.0 + 50.0 * new_values])
    with caplog.at_level(logging.WARNING):
        proxy.refit(before.state(), old + new, values, np.repeat([False, True], [len(old), len(new)]), seed=2)
    assert "times what they did: it is trained from nothing, not refitted" in caplog.text
    agree(proxy.predict(TEST), fitted(kind, old + new, values, seed=2, steps=10, **REFIT).predict(TEST), atol=1e-12)


@networks
def test_a_mask_of_another_length_and_a_foreign_state_are_refused(kind: str) -> None:
    proxy = made(kind, **REFIT)
    with pytest.raises(ValueError, match=rf"one entry per object; got shape \(3,\) for {len(TRAIN)} objects"):
        proxy.refit(standard(kind).state(), TRAIN, Y, np.zeros(3, dtype=bool), seed=0)
    with pytest.raises(ValueError, match=f"The state of a {kind} lacks"):
        proxy.refit(standard("gaussian_process").state(), TRAIN, Y, np.zeros(len(TRAIN), dtype=bool), seed=0)
    with pytest.raises(ValueError, match="at least 5 measured objects"):
        proxy.refit(standard(kind).state(), TRAIN[:3], Y[:3], np.zeros(3, dtype=bool), seed=0)


@networks
def test_a_state_of_another_size_is_refused(kind: str) -> None:
    state = standard(kind).state()
    with pytest.raises(ValueError, match=r"the options (that )?it was saved with"):
        made(kind, width=made(kind).options.width + 1).load_state(state)


def test_options_are_checked() -> None:
    with pytest.raises(ComponentError, match="Option 'refit'"):
        build("proxy", {"kind": "mlp_ensemble", "refit": "warm"})
    assert find("proxy", "random_forest").Options(uncertainty="jackknife").uncertainty == "jackknife"
