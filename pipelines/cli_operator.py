"""Commands of whoever keeps campaigns running: pause, resume, stop, unlock, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cyclopts import App

from pipelines.terminal import Terminal
from tasks.workspace import Workspace


def register(app: App, console: Terminal) -> None:
    """Add the commands to the command line."""

    @app.command
    def pause(name: str) -> int:
        """Hold a campaign: the calls in flight are answered, then nothing more is bought until it is resumed.

        Its process stays and holds. A campaign that nobody runs is kept from being run, by schedules too.

        Args:
            name: of the campaign.
        """
        from pipelines import operating

        return operating.pause(Workspace.open(), name, console)

    @app.command
    def resume(name: str) -> int:
        """Let a paused campaign go on.

        Args:
            name: of the campaign.
        """
        from pipelines import operating

        return operating.resume(Workspace.open(), name, console)

    @app.command
    def stop(name: str, *, wait: bool = True) -> int:
        """End the process that runs a campaign, on whatever machine, after the calls in flight; `run` goes on later.

        Args:
            name: of the campaign.
            wait: until it has ended.
        """
        from pipelines import operating

        return operating.stop(Workspace.open(), name, console, wait=wait)

    @app.command
    def metrics(*, out: Path | None = None) -> int:
        """Print figures of all campaigns as Prometheus reads them: states, rounds, calls, cost, best values, warnings.

        Args:
            out: file to write instead, never half written, such as one that the node exporter collects.
        """
        from pipelines.metrics import show_metrics

        return show_metrics(Workspace.open(), out, console)

    @app.command
    def notify(url: str, *, on: Literal["warning", "end", "all"] = "all") -> int:
        """Post warnings and ends of this workspace's campaigns to a webhook, by an automation of Prefect.

        Args:
            url: of the receiver; it gets JSON.
            on: warning (of a campaign's health), end (of a campaign, for whatever reason), or all.
        """
        from pipelines import notifying

        return notifying.notify(Workspace.open(), url, on, console)

    @app.command
    def notifications(*, remove: str | None = None) -> int:
        """List the webhooks that are told of campaigns.

        Args:
            remove: name of one that is told no more.
        """
        from pipelines import notifying

        return notifying.notifications(Workspace.open(), remove, console)

    @app.command
    def unlock(name: str, *, yes: bool = False) -> int:
        """Remove the lock of a campaign whose process on another host is known to be dead.

        Args:
            name: of the campaign.
            yes: do not ask; for scripts. The lock of a process that lives on this host stays all the same.
        """
        from pipelines.unlocking import remove_lock

        remove_lock(Workspace.open(), name, console, yes=yes)
        return 0

    @app.command
    def doctor(*, repair: bool = False) -> int:
        """Check the installation and the workspace; says what to mend.

        Args:
            repair: mend what can be mended without anything measured being touched: rights, locks and runs of
                processes that have ended.
        """
        from pipelines.doctor import examine

        return examine(console, repair=repair)
