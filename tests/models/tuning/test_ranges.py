"""What may be chosen: ends, scales, values, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from data.config import ConfigError
from models.tuning.ranges import Choices, Range, search_space


def test_a_range_over_a_decade_counts_ratios_and_another_one_differences() -> None:
    assert Range(1e-4, 1e-2).at(0.5) == pytest.approx(1e-3)
    assert Range(0.0, 0.2).at(0.5) == pytest.approx(0.1)
    assert Range(1e-4, 1e-2).unit(1e-3) == pytest.approx(0.5)


def test_numbers_that_yaml_takes_for_texts_are_numbers() -> None:
    assert search_space({"lr": ["1e-4", "1e-2"]}).options["lr"] == Range(1e-4, 1e-2)


def test_whole_ends_ask_for_whole_numbers_and_a_share_does_not() -> None:
    assert search_space({"width": [16, 256]}).options["width"] == Range(16, 256, whole=True)
    assert search_space({"epsilon": [0, 1]}).options["epsilon"] == Range(0, 1)


def test_what_is_explored_stays_inside_the_ends() -> None:
    space, rng = search_space({"lr": [1e-4, 1e-2], "n": [1, 4], "kernel": ["a", "b", "c"]}), np.random.default_rng(0)
    for _ in range(50):
        found = space.explored(space.draw(rng), rng, (0.8, 1.2), 0.25)
        assert 1e-4 <= found["lr"] <= 1e-2
        assert found["n"] in (1, 2, 3, 4)
        assert found["kernel"] in ("a", "b", "c")


def test_a_zero_is_not_stuck_at_zero() -> None:
    assert Range(0.0, 0.8).perturbed(0.0, 1.2, np.random.default_rng(0)) > 0


def test_choices_are_points_of_their_own() -> None:
    assert isinstance(search_space({"kernel": ["a", "b"]}).options["kernel"], Choices)
    space = search_space({"kernel": ["a", "b"], "epsilon": [0.0, 0.2]})
    assert space.point({"kernel": "b", "epsilon": 0.1}).tolist() == [0.0, 1.0, 0.5]


@pytest.mark.parametrize("over", [{}, {"lr": 3}, {"lr": [1]}, {"lr": [2, 1]}])
def test_what_leaves_no_choice_is_refused(over: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        search_space(over)
