from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from data.chemistry.molecules import morgan_counts
from data.records import Prediction
from models.acquisition.thompson_sampling import ThompsonSampling
from models.featurisers.base import Features, Featuriser
from models.protocols import Scoring
from models.spaces.base import BaseSpace

MOLECULES = ("CCO", "CCCO", "c1ccccc1O", "O=C(O)c1ccccc1", "C")
PREDICTION = Prediction(np.array([1.0, 2.0, -1.0, 0.0, 3.0]), np.array([0.5, 1.0, 2.0, 0.1, 1.0]))


def scored(seed, molecules=MOLECULES, prediction=PREDICTION):
    return ThompsonSampling().score((prediction,), Scoring(tuple(molecules), seed))


def luck(seeds, molecules=MOLECULES):
    """Draws in deviations from the mean, shape `(seeds, n)`."""
    one = Prediction(np.zeros(len(molecules)), np.ones(len(molecules)))
    return np.array([scored(seed, molecules, one) for seed in range(seeds)])


def test_over_seeds_each_molecule_has_the_law_that_was_predicted_for_it():
    draws = np.array([scored(seed) for seed in range(1000)])
    for i in range(5):
        assert kstest(draws[:, i], "norm", (PREDICTION.mean[i], PREDICTION.std[i])).pvalue > 1e-3


def test_like_molecules_share_their_luck_by_the_cosine_of_their_fingerprints():
    draws, counts = luck(2000), np.sqrt(morgan_counts(MOLECULES).astype(float))
    unit = counts / np.linalg.norm(counts, axis=1, keepdims=True)
    assert np.abs(np.corrcoef(draws.T) - unit @ unit.T).max() < 5 / np.sqrt(2000)


def test_in_a_round_a_molecule_has_one_draw_whoever_else_is_asked_about():
    together = scored(4)
    for i, smiles in enumerate(MOLECULES):
        one = Prediction(PREDICTION.mean[[i]], PREDICTION.std[[i]])
        assert scored(4, [smiles], one)[0] == together[i]
    twice = Prediction(PREDICTION.mean[[0, 2, 0]], PREDICTION.std[[0, 2, 0]])
    again = scored(4, ["CCO", "c1ccccc1O", "CCO"], twice)
    assert again.tolist() == together[[0, 2, 0]].tolist()


def test_another_round_has_another_draw():
    assert (np.abs(scored(4) - scored(5)) > 1e-6).all()
    np.testing.assert_array_equal(scored(4), scored(4))


def test_the_molecules_must_be_named():
    with pytest.raises(ValueError, match="'thompson_sampling' needs the 5 objects that were predicted"):
        ThompsonSampling().score((PREDICTION,), Scoring())
    with pytest.raises(ValueError, match="needs the 5 objects"):
        scored(0, MOLECULES[:3])


class Points(BaseSpace):
    """Numbers on a line, told apart by where they lie."""

    kind = "points_of_the_thompson_test"
    neighbours = {"kind": "line_of_the_thompson_test"}

    def told(self):
        return "objects"

    def standard(self, text):
        return text

    def outside(self, obj):
        return None


class Line(Featuriser):
    kind = "line_of_the_thompson_test"

    def __call__(self, objects):
        return Features(np.array([[float(text)] for text in objects]), np.zeros((len(objects), 0), dtype=np.int32))


def test_where_nothing_is_counted_luck_is_shared_by_distance():
    points, one = ("0", "0.5", "3"), Prediction(np.zeros(3), np.ones(3))
    draws = np.array([ThompsonSampling().score((one,), Scoring(points, seed, space=Points())) for seed in range(1000)])
    for i in range(3):
        assert kstest(draws[:, i], "norm").pvalue > 1e-3
    expected = np.exp(-np.square(np.subtract.outer([0, 0.5, 3], [0, 0.5, 3])) / 2)
    assert np.abs(np.corrcoef(draws.T) - expected).max() < 5 / np.sqrt(1000)
