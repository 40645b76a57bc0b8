"""The version of this project, also where it runs from a source tree that is not installed."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

DISTRIBUTION = "discovery-flows"
YEAR = "2026"
"""Of this version, as it is cited; raised with it."""


def version() -> str:
    """Return the version that `pyproject.toml` names; of what is installed, where there is none."""
    try:
        project = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text())["project"]
        if project["name"] == DISTRIBUTION:
            return str(project["version"])
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        pass
    try:
        return installed(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
