"""The batch of a round of several objectives, limits and targets: what is bought, and what is told of predictions."""

import json

import numpy as np
import pandas as pd
import pytest

from data.ledger.ledger import Ledger
from tasks.select_batch import select_batch
from tasks.stages import BadInput
from tests.tasks.several_goals import OUTPUTS, Round, point

LEFT, RIGHT = {"name": "near_left", "goal": "minimise"}, {"name": "near_right", "goal": "minimise"}
LOW = {"name": "height", "goal": "satisfy", "at_most": 0.4}


@pytest.fixture
def booked(monkeypatch):
    """The rows that are booked as candidates."""
    rows = []
    monkeypatch.setattr(Ledger, "add_candidates", lambda self, campaign, round, given: rows.extend(given))
    return rows


def batch_of(folder, *objectives, **more):
    here = Round(folder, *objectives, **more)
    stage = select_batch.fn(here.ref, 1, here.dataset, here.proxy, here.screened)
    with here.open() as context:
        return pd.read_parquet(stage.path(context, "batch.parquet"))


def bought(batch):
    return np.array([point(text) for text in batch["object"][batch["arm"] == "acquisition"]])


def test_one_plain_objective_has_the_columns_that_it_had(tmp_path, booked):
    batch = batch_of(tmp_path, LEFT)
    assert list(batch.columns) == [
        *["id", "object", "arm", "source", "predicted_mean", "predicted_std", "score", "novelty"]
    ]
    assert len(batch) == len(booked) == 8
    assert not any("predicted" in row for row in booked)
    assert (np.hypot(*(bought(batch) - (0.2, 0.5)).T) < 0.25).all()


def test_of_several_objectives_each_has_its_prediction_in_its_own_unit(tmp_path, booked):
    batch = batch_of(tmp_path, LOW, LEFT, {"name": "right", "goal": "target", "target": 0.5})
    told = [json.loads(text) for text in batch["predicted"]]
    assert [row["predicted"] for row in booked] == batch["predicted"].tolist()
    for row, text, mean, std in zip(
        told, batch["object"], batch["predicted_mean"], batch["predicted_std"], strict=True
    ):
        assert row["near_left"] == [mean, std]  # the first that is to be improved
        for name, (predicted, deviation) in row.items():
            assert abs(predicted - OUTPUTS[name](*point(text))) < 0.3
            assert deviation > 0


def test_a_limit_alone_is_told_of_too(tmp_path, booked):
    batch = batch_of(tmp_path, {**LEFT, "at_least": 0.1})
    assert list(json.loads(batch["predicted"][0])) == ["near_left"]


@pytest.mark.parametrize("selector", ["kriging_believer", "thompson", "optimum_probability"])
def test_a_batch_of_two_goals_spreads_along_the_front(tmp_path, booked, selector):
    # The front is the line between the two places.
    points = bought(batch_of(tmp_path, LEFT, RIGHT, selector={"kind": selector}))
    assert np.median(np.abs(points[:, 1] - 0.5)) < 0.15
    assert np.ptp(np.clip(points[:, 0], 0.2, 0.8)) > 0.3


@pytest.mark.parametrize("acquisition", [None, {"kind": "constrained_bound"}, {"kind": "expected_improvement"}])
def test_what_breaks_a_limit_is_not_bought_where_other_things_are_there(tmp_path, booked, acquisition):
    more = {} if acquisition is None else {"acquisition": acquisition}
    points = bought(batch_of(tmp_path, LEFT, LOW, **more))
    assert (points[:, 1] < 0.48).all()
    assert (points[:, 1] < 0.42).sum() >= 4
    assert (np.abs(points[:, 0] - 0.2) < 0.35).all()


def test_values_that_are_lacking_keep_a_row_out_of_the_front_and_no_more(tmp_path, booked):
    batch = batch_of(tmp_path, LEFT, RIGHT, LOW, missing=[(0, 0), (3, 1), (5, 2)])
    assert len(batch) == 8
    assert np.isfinite(batch["score"]).all()


def test_without_a_control_arm_all_is_chosen(tmp_path, booked):
    batch = batch_of(tmp_path, LEFT, RIGHT, control={"kind": "random", "fraction": 0})
    assert batch["arm"].tolist() == ["acquisition"] * 8
    assert batch["predicted"].map(json.loads).map(list).map(tuple).unique().tolist() == [("near_left", "near_right")]


def test_limits_that_nothing_can_keep_to_end_a_campaign_that_asked_to_be_told(tmp_path, booked):
    impossible = {"name": "height", "goal": "satisfy", "at_least": 3.0}
    with pytest.raises(BadInput, match="candidates can keep to the limits of the objectives within 2 standard"):
        batch_of(tmp_path, LEFT, impossible, acquisition={"kind": "constrained_bound"})
    assert len(batch_of(tmp_path / "other", LEFT, impossible)) == 8
