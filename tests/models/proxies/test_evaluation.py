from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, spearmanr

from data.records import Prediction
from models.proxies.evaluation import cross_validate, group_folds, metrics

names = st.lists(st.sampled_from(["", "a", "b", "c", "d", "e", "f"]), min_size=2, max_size=60)


@given(names, st.integers(2, 5), st.integers(0, 99))
def test_no_group_is_split_and_every_fold_is_used(groups: list[str], folds: int, seed: int) -> None:
    distinct = len(set(groups) - {""}) + groups.count("")
    if distinct < folds:
        with pytest.raises(ValueError, match="Cross-validation needs"):
            group_folds(groups, folds, seed)
        return
    assigned = group_folds(groups, folds, seed)
    assert set(assigned) == set(range(folds))
    for group in set(groups) - {""}:
        assert len({fold for fold, name in zip(assigned, groups, strict=True) if name == group}) == 1
    assert assigned == group_folds(groups, folds, seed)


def test_acyclic_molecules_are_dealt_out_one_by_one() -> None:
    assert sorted(group_folds([""] * 10, 5, 0)) == sorted([0, 1, 2, 3, 4] * 2)


class Memory:
    """A proxy that predicts the mean of what it saw and counts, in std, how many of the tested it saw."""

    def fit(self, molecules: Sequence[str], values: np.ndarray, *, seed: int) -> None:
        self.seen, self.mean = set(molecules), float(np.mean(values))

    def predict(self, molecules: Sequence[str]) -> Prediction:
        return Prediction(
            np.full(len(molecules), self.mean), np.array([1.0 + (smiles in self.seen) for smiles in molecules])
        )

    def state(self) -> dict[str, object]:
        return {}

    def load_state(self, state: object) -> None:
        pass


def test_each_molecule_is_predicted_by_a_proxy_that_has_not_seen_its_group() -> None:
    molecules = [f"{group}{i}" for group in "abcd" for i in range(3)]
    values = np.repeat([0.0, 1.0, 2.0, 3.0], 3)
    prediction = cross_validate(Memory, molecules, values, [m[0] for m in molecules], 4, seed=0)
    assert (prediction.std == 1.0).all()
    np.testing.assert_allclose(prediction.mean, (6.0 - values) / 3.0)


def test_the_figures_are_the_textbook_ones() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    prediction = Prediction(values + rng.normal(size=400), np.full(400, 1.0))
    found = metrics(prediction, values)
    error = prediction.mean - values
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert found["mae"] == pytest.approx(np.mean(np.abs(error)))
    assert found["spearman"] == pytest.approx(spearmanr(prediction.mean, values)[0])
    assert found["nll"] == pytest.approx(-norm(prediction.mean, prediction.std).logpdf(values).mean())
    assert found["coverage_90"] == pytest.approx(0.9, abs=0.04)
    assert found["r2"] == pytest.approx(1 - np.sum(error**2) / np.sum((values - values.mean()) ** 2))
    assert found["n"] == 400


def test_a_constant_prediction_has_no_rank_correlation() -> None:
    assert metrics(Prediction(np.zeros(3), np.ones(3)), np.array([1.0, 2.0, 3.0]))["spearman"] == 0.0


def test_metrics_of_one_value_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 values"):
        metrics(Prediction(np.zeros(1), np.ones(1)), np.zeros(1))
