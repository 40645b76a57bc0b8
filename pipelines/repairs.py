"""What `discover doctor` finds that it can mend itself, each with the repair that it offers."""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import sqlalchemy as sa
from packaging.requirements import Requirement

from data.ledger.campaigns import CampaignState
from data.ledger.ledger import Ledger
from data.ledger.processes import is_dead
from data.ledger.schema import locks
from data.wording import counted
from pipelines.services import prefect_server, remembered_address, wait_for_prefect
from tasks.private_files import OTHERS, tighten
from tasks.workspace import Workspace

DISTRIBUTION = "discovery-flows"
SHOWN = 5


class Repairable(Exception):
    """Something that `discover doctor --repair` mends.

    Args:
        told: what is amiss, a sentence.
        repair: mends it, and returns what was done.
    """

    def __init__(self, told: str, repair: Callable[[], str]) -> None:
        super().__init__(told)
        self.repair = repair


def check_versions() -> str:
    """Return that every package is of a version that this program works with.

    Raises:
        RuntimeError: some are not, or are missing; the message has the command that installs them.
    """
    wrong, needed = [], []
    for text in requires(DISTRIBUTION) or ():
        one = Requirement(text)
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(one.name)
        except PackageNotFoundError:
            installed = "missing"
        if installed == "missing" or not one.specifier.contains(installed, prereleases=True):
            wrong.append(f"{one.name} is {installed}, expected {one.specifier or 'any version'}")
            needed.append(f"'{one.name}{one.specifier}'")
    if wrong:
        raise RuntimeError(f"{'; '.join(wrong)}. Install what is expected: `pip install {' '.join(needed)}`.")
    return "every package is of a version that this program was made for"


def check_permissions(workspace: Workspace) -> str:
    """Return that nobody else may read what is private.

    Raises:
        Repairable: others may read it, and the workspace is not shared on purpose.
    """
    home = workspace.home
    if home.stat().st_mode & 0o2000:
        return "the workspace is shared with its group on purpose"
    private = [home, *home.glob("*.db*"), *(home / "services").glob("token*"), *(home / "prefect").glob("*.db*")]
    foreign = [path for path in private if path.exists() and path.stat().st_uid != os.getuid()]
    if foreign:
        raise RuntimeError(
            f"{_listed(foreign)} belong{'s' if len(foreign) == 1 else ''} to another user, so this program may not "
            f"write there. Give them back: `chown -R {os.getuid()} {shlex.quote(str(home))}`, as whoever may."
        )
    # Of a folder that nobody else may enter the files are safe whatever their modes are.
    loose = [path for path in private if path.exists() and path.stat().st_mode & OTHERS]
    if home not in loose:
        return "only you may read the ledger, the databases and the token"

    def mend() -> str:
        for path in loose:
            tighten(path)
        return f"{counted(len(loose), 'file')} may be read by you alone now"

    raise Repairable(f"others may read {_listed(loose)}", mend)


def check_runs(workspace: Workspace) -> str:
    """Return that what is said to run does run.

    Raises:
        Repairable: there are locks of processes that have ended, or runs in Prefect's database that nobody makes.
    """
    ledger = workspace.ledger()
    with ledger.read() as connection:
        held = connection.execute(sa.select(locks)).mappings().all()
    dead = [dict(row) for row in held if is_dead(dict(row))]
    names = {campaign.id: campaign.slug for campaign in ledger.campaigns()}
    killed = [
        campaign.slug
        for campaign in ledger.campaigns()
        if campaign.state in (CampaignState.RUNNING, CampaignState.STOPPING, CampaignState.PAUSING)
        and ledger.owner(campaign.id) is None
    ]
    zombies = 0 if len(dead) < len(held) else running_in_prefect(workspace)
    if not (dead or killed or zombies):
        return f"{counted(len(held), 'campaign')} being run" if held else "no campaign is being run, and none says so"
    told = []
    if killed or dead:
        slugs = sorted({*killed, *(names.get(row["campaign_id"], "?") for row in dead)})
        told.append(f"{', '.join(slugs)}: the process was killed; the same `discover run` goes on")
    if zombies:
        told.append(f"Prefect shows {counted(zombies, 'run')} that nobody makes any more")

    def mend() -> str:
        for row in dead:
            with ledger.write() as connection:
                same = (locks.c.campaign_id == row["campaign_id"], locks.c.token == row["token"])
                connection.execute(sa.delete(locks).where(*same))
        _record(ledger, killed)
        buried = _bury(workspace) if zombies else 0
        parts = [
            f"{counted(len(dead), 'lock')} of ended processes removed" if dead else "",
            f"{', '.join(killed)} marked as interrupted" if killed else "",
            f"{counted(buried, 'run')} marked as crashed in Prefect" if zombies else "",
        ]
        return "; ".join(filter(None, parts))

    raise Repairable("; ".join(told), mend)


def _record(ledger: Ledger, killed: Iterable[str]) -> None:
    for campaign in ledger.campaigns():
        if campaign.slug in killed and ledger.owner(campaign.id) is None:
            state = CampaignState.PAUSED if campaign.state is CampaignState.PAUSING else CampaignState.INTERRUPTED
            told = (
                campaign.message
                if state is CampaignState.PAUSED
                else "Its process was killed; the same command goes on."
            )
            ledger.set_state(campaign.id, state, told)


def running_in_prefect(workspace: Workspace) -> int:
    """Return how many flow runs the database of the workspace's Prefect server, which nobody uses, has as running."""
    file = workspace.prefect_home / "prefect.db"
    if not file.is_file() or os.environ.get("PREFECT_API_URL") or remembered_address(workspace, "prefect"):
        return 0  # while a server runs, what it shows as running may be
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM flow_run WHERE state_type = 'RUNNING'").fetchone()
        return int(count)
    return 0


def _bury(workspace: Workspace) -> int:
    with prefect_server(workspace):
        wait_for_prefect()
        from pipelines.zombies import bury_every_zombie

        return bury_every_zombie()


def check_room(workspace: Workspace) -> str:
    """Return how much room the parts of the workspace take."""
    sizes = {name: _size(workspace.home / name) for name in ("campaigns", "artifacts", "proxies", "cache", "prefect")}
    return ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.items())


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _listed(paths: list[Path]) -> str:
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return ", ".join(map(str, paths[:SHOWN])) + more
