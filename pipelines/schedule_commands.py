"""The commands `schedule`, `schedules` and `deploy`. Heavy imports wait until one of them is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from pipelines.terminal import Terminal
from tasks.workspace import Workspace

Sets = Annotated[tuple[str, ...], Parameter(name="--set", negative=(), consume_multiple=False)]


def register(app: App, console: Terminal) -> None:
    """Give a command line the commands about schedules.

    Args:
        app: the command line.
        console: where they print.
    """

    @app.command
    def schedule(
        config: Path,
        *,
        cron: str | None = None,
        every: str | None = None,
        when_told: Annotated[bool, Parameter(negative=())] = False,
        timezone: str | None = None,
        what: Literal["campaign", "retrain"] | None = None,
        when: Literal["always", "drift"] = "always",
        set: Sets = (),
    ) -> int:
        """Serve a schedule through Prefect until interrupted; overlapping runs end at once, missed ones are said.

        One of --cron, --every and --when-told.

        Args:
            config: campaign file (YAML).
            cron: five fields, for example "0 2 * * *".
            every: hours that pass, such as 30min, 6h, 1d or 2w; the first run is at the end of them.
            when_told: whenever the results that a round waits for have been told.
            timezone: of --cron and --every, such as Europe/Berlin; without it UTC.
            what: campaign runs or continues it, retrain its proxy; without it retrain, and campaign with --when-told.
            when: it retrains: always, or only if what was measured since the champion drifted.
            set: change a value of the file, for a campaign; may be given often.
        """
        from pipelines.scheduling import schedule_in_terminal
        from pipelines.timing import when_of

        times = when_of(cron, every, when_told, timezone)
        return schedule_in_terminal(config, times, what, set, console=console, retrain_when=when)

    @app.command
    def schedules(
        *,
        pause: str | None = None,
        resume: str | None = None,
        remove: str | None = None,
        start: str | None = None,
        wide: bool = False,
    ) -> int:
        """List schedules and deployments: when each runs next, how the last run ended, what was missed, who serves it.

        Args:
            pause: the schedule of this name: nothing runs before it is resumed.
            resume: the schedule of this name.
            remove: the schedule of this name; its runs and what they measured are kept.
            start: a run of the schedule of this name now, by who serves it.
            wide: lines as long as they are, as into a pipe.
        """
        console.wide = wide
        from pipelines.schedules import schedules_in_terminal

        actions = {"pause": pause, "resume": resume, "remove": remove, "start": start}
        return schedules_in_terminal(Workspace.open(), console, actions)

    @app.command
    def deploy(config: Path, *, pool: str) -> int:
        """Write a deployment into Prefect, whose runs the workers of a pool take; parameters are a form in its pages.

        Args:
            config: campaign file (YAML).
            pool: work pool; one of processes is made if there is none of this name.
        """
        from pipelines.schedules import deploy_in_terminal

        return deploy_in_terminal(config, pool, console)
