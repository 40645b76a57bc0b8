"""The command that shows where a campaign's oracles are asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pipelines.terminal import Terminal


def register(app: App, console: Terminal) -> None:
    """Add the command to the command line."""

    @app.command
    def engine(
        config: Path, *, set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (), script: bool = False
    ) -> int:
        """Show where a campaign's oracles are asked (this machine, Dask, Ray, a batch system), and the script of a job.

        Nothing is started.

        Args:
            config: campaign file.
            set_: override, key.key=value; may be given several times.
            script: print the job script alone, such as for a file.
        """
        from pipelines.engine_shown import show_engine

        return show_engine(config, set_, console, script=script)
