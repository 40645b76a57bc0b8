"""Retraining: train a challenger on every measurement, compare it with the champion, promote it if it is better."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from data.ledger.lock import CampaignLocked
from data.records import JsonDict
from pipelines.calling import Call, as_task
from pipelines.following import remembering_the_end
from pipelines.overlaps import ended_for_another, retraining_alone
from tasks.retrain import compare_with_champion, promote, train_challenger
from tasks.stages import CampaignRef
from tasks.workspace import Workspace


@flow(name="retrain", flow_run_name="{name}", persist_result=False)
def retrain(name: str) -> State[Any]:
    """Retrain the proxy of a campaign; ends in the state `Promoted`, `Refused` or `AlreadyRunning`.

    Args:
        name: of the campaign.
    """
    with remembering_the_end():
        try:
            result = run_retraining(name, call=as_task)
        except CampaignLocked as locked:
            return ended_for_another(locked)
    return Completed(name="Promoted" if result["promote"] else "Refused", message=result["reason"])


def run_retraining(name: str, call: Call) -> JsonDict:
    """Retrain and return the comparison with its decision.

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
        challenger = call(train_challenger, ref)
        comparison = call(compare_with_champion, ref, challenger)
        result: JsonDict = call(promote, ref, comparison)
    return result
