"""Task `train sampler`: one seed of a sampler file, from its checkpoint to its end, shown in MLflow on the way.

The folder of a seed holds the checkpoint, and a journal of what the trainer does not know: the CPU time, and which
objects the reward was asked for. MLflow gets only steps that are in the checkpoint, so a training that is killed and
goes on publishes nothing twice with other values.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.config import ConfigError
from data.objects import listed
from data.records import FloatArray
from data.sampler_config import SamplerConfig, parse_sampler
from models.diffusion.study import ChainSession, ChainStudy, build_chain_study
from models.gflownet.judging.evaluation import Seen
from models.gflownet.judging.graph_study import GraphSession, GraphStudy, Solution, build_graph_study
from models.gflownet.judging.study import Session, Study, build_study
from models.gflownet.training.trainer import TrainingError, write_atomically
from models.threads import single_thread
from tasks.progress import Event, emit
from tasks.reporting.plots import png
from tasks.samplers import plots
from tasks.storage import read_json, write_json
from tasks.tracking import SamplerTracker, attempt
from tasks.workspace import Workspace

POINTS = 1000
"""Most steps of which a run shows the training figures; steps with an evaluation are always shown."""
PUBLISH_SECONDS = 5.0
"""Least time between two publications of a training."""
AnyStudy = Study | ChainStudy | GraphStudy
AnySession = Session | ChainSession | GraphSession
WINDOW = 50
"""Steps at the end whose mean loss is told."""

JsonDict = dict[str, Any]


class SamplerStopped(RuntimeError):
    """A training ended because a reward failed or something was not finite; the message says what to change."""


@dataclass(frozen=True, slots=True)
class SamplerRef:
    """Names a sampler in a workspace; small and JSON-able, so that it can travel between processes."""

    home: str
    name: str
    """Of the file, without its ending."""
    identity: str
    config: JsonDict
    base: str
    """Folder of the file."""
    seeds: tuple[int, ...]

    @property
    def workspace(self) -> Workspace:
        """The workspace."""
        return Workspace(Path(self.home))

    @property
    def folder(self) -> Path:
        """Folder of all seeds of this configuration."""
        return Path(self.home) / "samplers" / f"{self.name}-{self.identity[:8]}"

    def seed_folder(self, seed: int) -> Path:
        """Folder of one seed."""
        return self.folder / f"seed-{seed}"

    def study(self) -> AnyStudy:
        """Build what is trained."""
        return study_of(parse_sampler(self.config), home=Path(self.home), base=Path(self.base))

    def tracker(self) -> SamplerTracker:
        """Return the runs of this configuration in MLflow."""
        return SamplerTracker(self.workspace, self.name, self.identity, self.seeds)


def study_of(config: SamplerConfig, *, home: Path, base: Path) -> AnyStudy:
    """Build everything that a sampler file names.

    Args:
        config: the file.
        home: folder of the workspace, which has the public tables.
        base: folder of the file, where its relative paths and modules start.

    Raises:
        ConfigError: parts do not go together.
        ComponentError: a component or an option is unknown.
        ObtainError: a public table is not in the workspace.
    """
    if config.density is not None:
        return build_chain_study(config, base=base)
    if config.graphs is not None:
        return build_graph_study(config, base=base)
    return build_study(config, home=home, base=base)


@task(name="train sampler", cache_policy=NO_CACHE, persist_result=False)
def train_sampler(ref: SamplerRef, seed: int, number: int = 0) -> JsonDict:
    """Train one seed, or go on, or return what it gave if it has ended.

    Results: `result.json` (figures at the end), `history.csv` (by step), `sampler.pt` (weights), `plots/`, and
    `best.csv` (the best objects that were met), unless the space is judged exactly and modes are not counted. Of a
    density `draws.csv` instead: vectors that the sampler gives, with their log-densities and weights. Of many graphs
    `solutions.csv`: the best set that was drawn for each graph.

    Args:
        ref: the sampler.
        seed: of the training.
        number: of the seed among those of the file, for the display.

    Returns:
        The figures of the end: `metrics`, `cpu_seconds`, `trajectories`, `trajectories_per_cpu_second`, `steps`.

    Raises:
        SamplerStopped: a reward failed or is not finite, or a probability, the loss or a gradient is not.
    """
    folder = ref.seed_folder(seed)
    with _shown(ref, seed) as view:
        if not (folder / "result.json").is_file():
            _train(ref, seed, number, view)
        result: JsonDict = read_json(folder / "result.json")
        view.finish(folder, result)
    return result


class Clock:
    """CPU seconds of the thread that trains, pauses left out and earlier processes added.

    Torch uses this thread alone; those of the display, Prefect and MLflow must not count.
    """

    def __init__(self) -> None:
        self._before, self._since = 0.0, time.thread_time()

    @property
    def seconds(self) -> float:
        """CPU seconds so far."""
        return self._before + time.thread_time() - self._since

    def set(self, seconds: float) -> None:
        """Go on from here."""
        self._before, self._since = seconds, time.thread_time()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count what happens inside."""
        seconds = self.seconds
        try:
            yield
        finally:
            self.set(seconds)


class Journal:
    """What belongs to a checkpoint but is not in it: a line of JSON per checkpoint, written before it.

    Args:
        path: of the file.
        clock: of the training.
        seen: objects that the reward was asked for, or None.
    """

    def __init__(self, path: Path, clock: Clock, seen: Seen | None) -> None:
        self.path, self.clock, self.seen = path, clock, seen

    def write(self, step: int) -> None:
        """Add what is new at a step."""
        found = [] if self.seen is None else self.seen.drain()
        line = {"step": step, "cpu_seconds": self.clock.seconds, "found": found}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def restore(self, step: int) -> None:
        """Go back to a step; what was written after it is forgotten."""
        kept = []
        for text in self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else ():
            try:
                line = json.loads(text)
            except ValueError:  # a kill in the middle of a line
                break
            if line["step"] > step:
                break
            kept.append(text)
            self.clock.set(line["cpu_seconds"])
            if self.seen is not None:
                keys = [_hashable(key) for key, _ in line["found"]]
                self.seen.take(keys, [value for _, value in line["found"]])
        if self.seen is not None:
            self.seen.drain()
        if self.path.is_file():
            partial = self.path.with_suffix(f".{os.getpid()}")
            partial.write_text("".join(f"{text}\n" for text in kept), encoding="utf-8")
            os.replace(partial, self.path)


def _hashable(value: Any) -> Hashable:
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value


class View:
    """The run of one seed in MLflow; whatever fails there is told and ends nothing."""

    def __init__(self, ref: SamplerRef, seed: int) -> None:
        self.ref, self.seed = ref, seed
        self._shown_to, self._at = 0, time.monotonic()
        opened = attempt("opening a run", lambda: (tracker := ref.tracker(), tracker.run(seed)), during="training")
        self.tracker: SamplerTracker | None = opened[0] if opened else None
        self.run = opened[1] if opened else ""

    def _do(self, what: str, action: Callable[[SamplerTracker], None]) -> None:
        tracker = self.tracker
        if tracker is not None:
            attempt(what, lambda: action(tracker), during="training")

    def begin(self, details: Mapping[str, Any]) -> None:
        """Show what is trained, and that it runs."""

        def action(tracker: SamplerTracker) -> None:
            tracker.params(self.run, {**details, "seed": self.seed})
            tracker.params(tracker.run(), details)
            for run in (self.run, tracker.run()):
                tracker.status(run, "RUNNING")

        self._do("starting a run", action)

    def progress(self, history: Sequence[Mapping[str, float]], durable: int, steps: int) -> None:
        """Show the steps up to `durable`, unless some were shown a moment ago."""
        if time.monotonic() - self._at >= PUBLISH_SECONDS:
            self._rows(history[:durable], steps)
            self._at = time.monotonic()

    def _rows(self, history: Sequence[Mapping[str, float]], steps: int) -> None:
        rows = [row for row in thinned(history, steps) if row["step"] > self._shown_to]
        self._do("logging metrics", lambda tracker: tracker.metrics(self.run, rows))
        self._shown_to = len(history)

    def finish(self, folder: Path, result: Mapping[str, Any]) -> None:
        """Show everything of a training that has ended; the second time nothing is done."""
        digest = str(result["identity"])

        def action(tracker: SamplerTracker) -> None:
            if tracker.published(self.run) == digest:
                return
            self.begin(result["details"])
            steps = int(result["details"]["training"]["steps"])
            tracker.metrics(self.run, thinned(history_of(folder), steps))
            tracker.metrics(self.run, [{"step": result["steps"], **figures_of(result)}])
            for name in ("plots", "sampler.pt", "history.csv", "best.csv", "draws.csv", "solutions.csv"):
                path = folder / name
                if not path.exists():
                    continue
                if path.is_dir():
                    tracker.artifacts(self.run, path, name)
                else:
                    tracker.client.log_artifact(self.run, str(path))
            tracker.mark_published(self.run, digest)

        self._do("publishing a training", action)

    def end(self, status: str) -> None:
        """Show how a training that did not get to its end was ended."""
        self._do("ending a run", lambda tracker: tracker.status(self.run, status))


@contextmanager
def _shown(ref: SamplerRef, seed: int) -> Iterator[View]:
    view = View(ref, seed)
    try:
        yield view
    except KeyboardInterrupt:
        view.end("KILLED")
        raise
    except (TrainingError, ValueError) as error:  # of rewards, such as one that is not finite, it is a ValueError
        view.end("FAILED")
        raise SamplerStopped(
            f"{ref.name}, seed {seed}: {error} Change the file, or remove {ref.seed_folder(seed)} to begin anew."
        ) from error
    except BaseException:
        view.end("FAILED")
        raise


def _train(ref: SamplerRef, seed: int, number: int, view: View) -> None:
    study = ref.study()
    if study.identity != ref.identity:
        raise ConfigError("The reward function or a file that the sampler names was changed while it was started.")
    session = study.start(seed)
    trainer, folder, stage = session.trainer, ref.seed_folder(seed), f"seed {seed}"
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, fingerprint = folder / "checkpoint.pt", study.fingerprint(seed)
    view.begin(study.details)
    clock = Clock()
    seen = session.seen if isinstance(session, Session) else None
    journal = Journal(folder / "journal.jsonl", clock, seen)
    if checkpoint.is_file():
        trainer.restore(checkpoint, fingerprint)
    journal.restore(trainer.done)
    every = trainer.options.checkpoint_every

    def evaluate() -> dict[str, float]:
        with clock.paused():
            return {**session.evaluator(), "cpu_seconds": clock.seconds}

    def report(done: int, total: int, metrics: Mapping[str, float]) -> None:
        with clock.paused():
            emit(Event(number, stage, done, total, metrics))
            if done % every == 0 or trainer.ended:
                journal.write(done)
                view.progress(trainer.history, (done - 1) // every * every, total)

    trainer.evaluate = evaluate
    with single_thread():
        clock.set(clock.seconds)
        trainer.train(checkpoint=checkpoint, fingerprint=fingerprint, report=report)
        _write(study, session, folder, clock.seconds)
    checkpoint.unlink()
    journal.path.unlink(missing_ok=True)


def _write(study: AnyStudy, session: AnySession, folder: Path, cpu_seconds: float) -> None:
    """Write the results; `result.json` is the last, and says that the others are complete."""
    trainer = session.trainer
    write_atomically({"details": json.dumps(study.details), **session.state()}, folder / "sampler.pt")
    pd.DataFrame(trainer.history).to_csv(folder / "history.csv", index=False)
    drawn = folder / "plots"
    drawn.mkdir(exist_ok=True)
    (drawn / "learning.png").write_bytes(png(plots.learning({"": trainer.history})))
    notes: list[str] = []
    if isinstance(session, ChainSession):
        _write_draws(session, folder, drawn)
    elif isinstance(session, GraphSession):
        notes = _write_solutions(session.solutions(), folder, told=bool(session.wanted))
    else:
        _write_objects(session, folder, drawn, study.evaluation.top_k if isinstance(study, Study) else 0)
    last = trainer.history[-1]
    training = {"step", "loss", "log_reward", "unique", "length", "cpu_seconds", "sampled_gain"}
    losses = [row["loss"] for row in trainer.history[-WINDOW:]]
    trajectories = trainer.done * trainer.options.batch_size
    result = {
        "identity": study.identity,
        "details": study.details,
        "judged": study.judged_by() + (session.remark(last) if isinstance(session, ChainSession) else ""),
        "metrics": {
            **{key: value for key, value in last.items() if key not in training},
            "mean_loss": sum(losses) / len(losses),
        },
        "notes": notes,
        "steps": trainer.done,
        "cpu_seconds": cpu_seconds,
        "trajectories": trajectories,
        "trajectories_per_cpu_second": trajectories / cpu_seconds,
    }
    partial = folder / f"result.{os.getpid()}.tmp"
    write_json(partial, result)
    os.replace(partial, folder / "result.json")


def _write_objects(session: Session, folder: Path, drawn: Path, top_k: int) -> None:
    if session.seen is not None:
        rows = [(_text(obj), value) for obj, value in session.seen.best(top_k).items()]
        pd.DataFrame(rows, columns=["object", "log_reward"]).to_csv(folder / "best.csv", index=False)
    for law in session.laws():
        if plots.is_plane(law):
            name = f"law{law.case.replace('/', '_')}.png"
            (drawn / name).write_bytes(png(plots.plane(law)))


def _write_draws(session: ChainSession, folder: Path, drawn: Path) -> None:
    x, log_density, weight = (values.double().numpy() for values in session.draws())
    table = pd.DataFrame(x, columns=[f"x{number}" for number in range(x.shape[1])])
    table.assign(log_density=log_density, weight=weight).to_csv(folder / "draws.csv", index=False)

    def density(points: FloatArray) -> FloatArray:
        values: FloatArray = session.target.log_reward(torch.from_numpy(points).float()).double().numpy()
        return values

    if x.shape[1] > 1:
        (drawn / "draws.png").write_bytes(png(plots.cloud(x, density if x.shape[1] == 2 else None)))


def _write_solutions(solutions: Sequence[Solution], folder: Path, *, told: bool) -> list[str]:
    """Write `solutions.csv`; return the solutions as lines to read, if they are wanted."""
    rows = [{**asdict(one), "chosen": _text(one.chosen)} for one in solutions]
    pd.DataFrame(rows).to_csv(folder / "solutions.csv", index=False)
    return [_solution_text(one) for one in solutions] if told else []


def _solution_text(one: Solution) -> str:
    beside = "" if one.optimum is None else f", the optimum {one.optimum}"
    return f"{one.graph}: {one.gain}, at random {one.random}{beside}: {_text(one.chosen)}"


def _text(obj: Hashable) -> str:
    """Return an object as it is read: a text, or the names or numbers that it is made of."""
    return listed([str(part) for part in obj]) if isinstance(obj, tuple) else str(obj)


def figures_of(result: Mapping[str, Any]) -> dict[str, float]:
    """Return what a training gave in the end, as metrics that have one value per run."""
    keys = ("cpu_seconds", "trajectories", "trajectories_per_cpu_second")
    return {f"final/{key}": float(result[key]) for key in keys} | {
        "final/mean_loss": float(result["metrics"]["mean_loss"])
    }


def history_of(folder: Path) -> list[dict[str, float]]:
    """Return the rows of a training by step; figures that a step does not have are left out."""
    rows = pd.read_csv(folder / "history.csv").to_dict("records")
    return [{str(k): float(v) for k, v in row.items() if v == v} for row in rows]


def thinned(history: Sequence[Mapping[str, float]], steps: int) -> list[Mapping[str, float]]:
    """Return at most about `POINTS` of the rows of `steps` steps, and every one with an evaluation."""
    stride = max(1, -(-steps // POINTS))
    return [row for row in history if int(row["step"]) % stride == 0 or "cpu_seconds" in row]
