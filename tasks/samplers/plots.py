"""Pictures of a sampler: how it learnt, and on planes the law it learnt beside the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data.records import FloatArray
from models.gflownet.judging.evaluation import Law
from tasks.reporting.plots import STYLE, dress, legend, series, settled

NAMES = {"tv": "Total variation", "spearman": "Spearman correlation"}
COLOURS = STYLE["rounds"]
WINDOW = 25
"""The running median of the loss is over two parts in so many."""

Row = Mapping[str, float]


def learning(histories: Mapping[str, Sequence[Row]]) -> Figure:
    """Draw the distance from the target above the loss, by training step.

    Args:
        histories: rows with `step`, `loss` and, at some steps, `tv` or else `spearman`, by the name of the training.
            Colours tell conditions apart, if there are several, else trainings.
    """
    figure = Figure(figsize=STYLE["size"], layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    keys = sorted({key for rows in histories.values() for row in rows for key in row})
    measure = "tv" if any(key.split("/")[0] == "tv" for key in keys) else "spearman"
    shown = [key for key in keys if key.split("/")[0] == measure]
    dress(upper, "", NAMES[measure])
    dress(lower, "Training step", "Loss")
    _distances(upper, histories, shown, logarithmic=measure == "tv")
    _losses(lower, histories, coloured=len(shown) < 2)
    if len(histories) > 1 or len(shown) > 1:
        legend(figure, upper)
    return settled(figure)


def _distances(axes: Axes, histories: Mapping[str, Sequence[Row]], keys: Sequence[str], *, logarithmic: bool) -> None:
    values: list[float] = []
    for number, (name, rows) in enumerate(histories.items()):
        for place, key in enumerate(keys):
            several = len(keys) > 1
            colour = COLOURS[(place if several else number) % len(COLOURS)]
            # Of several conditions each is told once, whatever the number of trainings.
            told = key.partition("/")[2].replace("_", " ") if several else name
            label = told if not several or number == 0 else None
            step, value = series(rows, key)
            axes.plot(step, value, color=colour, linewidth=STYLE["line"] if len(histories) == 1 else 1.2, marker="o",
                      markersize=2.5, label=label)  # fmt: skip
            values.extend(value.tolist())
    if logarithmic and values and min(values) > 0:
        axes.set_yscale("log")
        axes.set_ylim(0.8 * min(values), 1.1)
    else:
        axes.set_ylim(min([0.0, *values]), 1.02)


def _losses(axes: Axes, histories: Mapping[str, Sequence[Row]], *, coloured: bool) -> None:
    positive = True
    for number, rows in enumerate(histories.values()):
        step, loss = series(rows, "loss")
        colour = COLOURS[number % len(COLOURS)] if coloured else STYLE["soft"]
        if len(histories) == 1:
            axes.plot(step, loss, color=colour, alpha=0.25, linewidth=0.7)
        axes.plot(step, running_median(loss), color=colour, linewidth=STYLE["line"] if len(histories) == 1 else 1.2)
        positive = positive and bool((loss > 0).all())
    axes.set_yscale("log" if positive else "linear")


def running_median(values: FloatArray) -> FloatArray:
    """Return the median (n,) of the values around each one."""
    reach = max(len(values) // WINDOW, 1)
    return np.array([np.median(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))])


def plane(law: Law) -> Figure:
    """Draw a law over a plane beside its target, as two maps with one scale.

    Args:
        law: objects are pairs (x, y) from 0; see `is_plane`.
    """
    figure = Figure(figsize=(1.5 * STYLE["size"][0], STYLE["size"][1]), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    maps = [_grid(law.objects, values) for values in (law.policy, law.target)]
    top = max(float(np.nanmax(values)) for values in maps)
    far = 0.5 * float(np.abs(law.policy - law.target).sum())
    for place, (one, values) in enumerate(zip(axes, maps, strict=True)):
        dress(one, "x", "y" if place == 0 else "")
        one.grid(visible=False)
        image = one.imshow(values.T, origin="lower", vmin=0.0, vmax=top, cmap=STYLE["values"])
        title = f"Learnt, total variation {far:.2g}" if place == 0 else "Target"
        one.set_title(title, fontsize=STYLE["font"], color=STYLE["soft"])
    bar = figure.colorbar(image, ax=list(axes), pad=0.02)
    bar.set_label("Probability", fontsize=STYLE["font"], color=STYLE["soft"])
    bar.ax.tick_params(labelsize=0.9 * STYLE["font"], colors=STYLE["soft"], length=0)
    bar.outline.set_visible(False)
    return settled(figure)


def is_plane(law: Law) -> bool:
    """Return whether the objects are distinct pairs of whole numbers."""
    pairs = all(
        isinstance(key, tuple) and len(key) == 2 and all(isinstance(x, int) for x in key) for key in law.objects
    )
    return pairs and len(set(law.objects)) == len(law.objects)


def _grid(objects: Sequence[tuple[int, int]], values: FloatArray) -> FloatArray:
    place = np.array(objects)
    out = np.full(place.max(0) + 1, np.nan)
    out[place[:, 0], place[:, 1]] = values
    return out
