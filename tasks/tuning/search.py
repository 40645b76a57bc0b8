"""Tasks `search settings`, `prove settings` and `train as it is`: each keeps what it gave in a file of the tuning.

Of a sampler half of the CPU time goes into the search, the other half into one training with what was found; the file's
own settings get all of it for one training. Of a proxy the search gets all: neither side becomes better by training
longer, and both are judged on objects that the search never saw.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from data.config import ConfigError, derive_seed
from data.sampler_config import parse_sampler
from models.threads import single_thread
from models.tuning.base import Budget, Row
from models.tuning.proxies import UNITS
from models.tuning.samplers import SamplerSubject
from tasks.progress import Event, emit
from tasks.storage import read_json, write_json
from tasks.tracking import attempt
from tasks.tuning.reference import JsonDict, TuningRef

SHARE = 0.5
"""Of a sampler's CPU time, that the search gets; the training with what it found gets the rest."""
PILOT = 20
"""Steps that tell what a step costs."""
JUDGEMENTS = 10
"""Judgements of each member that are reckoned with."""


@task(name="search settings", cache_policy=NO_CACHE, persist_result=False)
def search_settings(ref: TuningRef) -> JsonDict:
    """Search, or return what the search gave if it has ended.

    Returns:
        `settings` and `before`, `score` of the member that had them, `rows`, `cpu_seconds` of all members, `units` that
        they were trained for, `measure` and its `sign`.

    Raises:
        ConfigError: what was given cannot be tuned, or not with so little CPU time.
    """

    def compute() -> JsonDict:
        return _sampler_search(ref) if ref.what == "sampler" else _proxy_search(ref)

    return _kept(ref, "search", compute)


@task(name="prove settings", cache_policy=NO_CACHE, persist_result=False)
def prove_settings(ref: TuningRef, found: JsonDict) -> JsonDict:
    """Train anew with what was found, and judge; `score`, `units` and `cpu_seconds` of the training."""

    def compute() -> JsonDict:
        if ref.what == "proxy":
            return _tested(ref, found["settings"])
        if ref.units is not None:
            units = ref.units - found["units"]
        else:
            since = time.thread_time()
            each, _ = _costs(ref, found["settings"])  # a replay may cost more than the file's own settings
            pilot = time.thread_time() - since
            units = math.floor(((ref.cpu_seconds or 0.0) - found["cpu_seconds"] - pilot) / each)
        trained = _trained(ref, found["settings"], max(1, units))
        return trained | {"cpu_seconds": trained["cpu_seconds"] + (0.0 if ref.units is not None else pilot)}

    return _kept(ref, "proof", compute)


@task(name="train as it is", cache_policy=NO_CACHE, persist_result=False)
def train_as_it_is(ref: TuningRef, found: JsonDict, proof: JsonDict) -> JsonDict:
    """Train with the file's own settings, for as much CPU time as search and proof took together, and judge."""

    def compute() -> JsonDict:
        if ref.what == "proxy":
            return _tested(ref, found["before"])
        if ref.units is not None:
            units = found["units"] + proof["units"]
        else:
            each, _ = _costs(ref, found["before"])
            units = round((found["cpu_seconds"] + proof["cpu_seconds"]) / each)
        return _trained(ref, found["before"], max(1, units))

    return _kept(ref, "as-it-is", compute)


def _kept(ref: TuningRef, name: str, compute: Callable[[], JsonDict]) -> JsonDict:
    file = ref.folder / f"{name}.json"
    if not file.is_file():
        ref.folder.mkdir(parents=True, exist_ok=True)
        write_json(file, compute())
    found: JsonDict = read_json(file)
    return found


def _sampler_search(ref: TuningRef) -> JsonDict:
    subject = ref.sampler(1)
    _refuse_fixed(ref, subject)
    subject.study.try_out()
    with single_thread():
        if ref.units is not None:
            each = math.floor(SHARE * ref.units / ref.population)
            budget = Budget(units=SHARE * ref.units)
        else:
            budget = Budget(cpu_seconds=SHARE * (ref.cpu_seconds or 0.0))
            seconds, judgement = _costs(ref, subject.settings)
            left = budget.cpu_seconds - budget.spent - JUDGEMENTS * ref.population * judgement
            each = math.floor(left / (ref.population * seconds))
        if each < JUDGEMENTS:
            raise ConfigError(
                f"The budget is enough for {max(each, 0)} steps of each of {ref.population} members; a search needs "
                f"{JUDGEMENTS} at least. Give more CPU time, or fewer members."
            )
        subject = ref.sampler(each)
        return _searched(ref, subject, budget)


def _refuse_fixed(ref: TuningRef, subject: SamplerSubject) -> None:
    if ref.tuner.copies and subject.fixed:
        raise ConfigError(
            f"{', '.join(subject.fixed)} cannot change in the course of a training, and the members of "
            f"{ref.method['kind']!r} go on from each other's weights. Use --method model_based, or leave it out."
        )


def _costs(ref: TuningRef, settings: JsonDict) -> tuple[float, float]:
    """Return the CPU seconds of a step, and of a judgement, with some settings."""
    member = ref.sampler(2 * PILOT).member(settings, ref.seed)
    member.train(PILOT // 4)
    since = time.thread_time()
    with single_thread():
        member.train(PILOT)
    trained = time.thread_time()
    member.score()
    return max(trained - since, 1e-6) / PILOT, time.thread_time() - trained


def _proxy_search(ref: TuningRef) -> JsonDict:
    if ref.tuner.copies:
        raise ConfigError(
            f"A proxy is trained from nothing each time, and the members of {ref.method['kind']!r} go on from each "
            "other's weights. Use --method model_based."
        )
    subject, _, _ = ref.proxy()
    budget = Budget(units=math.inf if ref.units is None else ref.units, cpu_seconds=ref.cpu_seconds or math.inf)
    return _searched(ref, subject, budget)


def _searched(ref: TuningRef, subject: Any, budget: Budget) -> JsonDict:
    told: list[JsonDict] = []
    view = _View(ref, subject)

    def tell(row: Row) -> None:
        told.append(_plain(row))
        part = budget.used / budget.units if math.isfinite(budget.units) else budget.spent / budget.cpu_seconds
        figures = {subject.measure.replace(" ", "_"): subject.sign * row.score} if math.isfinite(row.score) else {}
        with budget.paused():
            emit(Event(row.member, "search", min(round(100 * part), 100), 100, figures))
            view.show(row)

    found = ref.tuner.search(subject, ref.population, budget, seed=derive_seed(ref.seed, "tuning"), tell=tell)
    if not math.isfinite(found.score):
        reasons = dict.fromkeys(str(row["failure"]) for row in told if row["failure"] is not None)
        first = f" The first failed so: {next(iter(reasons))}" if reasons else ""
        raise ConfigError(
            f"No member of the search could be trained. Give narrower ranges, or lower learning rates.{first}"
        )
    return {
        "settings": found.settings,
        "before": dict(subject.settings),
        "score": found.score,
        "rows": told,
        "cpu_seconds": budget.spent,
        "units": budget.used,
        "measure": subject.measure,
        "sign": subject.sign,
    }


def _plain(row: Row) -> JsonDict:
    return asdict(row) | {"score": row.score if math.isfinite(row.score) else None}


def _trained(ref: TuningRef, settings: JsonDict, units: int) -> JsonDict:
    """Train a sampler with the first seed of its file, as `discover sampler` would."""
    subject = ref.sampler(units)
    member = subject.member(settings, parse_sampler(ref.config).seeds[0])
    with single_thread():
        since = time.thread_time()
        for part in range(100):
            member.train(units * (part + 1) // 100 - member.done)
            emit(Event(0, "training", member.done, units))
        seconds = time.thread_time() - since
        score = member.score()
    told = score if math.isfinite(score) else None
    return {"score": told, "units": units, "cpu_seconds": max(seconds, 1e-6), "failure": member.failure}


def _tested(ref: TuningRef, settings: JsonDict) -> JsonDict:
    _, whole, held = ref.proxy()
    since = time.thread_time()
    surprise, failure = whole.surprise(settings, held, ref.seed)
    seconds = time.thread_time() - since
    score = -surprise if math.isfinite(surprise) else None
    return {"score": score, "units": UNITS, "cpu_seconds": seconds, "failure": failure}


class _View:
    """The runs in MLflow: one of the tuning, and one in it for each member; whatever fails there ends nothing."""

    def __init__(self, ref: TuningRef, subject: Any) -> None:
        self.ref, self.subject, self.members = ref, subject, dict[int, str]()
        self.tracker = attempt("opening a run", ref.tracker, during="tuning")

    def show(self, row: Row) -> None:
        """Show what a member was when it was judged."""
        tracker = self.tracker
        if tracker is None:
            return

        def action() -> None:
            run = self.members.get(row.member)
            if run is None:
                run = self.members[row.member] = tracker.run(row.member)
                tracker.params(run, {"member": row.member, **row.settings})
            numbers = {key: float(value) for key, value in row.settings.items() if isinstance(value, int | float)}
            if math.isfinite(row.score):
                numbers[self.subject.measure] = self.subject.sign * row.score
            tracker.metrics(run, [{"step": row.units, **numbers}])

        attempt("showing a member", action, during="tuning")
