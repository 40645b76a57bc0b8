"""The picture of a claim that was tried: its curves, and of each check the seeds beside the bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models.systems.base import Judged
from tasks.reporting.plots import STYLE, dress, legend, plain_text, settled

COLOURS = STYLE["rounds"]
MARKERS = "o^sDvPX"
LOGARITHMIC = " (log)"
HELD, MISSED = STYLE["arms"]["acquisition"], STYLE["arms"]["control"]
WIDTH = 44
"""Letters of a line above a check."""


def tried(results: Sequence[Mapping[str, Any]], judged: Sequence[Judged], axes: tuple[str, str]) -> Figure:
    """Draw what the seeds gave.

    Args:
        results: of each seed; under `curves`, if any, arm -> `[x, y]`.
        judged: the checks.
        axes: labels of the curves; a label that ends in ` (log)` is of a logarithmic axis.
    """
    has_curves = any(one.get("curves") for one in results)
    rows = max(len(judged), 1)
    width, height = STYLE["size"]
    figure = Figure(
        figsize=((1.9 if has_curves else 1.0) * width, max(height, 0.95 * rows + 0.3)), layout="constrained"
    )
    FigureCanvasAgg(figure)
    if has_curves:
        left, right = figure.subfigures(1, 2, width_ratios=(1.0, 0.9), squeeze=False)[0]
        curves = left.subplots()
        _curves(curves, results, axes)
        legend(figure, curves)
    else:
        right = figure.subfigures(1, 1)
    for place, one in zip(right.subplots(rows, 1, squeeze=False)[:, 0], judged, strict=False):
        _check(place, one)
    return settled(figure)


def _curves(axes: Axes, results: Sequence[Mapping[str, Any]], labels: tuple[str, str]) -> None:
    dress(axes, *(label.removesuffix(LOGARITHMIC) for label in labels))
    if labels[0].endswith(LOGARITHMIC):
        axes.set_xscale("log")
    if labels[1].endswith(LOGARITHMIC):
        axes.set_yscale("log")
    arms = dict.fromkeys(arm for one in results for arm in one.get("curves", {}))
    for place, arm in enumerate(arms):
        lines = [np.array(one["curves"][arm], dtype=float) for one in results if arm in one.get("curves", {})]
        style: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)]}
        marks: dict[str, Any] = {"marker": MARKERS[place % len(MARKERS)], "markersize": 4, "markevery": 0.2}
        same = len(lines) > 1 and all(line.shape == lines[0].shape and (line[0] == lines[0][0]).all() for line in lines)
        for number, (x, y) in enumerate(lines):
            alone = not same and number == 0
            axes.plot(x, y, linewidth=0.7 if same else 1.2, alpha=0.45 if same else 0.9,
                      label=plain_text(arm) if alone else None, **style, **(marks if not same else {}))  # fmt: skip
        if same:
            median = np.median([line[1] for line in lines], axis=0)
            axes.plot(lines[0][0], median, linewidth=STYLE["line"], label=plain_text(arm), **style, **marks)


def _check(axes: Axes, one: Judged) -> None:
    """Draw a check as a strip: a dot per seed, the mean with its interval or the median, and the bounds."""
    dress(axes, "", "")
    axes.set_yticks([])
    axes.set_ylim(-1, 1)
    colour = HELD if one.holds else MISSED
    values = [value for value in one.values if np.isfinite(value)]
    axes.scatter(values, [-0.35] * len(values), s=16, color=STYLE["soft"], linewidths=0, alpha=0.8)
    if np.isfinite(one.found):
        half = one.half if one.half is not None and np.isfinite(one.half) else 0.0
        axes.errorbar([one.found], [0.3], xerr=[half], fmt="D" if one.holds else "X", color=colour, markersize=6,
                      elinewidth=1.6)  # fmt: skip
    for bound in (one.check.at_least, one.check.at_most):
        if bound is not None:
            axes.axvline(bound, color=STYLE["ink"], linewidth=1.0, linestyle=":")
    state = "told" if not one.check.promises else "holds" if one.holds else "does not hold"
    told = f"{state}: {one.check.told}"
    axes.set_title(plain_text(fill(told, WIDTH)), fontsize=0.75 * STYLE["font"], color=STYLE["ink"], loc="left")
    axes.tick_params(labelsize=0.75 * STYLE["font"])
