"""The campaign's pictures, from plain rows, as matplotlib figures without pyplot's global state.

Colours are those of Okabe and Ito, told apart by every common form of colour vision; arms differ by marker as well.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.linalg import eigh

from data.goals import Goal, Goals
from data.ledger.health import Z90, inside_text, predicted_and_measured
from data.ledger.summary import GIVEN, is_call, is_given
from data.records import Arm, CallState, CandidateRow, FloatArray, JsonDict, Prediction, RoundSummary
from data.wording import figure as shown_figure
from data.wording import shown_unit
from models.featurisers.nearness import Nearness
from models.proxies.evaluation import metrics, reliability

NAME_EVERY = 0.15
"""Share of the calls between two rounds that are marked, at least: the name of one takes so much of the width."""

STYLE: Mapping[str, Any] = {
    "ink": "#1b1f24",
    "soft": "#59636e",
    "grid": "#e3e7eb",
    "font": 10.5,
    "line": 1.8,
    "size": (4.8, 3.5),
    "dpi": 150,
    "arms": {Arm.INITIAL: "#7f8a94", Arm.ACQUISITION: "#0072b2", Arm.CONTROL: "#d55e00", Arm.TOLD: "#009e73"},
    "data": "#1b1f24",
    "given": "P",
    "markers": {Arm.INITIAL: "o", Arm.ACQUISITION: "^", Arm.CONTROL: "s", Arm.TOLD: "D"},
    "rounds": ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000"),
    "values": "cividis",
    "outside": "#a9b1b9",
    "library": "#c3cad1",
    "edge": "#fffffe",  # white, and known from the ground of the figure
}
"""The house style of every plot."""

VALUE = Goal("value")
"""What is wanted where nothing more is known."""

_svg_lock = threading.Lock()


def best_so_far(rows: Sequence[CandidateRow], goal: Goal = VALUE, *, outside: Collection[str] = ()) -> Figure:
    """Draw the best measured value against the calls spent, with what the control arm alone would have found.

    Values that came with the data were known before the first call: they stand at call 0. The legend counts what is
    drawn by each marker, and what has no value at the end.

    Args:
        rows: candidates in the order of their calls; a call that failed counts and has no value. Keys: `id`, `value`,
            `arm`, `round` and `origin`, as `Ledger.candidates` gives them.
        goal: of the values.
        outside: ids of those that break a limit, or lack a value of another objective: they are drawn, and never the
            best.
    """
    supplied = [row for row in rows if is_given(row)]
    called = [row for row in rows if is_call(row)]
    alone = sum(row.calls for row in called) == len(called)
    what = "Calls of the oracle" if alone else "Candidates in order of purchase"
    figure, axes = _figure(f"{what}, {len(called)} in all", _label(goal.name, goal.unit))
    count_by(axes)
    shown = [*supplied, *called]
    calls = np.array([0] * len(supplied) + list(range(1, len(called) + 1)))
    values = np.array([np.nan if row.value is None else row.value for row in shown], dtype=float)
    arms = np.array([str(row.arm) for row in shown])
    named = -len(called)
    for before, after, call in zip(shown, shown[1:], calls[1:], strict=False):
        if call and before.round != after.round:
            if call - named < NAME_EVERY * len(called):
                continue  # its name would run into the last one
            named = call
            axes.axvline(call - 0.5, color=STYLE["grid"], linewidth=1.0, zorder=0)
            axes.annotate(f"round {after.round}", (call - 0.5, 1.0), (0, 2), xycoords=("data", "axes fraction"),
                          textcoords="offset points", fontsize=0.75 * STYLE["font"], color=STYLE["soft"])  # fmt: skip
    groups = [(GIVEN, calls == 0, STYLE["data"], STYLE["given"])]
    groups += [
        (str(arm), (calls > 0) & (arms == arm), STYLE["arms"][arm], STYLE["markers"][arm])
        for arm in Arm
        if arm != Arm.TOLD or (arms == arm).any()
    ]
    missing = int((~np.isfinite(values)).sum())
    broken = np.array([row.id in outside for row in shown], dtype=bool) & np.isfinite(values)
    if broken.any():
        points = axes.scatter(calls[broken], values[broken], s=14, marker="x", color=STYLE["outside"], linewidths=0.9,
                              label=f"{_left_out(shown, broken)} ({int(broken.sum())})")  # fmt: skip
        points.set_urls(_urls(shown[i] for i in np.flatnonzero(broken)))
        values[broken] = np.nan
    for name, members, colour, marker in groups:
        here = members & np.isfinite(values)
        points = axes.scatter(calls[here], values[here], s=14, marker=marker, color=colour, alpha=0.5, linewidths=0,
                              label=f"{name} ({int(here.sum())})" if here.any() else None)  # fmt: skip
        points.set_urls(_urls(shown[i] for i in np.flatnonzero(here)))
    if goal.target is not None:
        axes.axhline(goal.target, color=STYLE["ink"], linewidth=1.0, linestyle=":", label=f"target {goal.target:g}")
    start = " + ".join(["your data"] * bool(supplied) + ["initial"] * bool(((calls > 0) & (arms == Arm.INITIAL)).any()))
    for excluded, included, style in ((Arm.CONTROL, Arm.ACQUISITION, "-"), (Arm.ACQUISITION, Arm.CONTROL, "--")):
        # Without any row of the other arm the two lines are one.
        if excluded == Arm.ACQUISITION and not (arms == Arm.CONTROL).any():
            continue
        line = running_best(np.where(arms == excluded, np.nan, values), goal)
        last = max(len(supplied) - 1, 0)  # of the supplied values only the best is known at call 0
        name = "best: " + " + ".join(filter(None, (start, str(included))))
        axes.step(calls[last:], line[last:], where="post", color=STYLE["arms"][included], linestyle=style,
                  linewidth=STYLE["line"], label=name)  # fmt: skip
    if missing:
        axes.plot([], [], linestyle="none", label=f"{missing} without a value")
    legend(figure, axes)
    return settled(figure)


def _left_out(rows: Sequence[CandidateRow], members: np.ndarray) -> str:
    """Return why some rows are not among the best."""
    lacking = [rows[int(i)].state != CallState.DONE for i in np.flatnonzero(members)]
    limits, values = "outside the limits", "without another value"
    return values if all(lacking) else f"{limits} or {values}" if any(lacking) else limits


def running_best(values: FloatArray, goal: Goal = VALUE) -> FloatArray:
    """Return the best value up to each position, NaN before the first; NaN values are skipped."""
    found, best = np.full(len(values), np.nan), np.nan
    for position, value in enumerate(np.asarray(values, dtype=np.float64).tolist()):
        if not np.isnan(value) and not goal.signed(value) <= goal.signed(best):  # also where there is none yet
            best = value
        found[position] = best
    return found


def front(rows: Sequence[CandidateRow], goals: Goals) -> Figure:
    """Draw what was measured of the objectives that are to be improved, and the front: what nothing else surpasses.

    Two objectives are the axes of a plane; more are parallel axes, better upwards, with a line per member of the front.

    Args:
        rows: candidates; those without all values are left out.
        goals: of the campaign, with units.
    """
    measured = [row for row in rows if goals.measured(row)]
    best = sorted(goals.front(measured), key=goals.vector)
    wanted = [goals[k] for k in goals.improved]
    return (_plane if len(wanted) == 2 else _parallel)(measured, best, wanted, goals)


def _plane(rows: Sequence[CandidateRow], best: Sequence[CandidateRow], wanted: Sequence[Goal], goals: Goals) -> Figure:
    figure, axes = _figure(_wanted_label(wanted[0]), _wanted_label(wanted[1]))
    points = {row.id: [_shown_value(goal, goals.values(row)[goal.name]) for goal in wanted] for row in rows}
    kept = {row.id for row in rows if goals.eligible(row)}
    groups = [(str(arm), [row for row in rows if row.arm == arm and row.id in kept and not is_given(row)],
               STYLE["arms"][arm], {"marker": STYLE["markers"][arm], "linewidths": 0}) for arm in Arm]  # fmt: skip
    given = [row for row in rows if is_given(row) and row.id in kept]
    groups.insert(0, (GIVEN, given, STYLE["data"], {"marker": STYLE["given"], "linewidths": 0}))
    out = [row for row in rows if row.id not in kept]
    groups.insert(0, ("outside the limits", out, STYLE["outside"], {"marker": "x", "linewidths": 0.9}))
    for name, members, colour, style in groups:
        if members:
            x, y = np.array([points[row.id] for row in members]).T
            drawn = axes.scatter(
                x, y, s=18, color=colour, alpha=0.6, zorder=3, label=f"{name} ({len(members)})", **style
            )
            drawn.set_urls(_urls(members))
    if best:
        x, y = np.array([points[row.id] for row in best]).T
        axes.plot(x, y, drawstyle="steps-pre", color=STYLE["ink"], linewidth=1.1, zorder=1)
        rings = axes.scatter(x, y, s=46, facecolors="none", edgecolors=STYLE["ink"], linewidths=1.0, zorder=4,
                             label=f"front ({len(best)})")  # fmt: skip
        rings.set_urls(_urls(best))
    legend(figure, axes)
    return settled(figure)


LINES = 200
"""Candidates behind the front that are drawn over parallel axes at most, evenly taken from their order."""


def _parallel(
    rows: Sequence[CandidateRow], best: Sequence[CandidateRow], wanted: Sequence[Goal], goals: Goals
) -> Figure:
    figure = Figure(figsize=(1.35 * STYLE["size"][0], STYLE["size"][1]), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    dress(axes, "", "From worst to best")
    kept = [row for row in rows if goals.eligible(row)]
    signed = np.array([goals.vector(row) for row in kept]).reshape(-1, len(wanted))
    low = signed.min(0, initial=np.inf)
    span = np.where(signed.max(0, initial=-np.inf) > low, signed.max(0, initial=-np.inf) - low, 1.0)
    place = {row.id: (np.array(goals.vector(row)) - low) / span for row in kept}
    on_front = {row.id for row in best}
    behind = [row for row in kept if row.id not in on_front]
    for i in np.unique(np.linspace(0, len(behind) - 1, min(len(behind), LINES)).astype(int)) if behind else []:
        axes.plot(place[behind[i].id], color=STYLE["grid"], linewidth=0.6, zorder=1)
    for arm in Arm:
        members = [row for row in best if row.arm == arm]
        for position, row in enumerate(members):
            axes.plot(place[row.id], color=STYLE["arms"][arm], marker=STYLE["markers"][arm], markersize=4, alpha=0.8,
                      linewidth=1.2, zorder=3, label=f"{arm} ({len(members)})" if not position else None,
                      url=f"#{row.id}")  # fmt: skip
    axes.set_xticks(range(len(wanted)), [_wanted_label(goal).replace(" / ", "\n/ ") for goal in wanted])
    axes.tick_params(axis="x", colors=STYLE["ink"])
    axes.set_yticks([])
    for k, (goal, least, step) in enumerate(zip(wanted, low, span, strict=True)):
        axes.axvline(k, color=STYLE["soft"], linewidth=0.8, zorder=0)
        for height, va, at in ((1.0, "bottom", least + step), (0.0, "top", least)) if len(kept) else ():
            text = shown_figure(float(abs(at) if goal.target is not None else goal.factor * at), 3)
            axes.annotate(text, (k, height), (0, 3 if height else -3), textcoords="offset points", ha="center", va=va,
                          fontsize=0.8 * STYLE["font"], color=STYLE["soft"])  # fmt: skip
    axes.set_ylim(-0.12, 1.12)
    legend(figure, axes)
    return settled(figure)


def hypervolume(summaries: Sequence[RoundSummary]) -> Figure:
    """Draw the hypervolume after each round, and what the arms reach with equally many calls.

    Args:
        summaries: of a campaign's rounds, in order.
    """
    figure, axes = _figure("Calls of the oracle", "Hypervolume")
    count_by(axes)
    calls = [one.calls for one in summaries]
    volumes = np.array([one.hypervolume for one in summaries], dtype=float)
    axes.plot(calls, volumes, color=STYLE["ink"], marker="o", markersize=4, linewidth=STYLE["line"], label="campaign",
              clip_on=False)  # fmt: skip
    both = [(one.calls, one.volumes) for one in summaries if one.volumes is not None]
    for arm, style in ((Arm.ACQUISITION, "-"), (Arm.CONTROL, "--")) if both else ():
        axes.plot([at for at, _ in both], [getattr(told, arm.value) for _, told in both], linestyle=style,
                  color=STYLE["arms"][arm], marker=STYLE["markers"][arm], markersize=4, linewidth=1.2,
                  clip_on=False, label=f"initial + {arm}, equal calls (last: {both[-1][1].n})")  # fmt: skip
    highest = float(np.nanmax(volumes, initial=0.0))  # an arm adds at most what the campaign does
    axes.set_ylim(0.0, 1.06 * highest or None)
    legend(figure, axes)
    return settled(figure)


def _wanted_label(goal: Goal) -> str:
    """Return the label of an axis, and which way is better; of a target, the distance from it is small at best."""
    if goal.target is not None:
        return f"{_label(f'{goal.name} off {goal.target:g}', goal.unit)} (minimise)"
    return f"{_label(goal.name, goal.unit)} ({'maximise' if goal.sign > 0 else 'minimise'})"


def _shown_value(goal: Goal, value: float) -> float:
    return value if goal.target is None else abs(value - goal.target)


def predicted_against_measured(rows: Sequence[CandidateRow], *, objective: str = "value", unit: str = "") -> Figure:
    """Draw what was measured against what was predicted before, with 90 % intervals, coloured by round.

    Args:
        rows: candidates; those without `value` or `predicted_mean` are left out. Keys: `value`, `predicted_mean`,
            `predicted_std`, `round`, `arm`.
        objective: name of the measured property.
        unit: of the values.
    """
    name = _label(objective, unit)
    told = f" / {shown_unit(unit)}" if shown_unit(unit) else ""
    figure, axes = _figure(f"Predicted {name[:1].lower()}{name[1:]}", plain_text(f"Measured{told}"))
    used = predicted_and_measured(rows)
    for position, number in enumerate(sorted({row.round for row in used})):
        here = [row for row in used if row.round == number]
        mean, value = (
            np.array([getattr(row, key) for row in here], dtype=np.float64) for key in ("predicted_mean", "value")
        )
        half = Z90 * np.array([row.predicted_std or 0.0 for row in here], dtype=float)
        colour = STYLE["rounds"][position % len(STYLE["rounds"])]
        axes.errorbar(mean, value, xerr=half, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.75)
        points = axes.scatter(mean, value, s=16, color=colour, alpha=0.75, linewidths=0, zorder=3,
                              label=f"round {number} ({len(here)})")  # fmt: skip
        points.set_urls(_urls(here))
    if used:
        both = [x for row in used for x in (row.value, row.predicted_mean) if x is not None]
        ends = [min(both), max(both)]
        axes.plot(ends, ends, color=STYLE["soft"], linewidth=1.0, linestyle=":", zorder=0)
        axes.set_title(inside_text(used), fontsize=0.9 * STYLE["font"], color=STYLE["soft"])
        legend(figure, axes)
    return settled(figure)


LANDMARKS = 1500
"""Objects that span a map at most: the work is the cube of their number."""


def space_map(
    library: Sequence[str],
    rows: Sequence[CandidateRow],
    nearness: Nearness,
    *,
    objective: str = "value",
    unit: str = "",
) -> Figure:
    """Draw the measured objects over the library, in the two main coordinates of their similarity.

    Args:
        library: a sample of the search space; some hundreds are enough.
        rows: candidates. Keys: `object`, `value`, `arm`; those without value are drawn hollow.
        nearness: how alike two objects are.
        objective: name of the measured property.
        unit: of the values.
    """
    figure, axes = _figure("First coordinate", "Second coordinate")
    drawn = {row.object for row in rows}
    told = "rest of the library" if not drawn.isdisjoint(library) else "library"
    library = [text for text in library if text not in drawn]  # no object is counted by two entries of the legend
    place = similarity_map([*library, *[row.object for row in rows]], nearness)
    behind = place[: len(library)].T
    axes.scatter(behind[0], behind[1], s=7, color=STYLE["library"], linewidths=0, zorder=1,
                 label=f"{told} ({len(library)})" if library else None)  # fmt: skip
    own = place[len(library) :]
    values = np.array([np.nan if row.value is None else row.value for row in rows], dtype=float)
    known = np.isfinite(values)
    limits = (values[known].min(), values[known].max()) if known.any() else (0.0, 1.0)
    shown = None
    # The best on top: drawn last.
    given = np.array([is_given(row) for row in rows], dtype=bool)
    groups = [(GIVEN, given, STYLE["given"])]
    groups += [
        (str(arm), ~given & np.array([str(row.arm) == arm for row in rows], dtype=bool), STYLE["markers"][arm])
        for arm in Arm
    ]
    for name, here, marker in groups:
        order = sorted(np.flatnonzero(here & known).tolist(), key=lambda i: values[i])
        style: dict[str, Any] = {
            "marker": marker,
            "s": 30,
            "linewidths": 0.5,
            "edgecolors": STYLE["edge"],
            "zorder": 3,
        }
        if order:
            shown = axes.scatter(own[order, 0], own[order, 1], c=values[order], cmap=STYLE["values"], vmin=limits[0],
                                 vmax=limits[1], label=f"{name} ({len(order)})", **style)  # fmt: skip
            shown.set_urls(_urls(rows[i] for i in order))
        hollow = style | {"edgecolors": STYLE["soft"]}
        empty = axes.scatter(own[here & ~known, 0], own[here & ~known, 1], facecolors="none", **hollow)
        empty.set_urls(_urls(rows[i] for i in np.flatnonzero(here & ~known).tolist()))
    if (~known).any():  # of whatever shape; one entry explains them all
        axes.scatter([], [], facecolors="none", edgecolors=STYLE["soft"], s=30, linewidths=0.5,
                     label=f"hollow: without a value ({int((~known).sum())})")  # fmt: skip
    axes.set_xticklabels([])
    axes.set_yticklabels([])
    if shown is not None:
        bar = figure.colorbar(shown, ax=axes, pad=0.02)
        bar.set_label(_label(objective, unit), fontsize=STYLE["font"], color=STYLE["soft"])
        bar.ax.tick_params(labelsize=0.9 * STYLE["font"], colors=STYLE["soft"], length=0)
        bar.outline.set_visible(False)
    legend(figure, axes)
    return settled(figure)


def similarity_map(objects: Sequence[str], nearness: Nearness) -> FloatArray:
    """Return two coordinates per object, shape `(n, 2)`, by kernel PCA of their similarities.

    The sign of a coordinate is fixed by its largest entry, so that the map does not flip between runs. Of more than
    `LANDMARKS` objects so many, evenly spaced, span the map, and the others are projected on it.

    Reference: Schölkopf, Smola and Müller, Neural Computation 10, 1299 (1998).
    """
    if len(objects) < 3:
        return np.zeros((len(objects), 2))
    rows = np.unique(np.linspace(0, len(objects) - 1, min(len(objects), LANDMARKS)).astype(int))
    landmarks = nearness.features([objects[row] for row in rows])
    kernel = nearness.of(landmarks, landmarks)
    centred = kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean()
    last = [len(centred) - 2, len(centred) - 1]  # all of them take a second where a thousand objects are drawn
    values, vectors = eigh(centred, subset_by_index=last, check_finite=False)
    values, vectors = np.maximum(values[[1, 0]], 0.0), vectors[:, [1, 0]]
    place = np.empty((len(objects), 2))
    place[rows] = vectors * np.sqrt(values)
    axes = np.divide(vectors, np.sqrt(values), out=np.zeros_like(vectors), where=values > 0)
    others = np.setdiff1d(np.arange(len(objects)), rows)
    for part in np.array_split(others, -(-len(others) // LANDMARKS)) if len(others) else []:
        near = nearness.of(nearness.features([objects[row] for row in part]), landmarks)
        place[part] = (near - kernel.mean(0) - near.mean(1)[:, None] + kernel.mean()) @ axes
    sign = np.sign(place[rows][np.abs(place[rows]).argmax(0), [0, 1]])
    return np.asarray(place * np.where(sign == 0, 1.0, sign))


def reliability_diagram(splits: Mapping[str, Sequence[JsonDict]], *, unit: str = "") -> Figure:
    """Draw, side by side, how many held-out values the central predicted intervals of each probability contain.

    The grey band is where 95 % of points lie if the proxy is calibrated; below the diagonal it is too sure.

    Args:
        splits: name of the split -> n >= 2 held-out predictions, with `value`, `mean`, `std` (calibrated) and `raw_std`
            (as the proxy gave it), and `freedom` where a measurement follows Student's t.
        unit: of the values.

    Reference: Kuleshov, Fenner and Ermon, ICML (2018).
    """
    figure = Figure(figsize=(1.35 * STYLE["size"][0], STYLE["size"][1]), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, max(len(splits), 1), sharey=True, squeeze=False)[0]
    levels = np.linspace(0.02, 0.98, 49)
    for axes, (name, rows) in zip(panels, splits.items(), strict=False):
        dress(axes, "Probability of the interval", "Values inside" if axes is panels[0] else "")
        value, mean, std, raw = (
            np.array([row[key] for row in rows], dtype=np.float64) for key in ("value", "mean", "std", "raw_std")
        )
        freedom = np.array([row["freedom"] for row in rows]) if all("freedom" in row for row in rows) else None
        shown = Prediction(mean, std, freedom)
        half = 1.96 * np.sqrt(levels * (1.0 - levels) / len(rows))
        axes.fill_between(levels, levels - half, levels + half, color=STYLE["grid"], linewidth=0, zorder=0)
        axes.plot([0, 1], [0, 1], color=STYLE["soft"], linewidth=1.0, linestyle=":")
        if (raw != std).any():
            axes.plot(levels, reliability(shown.with_std(raw), value, levels), linestyle="--",
                      color=STYLE["arms"][Arm.CONTROL], linewidth=1.0, label="as predicted")  # fmt: skip
        axes.plot(levels, reliability(shown, value, levels), color=STYLE["arms"][Arm.ACQUISITION],
                  linewidth=STYLE["line"], label="calibrated" if (raw != std).any() else "as predicted")  # fmt: skip
        found = metrics(shown, value)
        rmse = f"{shown_figure(found['rmse'])} {shown_unit(unit)}".rstrip()
        text = f"{name} ({len(rows)})\nRMSE {rmse}, NLL {found['nll']:.2f}"
        axes.set_title(plain_text(text), fontsize=0.9 * STYLE["font"], color=STYLE["soft"])
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
    legend(figure, *panels)
    return settled(figure)


def training(history: Sequence[Mapping[str, float]]) -> Figure:
    """Draw loss (logarithmic, with its running median) and log Z of a generator by training step.

    Args:
        history: one mapping per logged step, with `step` and any of `loss` and `log_z`.
    """
    figure = Figure(figsize=STYLE["size"], layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    dress(upper, "", "Loss")
    dress(lower, "Training step", "log Z")
    count_by(lower)
    loss = series(history, "loss")
    positive = loss[1] > 0
    upper.set_yscale("log" if positive.any() else "linear")
    colours = STYLE["arms"]
    upper.plot(loss[0][positive], loss[1][positive], color=colours[Arm.ACQUISITION], alpha=0.3, linewidth=0.8)
    window = max(len(loss[0]) // 25, 1)
    smooth = [float(np.median(loss[1][max(0, i - window) : i + window + 1])) for i in range(len(loss[1]))]
    upper.plot(loss[0], smooth, color=colours[Arm.ACQUISITION], linewidth=STYLE["line"], label="running median")
    lower.plot(*series(history, "log_z"), color=colours[Arm.CONTROL], linewidth=STYLE["line"])
    if len(loss[0]):
        legend(figure, upper)
    return settled(figure)


def png(figure: Figure) -> bytes:
    """Return the figure as PNG; the same figure gives the same bytes."""
    out = io.BytesIO()
    before = figure.get_dpi()
    figure.set_dpi(STYLE["dpi"])
    try:  # `savefig` draws once more before it draws: the bytes are the same, and it takes 1.6 times as long
        FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    finally:
        figure.set_dpi(before)
    return out.getvalue()


def svg(figure: Figure, *, letters: bool = False) -> str:
    """Return the figure as SVG; the same figure gives the same text.

    Args:
        figure: settled.
        letters: whether texts stay texts, in the font of whoever shows them; else they are outlines.
    """
    out = io.StringIO()
    # The salt of element ids is a global setting of matplotlib; without it ids are random.
    settings = {"svg.hashsalt": "discovery-flows", "svg.fonttype": "none" if letters else "path"}
    with _svg_lock, matplotlib.rc_context(settings):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def series(history: Sequence[Mapping[str, float]], key: str) -> tuple[FloatArray, FloatArray]:
    """Return the steps and values (n,) of a metric, at the steps that have a finite one."""
    pairs = [(row["step"], row[key]) for row in history if key in row and np.isfinite(row[key])]
    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _urls(rows: Iterable[CandidateRow]) -> list[str]:
    """Return addresses by which a page knows the candidates of a cloud of points."""
    return [f"#{row.id}" for row in rows]


def _label(objective: str, unit: str) -> str:
    name = objective.replace("_", " ")
    unit = shown_unit(unit)
    return plain_text(f"{name[:1].upper()}{name[1:]}" + (f" / {unit}" if unit else ""))


def plain_text(text: str) -> str:
    """Return what people wrote as no formula of matplotlib's: one that cannot be read would end the report."""
    return text.replace("$", r"\$")


def settled(figure: Figure) -> Figure:
    """Lay the figure out once and for all."""
    # A constrained layout moves a little with every drawing; settled once, the same figure gives the same bytes.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def _figure(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=STYLE["size"], layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    dress(axes, x, y)
    return figure, axes


def dress(axes: Axes, x: str, y: str) -> None:
    """Label axes and give them the house style."""
    axes.set_xlabel(x, fontsize=STYLE["font"], color=STYLE["soft"])
    axes.set_ylabel(y, fontsize=STYLE["font"], color=STYLE["soft"])
    axes.tick_params(which="both", labelsize=0.9 * STYLE["font"], colors=STYLE["soft"], length=0)
    axes.grid(color=STYLE["grid"], linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def count_by(axes: Axes) -> None:
    """Mark whole numbers only on the horizontal axis, which counts something."""
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def legend(figure: Figure, *axes: Axes) -> None:
    """Add a legend of what has a label in these axes, each name once, above them: inside it would hide data.

    The figure grows by the height of the legend, so the axes stay as large as without one.
    """
    found = [axes.get_legend_handles_labels() for axes in axes]
    named = {label: handle for handles, labels in found for handle, label in zip(handles, labels, strict=True)}
    if not named:
        return
    width, height = figure.get_size_inches()
    size = 0.8 * STYLE["font"]
    # A letter is about half as wide as high; a handle and the gaps take some seven letters.
    room, lengths = 72 * width / (0.53 * size), [len(label) + 7 for label in named]
    columns = next(
        n for n in range(len(named), 0, -1) if n == 1 or sum(max(of) for of in np.array_split(lengths, n)) <= room
    )
    figure.set_size_inches(width, height + -(-len(named) // columns) * 1.5 * size / 72)
    figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=columns, fontsize=size,
                  frameon=False, labelcolor=STYLE["ink"], handlelength=1.6)  # fmt: skip
