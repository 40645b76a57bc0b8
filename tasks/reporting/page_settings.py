"""What the foot of the page of candidates says of how a campaign was made.

There is no date: a campaign that was killed and went on, or was run again, ends with the same page to the bit, and what
tells the hour is in the ledger and in MLflow.
"""

from __future__ import annotations

import json
import platform
from importlib.metadata import version

import yaml

from data.masking import masked
from models.parts import space_of
from tasks.stages import CampaignContext


def made_by(context: CampaignContext) -> list[tuple[str, str]]:
    """Return the seed of a campaign and the versions that its results depend on, with their names."""
    libraries = {"discovery-flows": version("discovery-flows"), **space_of(context.config).versions()}
    libraries |= {name: version(name) for name in ("torch", "numpy")}
    told = [("Seed", str(context.config.seed)), ("Python", platform.python_version())]
    return told + sorted(libraries.items())


def settings_text(context: CampaignContext) -> str:
    """Return a campaign's configuration as the ledger keeps it, defaults included; passwords are masked."""
    stored = json.loads(context.campaign.stored)
    return masked(yaml.safe_dump(stored, sort_keys=False, allow_unicode=True, width=100)).rstrip()
