"""The figure of `discover compare`: what each campaign had reached by its calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tasks.reporting.plots import STYLE, _figure, legend, plain_text, settled


def reached_against_calls(
    groups: Sequence[tuple[str, Sequence[tuple[Sequence[int], Sequence[float]]]]], label: str
) -> Figure:
    """Draw a line per campaign, a colour per group, and where a group has several the mean over their common calls.

    Args:
        groups: name, and of each campaign its calls, rising, and what was reached by them, NaN before the first value.
        label: of what is reached.
    """
    figure, axes = _figure("Calls of the oracle", plain_text(label))
    colours = STYLE["rounds"]
    for place, (name, lines) in enumerate(groups):
        colour, alone = colours[place % len(colours)], len(lines) == 1
        for calls, values in lines:
            axes.step(calls, values, where="post", color=colour, linewidth=STYLE["line"] if alone else 0.8,
                      alpha=1.0 if alone else 0.45, label=plain_text(name) if alone else None)  # fmt: skip
        if not alone:
            last = min((calls[-1] for calls, _ in lines if len(calls)), default=0)
            grid = np.arange(last + 1)
            every = np.array([_held(calls, values, grid) for calls, values in lines])
            mean = np.where(np.isnan(every).any(0), np.nan, every.sum(0) / len(lines))
            axes.step(grid, mean, where="post", color=colour, linewidth=1.3 * STYLE["line"],
                      label=f"{plain_text(name)}, mean of {len(lines)}")  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, axes)
    return settled(figure)


def _held(calls: Sequence[int], values: Sequence[float], grid: np.ndarray) -> np.ndarray:
    """Return what had been reached at each number of calls, NaN before the first."""
    place = np.searchsorted(np.asarray(calls), grid, side="right") - 1
    return np.where(place >= 0, np.asarray([*values, np.nan], dtype=float)[place], np.nan)
