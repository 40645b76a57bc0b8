"""What rows a graph predicts, and what an experiment is expected to tell of the graph."""

from __future__ import annotations

import numpy as np
import pytest

from models.causal.accuracy import edge_auroc, expected_distance
from models.causal.graph_draws import GraphLaw
from models.causal.information import ExpectedInformation
from models.causal.predictive import Predictive, Setting
from models.causal.simulated import LinearSystem
from models.gflownet.rewards.dag_scores import GaussianScores, reference_data

CHAIN = np.array([[0b0000, 0b0001, 0b0011, 0b0101]])
"""Parents of four nodes."""


@pytest.mark.parametrize("setting", [Setting(), Setting(2, 0.4), Setting(0, -1.5)])
def test_the_density_of_a_row_is_what_it_adds_to_the_score(setting: Setting) -> None:
    data = reference_data(4)
    marked = np.zeros(data.shape, dtype=bool)
    marked[:10, 2] = marked[10:15, 0] = True
    row, own = np.array([[0.3, -1.1, 0.4, 0.2]]), np.zeros((1, 4), dtype=bool)
    if setting.node is not None:
        row[0, setting.node], own[0, setting.node] = setting.value, True
    before = GaussianScores(data, marked)
    after = GaussianScores(np.vstack([data, row]), np.vstack([marked, own]))
    added = sum(after.local(j, int(CHAIN[0, j])) - before.local(j, int(CHAIN[0, j])) for j in range(4))
    assert Predictive(before).log_densities(row, CHAIN, setting)[0, 0] == pytest.approx(added, abs=1e-9)


def test_drawn_rows_keep_what_is_set_and_follow_the_regression_on_the_parents() -> None:
    predictive = Predictive(GaussianScores(reference_data(4)))
    rows = predictive.draw(np.repeat(CHAIN, 4000, axis=0), Setting(0, 1.5), np.random.default_rng(0))
    assert (rows[:, 0] == 1.5).all()
    middle, scale = predictive.law(1, 0b0001).at(rows)
    assert rows[:, 1].mean() == pytest.approx(middle[0], abs=0.1 * scale[0])
    slope = np.polyfit(rows[:, 2], rows[:, 3], 1)[0]
    assert slope == pytest.approx(float(predictive.law(3, 0b0101).slopes[1]), abs=0.1)


def _pair() -> ExpectedInformation:
    """Return what experiments tell of two variables of which all is known but which acts on which."""
    system = LinearSystem(np.array([0, 1]), np.array([[0, 1], [0, 0]], bool), np.array([[0, 1.5], [0, 0]]), 1.0)
    rows = system.rows(200, np.random.default_rng(3))
    scores = GaussianScores((rows - rows.mean(0)) / rows.std(0))
    law = GraphLaw(scores.table)
    return ExpectedInformation(Predictive(scores), law.draw(200, np.random.default_rng(0)))


def test_watching_does_not_tell_a_cause_from_its_effect_and_setting_does() -> None:
    watched, weak, strong = _pair().gains([Setting(), Setting(0, 0.5), Setting(0, 3.0)])
    assert watched == pytest.approx(0.0, abs=1e-6)
    assert 0.0 < weak < strong <= np.log(2)


def test_a_batch_takes_first_what_tells_most_and_then_what_adds_most() -> None:
    every = [Setting(), Setting(0, 0.5), Setting(0, 3.0), Setting(1, 3.0)]
    found, gains = _pair().together(every, 3), _pair().gains(every)
    assert found[0] == int(np.argmax(gains))
    assert set(found) == {1, 2, 3}
    assert _pair().together(every, 9) == [*found, 0]


def test_a_turned_edge_is_one_difference_and_the_true_graph_none() -> None:
    truth = np.array([[0, 1, 1], [0, 0, 0], [0, 0, 0]], bool)
    turned = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 0]], bool)
    assert expected_distance(np.stack([truth, truth]), truth) == 0.0
    assert expected_distance(np.stack([truth, turned, np.zeros((3, 3), bool)]), truth) == pytest.approx(1.0)
    assert edge_auroc(truth.astype(float), truth) == 1.0
    assert edge_auroc(np.full((3, 3), 0.5), truth) == 0.5
