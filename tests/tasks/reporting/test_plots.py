from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from data.chemistry.molecules import morgan_counts
from data.goals import Goal, Goals
from data.ledger.summary import summaries
from data.records import CandidateRow
from models.featurisers.nearness import min_max
from models.spaces.molecules import Molecules
from tasks.reporting.arms_plot import reached_for_cost
from tasks.reporting.comparison_plot import reached_against_calls
from tasks.reporting.plots import (
    best_so_far,
    front,
    hypervolume,
    png,
    predicted_against_measured,
    reliability_diagram,
    running_best,
    similarity_map,
    space_map,
    svg,
    training,
)

NEARNESS = Molecules().nearness
LIBRARY = [
    "CCO",
    "CCN",
    "CCCl",
    "c1ccccc1",
    "c1ccncc1",
    "Cc1ccccc1",
    "O=C1C=CC(=O)C=C1",
    "CC(=O)O",
    "CCC(=O)O",
    "C1CCCCC1",
]


def row(value: float | None, *, round: int = 0, arm: str = "initial", smiles: str = "CCO", **more: Any) -> CandidateRow:
    state = "failed" if value is None else "done"
    row = CandidateRow("m", smiles, value, round, arm=arm, state=state, origin="called")
    return row._replace(**more)


ROWS = [
    row(0.0, smiles="CCF"),
    row(None, smiles="CCBr"),
    row(1.0, smiles="CCC"),
    row(3.0, round=1, arm="acquisition", smiles="N#CC=CC#N", predicted_mean=2.0, predicted_std=1.0),
    row(0.5, round=1, arm="control", smiles="CCCC", predicted_mean=0.4, predicted_std=0.01),
    row(2.0, round=2, arm="acquisition", smiles="N#Cc1ccccc1", predicted_mean=2.5, predicted_std=0.5),
    row(None, round=2, arm="control", smiles="CCS", state="proposed", origin=None),
]


def line(figure: Figure, label: str) -> tuple[list[float], list[float]]:
    found = next(found for found in figure.axes[0].lines if found.get_label() == label)
    return list(found.get_xdata()), list(found.get_ydata())


@given(st.lists(st.one_of(st.just(np.nan), st.floats(-9, 9)), max_size=20), st.booleans())
def test_the_running_best_is_the_best_of_what_came_before(values: list[float], large: bool) -> None:
    found = running_best(np.array(values, dtype=float), Goal("value", 1 if large else -1))
    for i in range(len(values)):
        before = [v for v in values[: i + 1] if not np.isnan(v)]
        expected = (max if large else min)(before) if before else np.nan
        np.testing.assert_array_equal(found[i], expected)


def test_best_so_far_counts_failed_calls_and_keeps_the_arms_apart() -> None:
    figure = best_so_far(ROWS, Goal("electron_affinity", unit="eV"))
    assert line(figure, "best: initial + acquisition") == ([1, 2, 3, 4, 5, 6], [0.0, 0.0, 1.0, 3.0, 3.0, 3.0])
    assert line(figure, "best: initial + control") == ([1, 2, 3, 4, 5, 6], [0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    assert figure.axes[0].get_ylabel() == "Electron affinity / eV"


def test_values_that_came_with_the_data_stand_before_the_first_call() -> None:
    data = [row(value, origin="imported") for value in (2.0, 4.0, 3.0)]
    bought = [row(1.0), row(5.0, round=1, arm="acquisition"), row(4.5, round=1, arm="control", origin="reused")]
    axes = best_so_far(data + bought).axes[0]
    assert axes.get_xlabel() == "Calls of the oracle, 3 in all"
    assert line(axes.figure, "best: your data + initial + acquisition") == ([0, 1, 2, 3], [4.0, 4.0, 5.0, 5.0])
    assert line(axes.figure, "best: your data + initial + control") == ([0, 1, 2, 3], [4.0, 4.0, 4.0, 4.5])
    points = {found.get_label(): found.get_offsets()[:, 0].tolist() for found in axes.collections}
    assert points == {"from your data (3)": [0, 0, 0], "initial (1)": [1], "acquisition (1)": [2], "control (1)": [3]}
    assert [text.get_text() for text in axes.texts] == ["round 1"]


def test_data_alone_are_drawn_and_no_call_is_counted() -> None:
    axes = best_so_far([row(2.0, origin="imported"), row(1.0, origin="imported")]).axes[0]
    assert axes.get_xlabel() == "Calls of the oracle, 0 in all"
    assert line(axes.figure, "best: your data + acquisition") == ([0], [2.0])


def test_best_so_far_of_a_minimised_objective_goes_down() -> None:
    assert line(best_so_far(ROWS, Goal("value", -1)), "best: initial + acquisition")[1] == [0.0] * 6
    rows = [row(2.0), row(1.0), row(3.0)]
    assert line(best_so_far(rows, Goal("value", -1)), "best: initial + acquisition")[1] == [2.0, 1.0, 1.0]


def test_parity_counts_who_is_inside_the_interval() -> None:
    figure = predicted_against_measured(ROWS)
    assert figure.axes[0].get_title() == "Inside the 90 % interval: acquisition 2 of 2, control 0 of 1"
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert labels == ["round 1 (2)", "round 2 (1)"]


def test_the_map_puts_like_molecules_together() -> None:
    place = similarity_map(LIBRARY, NEARNESS)
    counts = morgan_counts(LIBRARY)
    near = np.linalg.norm(place[:, None] - place[None], axis=-1)
    upper = np.triu_indices(len(LIBRARY), 1)
    assert np.corrcoef(near[upper], 1 - min_max(counts, counts)[upper])[0, 1] > 0.5
    np.testing.assert_allclose(place.mean(0), 0.0, atol=1e-9)


def test_the_map_does_not_depend_on_the_order() -> None:
    order = np.random.default_rng(0).permutation(len(LIBRARY))
    np.testing.assert_allclose(
        similarity_map([LIBRARY[i] for i in order], NEARNESS), similarity_map(LIBRARY, NEARNESS)[order], atol=1e-6
    )


def test_objects_beyond_those_that_span_a_map_are_projected_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.reporting.plots.LANDMARKS", len(LIBRARY))
    place = similarity_map([smiles for smiles in LIBRARY for _ in range(2)], NEARNESS)
    np.testing.assert_allclose(place[::2], place[1::2], atol=1e-6)  # a copy lies where its original does
    monkeypatch.setattr("tasks.reporting.plots.LANDMARKS", len(LIBRARY) - 2)
    place, counts = similarity_map(LIBRARY, NEARNESS), morgan_counts(LIBRARY)
    near = np.linalg.norm(place[:, None] - place[None], axis=-1)
    upper = np.triu_indices(len(LIBRARY), 1)
    assert np.corrcoef(near[upper], 1 - min_max(counts, counts)[upper])[0, 1] > 0.5


def test_the_map_of_a_space_colours_by_value_and_leaves_the_unmeasured_hollow() -> None:
    figure = space_map(LIBRARY, ROWS, NEARNESS, unit="eV")
    library, *points = figure.axes[0].collections
    assert len(library.get_offsets()) == len(LIBRARY)
    coloured = [p for p in points if p.get_array() is not None]
    assert sorted(v for p in coloured for v in p.get_array()) == [0.0, 0.5, 1.0, 2.0, 3.0]
    assert sum(len(p.get_offsets()) for p in points if p.get_array() is None) == 2
    assert figure.axes[1].get_ylabel() == "Value / eV"


def test_training_draws_the_loss_and_log_z() -> None:
    history = [{"step": float(s), "loss": 10.0 / (s + 1), "log_z": float(s)} for s in range(50)]
    upper, lower = training(history).axes
    assert upper.get_yscale() == "log"
    assert list(lower.lines[0].get_ydata()) == [float(s) for s in range(50)]
    np.testing.assert_allclose(upper.lines[0].get_ydata(), [10.0 / (s + 1) for s in range(50)])


@pytest.mark.parametrize(
    "make",
    [
        lambda: best_so_far(ROWS),
        lambda: predicted_against_measured(ROWS),
        lambda: space_map(LIBRARY, ROWS, NEARNESS),
        lambda: training([{"step": 1.0, "loss": 2.0, "log_z": 0.0}]),
    ],
)
def test_the_same_rows_give_the_same_bytes(make: Any) -> None:
    figure = make()
    assert png(figure) == png(figure) == png(make())
    assert png(figure).startswith(b"\x89PNG")
    assert svg(figure) == svg(make())


def test_nothing_to_draw_is_drawn_as_nothing() -> None:
    for figure in (best_so_far([]), predicted_against_measured([]), space_map([], [], NEARNESS), training([])):
        assert png(figure).startswith(b"\x89PNG")


TWO = Goals([Goal("affinity", unit="eV"), Goal("toxicity", -1, at_most=0.8)])


def measured(id: str, affinity: float, toxicity: float, arm: str = "initial", **more: float) -> CandidateRow:
    values = {"affinity": affinity, "toxicity": toxicity, **more}
    round = int(arm != "initial")
    return row(affinity, arm=arm, round=round)._replace(id=id, values=values)


FRONT = [
    measured("a", 0.0, 0.1),
    measured("b", 1.0, 0.7),
    measured("c", 2.0, 0.5, "acquisition"),
    measured("d", 3.0, 0.9, "acquisition"),
    measured("e", 1.5, 0.3, "control"),
]


def test_two_objectives_are_a_plane_with_the_front_that_keeps_to_the_limits() -> None:
    axes = front(FRONT, TWO).axes[0]
    assert axes.get_xlabel() == "Affinity / eV (maximise)"
    assert axes.get_ylabel() == "Toxicity (minimise)"
    (steps,) = axes.lines
    assert list(zip(steps.get_xdata(), steps.get_ydata(), strict=True)) == [(0.0, 0.1), (1.5, 0.3), (2.0, 0.5)]
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["outside the limits (1)", "initial (2)", "acquisition (1)", "control (1)", "front (3)"]


def test_three_objectives_are_parallel_axes_with_a_line_for_each_of_the_front() -> None:
    goals = Goals([*TWO, Goal("gap", target=2.5, unit="eV")])
    rows = [one._replace(values={**one.values, "gap": 2.0 + i}) for i, one in enumerate(FRONT)]
    axes = front(rows, goals).axes[0]
    marked = [one for one in axes.lines if one.get_marker() not in ("None", None, "")]
    assert len(marked) == len(goals.front(rows)) > 0
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        "Affinity\n/ eV (maximise)",
        "Toxicity (minimise)",
        "Gap off 2.5\n/ eV (minimise)",
    ]


def test_the_hypervolume_is_drawn_beside_equally_many_calls_of_both_arms() -> None:
    told = summaries(FRONT, TWO)
    axes = hypervolume(told).axes[0]
    assert list(axes.lines[0].get_ydata()) == [one.hypervolume for one in told]
    assert list(axes.lines[0].get_xdata()) == [2, 5]
    assert [one.get_label() for one in axes.lines[1:]] == [
        "initial + acquisition, equal calls (last: 1)",
        "initial + control, equal calls (last: 1)",
    ]


def test_what_breaks_a_limit_is_drawn_and_never_the_best() -> None:
    figure = best_so_far(FRONT, TWO.main, outside={"d"})
    assert line(figure, "best: initial + acquisition")[1] == [0.0, 1.0, 2.0, 2.0, 2.0]
    assert "outside the limits (1)" in figure.axes[0].get_legend_handles_labels()[1]


def drawn_and_counted(figure: Figure) -> dict[str, tuple[int, int]]:
    """What the legend calls each cloud of points -> how many there are, and how many it says."""
    clouds = {str(one.get_label()): len(one.get_offsets()) for one in figure.axes[0].collections}
    named = {label.rpartition(" (") for label in clouds if label.endswith(")")}
    return {name: (clouds[f"{name} ({count}"], int(count.rstrip(")"))) for name, _, count in named}


def test_a_legend_counts_what_is_drawn_and_says_once_how_many_have_no_value() -> None:
    rows = [
        *(row(float(i)) for i in range(4)),
        *(row(None) for _ in range(2)),
        row(7.0, arm="acquisition", round=1, state="failed")._replace(id="half"),
        row(8.0, arm="acquisition", round=1),
        row(None, arm="control", round=1),
    ]
    figure = best_so_far(rows, outside={"half"})
    told = drawn_and_counted(figure)
    assert told == {"initial": (4, 4), "acquisition": (1, 1), "without another value": (1, 1)}
    assert "3 without a value" in figure.axes[0].get_legend_handles_labels()[1]
    assert sum(count for _, count in told.values()) + 3 == len(rows)
    whole = best_so_far(rows[:4]).axes[0].get_legend_handles_labels()[1]
    assert not [label for label in whole if "without" in label]


def test_calls_are_marked_by_whole_numbers() -> None:
    told = summaries(FRONT, TWO)
    for figure in (
        best_so_far(ROWS[:2]),
        best_so_far(ROWS),
        hypervolume(told),
        reached_for_cost(ROWS, {0: 3, 1: 2, 2: 1}, TWO.main),
    ):
        for axes in figure.axes:
            assert all(float(tick).is_integer() for tick in axes.get_xticks()), axes.get_xlabel()


def test_the_markers_of_the_hypervolume_are_whole() -> None:
    axes = hypervolume(summaries(FRONT, TWO)).axes[0]
    highest = max(float(np.nanmax(one.get_ydata())) for one in axes.lines)
    at = axes.transData.transform([[2.0, highest], [2.0, axes.get_ylim()[1]]])[:, 1]
    assert at[1] - at[0] > 4.0 / 2  # half a marker, of the units of the figure or more
    assert not any(one.get_clip_on() for one in axes.lines)


def test_the_best_of_a_target_comes_closer_to_it() -> None:
    figure = best_so_far([row(value) for value in (0.0, 5.0, 2.0, 3.5)], Goal("gap", target=2.5))
    assert line(figure, "best: initial + acquisition")[1] == [0.0, 0.0, 2.0, 2.0]


def test_figures_of_several_objectives_are_the_same_bytes_and_nothing_is_drawn_as_nothing() -> None:
    three = Goals([*TWO, Goal("gap")])
    for make in (lambda: front(FRONT, TWO), lambda: hypervolume(summaries(FRONT, TWO))):
        assert png(make()) == png(make())
    for figure in (front([], TWO), front([], three), hypervolume([])):
        assert png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", [r"$\frac$", "a$b$", "$"])
def test_names_that_look_like_formulas_are_drawn(name: str) -> None:
    rows = [CandidateRow(str(i), "C", float(i), origin="called", predicted_mean=1.0) for i in range(2)]
    held_out = [{"value": 1.0, "mean": 0.5 * i, "std": 1.0, "raw_std": 1.0} for i in range(3)]
    for figure in (
        best_so_far(rows, Goal(name, unit=name)),
        predicted_against_measured(rows, objective=name, unit=name),
        reliability_diagram({"random split": held_out}, unit=name),
    ):
        assert "</svg>" in svg(figure)


def boxes(figure: Figure) -> tuple[Any, list[Any]]:
    """Where the legend is, and where the axes are with all that they draw."""
    figure.draw_without_rendering()
    (legend,) = figure.legends
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    return legend.get_window_extent(renderer), [axes.get_tightbbox(renderer) for axes in figure.axes]


LONG = "a_property_with_a_long_name"


def test_no_legend_lies_over_what_is_drawn() -> None:
    held = [{"value": k / 9, "mean": k / 8, "std": 0.1 + k, "raw_std": 0.2} for k in range(9)]
    given = [row(9.0, origin="imported")]
    history = [{"step": k, "loss": 2.0**-k, "log_z": k} for k in range(9)]
    for figure in (
        best_so_far([*given, *ROWS], Goal(LONG, unit="kJ/mol", target=2.0)),
        best_so_far(ROWS, Goal("value")),
        predicted_against_measured(ROWS),
        space_map(LIBRARY, [*given, *ROWS], NEARNESS),
        reliability_diagram({"scaffold split": held, "random split": held}),
        training(history),
        reached_for_cost(ROWS, {0: 3.0, 1: 2.0, 2: 2.0}, Goal(LONG)),
        reached_against_calls([("one", [([1, 2], [0.0, 1.0])]), ("another", [([1, 2], [1.0, 2.0])])], LONG),
    ):
        legend, axes = boxes(figure)
        assert not [box for box in axes if box.overlaps(legend)]
        assert figure.bbox.containsx(legend.x0) & figure.bbox.containsx(legend.x1)
        assert figure.bbox.containsy(legend.y0) & figure.bbox.containsy(legend.y1)


def test_the_map_says_what_came_with_the_data_and_what_a_hollow_marker_is() -> None:
    figure = space_map(LIBRARY, [row(9.0, origin="imported"), *ROWS], NEARNESS)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "from your data (1)" in names
    assert "initial (2)" in names
    assert "hollow: without a value (2)" in names


def test_the_map_counts_an_object_of_the_library_that_is_a_candidate_once() -> None:
    figure = space_map([*LIBRARY, "CCF", "CCC"], ROWS, NEARNESS)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    others = set(LIBRARY) - {one.object for one in ROWS}
    assert f"rest of the library ({len(others)})" in names


def test_both_axes_of_predictions_have_the_unit() -> None:
    axes = predicted_against_measured(ROWS, objective="gap", unit="eV").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted gap / eV", "Measured / eV")


def test_what_lacks_another_value_is_drawn_and_named_and_never_the_best() -> None:
    rows = [row(1.0), row(9.0, state="failed")._replace(id="lacking"), row(2.0)]
    figure = best_so_far(rows, outside={"lacking"})
    assert line(figure, "best: initial + acquisition")[1] == [1.0, 1.0, 2.0]
    assert "without another value (1)" in [text.get_text() for text in figure.legends[0].get_texts()]
