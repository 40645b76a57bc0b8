"""Task `write settings`: the file with what was found, if that is better, and what it was compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import fill, indent
from typing import Any

import yaml
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.masking import masked
from data.wording import figure
from models.tuning.samplers import with_settings
from tasks.storage import write_json
from tasks.tracking import attempt
from tasks.tuning.reference import JsonDict, TuningRef

WIDTH = 98
UNITS = {"sampler": "steps", "proxy": "folds"}


@dataclass(frozen=True)
class Tuned:
    """What came out.

    Attributes:
        better: whether what was found beats the file's own settings.
        verdict: in a sentence.
        text: the file to write: with what was found, or as it was.
        found, proof, as_it_is: what the tasks gave.
        folder: of everything on disk.
        page: of the run in MLflow, relative to its address; None if it could not be reached.
    """

    better: bool
    verdict: str
    text: str
    found: JsonDict
    proof: JsonDict
    as_it_is: JsonDict
    folder: Path
    page: str | None


@task(name="write settings", cache_policy=NO_CACHE, persist_result=False)
def write_settings(ref: TuningRef, found: JsonDict, proof: JsonDict, as_it_is: JsonDict) -> Tuned:
    """Decide which settings stay, write `tuned.yaml` and `outcome.json`, and show both in MLflow."""
    tuned, own = proof["score"], as_it_is["score"]
    better = tuned is not None and (own is None or tuned > own)
    verdict = _verdict(ref, found, proof, as_it_is, better)
    changed = dict(ref.config)
    if better:
        chosen = {**found["settings"], **({"training.steps": proof["units"]} if ref.what == "sampler" else {})}
        changed = with_settings(ref.config, chosen)
    body = yaml.safe_dump(changed, sort_keys=False, allow_unicode=True, width=100)
    remarks = indent(fill(f"{ref.name}, tuned by {ref.method['kind']}, seed {ref.seed}. {verdict}", WIDTH), "# ")
    text = masked(f"{remarks}\n\n{body}")
    ref.folder.mkdir(parents=True, exist_ok=True)
    (ref.folder / "tuned.yaml").write_text(text, encoding="utf-8")
    told = {"better": better, "verdict": verdict, "settings": found["settings"], "before": found["before"],
            "proof": proof, "as_it_is": as_it_is}  # fmt: skip
    write_json(ref.folder / "outcome.json", told)
    page = attempt("publishing a tuning", lambda: _publish(ref, told, found), during="tuning")
    return Tuned(better, verdict, text, found, proof, as_it_is, ref.folder, page)


def told_score(found: JsonDict, score: float | None) -> str:
    """Return a score as the measure it stands for."""
    return "failed" if score is None else figure(found["sign"] * score, 3)


def _verdict(ref: TuningRef, found: JsonDict, proof: JsonDict, as_it_is: JsonDict, better: bool) -> str:
    tuned, own = (told_score(found, one["score"]) for one in (proof, as_it_is))
    if ref.what == "sampler":
        beside = "the same number of steps in all" if ref.units is not None else "the same CPU time in all"
        where = f"the file's own settings with {beside} {own}"
    else:
        where = f"the file's own settings {own}, both on objects that the search never saw"
    outcome = "the tuned settings are kept" if better else "not better, so the file's settings stay"
    return f"Tuned: {found['measure']} {tuned}; {where}: {outcome}."


def _publish(ref: TuningRef, told: dict[str, Any], found: JsonDict) -> str:
    tracker = ref.tracker()
    run = tracker.run()
    if tracker.published(run) != ref.identity:
        tracker.params(run, {"what": ref.what, "method": ref.method, "population": ref.population, "seed": ref.seed})
        figures = {name: told[name]["score"] for name in ("proof", "as_it_is") if told[name]["score"] is not None}
        signed = {f"{name}_{found['measure']}": found["sign"] * value for name, value in figures.items()}
        tracker.metrics(
            run, [{"step": 0, **signed, "cpu_seconds": found["cpu_seconds"], "better": float(told["better"])}]
        )
        tracker.tags(run, {"mlflow.note.content": told["verdict"]})
        tracker.artifacts(run, ref.folder, "tuning")
        tracker.mark_published(run, ref.identity)
    return tracker.page(run)
