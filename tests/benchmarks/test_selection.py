"""The comparison of acquisitions and selectors: the same starts for all, shares that only grow, honest intervals."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from benchmarks.peers.reporting import interval
from benchmarks.selection import RANDOM, ROUNDS, Search, acquisitions, sections
from data.tables.shipped import labelled_library
from models.registry import find


@pytest.fixture(scope="module")
def search():
    return Search(labelled_library().iloc[:600], {"kind": "gaussian_process"})


@pytest.fixture(scope="module")
def records(search):
    courses = [search.run("upper_confidence_bound", selector, 1) for selector in ("kriging_believer", "top_k")]
    return [*courses, search.random(1)]


def test_all_courses_begin_alike_and_never_lose_what_they_found(records):
    assert len({record["curve"][0] for record in records}) == 1
    for record in records:
        assert len(record["curve"]) == ROUNDS + 1
        assert np.all(np.diff(record["curve"]) >= 0)
        assert record["found"] == record["curve"][-1] <= 1


def test_a_share_counts_the_true_best_only(search):
    order = np.argsort(-search.values)
    assert search.batch == 6
    assert search.found(order[:6].tolist()) == 1
    assert search.found([*order[:3].tolist(), *order[6:30].tolist()]) == 0.5
    assert search.found(order[6:].tolist()) == 0


def test_a_model_finds_more_than_chance(records):
    assert records[0]["found"] > records[-1]["found"]


def test_every_acquisition_of_one_objective_takes_part_or_is_left_out_by_name():
    assert {"upper_confidence_bound", "expected_improvement", "thompson_sampling"} <= set(acquisitions())
    assert all(getattr(find("acquisition", kind), "objectives", 1) == 1 for kind in acquisitions())


def test_an_interval_is_that_of_students_t_and_says_nothing_of_one_value():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    mean, half = interval(values.tolist())
    low, high = bootstrap((values,), np.mean, random_state=1).confidence_interval
    assert (mean - half, mean + half) == pytest.approx((low, high), abs=0.03)
    assert interval([2.0]) == (2.0, np.inf)


def test_the_table_is_sorted_by_what_was_found_and_names_the_default(records):
    courses = sections(records, ("upper_confidence_bound", "kriging_believer"))[0]
    assert courses.rows[-1][:2] == list(RANDOM)
    assert [row[1] for row in courses.rows if "(default)" in row[0]] == ["kriging_believer"]
