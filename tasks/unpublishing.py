"""Taking a deleted campaign out of MLflow's view: its runs are marked deleted, which MLflow can undo."""

from __future__ import annotations

import os

from data.ledger.campaigns import Campaign
from tasks.tracking import CAMPAIGN_TAG, Tracker
from tasks.workspace import Workspace


def delete_runs(workspace: Workspace, campaign: Campaign) -> int:
    """Mark the runs of a campaign deleted; return how many. Again, there are none left.

    Args:
        workspace: of the campaign.
        campaign: as it was before it was deleted.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI") and not workspace.mlflow_file.exists():
        return 0  # a campaign that never came so far: no database is made for it
    tracker = Tracker(workspace, campaign)
    found = 0
    for name in (campaign.name, f"{campaign.name} in {workspace.home}"):
        experiment = tracker.client.get_experiment_by_name(name)
        # Each look finds those that are left: what is deleted is not found again.
        while experiment is not None:
            where = f"tags.`{CAMPAIGN_TAG}` = '{tracker.identity}'"
            runs = tracker.client.search_runs([experiment.experiment_id], where)
            for run in runs:
                tracker.client.delete_run(run.info.run_id)
            found += len(runs)
            if not runs:
                break
    return found
