"""Data maps: wrong values are marked, right ones are not."""

import numpy as np
import pytest

from data.tables.shipped import labelled_library
from models.proxies.dataset_map import Course, MappingProxy, dataset_map
from models.proxies.kriging import Hyperparameters, Pairs, noisy_covariance, posterior, ridge_path
from models.registry import build

TABLE = labelled_library().sample(200, random_state=1)
SMILES, VALUES = TABLE["smiles"].tolist(), TABLE["value"].to_numpy()


@pytest.mark.parametrize(
    "spec", [{"kind": "gaussian_process"}, {"kind": "random_forest", "members": 60}], ids=lambda spec: spec["kind"]
)
def test_values_moved_by_five_deviations_are_never_learnt_and_hardly_any_other(spec):
    wrong = VALUES.copy()
    wrong[::20] += 5 * VALUES.std() * np.where(np.arange(10) % 2, 1, -1)
    proxy = build("proxy", spec)
    proxy.fit(SMILES, wrong, seed=0)
    assert isinstance(proxy, MappingProxy)
    found = dataset_map(proxy.course(SMILES, wrong))
    assert found.never[::20].sum() >= 8
    assert np.delete(found.never, np.s_[::20]).sum() <= 2
    up = found.never & (found.mean > 0)
    assert set(np.flatnonzero(up)[np.flatnonzero(up) % 20 == 0]) <= set(range(20, 200, 40))


def test_rows_may_come_in_any_order():
    proxy = build("proxy", {"kind": "gaussian_process"})
    proxy.fit(SMILES, VALUES, seed=0)
    order = np.random.default_rng(0).permutation(len(SMILES))
    course, other = proxy.course(SMILES, VALUES), proxy.course([SMILES[i] for i in order], VALUES[order])
    np.testing.assert_allclose(other.last, course.last[order], atol=1e-8)


def test_the_end_of_the_ridge_path_is_what_is_predicted_without_each_value():
    rng = np.random.default_rng(0)
    points, values = rng.random((12, 2)), rng.normal(size=12)
    pairs = Pairs(np.linalg.norm(points[:, None] - points[None], axis=2))
    h = Hyperparameters(1.3, (), 0.4, 0.05)
    error, variance = posterior(pairs, values, h).left_out(np.arange(12))
    path = ridge_path(noisy_covariance(pairs, h) - 0.05 * np.eye(12), values, 0.05, 4)
    np.testing.assert_allclose(path[-1], error / np.sqrt(variance), rtol=1e-8)
    assert path.shape == (4, 12)


def test_where_nearly_all_is_predicted_a_small_miss_is_no_finding():
    last = np.random.default_rng(0).normal(0.0, 0.02, 100)
    last[7], last[8] = 0.7, 3.5
    assert np.flatnonzero(dataset_map(Course(last[None], last)).never).tolist() == [8]


def test_few_rows_and_rows_that_every_member_saw_are_not_called_anything():
    assert not dataset_map(Course(np.full((3, 4), 9.0), np.full(4, 9.0))).never.any()
    seen = np.zeros((2, 30))
    seen[:, 3] = np.nan
    last = np.zeros(30)
    last[3] = 50.0
    assert not dataset_map(Course(seen, last)).never.any()
