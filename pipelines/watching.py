"""A laboratory's results start the next round: a watch on the ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import sqlalchemy as sa

from data.ledger.campaigns import Campaign, CampaignState
from data.ledger.ledger import Ledger
from data.ledger.schema import oracle_calls
from data.ledger.telling import ENDED
from data.masking import masked
from tasks.oracles.asking import standing_of
from tasks.stages import CampaignContext
from tasks.workspace import Workspace

POLL = 3.0
"""Seconds between two looks at the ledger, of some small questions each."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the ledger says of a campaign.

    Attributes:
        told: a sentence on it; empty while it runs.
        ready: whether what its round waits for is there.
        key: what it was looked at by; a look that finds the same again starts nothing.
    """

    told: str
    ready: bool
    key: tuple[object, ...]


def look(workspace: Workspace, ledger: Ledger, name: str) -> Sight:
    """Return what a campaign waits for.

    Args:
        workspace: whose.
        ledger: of the workspace.
        name: of the campaign.
    """
    if name not in {one.name for one in ledger.campaigns()}:
        told = f"Campaign {name} has not begun: `discover run` begins it, and asks for its first batch."
        return Sight(told, False, ())
    campaign = ledger.campaign(name)
    if campaign.state is not CampaignState.WAITING:
        state = campaign.state.value.replace("_", " ")
        running = campaign.state is CampaignState.RUNNING  # which is said of the run
        return Sight("" if running else f"Campaign {name} waits for no results: it is {state}.", False, ())
    with CampaignContext(workspace, ledger, campaign) as context:
        standing = standing_of(context, _last_round(ledger, campaign.id))
    key = _key(ledger, campaign)  # after it: a result that is told in between belongs to the run that starts
    far = f"{standing.message.partition('. ')[0].removesuffix('.')}."
    if not standing.enough:
        far += (
            f" `discover ask {name}` lists them; once they are told (`discover tell {name} FILE`), a run starts here."
        )
    return Sight(far, standing.enough, key)


def _key(ledger: Ledger, campaign: Campaign) -> tuple[object, ...]:
    """Return what changes whenever a result is told, or a round asks for more."""
    mine = oracle_calls.c.campaign_id == campaign.id
    with ledger.read() as connection:
        asked = connection.scalar(sa.select(sa.func.count()).where(mine))
        ended = connection.scalar(sa.select(sa.func.count()).where(mine, oracle_calls.c.state.in_(ENDED)))
    return campaign.id, asked, ended


def _last_round(ledger: Ledger, campaign_id: int) -> int:
    with ledger.read() as connection:
        last = connection.scalar(
            sa.select(sa.func.max(oracle_calls.c.round)).where(oracle_calls.c.campaign_id == campaign_id)
        )
    return int(last or 0)


class Watch:
    """Looks at a campaign in a thread, and starts a run when what its round waits for is there.

    Attributes:
        workspace: whose ledger.
        name: of the campaign.
    """

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        start: Callable[[], None],
        tell: Callable[[str], None],
        busy: Callable[[], bool],
    ) -> None:
        """Watch a campaign.

        Args:
            workspace: whose ledger.
            name: of the campaign.
            start: starts a run.
            tell: prints a sentence.
            busy: whether the run that was started last has not ended.
        """
        self.workspace, self.name = workspace, name
        self._start, self._tell, self._busy = start, tell, busy
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="told-watch", daemon=True)

    def begin(self) -> None:
        """Begin to look."""
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        said, started = "", None
        while True:
            try:
                with closing(self.workspace.ledger()) as ledger:
                    sight = look(self.workspace, ledger, self.name)
                if sight.ready and sight.key != started and not self._busy():
                    self._tell(f"Told        {sight.told} A run starts.")
                    self._start()
                    started, said = sight.key, sight.told
                elif not sight.ready and sight.told not in (said, ""):
                    self._tell(f"Waiting     {sight.told}")
                    said = sight.told
            except Exception as error:  # the ledger or the server is away for a while: said, and tried again
                if str(error) != said:
                    self._tell(f"{type(error).__name__}: {masked(str(error))}")
                    said = str(error)
            if self._over.wait(POLL):
                return
