"""The campaign: prepare, then round after round train, propose, screen, select, measure and report.

Resume is the same call again: every stage asks the ledger whether it has been done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Completed

from data.config import CampaignConfig, ConfigError, due, load_config
from data.ledger.campaigns import Campaign, CampaignState, LedgerError
from data.ledger.course_health import rounds_without_gain
from data.ledger.ledger import Ledger
from data.ledger.lock import CampaignLocked, LockLost, campaign_lock, has_lost, refuse_if_running
from data.ledger.requests import HELD, CampaignPaused, refuse_if_paused, requested
from data.masking import masked
from data.wording import figure
from models.parts import parts_of_oracles
from pipelines.calling import Call, as_function, as_task
from pipelines.following import remembering_the_end
from pipelines.overlaps import ended_for_another
from pipelines.validation import check_source, checked_config
from pipelines.zombies import bury_zombies
from tasks.engines.opening import check_engine, close_engines
from tasks.gather_members import check_members, gather_members, has_members
from tasks.heeding import Heeding
from tasks.measure import measure
from tasks.oracles.booking import books_in_use
from tasks.oracles.lasting import dismiss
from tasks.prepare_data import prepare_data
from tasks.pretrain import check_pretraining, pretrain, pretrains
from tasks.propose import propose
from tasks.read_tables import has_tables, read_tables
from tasks.reporting.live import LiveView
from tasks.reporting.report import final_report, report
from tasks.screen import screen
from tasks.select_batch import select_batch
from tasks.stages import CampaignContext, CampaignRef, CampaignStopped
from tasks.train_generator import train_generator
from tasks.train_proxy import train_proxy
from tasks.workspace import Workspace, quiet_environment

quiet_environment()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a campaign ended."""

    campaign: Campaign
    state: CampaignState
    message: str


def _run_name() -> str:
    """Return the campaign's name for Prefect's lists; the file's where the file cannot be read."""
    given = flow_run.get_parameters()
    try:
        return load_config(Path(given["config"]), tuple(given.get("overrides") or ())).name
    except ConfigError:
        return Path(given["config"]).stem


@flow(name="campaign", flow_run_name=_run_name, persist_result=False)
def campaign(
    config: str, overrides: tuple[str, ...] = (), fresh: bool = False, retry_failed: bool = False
) -> State[Any]:
    """Run or continue the campaign of a file; ends in a state named after the campaign's.

    Args:
        config: path of the campaign file.
        overrides: `key.key=value`, as on the command line.
        fresh: begin the name anew instead of continuing.
        retry_failed: buy failed calls of an unfinished round again.
    """
    return as_flow(Path(config), overrides, fresh=fresh, retry_failed=retry_failed)


def as_flow(config: Path, overrides: Sequence[str], *, fresh: bool, retry_failed: bool) -> State[Any]:
    """Run or continue a campaign inside a flow; returns the flow's state, which is named after the campaign's."""
    with remembering_the_end():
        try:
            outcome = run_campaign(
                config,
                overrides,
                fresh=fresh,
                retry_failed=retry_failed,
                call=as_task,
                on_start=lambda campaign: bury_zombies(campaign.slug),
            )
        except CampaignPaused as paused:  # a schedule that waits for a person has not failed
            return Completed(name="Paused", message=str(paused))
        except CampaignLocked as locked:
            return ended_for_another(locked)
    name = "Completed" if outcome.state is CampaignState.DONE else outcome.state.value.title().replace("_", "")
    return Completed(name=name, message=outcome.message)


def run_campaign(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    checked: CampaignConfig | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    call: Call = as_function,
    on_start: Callable[[Campaign], None] = lambda campaign: None,
) -> Outcome:
    """Run or continue the campaign of a file in the workspace; `on_start` is called once the campaign is locked.

    `checked` is the file's configuration where `checked_config` has just been asked: checking imports a user's function
    in a process of its own, which takes what its imports take.

    Raises:
        ConfigError, ComponentError, SourceError, BadInput, LedgerError: what was given cannot be used.
        CampaignLocked: another process runs this campaign.
        LockLost: somebody removed this run's lock.
    """
    config = checked or checked_config(path, tuple(overrides))
    return run_checked(
        config, path.absolute().parent, fresh=fresh, retry_failed=retry_failed, call=call, on_start=on_start
    )


def run_checked(
    config: CampaignConfig,
    base: Path,
    *,
    workspace: Workspace | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    call: Call = as_function,
    on_start: Callable[[Campaign], None] = lambda campaign: None,
) -> Outcome:
    """Run or continue the campaign of a checked configuration, whose relative paths start at `base`.

    Raises:
        SourceError, BadInput, LedgerError, CampaignLocked, LockLost: as `run_campaign`.
    """
    check_engine(config)
    workspace = workspace or Workspace.open()
    ledger = workspace.ledger()
    refuse_if_running(ledger, config.name)
    if not fresh:
        refuse_if_paused(ledger, config.name)
    if fresh or not _is_prepared(ledger, config.name):
        _refuse_past_deadline(config)
        with suppress(CampaignStopped):  # which is how a campaign ends, not a mistake
            check_source(config, base, workspace.cache)
        check_members(config, base, workspace, ledger)
        check_pretraining(config, base, workspace, ledger)
    begun = ledger.begin_campaign(config, base, fresh=fresh, oracles=parts_of_oracles(config, base))
    ref = CampaignRef(str(workspace.home), begun.id)
    with CampaignContext(workspace, ledger, begun) as context, campaign_lock(ledger, begun):
        on_start(begun)
        ledger.set_state(begun.id, CampaignState.RUNNING)
        if retry_failed:
            _retry_failed(context)
        try:
            with LiveView(ref), Heeding(ref):
                run_rounds(ref, config.rounds, call)
        except CampaignStopped as stopped:
            outcome = Outcome(begun, stopped.state, stopped.message)
        except (KeyboardInterrupt, SystemExit, TerminationSignal):  # Prefect has a signal of its own for SIGTERM
            _record_end(context, CampaignState.INTERRUPTED, "Interrupted; the same command goes on.")
            raise
        except Exception as error:
            if isinstance(error, LedgerError) and _was_finished(context):
                _record_end(context, begun.state, begun.message)  # it could not be gone through again, and stays done
            else:
                _record_end(context, CampaignState.FAILED, masked(f"{type(error).__name__}: {error}"))
            raise
        else:
            outcome = Outcome(begun, CampaignState.DONE, "")
        finally:
            dismiss()
            close_engines()
        if has_lost(ledger, begun.id):
            raise LockLost(begun.name)
        ledger.set_state(begun.id, outcome.state, outcome.message)
        call(final_report, ref)
    return outcome


def _refuse_past_deadline(config: CampaignConfig) -> None:
    now = datetime.now(UTC)
    if config.deadline is not None and due(config.deadline, now) < now:
        raise ConfigError(
            f"deadline is {config.deadline}, which is in the past, and nobody has been asked yet. Give a later date, "
            "or a duration such as 14 d."
        )


def _is_prepared(ledger: Ledger, name: str) -> bool:
    try:
        return ledger.stage(ledger.campaign(name).id, 0, "prepare_data") is not None
    except LedgerError:  # there is no such campaign
        return False


def _was_finished(context: CampaignContext) -> bool:
    """Return whether a campaign was done when this run began, with as many rounds as it is to have now."""
    begun = context.campaign
    return begun.state is CampaignState.DONE and context.finished(context.config.rounds, "measure") is not None


def _record_end(context: CampaignContext, state: CampaignState, message: str) -> None:
    """Record why a campaign ended early, unless it is another process's now or the ledger itself is the reason."""
    with suppress(LedgerError):
        if has_lost(context.ledger, context.campaign.id):
            return
        asked, told = requested(context.ledger, context.campaign.id)
        if asked in HELD:  # it stays so: whoever ended the process did not let the campaign go on
            state, message = CampaignState.PAUSED, told
        context.ledger.set_state(context.campaign.id, state, message)


def run_rounds(ref: CampaignRef, rounds: int, call: Call) -> None:
    """Take a campaign through its rounds.

    Raises:
        CampaignStopped: a named limit was reached.
    """
    library = call(prepare_data, ref)
    if has_members(ref):
        call(gather_members, ref)
    if pretrains(ref):
        call(pretrain, ref)
    if has_tables(ref):
        call(read_tables, ref)
    dataset = call(measure, ref, 0, library)
    call(report, ref, 0, dataset, None, None)
    proxy = generator = None
    for round in range(1, rounds + 1):
        _check_time(ref, round)
        _check_gain(ref, round)
        proxy = call(train_proxy, ref, round, dataset, proxy)
        generator = call(train_generator, ref, round, library, dataset, proxy, generator)
        _check_time(ref, round)
        proposals = call(propose, ref, round, library, dataset, proxy, generator)
        screened = call(screen, ref, round, dataset, proposals)
        batch = call(select_batch, ref, round, dataset, proxy, screened)
        dataset = call(measure, ref, round, batch)
        call(report, ref, round, dataset, proxy, generator)


def _check_time(ref: CampaignRef, round: int) -> None:
    with ref.open() as context:
        limit, spent = context.config.budget.wall_time, context.campaign.seconds
        if limit is not None and spent >= limit and context.finished(round, "measure") is None:
            raise CampaignStopped(
                CampaignState.WALL_TIME_EXHAUSTED,
                f"Round {round}: {spent:.0f} s of running time are spent, budget.wall_time is {limit:.0f} s. Raise it "
                "and give the same command again to go on.",
            )


def _check_gain(ref: CampaignRef, round: int) -> None:
    """End a campaign that is to end once so many rounds have brought nothing better."""
    with ref.open() as context:
        wanted = context.config.budget.stalled
        if wanted is None or context.finished(round, "measure") is not None:
            return
        rows = context.ledger.course(context.campaign.id)
        without, since, best = rounds_without_gain(rows, context.goals, round - 1)
        if without >= wanted:
            raise CampaignStopped(
                CampaignState.STALLED,
                f"Rounds {round - without} to {round - 1} brought nothing better than the "
                f"{'hypervolume' if context.goals.several else 'value'} {figure(best)} of round {since}, and "
                f"budget.stalled is {wanted}. Raise it, or leave it out, and give the same command again to go on.",
            )


def _retry_failed(context: CampaignContext) -> None:
    books = books_in_use(context)
    for round in range(context.config.rounds + 1):
        if context.finished(round, "measure") is None:
            for book in books:
                book.retry_failed(round)
