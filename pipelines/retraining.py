"""Retraining: train a challenger on every measurement, compare it with the champion, promote it if it is better."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from data.ledger.lock import CampaignLocked
from data.records import JsonDict
from pipelines.calling import Call, as_task
from pipelines.following import Following, remembering_the_end
from pipelines.overlaps import ended_for_another, retraining_alone
from tasks.drift import look_for_drift
from tasks.retrain import compare_with_champion, promote, train_challenger
from tasks.stages import CampaignRef
from tasks.workspace import Workspace

When = Literal["always", "drift"]


@flow(name="retrain", flow_run_name="{name}", persist_result=False)
def retrain(name: str, when: When = "always") -> State[Any]:
    """Retrain the proxy of a campaign; ends in the state `Promoted`, `Refused`, `NotNeeded` or `AlreadyRunning`.

    Args:
        name: of the campaign.
        when: always, or only if what was measured since the champion drifted.
    """
    with remembering_the_end():
        try:
            result = run_retraining(name, call=as_task, when=when)
        except CampaignLocked as locked:
            return ended_for_another(locked)
        Following.outcome = result
    state = "NotNeeded" if "challenger" not in result else "Promoted" if result["promote"] else "Refused"
    return Completed(name=state, message=result["reason"])


def run_retraining(name: str, call: Call, when: When = "always") -> JsonDict:
    """Retrain and return the comparison with its decision; of what did not drift `promote` and `reason` alone.

    Raises:
        LedgerError: no such campaign.
        BadInput: too few measurements.
        CampaignLocked: another process retrains it.
    """
    workspace = Workspace.open()
    ledger = workspace.ledger()
    try:
        campaign = ledger.campaign(name)
    finally:
        ledger.close()
    ref = CampaignRef(str(workspace.home), campaign.id)
    with retraining_alone(workspace, campaign):
        if when == "drift":
            found: JsonDict = call(look_for_drift, ref)
            if not found["drifted"]:
                return {"promote": False, "reason": found["reason"]}
        challenger = call(train_challenger, ref)
        comparison = call(compare_with_champion, ref, challenger)
        result: JsonDict = call(promote, ref, comparison)
    return result
