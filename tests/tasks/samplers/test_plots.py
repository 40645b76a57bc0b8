"""The pictures of a sampler show what they are given, and the same rows give the same bytes."""

import numpy as np
import pytest

from models.gflownet.judging.evaluation import Law
from tasks.reporting.plots import png
from tasks.samplers.plots import is_plane, learning, plane, running_median


def rows(measure, scale=1.0):
    return [
        {"step": step, "loss": scale / step, **({measure: scale / step} if step % 5 == 0 else {})}
        for step in range(1, 31)
    ]


def square(policy):
    target = np.array([0.1, 0.2, 0.3, 0.4])
    return Law("", [(0, 0), (0, 1), (1, 0), (1, 1)], np.array(policy), target)


def test_total_variation_is_drawn_at_the_steps_that_have_one_on_a_logarithmic_scale():
    figure = learning({"": rows("tv")})
    upper, lower = figure.axes
    (line,) = upper.lines
    assert line.get_xdata().tolist() == [5, 10, 15, 20, 25, 30]
    assert line.get_ydata() == pytest.approx([1 / 5, 1 / 10, 1 / 15, 1 / 20, 1 / 25, 1 / 30])
    assert upper.get_yscale() == lower.get_yscale() == "log"
    assert upper.get_legend() is None


def test_without_total_variation_the_correlation_is_drawn_which_may_be_negative():
    upper, _ = learning({"": rows("spearman", -0.5)}).axes
    assert upper.get_ylabel() == "Spearman correlation"
    assert upper.get_ylim()[0] <= -0.1
    assert upper.get_yscale() == "linear"


def test_colours_tell_seeds_apart_and_conditions_where_there_are_several():
    several = learning({"seed 0": rows("tv"), "seed 1": rows("tv", 0.5)})
    assert [text.get_text() for text in several.legends[0].get_texts()] == ["seed 0", "seed 1"]
    both = [row | {key.replace("beta_1", "beta_2"): v for key, v in row.items()} for row in rows("tv/beta_1")]
    conditions = learning({"seed 0": both, "seed 1": both})
    assert [text.get_text() for text in conditions.legends[0].get_texts()] == ["beta 1", "beta 2"]
    first, second, third, fourth = (line.get_color() for line in conditions.axes[0].lines)
    assert first == third != second == fourth


def test_a_plane_shows_the_policy_beside_the_target_with_one_scale_and_their_distance():
    figure = plane(square([0.4, 0.3, 0.2, 0.1]))
    left, right = (axes.images[0] for axes in figure.axes[:2])
    assert left.get_array()[1, 0] == pytest.approx(0.3)  # (x, y) = (0, 1): the row is y
    assert right.get_array()[1, 0] == pytest.approx(0.2)
    assert left.get_clim() == right.get_clim() == (0.0, pytest.approx(0.4))
    assert "0.4" in figure.axes[0].get_title()


def test_only_distinct_pairs_of_whole_numbers_are_a_plane():
    law = square([0.25] * 4)
    assert is_plane(law)
    for objects in (["ab", "cd"], [(0, 0, 0), (0, 0, 1)], [(0, 0), (0, 0)], [None, (0, 0)]):
        assert not is_plane(Law("", objects, law.policy[:2], law.target[:2]))


def test_the_running_median_follows_the_loss_and_not_its_outliers():
    values = np.where(np.arange(100) == 50, 1e6, 1.0)
    assert running_median(values).tolist() == [1.0] * 100


def test_the_same_rows_give_the_same_bytes():
    assert png(learning({"": rows("tv")})) == png(learning({"": rows("tv")}))
    assert png(plane(square([0.25] * 4))) == png(plane(square([0.25] * 4)))
