"""Commands of whoever keeps the services of a team: serve, backup, restore."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from pipelines.terminal import Terminal
from tasks.workspace import Workspace, quiet_environment


def register(app: App, console: Terminal) -> None:
    """Add the commands to the command line."""

    @app.command
    def serve(*, config: Path | None = None, example: bool = False, check: bool = False) -> int:
        """Serve a team: MLflow with its users, Prefect, and candidates, ask and tell over HTTP, until interrupted.

        Args:
            config: file of the services (YAML), which holds no secret.
            example: print one with comments.
            check: look whether it can be served: keys, secrets, ports, databases; start nothing.
        """
        from data.config import ConfigError

        if example:
            from importlib.resources import files

            console.raw((files("data.resources") / "team.yaml").read_text("utf-8"))
            return 0
        if config is None:
            raise ConfigError(
                "discover serve got no configuration; expected --config FILE. `discover serve --example` prints one."
            )
        quiet_environment()
        from pipelines.team.serving import serve as serve_team

        return serve_team(config, console, check=check)

    @app.command
    def backup(*, out: Path) -> int:
        """Write the workspace into one file, also while campaigns run: ledger, results, models, MLflow's database.

        Args:
            out: file to write, NAME.tar.gz; it gets mode 600. The servers' token, logs and caches are not in it.
        """
        from pipelines.backing_up import back_up

        return back_up(Workspace.open(), out, console)

    @app.command
    def restore(file: Path, *, to: Path) -> int:
        """Make a workspace of a backup, once every file in it was checked. With DISCOVER_LEDGER the ledger goes there.

        Args:
            file: that `backup` wrote.
            to: folder of the workspace, which must be new or empty.
        """
        from pipelines.backing_up import restore as restored

        return restored(file, to, console)
