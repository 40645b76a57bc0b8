"""Commands of a campaign's trained proxies: retrain, models, rollback, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cyclopts import App

from pipelines.terminal import Terminal
from tasks.workspace import Workspace


def register(app: App, console: Terminal) -> None:
    """Add the commands to the command line."""

    @app.command
    def retrain(name: str, *, when: Literal["always", "drift"] = "always", plain: bool = False) -> int:
        """Retrain a campaign's proxy on every measurement; promote it if it is better than the champion beyond chance.

        Args:
            name: of the campaign.
            when: always, or only if what was measured since the champion is unlike what it learnt from.
            plain: without Prefect, as plain function calls.
        """
        from pipelines.running import retrain_in_terminal

        return retrain_in_terminal(name, plain=plain, console=console, when=when)

    @app.command
    def models(name: str, *, wide: bool = False) -> int:
        """List the trained proxies of a campaign: versions, champion, what each comparison came to.

        Args:
            name: of the campaign.
            wide: lines as long as they are, as into a pipe.
        """
        console.wide = wide
        from pipelines.models_shown import show_models

        return show_models(Workspace.open(), name, console)

    @app.command
    def rollback(name: str, *, to: str | None = None) -> int:
        """Make an earlier proxy the champion again; retraining on the same data does not bring back what was left.

        Args:
            name: of the campaign.
            to: version; without it the champion before the present one.
        """
        from pipelines.models_shown import roll_back_in_terminal

        return roll_back_in_terminal(Workspace.open(), name, to, console)

    @app.command
    def predict(
        name: str, file: Path, *, column: str | None = None, version: str | None = None, out: Path | None = None
    ) -> int:
        """Predict every row of a file by a campaign's champion: value, 90 % interval, how near to what was measured.

        Args:
            name: of the campaign.
            file: CSV, TSV, parquet or a format of the space, such as SMILES and SDF, also .gz; every row comes back.
            column: of the objects; without it as the space has it, such as smiles or its variables, or the only one.
            version: of the proxy instead of the champion.
            out: CSV file to write; without it standard output.
        """
        from pipelines.predicting import predict_file

        return predict_file(Workspace.open(), name, file, column, version, out, console)
