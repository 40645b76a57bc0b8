"""Campaigns from Python: run, look at, ask and tell, in a notebook or a program.

    from pipelines.api import Campaign, ask, campaigns, run, tell, validate

Errors are those of the command line and say what was given, what was expected and what to do: `ConfigError`, `BadInput`
and `SourceError` are `ValueError`s, `LedgerError` and `WorkspaceError` `RuntimeError`s.

What only looks (`Campaign`, `campaigns`) writes nothing and runs beside a campaign at work. Importing this module
takes no time; what is heavy is imported by what needs it.
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tasks.workspace import DEFAULT_HOME, HOME_VARIABLE, LEDGER_VARIABLE, Workspace, WorkspaceError, quiet_environment

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from data.config import CampaignConfig
    from data.goals import Goals
    from data.ledger.campaigns import Campaign as Row
    from data.ledger.ledger import Ledger
    from tasks.oracles.sorting import Receipt
    from tasks.progress import Event
    from tasks.reporting.figures import Drawing
    from tasks.stages import CampaignContext

__all__ = ["Campaign", "Plan", "ask", "campaigns", "run", "tell", "validate"]

Home = Path | str | Workspace | None
"""A workspace, its folder, or None: `$DISCOVER_HOME`, else `.discover` in the current folder."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign of the ledger, got by `Campaign.load` or `run`.

    It holds no data: each attribute and method asks the ledger anew, so it stays right while the campaign goes on in
    another process. Nothing is ever written.

    Attributes:
        workspace: where it is.
        id: of its row in the ledger.
        name: as the campaign file says.
        generation: 1, and one more each time that the name was begun anew.
    """

    workspace: Workspace
    id: int
    name: str
    generation: int

    @classmethod
    def load(cls, name: str, workspace: Home = None, *, generation: int | None = None) -> Campaign:
        """Return a campaign of a workspace.

        Args:
            name: of the campaign.
            workspace: its folder; None: `$DISCOVER_HOME`, else `.discover` in the current folder.
            generation: of a name that was begun anew; None: the latest.

        Raises:
            WorkspaceError: there is no such workspace.
            LedgerError: no campaign has this name or generation, or an earlier discovery-flows wrote the ledger.
        """
        home = _existing(workspace)
        with _reading(home) as ledger:
            row = ledger.campaign(name)
            if generation is not None and generation != row.generation:
                row = _earlier(ledger, row, generation)
        return cls(home, row.id, row.name, row.generation)

    @property
    def state(self) -> str:
        """Where it stands, as `discover status` has it: `running`, `waiting`, `done`, `budget_exhausted` and the like.

        `waiting` is for a laboratory, `killed` a run whose process ended without saying so. All but `done` go on by the
        same `run` again.
        """
        with _reading(self.workspace) as ledger:
            return _state(ledger, ledger.campaign_by_id(self.id))

    @property
    def message(self) -> str:
        """Why it stands there and what to do, in sentences; empty where the state says all."""
        return self._row().message

    @property
    def config(self) -> CampaignConfig:
        """Its configuration, defaults included; `config.to_json()` is that as a dictionary."""
        return self._row().config

    @property
    def goals(self) -> Goals:
        """What is wanted of each objective, with units: `data.goals.Goal`s; `goals.main` is the first to improve."""
        from tasks.reporting.objectives import goals_with_units

        return goals_with_units(self.config)

    @property
    def page(self) -> Path:
        """The file of its latest report, one self-contained page; it is there once a run has ended."""
        return self.workspace.campaign_folder(self._row()) / "report" / "candidates.html"

    def candidates(self, *, top: int | None = None, pareto: bool = False) -> pd.DataFrame:
        """Return the candidates, best first, as `discover candidates NAME --format csv` does, texts as they are.

        Args:
            top: only the first so many.
            pareto: only those that no other one surpasses in every objective, of a campaign that improves several.

        Returns:
            A row per candidate, and these columns in the order of the export:

            * `id`, string; then the object's text in the column that its space names (`smiles`, `sequence`, `vector`
              ...), string, and a column for each value that tells it, float64 where all are numbers, else string.
            * `value`, float64 in the unit of `unit`: measured, of the main objective; NaN while or where it is not.
            * `unit`, string. `round`, int64. `arm`, string: `initial`, `acquisition`, `control` or `told`.
            * `predicted_mean` and `predicted_std`, float64, in the same unit: before it was bought.
            * of several objectives `NAME.value`, `NAME.predicted_mean`, `NAME.predicted_std`, float64, and `NAME.unit`,
              string; of one with levels from cheap to true `NAME.level_0` ..., float64; with limits `feasible`,
              boolean; of several to be improved `front`, boolean. The last two are `<NA>` where something is not
              measured.
            * `source`, `origin`, `state`, string. State: `proposed`, `reserved`, `submitted`, `done`, `failed`,
              `in_doubt` or `abandoned`.
            * `novelty`, float64, 0 to 1. `error`, `message`, string: why there is no value.
            * `inchikey` of molecules and `same_compound`, string: ids of other forms, with blanks between.

        Raises:
            BadInput: `top` is no whole number of at least one, or the front is asked for and one objective is improved.
        """
        from models.parts import space_of
        from pipelines.frames import candidates_frame
        from pipelines.inspection import exported_of
        from tasks.stages import BadInput

        if top is not None and (isinstance(top, bool) or not isinstance(top, numbers.Integral) or top < 1):
            raise BadInput(
                f"top is {top!r}; expected a whole number of at least 1, or leave it out to have all candidates."
            )
        goals = self.goals
        if pareto and not goals.several:
            raise BadInput(
                f"pareto is for campaigns that improve several objectives; {self.name} improves one: "
                f"{goals.main.told}. Leave it out, and the candidates come best first."
            )
        with _reading(self.workspace) as ledger:
            row = ledger.campaign_by_id(self.id)
            rows = exported_of(ledger, row, top, pareto=pareto)
        return candidates_frame(rows, space_of(row.config), goals, row.readings)

    def measurements(self) -> pd.DataFrame:
        """Return every measurement that was booked, in the order of rounds: also failed ones, and those still to come.

        Returns:
            A row for each value of each call of an oracle:

            * `call`, int64: rows of one call have one number; `drop_duplicates("call")` has each cost once.
            * `id`, `object`, string: of what. `objective`, string; `<NA>`: the value is one that no objective reads.
            * `output`, string: which of several values of the oracle.
            * `value`, float64, in the unit of `unit`, string; NaN where there is none.
            * `state`, string: `reserved` (booked), `submitted` (asked), `done`, `failed`, `in_doubt`, `abandoned`;
              `error` and `message`, string: the class of a failure, and why.
            * `round`, int64. `arm`, string. `replicate`, int64 from 1: which repetition.
            * `level`, int64: 0 is the cheapest of the objective's oracles; `true`, bool: whether it is the one that
              counts.
            * `origin`, string: `called`, `imported` (came with the data), `reused` (bought before), `awaited` (from
              another campaign that is buying it). `oracle`, string.
            * `cost`, float64, of the whole call, in the unit of the budget. `seconds`, float64, that it took.
            * `told_by`, string: who brought it, of a laboratory. `booked_at`, `answered_at`, datetime64[ms, UTC].
            * `current`, bool: false of a call that a newer one of the same object, oracle and replicate has replaced.

            What a told value was before it was corrected is in `corrections`.
        """
        from data.ledger.telling import calls_of
        from pipelines.frames import measurements_frame

        goals = self.goals
        with _reading(self.workspace) as ledger:
            row = ledger.campaign_by_id(self.id)
            calls = calls_of(ledger, self.id)
            arms = {one.id: str(one.arm) for one in ledger.course(self.id)}
        return measurements_frame(calls, arms, goals, row.readings, row.config.to_json()["objectives"])

    def corrections(self) -> pd.DataFrame:
        """Return what told values were before they were corrected, oldest first.

        Returns:
            `id`, `object`, `objective`, string; `replicate`, int64 from 1; before: `value`, float64, `message`,
            `told_by`, string, `told_at`, datetime64[ms, UTC]; now: `value_now`, float64, `message_now`, `replaced_by`,
            string, `replaced_at`, datetime64[ms, UTC].
        """
        from pipelines.frames import corrections_frame

        with _reading(self.workspace) as ledger:
            return corrections_frame(ledger.corrected(self.id), ledger.campaign_by_id(self.id).readings)

    def rounds(self) -> pd.DataFrame:
        """Return what each round bought and found; round 0 is the initial design.

        Returns:
            A row per round that has candidates. Values are those of the main objective in its unit, of what keeps to
            the limits:

            * `round`, `calls`, `failed`, int64, and `cost`, float64: booked so far, and failed of these calls.
            * `best`, `top10_mean`, float64: so far.
            * `acquisition_mean`, `acquisition_half`, float64: of what the acquisition bought in this round, and half
              of the 95 % interval of the mean, NaN below two values; `acquisition_n`, int64: of how many.
              `control_...`: the same of the control arm.
            * with limits `feasible`, `acquisition_feasible`, `control_feasible`, float64: share of what was measured in
              this round that keeps to them.
            * of several objectives `front`, int64: candidates that no other surpasses; `hypervolume`, float64;
              `acquisition_hypervolume`, `control_hypervolume`, float64: of the initial design and as many calls of each
              arm as `hypervolume_calls`, Int64, says; `NAME.best`, float64. All of them so far.
        """
        from pipelines.frames import rounds_frame

        with _reading(self.workspace) as ledger:
            goals = ledger.campaign_by_id(self.id).goals
            return rounds_frame(ledger.course(self.id), ledger.bought(self.id), goals)

    def lineage(self, candidate: str) -> pd.DataFrame:
        """Return how a candidate came to be, as `discover lineage` tells: itself and all of its ancestors.

        Args:
            candidate: its id or an unambiguous beginning, its text in any spelling, or its rank, such as `1` or `#1`.

        Returns:
            A row per object, parents before what was made of them, the candidate last:

            * `step`, Int64: its place on the line that leads to the candidate, from 1, of each object the parent most
              like it; `<NA>` of ancestors by other lines.
            * `id`, `object`, string. `operation`, string: `initial design`, `library`, `drawn at random`, `built`,
              `told` or `unknown` of those that are made of no other; else `mutation`, `crossover`, `crossover and
              mutation`, `building step`, or a generator's own word. `parents`, string: ids with blanks between.
            * of those that were bought `round`, Int64, `arm`, `source` and `state`, string; `value`, float64, in the
              unit of `unit`, string, `predicted_mean` and `predicted_std`, float64: as in `candidates`; of several
              objectives also `NAME.value`, `NAME.unit`, `NAME.predicted_mean` and `NAME.predicted_std`.

        Raises:
            BadInput: there is no such candidate, or there are several.
        """
        from models.parts import space_of
        from pipelines.frames import lineage_frame
        from pipelines.lineage import found_candidate
        from tasks.lineage import Lineages

        goals = self.goals
        with self._context() as context:
            rows = goals.ranked(context.ledger.candidates(self.id))
            found = found_candidate(rows, candidate, space_of(context.config), self.name)
            return lineage_frame(Lineages(context, rows).of(found), goals)

    def explain(self, candidate: str) -> pd.DataFrame:
        """Return what the predictions of a candidate by the last proxies rest on, as `discover explain` tells.

        Args:
            candidate: its id or an unambiguous beginning, its text in any spelling, or its rank, such as `1` or `#1`.

        Returns:
            A row per atom and feature, objective by objective. `part`, `objective`, `unit`, string; `contribution`,
            `standard_error`, float64; contributions add up to the prediction less that of a typical object.

        Raises:
            BadInput: there is no such candidate, there are several, or no proxy was trained yet.
            ConfigError: the proxy does not predict from features.
        """
        from models.parts import space_of
        from pipelines.explaining import explained_of
        from pipelines.frames import explained_frame
        from pipelines.lineage import found_candidate

        with self._context() as context:
            rows = self.goals.ranked(context.ledger.candidates(self.id))
            row = found_candidate(rows, candidate, space_of(context.config), self.name)
            return explained_frame(explained_of(context, row, self.name))

    def health(self) -> pd.DataFrame:
        """Return what is to be said of the proxies and generators of each round that trained some.

        Returns:
            `round`, int64; `kind`, string, as `data.ledger.health.Finding` lists them; `level`, string: `good`,
            `unknown` or `warning`; `objective`, string, where there are several; `message`, string: what to do.
        """
        from data.ledger.course_health import Plan, campaign_findings
        from pipelines.frames import findings_frame

        with _reading(self.workspace) as ledger:
            campaign = ledger.campaign_by_id(self.id)
            seen = ledger.course(self.id), ledger.stages(self.id), campaign.goals, Plan.of(campaign)
            return findings_frame(campaign_findings(*seen, bought=ledger.bought(self.id)))

    def figures(self) -> dict[str, str]:
        """Return the names of the figures that there are, each with its caption; empty while nothing is chosen."""
        with self._context() as context:
            return {name: drawing.caption for name, drawing in _drawings(context).items()}

    def figure(self, name: str) -> Figure:
        """Return a figure of the report, as of now; a notebook shows it.

        Args:
            name: one of `figures()`, such as `best_so_far`; of several objectives `best_so_far_1` and so on.

        Raises:
            BadInput: there is no such figure; the message names those that there are.
        """
        with self._context() as context:
            found = _drawings(context)
            if name not in found:
                raise _no_figure(self.name, name, list(found))
            figure = found[name].draw()
        return _shown(figure)

    def _row(self) -> Row:
        with _reading(self.workspace) as ledger:
            return ledger.campaign_by_id(self.id)

    @contextmanager
    def _context(self) -> Iterator[CampaignContext]:
        from tasks.stages import CampaignContext

        with _reading(self.workspace) as ledger:
            yield CampaignContext(self.workspace, ledger, ledger.campaign_by_id(self.id))


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign that can be run.

    Attributes:
        config: its configuration, defaults included.
        calls: of oracles that its rounds plan, without what is measured again.
        said: sentences on the rows of its data, on earlier campaigns that it lacks, and on what its oracles read.
    """

    config: CampaignConfig
    calls: int
    said: tuple[str, ...]


def campaigns(workspace: Home = None) -> pd.DataFrame:
    """Return every campaign of a workspace, oldest first; of a name that was begun anew each generation.

    Args:
        workspace: its folder; None: `$DISCOVER_HOME`, else `.discover` in the current folder, and no rows where that
            is not there.

    Returns:
        `name`, `state`, string; `generation`, `round` (the last that has candidates), `rounds` (planned), `calls`,
        int64; `budget_calls`, Int64; `cost`, `best`, `top10_mean`, `seconds` (of running time), float64; `created_at`,
        datetime64[ms, UTC]; `message`, string.

    Raises:
        WorkspaceError: there is no such workspace.
        LedgerError: an earlier discovery-flows wrote the ledger.
    """
    from pipelines.frames import campaigns_frame

    if workspace is None and not _is_there(None):
        return campaigns_frame([])
    with _reading(_existing(workspace)) as ledger:
        rows = ledger.campaigns()
        return campaigns_frame(
            [(row, _state(ledger, row), ledger.standing(row.id, row.goals), ledger.spent(row.id)) for row in rows]
        )


def run(
    config: Path | str | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    fresh: bool = False,
    retry_failed: bool = False,
    folder: Path | str | None = None,
    workspace: Home = None,
    progress: Callable[[Event], object] | None = None,
) -> Campaign:
    """Run a campaign to its end, or continue it: the same call again is how it is resumed. As `discover run --plain`.

    It returns when the campaign is done, waits for a laboratory or was stopped by a named limit: `state` and `message`
    of the campaign say which. Stages are called as plain functions in this process, without a Prefect server; oracles
    run in processes of their own. An interruption (the notebook's stop button) loses nothing.

    Args:
        config: a campaign file, or a dictionary with its keys. A dictionary is written to no file: the ledger keeps
            it, as it keeps that of a file. `discover run` continues it once you have written it to one, in `folder`.
        overrides: `key.key=value`, as on the command line; they leave a dictionary as it is.
        fresh: begin the name anew; what was measured is kept and not bought again. `--fresh` in messages.
        retry_failed: buy the failed calls of an unfinished round again.
        folder: of a dictionary: where its relative paths start and the module of a Python function is; None: the
            current one. Paths in a file start at its own folder.
        workspace: where it is kept, made if need be; None: `$DISCOVER_HOME`, else `.discover` in the current folder.
        progress: called with each step of each stage, an event with `round`, `stage`, `done`, `total`, `metrics`;
            `progress=print` prints them.

    Raises:
        ConfigError, ComponentError, SourceError, BadInput, OracleStartError: what was given cannot be used; nothing
            was spent.
        LedgerError: the name is that of another campaign, or is being run by another process.
    """
    quiet_environment()
    from contextlib import nullcontext

    from pipelines.campaign import run_checked
    from pipelines.given import built, configuration
    from tasks.progress import listening

    given, base = configuration(config, overrides, folder)
    home = _opened(workspace)
    with listening(progress) if progress is not None else nullcontext():
        ended = run_checked(built(given, base), base, workspace=home, fresh=fresh, retry_failed=retry_failed)
    row = ended.campaign
    return Campaign(home, row.id, row.name, row.generation)


def validate(
    config: Path | str | Mapping[str, Any], overrides: Sequence[str] = (), *, folder: Path | str | None = None
) -> Plan:
    """Check a campaign and everything it names, without running anything; arguments and errors are those of `run`."""
    quiet_environment()
    from pipelines.given import configuration
    from pipelines.validation import built_once, check_source, earlier_remarks, oracle_remarks
    from tasks.stages import BadInput, CampaignStopped

    given, base = configuration(config, overrides, folder)
    checked = built_once(given, base)
    try:
        said = [*check_source(checked, base), *earlier_remarks(checked, base)]
    except CampaignStopped as stopped:
        raise BadInput(stopped.message) from stopped
    said += oracle_remarks(checked, base)
    each = len(checked.readings.parts) * checked.readings.replicates
    return Plan(checked, (checked.data.initial + checked.rounds * checked.batch_size) * each, tuple(said))


def ask(name: str, workspace: Home = None) -> pd.DataFrame:
    """Return what a campaign asks a laboratory for and nobody has answered: a table to be filled in, for `tell`.

    Returns:
        A row per object and replicate: `id`; the object's text, or a column for each value that tells it; `replicate`
            where
        there are several; facts of the object; an empty column for each value that is wanted, such as `yield [%]`;
        `failed`, for the reason where there is no value. No rows: nothing is asked for at the moment.

    Raises:
        LedgerError: no campaign has this name.
        BadInput: it asks no laboratory.
    """
    from pipelines.asking import ask as asked

    return asked(name, _existing(workspace))


def tell(
    name: str,
    results: pd.DataFrame | Path | str,
    *,
    workspace: Home = None,
    correct: bool = False,
    reinstate: bool = False,
    replicate: bool = False,
    unasked: bool = False,
    decimal: Literal[".", ","] | None = None,
    by: str | None = None,
) -> Receipt:
    """Take the results of a laboratory into a campaign: all of them, or none where a line is refused.

    The next `run` goes on with them.

    Args:
        name: of the campaign.
        results: the table of `ask` with its values filled in, or any with `id` or the object and a column per value; a
            CSV file; or the text of one, which has several lines.
        workspace: of the campaign; None: `$DISCOVER_HOME`, else `.discover` in the current folder.
        correct: values that differ from known ones take their place; the old ones are kept (`Campaign.corrections`).
        reinstate: values that were told and corrected since take their place again.
        replicate: values that differ from known ones are repeated measurements.
        unasked: take results that nobody asked for.
        decimal: mark of decimals; None: found.
        by: who tells; None: the user.

    Returns:
        What became of them: counts `new`, `failed`, `same`, `corrected`, `open` and others; `told()` is a sentence.

    Raises:
        LedgerError: no campaign has this name.
        BadInput: it asks no laboratory, or lines are refused: nothing was taken.
        SourceError: the results are no table of the campaign's values.
    """
    from data.tables.rows import SourceError
    from pipelines.asking import tell_results

    named = isinstance(results, str) and "\n" not in results.strip()
    source = Path(str(results)).expanduser() if named else results
    if isinstance(source, Path) and not source.is_file():
        raise SourceError(
            f"There are no results {str(source)!r}; expected a CSV file, its text of several lines, or a table such as "
            f"`ask({name!r})` returns."
        )
    if not isinstance(source, str | Path) and source.index.names != [None]:
        source = source.reset_index()  # such as the ids
    options = {"correct": correct, "reinstate": reinstate, "replicate": replicate, "unasked": unasked}
    return tell_results(name, source, workspace=_existing(workspace), decimal=decimal, by=by, **options)


def _opened(workspace: Home) -> Workspace:
    return workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)


def _is_there(workspace: Path | str | None) -> bool:
    """Return whether there is a workspace: looking at one makes none, but where the ledger is elsewhere."""
    home = Path(workspace or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME)
    return bool(os.environ.get(LEDGER_VARIABLE)) or Path(os.path.expanduser(home)).is_dir()


def _existing(workspace: Home) -> Workspace:
    """Return a workspace that is there.

    Raises:
        WorkspaceError: it is not.
    """
    if not isinstance(workspace, Workspace) and not _is_there(workspace):
        home = Path(workspace or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME)
        raise WorkspaceError(
            f"There is no workspace {str(home.absolute())!r}; expected the folder that a run has made. Give it as "
            f"`workspace`, or set {HOME_VARIABLE}; `run` and `discover run` make one."
        )
    return _opened(workspace)


@contextmanager
def _reading(workspace: Workspace) -> Iterator[Ledger]:
    """Open the ledger for a look: one of an earlier program is refused, not migrated."""
    ledger = workspace.ledger(migrating=False)
    try:
        yield ledger
    finally:
        ledger.close()


def _earlier(ledger: Ledger, latest: Row, generation: int) -> Row:
    from data.ledger.campaigns import LedgerError

    for row in ledger.campaigns():
        if row.name == latest.name and row.generation == generation:
            return row
    raise LedgerError(
        f"Campaign {latest.name} has no generation {generation}; expected 1 to {latest.generation}. Leave it out to "
        "have the latest."
    )


def _state(ledger: Ledger, row: Row) -> str:
    if row.state.value == "running" and ledger.owner(row.id) is None:
        return "killed"
    return row.state.value


def _drawings(context: CampaignContext) -> dict[str, Drawing]:
    from tasks.reporting.figures import explaining_drawings, round_drawings
    from tasks.reporting.page_lineage import best_found

    rows = context.ledger.candidates(context.campaign.id)
    if not rows:
        return {}
    best = best_found(context.goals.ranked(rows), context.goals)
    return round_drawings(context, rows, max(row.round for row in rows)) | explaining_drawings(context, best)


def _no_figure(campaign: str, name: str, names: list[str]) -> ValueError:
    from data.config import nearest_spelling
    from tasks.stages import BadInput

    if not names:
        return BadInput(
            f"Campaign {campaign} has no figure {name!r}, and none at all yet: it has no candidates. Run it first."
        )
    known = ", ".join(names)
    return BadInput(
        f"Campaign {campaign} has no figure {name!r}; expected one of {known}.{nearest_spelling(name, names)}"
    )


def _shown(figure: Figure) -> Figure:
    """Let a notebook show a figure that pyplot does not know: ours never enter its global state."""
    from functools import partial

    from tasks.reporting.plots import png

    figure._repr_png_ = partial(png, figure)  # type: ignore[attr-defined]  # IPython asks the object itself
    return figure
