"""What predictions of a campaign rest on: its last proxies, asked about one object part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data.goals import Goal, Goals
from data.records import CandidateRow
from models.proxies.attribution import PAIRS, Contributions, attributable, contributions
from tasks.stages import CampaignContext
from tasks.storage import load_proxy, with_objects


@dataclass(frozen=True)
class Explained:
    """What each part of a candidate adds to its prediction by the last proxy of an objective.

    Attributes:
        candidate: whose it is.
        goal: the objective, with its unit.
        round: whose proxy was asked.
        found: in the unit of the objective.
    """

    candidate: CandidateRow
    goal: Goal
    round: int
    found: Contributions


@dataclass(frozen=True)
class Explainer:
    """The last proxies of a campaign.

    Attributes:
        goals: of the campaign, with units.
        round: that trained them.
        folders: of the proxy of each objective, by its name.
    """

    goals: Goals
    round: int
    folders: Mapping[str, Path]

    @classmethod
    def of(cls, context: CampaignContext, goals: Goals) -> Explainer | None:
        """Return them; None: the campaign has trained none yet."""
        stages = context.ledger.stages(context.campaign.id)
        round = max((stage.round for stage in stages if stage.name == "train_proxy"), default=None)
        stage = None if round is None else context.finished(round, "train_proxy")
        if stage is None or round is None:
            return None
        single = len(goals) == 1
        folders = {goal.name: stage.path(context, "" if single else str(k)) for k, goal in enumerate(goals)}
        return cls(goals, round, folders)

    def explains(self, goal: Goal) -> bool:
        """Return whether the proxy of an objective predicts from features, so that it can be explained."""
        return attributable(load_proxy(self.folders[goal.name]))

    def explain(self, candidate: CandidateRow, goal: Goal, *, pairs: int = PAIRS) -> Explained:
        """Return what the prediction of a candidate rests on; `pairs` of orders are drawn.

        Raises:
            NotAttributable: the proxy does not predict from features.
        """
        folder = self.folders[goal.name]
        found = contributions(load_proxy(folder), candidate.object, measured_by(folder), pairs=pairs)
        return Explained(candidate, goal, self.round, found)


def measured_by(folder: Path) -> list[str]:
    """Return the texts of the objects that a proxy was trained on, each once, of the folder that it is kept in."""
    # As texts: a peptide NA is no missing value, and a sequence 0011 no number.
    table = pd.read_csv(folder / "heldout.csv", dtype=str, keep_default_na=False)
    return list(dict.fromkeys(with_objects(table)["object"]))
