"""Pictures of a sampler: how it learnt, and on planes the law it learnt beside the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data.records import FloatArray
from models.gflownet.judging.evaluation import Law
from tasks.reporting.plots import STYLE, dress, legend, series, settled

NAMES = {
    "tv": "Total variation",
    "spearman": "Spearman correlation",
    "effective_share": "Effective share",
    "gap": "Gap to the optimum (%)",
    "gain": "Mean gain on held-out graphs",
}
"""What is drawn above the loss, by its name in a row: the first that there is."""
COLOURS = STYLE["rounds"]
WINDOW = 25
"""The running median of the loss is over two parts in so many."""

CELLS = 200
"""Of the picture of a density, in each direction."""

Row = Mapping[str, float]


def learning(histories: Mapping[str, Sequence[Row]]) -> Figure:
    """Draw the distance from the target above the loss, by training step.

    Args:
        histories: rows with `step`, `loss` and, at some steps, one of `NAMES`, by the name of the training.
            Colours tell conditions apart, if there are several, else trainings.
    """
    figure = Figure(figsize=STYLE["size"], layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    keys = sorted({key for rows in histories.values() for row in rows for key in row})
    stems = {key.split("/")[0] for key in keys}
    measure = next((name for name in NAMES if name in stems), "spearman")
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
        # Shares and correlations end at 1; a gap in per cent and a gain do not.
        axes.set_ylim(min([0.0, *values]), 1.05 * max([0.0, *values]) if max([0.0, *values]) > 1.0 else 1.02)


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


def cloud(draws: FloatArray, log_density: Callable[[FloatArray], FloatArray] | None) -> Figure:
    """Draw the first two numbers of what a sampler gives, of two numbers beside the density itself.

    Args:
        draws: (n, d).
        log_density: (m, 2) -> (m,); None: it is of more numbers.
    """
    panels = 1 if log_density is None else 2
    figure = Figure(figsize=((0.5 + 0.5 * panels) * STYLE["size"][0], STYLE["size"][1]), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, sharex=True, sharey=True, squeeze=False)[0]
    axes[0].scatter(draws[:, 0], draws[:, 1], s=4, linewidths=0, alpha=0.5, color=COLOURS[0])
    low, high = np.quantile(draws[:, :2], 0.002, axis=0), np.quantile(draws[:, :2], 0.998, axis=0)
    margin = 0.15 * (high - low) + 1e-6
    low, high = low - margin, high + margin
    for place, one in enumerate(axes):
        dress(one, "x0", "x1" if place == 0 else "")
        one.set_title("Drawn" if place == 0 else "Density", fontsize=STYLE["font"], color=STYLE["soft"])
    axes[0].set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    if log_density is not None:
        lines = [np.linspace(a, b, CELLS) for a, b in zip(low, high, strict=True)]
        points = np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, 2)
        values = log_density(points).reshape(CELLS, CELLS)
        axes[1].grid(visible=False)
        axes[1].imshow(np.exp(values - values.max()).T, origin="lower", extent=(low[0], high[0], low[1], high[1]),
                       aspect="auto", cmap=STYLE["values"])  # fmt: skip
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
