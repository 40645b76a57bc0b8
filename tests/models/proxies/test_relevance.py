"""A length-scale for each variable: the right derivatives, the variables that matter, and a state that is the same."""

import numpy as np
import pytest
import torch

from models.proxies.relevance import fit_length_scales, log_density
from models.registry import build

SPACE = {"variables": {"a": [0, 10], "b": [0, 1], "c": [100, 200], "d": [-1, 1], "word": ["x", "y"]}}


def vectors(n, seed):
    return build("space", {"kind": "vectors", **SPACE}).random(n, seed)


def truth(objects):
    space = build("space", {"kind": "vectors", **SPACE})
    found = [space.value(obj) for obj in objects]
    return np.array([np.sin(0.6 * one["a"]) + 2.0 * one["d"] ** 2 for one in found])


def proxy(**options):
    space = build("space", {"kind": "vectors", **SPACE})
    return build("proxy", {"kind": "gaussian_process", "features": dict(space.features), **options})


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_derivatives_are_those_of_the_density(seed):
    rng = np.random.default_rng(seed)
    x, values, theta = rng.random((15, 3)), rng.normal(size=15), rng.normal(-0.5, 0.5, size=5)
    squares = np.square(x[:, None, :] - x[None, :, :]).transpose(2, 0, 1)
    _, gradient = log_density(squares, values, theta)
    for i in range(len(theta)):
        step = np.zeros(len(theta))
        step[i] = 1e-5
        after, before = (log_density(squares, values, theta + sign * step)[0] for sign in (1, -1))
        assert gradient[i] == pytest.approx((after - before) / 2e-5, rel=1e-4, abs=1e-6)


def test_a_variable_that_does_nothing_gets_a_long_scale():
    rng = np.random.default_rng(0)
    x = rng.random((60, 4))
    y = np.sin(6 * x[:, 0]) + x[:, 2]
    lengths, h = fit_length_scales(x, (y - y.mean()) / y.std(), restarts=4, min_noise=1e-4, seed=0)
    assert lengths[0] < lengths[2] < min(lengths[1], lengths[3])
    assert h.length_scale == 1.0


def test_variables_that_matter_are_found_and_one_scale_for_all_predicts_worse():
    train, test = vectors(40, 0), vectors(200, 1)
    errors = {}
    for name in ("each", "one"):
        model = proxy(length_scales=name)
        model.fit(train, truth(train), seed=0)
        errors[name] = float(np.sqrt(np.mean(np.square(model.predict(test).mean - truth(test)))))
    assert errors["each"] < 0.5 * errors["one"]


def test_spaces_of_variables_have_it_without_being_asked():
    train = vectors(30, 0)
    one, default, each = (proxy(**options) for options in ({"length_scales": "one"}, {}, {"length_scales": "each"}))
    for model in (one, default, each):
        model.fit(train, truth(train), seed=0)
    test = vectors(20, 1)
    assert (default.predict(test).mean == each.predict(test).mean).all()
    assert not np.allclose(default.predict(test).mean, one.predict(test).mean)


def test_a_restored_state_predicts_the_same_bits_far_from_the_data_too():
    train = [obj for obj in vectors(60, 0) if "word=x" in obj][:20]
    model, restored = proxy(), proxy()
    model.fit(train, truth(train), seed=0)
    state = {name: value.clone() for name, value in model.state().items()}
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    restored.load_state(state)
    test = vectors(50, 1)
    assert (restored.predict(test).mean == model.predict(test).mean).all()
    assert (restored.predict(test).std == model.predict(test).std).all()


def test_a_word_that_was_never_tried_is_less_certain_than_one_that_was():
    train = [obj for obj in vectors(60, 0) if "word=x" in obj][:20]
    labels = truth(train)
    model = proxy()
    model.fit(train, labels, seed=0)
    tried = train[:10]
    untried = [obj.replace("word=x", "word=y") for obj in tried]
    assert (model.predict(untried).std > model.predict(tried).std).all()


def test_labels_or_variables_that_are_all_alike_are_no_error():
    train = vectors(8, 0)
    model = proxy()
    model.fit(train, np.full(8, 3.0), seed=0)
    assert model.predict(train).mean == pytest.approx(np.full(8, 3.0))
    model.fit([train[0]] * 8, np.arange(8.0), seed=0)
    assert np.isfinite(model.predict(train).std).all()
