"""The figure of what a campaign reached for its money, and what each arm reached by equally many purchases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data.goals import Goal
from data.ledger.summary import DRAWS, IMPORTED, by_round, is_call
from data.records import Arm, CandidateRow, FloatArray, RoundSummary
from tasks.reporting.plots import STYLE, _label, count_by, dress, legend, plain_text, running_best, settled

INTERVAL = (5.0, 95.0)
"""Percentiles of the draws between which the band of an arm lies."""


def reached_for_cost(
    rows: Sequence[CandidateRow],
    costs: Mapping[int, float],
    goal: Goal,
    *,
    outside: frozenset[str] = frozenset(),
) -> Figure:
    """Draw best and mean of the ten best against what was paid, and beside it both arms by equally many purchases.

    A control arm of six a round looks poor on the axis of all calls, since the others buy four times as much. On the
    right each arm starts from the initial design. After each round of which both bought something, the smaller arm
    counts whole; of the larger so many purchases are drawn `DRAWS` times, and the band holds nine of ten draws.

    Args:
        rows: candidates in any order; failed calls count as bought. Keys: `id`, `value`, `arm`, `round`, `position`,
            `origin`, `booked`, `levels`.
        costs: round -> what was paid in it; it is spread evenly over the calls of the round.
        goal: of the values.
        outside: ids of those that break a limit, which count as bought and never as reached.
    """
    figure = Figure(figsize=(1.75 * STYLE["size"][0], STYLE["size"][1]), layout="constrained")
    FigureCanvasAgg(figure)
    paid, arms = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    shown = [row._replace(value=None) if row.id in outside else row for row in rows]
    at, values = _course(shown, costs)
    calls = sum(row.calls for row in rows if is_call(row))
    what = "Calls of the oracle" if abs(sum(costs.values()) - calls) < 1e-9 else "Cost"
    if what != "Cost":
        count_by(paid)
    dress(paid, f"{what}, {sum(costs.values()):,.6g} in all", _label(goal.name, goal.unit))
    ink, soft = STYLE["ink"], STYLE["soft"]
    paid.step(at, running_best(values, goal), where="post", color=soft, linewidth=1.1, label="best")
    paid.step(at, running_top(values, goal), where="post", color=ink, linewidth=STYLE["line"], label=TOP_NAME)
    if goal.target is not None:
        paid.axhline(goal.target, color=ink, linewidth=1.0, linestyle=":", label=f"target {goal.target:g}")
    _draw_arms(arms, shown, goal)
    legend(figure, paid, arms)
    return settled(figure)


TOP_NAME = f"mean of the {RoundSummary.TOP} best"


def running_top(values: FloatArray, goal: Goal) -> FloatArray:
    """Return the mean of the ten best values up to each position; NaN while there are fewer, NaN values are skipped."""
    reached, best = np.full(len(values), np.nan), list[float]()
    for position, value in enumerate(np.asarray(values, dtype=np.float64).tolist()):
        if not np.isnan(value):
            best = sorted([*best, value], key=goal.signed, reverse=True)[: RoundSummary.TOP]
        if len(best) == RoundSummary.TOP:
            reached[position] = sum(best) / len(best)
    return reached


def _course(rows: Sequence[CandidateRow], costs: Mapping[int, float]) -> tuple[FloatArray, FloatArray]:
    """Return what was paid after each purchase and its value, each of shape `(n,)`; data stands first, at 0."""
    supplied = [row.value for row in rows if row.origin == IMPORTED and row.value is not None]
    at, values, paid = [0.0] * len(supplied), [float(value) for value in supplied], 0.0
    rounds = by_round([row for row in rows if is_call(row)])
    for number in sorted(rounds):
        bought = sorted(rounds[number], key=lambda row: row.position)
        calls = sum(row.calls for row in bought)
        for row in bought:
            paid += costs.get(number, 0.0) * row.calls / calls if calls else 0.0
            at.append(paid)
            values.append(np.nan if row.value is None else row.value)
    first = max(len(supplied) - 1, 0)
    # Of the supplied values only all together are known at 0.
    return np.array([*([0.0] * first), *at[first:]]), np.array(values, dtype=float)


def _draw_arms(axes: Axes, rows: Sequence[CandidateRow], goal: Goal) -> None:
    """Draw what the initial design and equally many purchases of each arm reach, after each round."""
    first = [row.value for row in rows if (row.origin == IMPORTED or row.arm == Arm.INITIAL) and row.value is not None]
    bought = {arm: _outcomes(rows, arm) for arm in (Arm.ACQUISITION, Arm.CONTROL)}
    sizes = [0, *_equal_sizes(bought[Arm.ACQUISITION], bought[Arm.CONTROL])]
    rounds = [-1, *sorted({number for outcomes in bought.values() for number, _ in outcomes})]
    dress(axes, f"Purchases of each arm, {sizes[-1]} at most", "")
    count_by(axes)
    if len(sizes) == 1:
        axes.set_title("one arm bought nothing: no comparison", fontsize=0.85 * STYLE["font"], color=STYLE["soft"])
        return
    axes.set_title(
        plain_text(f"{TOP_NAME}: initial design\nand equally many purchases"),
        fontsize=0.85 * STYLE["font"], color=STYLE["soft"],
    )  # fmt: skip
    for arm, style in ((Arm.ACQUISITION, "-"), (Arm.CONTROL, "--")):
        draws = np.array(
            [
                _reached(first, [value for number, value in bought[arm] if number <= last], size, goal)
                for last, size in zip(rounds, sizes, strict=True)
            ]
        )
        low, high = np.percentile(draws, INTERVAL, axis=1)
        colour = STYLE["arms"][arm]
        axes.fill_between(sizes, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(sizes, draws.mean(1), color=colour, linestyle=style, linewidth=STYLE["line"], markersize=4,
                  marker=STYLE["markers"][arm], label=str(arm))  # fmt: skip


def _outcomes(rows: Sequence[CandidateRow], arm: Arm) -> list[tuple[int, float | None]]:
    bought = sorted((row for row in rows if row.arm == arm and is_call(row)), key=lambda row: (row.round, row.position))
    return [(row.round, row.value) for row in bought]


def _equal_sizes(one: Sequence[tuple[int, float | None]], other: Sequence[tuple[int, float | None]]) -> list[int]:
    """Return, after each round that bought something, the purchases of the arm that has bought less."""
    rounds = sorted({number for number, _ in [*one, *other]})
    sizes = [min(sum(number <= last for number, _ in outcomes) for outcomes in (one, other)) for last in rounds]
    return sizes if any(sizes) else []


def _reached(first: Sequence[float], outcomes: Sequence[float | None], n: int, goal: Goal) -> list[float]:
    """Return the mean of the best of the initial design and n purchases, of each of `DRAWS` draws."""
    reached = []
    for seed in range(DRAWS):
        drawn = outcomes if len(outcomes) <= n else Random(seed).sample(list(outcomes), n)
        best = sorted([*first, *(value for value in drawn if value is not None)], key=goal.signed, reverse=True)
        best = best[: RoundSummary.TOP]
        reached.append(sum(best) / len(best) if best else np.nan)
    return reached
