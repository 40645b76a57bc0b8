"""What the seeds of a claim gave together: each check with its interval, the verdict, a picture, the run in MLflow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.config import digest
from data.wording import figure, interval
from models.systems.base import Judged, System, verdict
from tasks.reporting.plots import png, svg
from tasks.storage import write_json
from tasks.systems.attempt import JsonDict, SystemRef, plain_figures
from tasks.systems.plots import tried
from tasks.tracking import attempt


@dataclass(frozen=True)
class Outcome:
    """What came out.

    Attributes:
        verdict: `shown`, `shown in part`, `not shown`, or `not judged` where the seeds are too few.
        judged: the checks.
        means: figure -> its mean over the seeds.
        seeds: that were tried.
        cpu_seconds: of all seeds.
        folder: of everything on disk.
        page: of the run in MLflow, relative to its address; None if it could not be reached.
    """

    verdict: str
    judged: list[Judged]
    means: dict[str, float]
    seeds: tuple[int, ...]
    cpu_seconds: float
    folder: Path
    page: str | None

    def lines(self) -> list[list[str]]:
        """Return of each check: whether it holds, the statement, what was found, and what was wanted."""
        return [checked(one) for one in self.judged]


def checked(one: Judged) -> list[str]:
    """Return of a check: whether it holds, the statement, what was found with its interval, and what was wanted."""
    found = interval(one.found, one.half) if math.isfinite(one.found) else "no number"
    if one.check.than:
        found = f"{' against '.join(figure(centre, 3) for centre in one.centres)}: {found}"
    if one.check.medians:
        found = f"medians {found}" if one.check.than else f"median {found}"
    judged = one.check.promises and (len(one.values) > 1 or not one.check.than)  # one seed has no interval
    holds = "-" if not judged else "yes" if one.holds else "no"
    return [holds, one.check.told, found, one.check.wanted]


def outcome_of(ref: SystemRef, results: Mapping[int, JsonDict]) -> Outcome:
    """Judge a claim, write `outcome.json` and the picture, and show both in MLflow.

    Args:
        ref: the system.
        results: what `try_system` returned, by seed.
    """
    system, every = ref.system, list(results.values())
    judged = system.judge(every)
    names = [name for name in plain_figures(every[0]) if name != "cpu_seconds"]
    means = {name: math.fsum(float(one[name]) for one in every) / len(every) for name in names}
    folder = ref.folder / "-".join(map(str, results))
    folder.mkdir(parents=True, exist_ok=True)
    drawn = tried(every, judged, system.axes)
    (folder / "tried.png").write_bytes(png(drawn))
    (folder / "tried.svg").write_text(svg(drawn), encoding="utf-8")
    outcome = Outcome(
        verdict(judged), judged, means, tuple(results), sum(one["cpu_seconds"] for one in every), folder, None
    )
    write_json(folder / "outcome.json", told(system, outcome))
    page = attempt("publishing the verdict", lambda: _publish(ref, outcome), during="trial")
    return Outcome(outcome.verdict, judged, means, outcome.seeds, outcome.cpu_seconds, folder, page)


def told(system: System[Any], outcome: Outcome) -> JsonDict:
    """Return an outcome as JSON: what `discover reproduce --list` and the documentation read."""
    return {
        "system": system.config(),
        "identity": system.identity,
        "verdict": outcome.verdict,
        "seeds": list(outcome.seeds),
        "checks": [
            {
                "holds": one.holds if one.check.promises else None,
                "told": one.check.told,
                "found": checked(one)[2],
                "wanted": one.check.wanted,
            }
            for one in outcome.judged
        ],
        "means": {
            name: float(f"{value:.4g}") if math.isfinite(value) else None for name, value in outcome.means.items()
        },
        "cpu_minutes": round(outcome.cpu_seconds / 60, 1),
    }


def _publish(ref: SystemRef, outcome: Outcome) -> str:
    tracker, system = ref.tracker(), ref.system
    run = tracker.run()
    key = digest([system.identity, list(outcome.seeds)])
    if tracker.published(run) != key:
        tracker.params(run, ref.config)
        promised = [one.holds for one in outcome.judged if one.check.promises]
        tracker.metrics(run, [{"step": 0, **outcome.means, "checks_held": sum(promised), "checks": len(promised)}])
        tracker.tags(run, {"discovery.verdict": outcome.verdict, "mlflow.note.content": _note(system, outcome)})
        tracker.artifacts(run, outcome.folder, "outcome")
        tracker.mark_published(run, key)
    return tracker.page(run)


def _note(system: System[Any], outcome: Outcome) -> str:
    lines = [f"**{outcome.verdict.capitalize()}.** {system.title}: {system.claim}", "", f"*{system.protocol}*", ""]
    lines += ["| holds | what | found | wanted |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in outcome.lines()]
    lines += ["", f"Seeds {', '.join(map(str, outcome.seeds))}; {figure(outcome.cpu_seconds / 60)} CPU-minutes."]
    return "\n".join(lines)
