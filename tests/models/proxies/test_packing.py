"""The state of a Gaussian process keeps no zeros, and what was kept before is read."""

from __future__ import annotations

import numpy as np
import torch

from models.proxies.gaussian_process import GaussianProcess
from models.proxies.packing import dense_counts, sparse_counts, square, triangle

MOLECULES = ["C" * n + tail for n in range(1, 9) for tail in ("O", "N", "C#N", "c1ccccc1")]
VALUES = np.array([float(len(text)) for text in MOLECULES])


def test_a_triangle_and_its_matrix_are_one_to_the_bit() -> None:
    lower = np.tril(np.random.default_rng(0).normal(size=(7, 7)))
    assert len(triangle(lower)) == 28
    np.testing.assert_array_equal(square(triangle(lower)), lower)


def test_counts_and_their_places_are_one_to_the_bit() -> None:
    counts = np.array([[0, 3, 0], [0, 0, 0], [64, 0, 1]], dtype=np.int32)
    stored = sparse_counts(counts)
    assert len(stored["counts"]) == 3
    np.testing.assert_array_equal(dense_counts(stored), counts)
    nothing = np.zeros((4, 0), dtype=np.int32)
    assert dense_counts(sparse_counts(nothing)).shape == (4, 0)


def test_a_state_that_was_kept_whole_predicts_the_same() -> None:
    proxy = GaussianProcess()
    proxy.fit(MOLECULES, VALUES, seed=0)
    state = proxy.state()
    n, width = len(MOLECULES), int(state["counts_shape"][1])
    counts = torch.zeros(n * width, dtype=torch.int16)
    counts[state.pop("counts_at").long()] = state["counts"]
    factor = torch.from_numpy(np.array(proxy._ready().posterior.factor))  # which such states held
    state.pop("counts_shape")
    again = GaussianProcess()
    again.load_state(state | {"counts": counts.reshape(n, width), "factor": factor})
    told, expected = again.predict(["CCOCC", "Nc1ccccc1"]), proxy.predict(["CCOCC", "Nc1ccccc1"])
    np.testing.assert_array_equal(told.mean, expected.mean)
    np.testing.assert_array_equal(told.std, expected.std)
