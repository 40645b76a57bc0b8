"""Which metrics of a round people see in MLflow, in groups and under names that say what they are.

A round's stages tell some hundred and seventy numbers, most of them for one question at a time. MLflow shows at most
`MOST` of them; all are in `metrics.csv` beside the round's report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from data.goals import Goals
from data.ledger.campaigns import StageRow

MOST = 40
"""Metrics of a round, curves over training steps included."""

CURVES = 10
"""Of these, curves over training steps; all of a generator's are in its `history.csv`."""
_FIRST_CURVES = ("loss", "evaluated", "share", "slope", "tv", "kl", "log_z_error", "modes", "log_reward", "top_reward")
"""Curves that are shown before others, as far as there are any."""
_RESULT = {"best": "best", "top10_mean": "top10_mean", "hypervolume": "hypervolume", "front": "front", "calls": "calls"}
_BATCH = {
    "acquisition_mean": "chosen_mean",
    "acquisition_half": "chosen_interval",
    "control_mean": "control_mean",
    "control_half": "control_interval",
    "feasible": "within_limits",
    "acquisition_hypervolume": "chosen_hypervolume",
    "control_hypervolume": "control_hypervolume",
}
_PROXY = {
    "heldout_spearman": "spearman",
    "heldout_rmse": "rmse",
    "heldout_r2": "r2",
    "heldout_enrichment_10": "enrichment_top10pct",
    "heldout_n": "measurements",
}
_CALIBRATION = {
    "heldout_coverage_90": "coverage_90",
    "heldout_nll": "nll",
    "heldout_sharpness": "deviation",
    "purchase_factor": "factor_of_purchases",
}
_FEWER = ("heldout_spearman", "heldout_rmse", "heldout_coverage_90")
"""What is shown of each proxy where there are several."""


def shown_metrics(stages: Iterable[StageRow], goals: Goals, *, curves: int = 0) -> dict[str, float]:
    """Return the metrics of a round that are shown, in the order of importance.

    Args:
        stages: the round's finished ones.
        goals: of the campaign.
        curves: metrics of the round that are shown as curves beside these.
    """
    told = {stage.name: stage.metrics for stage in stages}
    seconds = {stage.name: stage.seconds for stage in stages}
    report, bought = told.get("report", {}), told.get("measure", {})
    found = {f"result/{name}": report[key] for key, name in _RESULT.items() if key in report}
    found |= {f"batch/{name}": bought[name] for name in ("measured", "failed") if name in bought}
    found |= {f"batch/{name}": report[key] for key, name in _BATCH.items() if key in report}
    found |= _of_proxies(told.get("train_proxy", {}), goals)
    selected = told.get("select_batch", {})
    found |= {
        f"batch/{key.removeprefix('mean_')}": selected[key]
        for key in ("mean_novelty", "remeasured", "short")
        if key in selected
    }
    found |= _of_generator(told)
    found |= {f"cost/{key.replace('/', '_')}": value for key, value in bought.items() if key.startswith("level_")}
    if seconds:
        found["cost/seconds"] = sum(seconds.values())
    found |= {f"cost/seconds_{name}": value for name, value in seconds.items()}
    return dict(list(found.items())[: max(0, MOST - curves)])


def shown_curves(history: pd.DataFrame | None) -> pd.DataFrame:
    """Return what is shown of a generator's training: the column `step`, and at most `CURVES` others as metrics."""
    if history is None:
        return pd.DataFrame()
    others = [name for name in history.columns if name != "step"]
    ordered = [*(name for name in _FIRST_CURVES if name in others), *(n for n in others if n not in _FIRST_CURVES)]
    chosen = ordered[:CURVES]
    return history[[*(["step"] if "step" in history else []), *chosen]].rename(
        columns={name: f"generator/{name}" for name in chosen}
    )


def _of_proxies(trained: Mapping[str, float], goals: Goals) -> dict[str, float]:
    several = len(goals) > 1
    found: dict[str, float] = {}
    for goal in goals:
        of, place = (f"{goal.name}/", f"{goal.name}/") if several else ("", "")
        for group, names in (("proxy", _PROXY), ("calibration", _CALIBRATION)):
            for key, name in names.items():
                if f"{of}{key}" in trained and (not several or key in _FEWER):
                    found[f"{group}/{place}{name}"] = trained[f"{of}{key}"]
    return found


def _of_generator(told: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    proposed, screened = told.get("propose", {}), told.get("screen", {})
    found = {f"generator/{key}": value for key, value in proposed.items() if key == "proposals"}
    found |= {f"generator/{key}": screened[key] for key in ("passed", "refused") if key in screened}
    found |= {f"generator/proposed_{key[7:]}": value for key, value in proposed.items() if key.startswith("source/")}
    return found | {f"generator/{key}": value for key, value in told.get("train_generator", {}).items()}


def model_metrics(training: Mapping[str, Mapping[str, float]], objective: str = "") -> dict[str, float]:
    """Return the metrics of a trained proxy, under the names that its round has.

    Args:
        training: metrics on held-out measurements by split, as `training.json` has them.
        objective: where the campaign has several; empty: its only one.
    """
    place = f"{objective}/" if objective else ""
    heldout = {f"heldout_{name}": value for name, value in training["heldout"].items()}
    return {
        f"{group}/{place}{name}": heldout[key]
        for group, names in (("proxy", _PROXY), ("calibration", _CALIBRATION))
        for key, name in names.items()
        if key in heldout
    }


def every_metric(stages: Sequence[StageRow]) -> pd.DataFrame:
    """Return all metrics of a round's stages: columns stage, metric and value; seconds among them."""
    rows = [(stage.name, key, value) for stage in stages for key, value in stage.metrics.items()]
    rows += [(stage.name, "seconds", stage.seconds) for stage in stages]
    return pd.DataFrame(rows, columns=["stage", "metric", "value"])
