"""What became of a campaign's pre-training, in words."""

from __future__ import annotations

from collections.abc import Iterable

from data.ledger.campaigns import StageRow

STAGE = "pretrain"
"""Name of the stage, which stands before the first round."""
MADE_BEFORE = "made_before"
"""Its metric: 1 where nothing was trained, as an equal pre-training was there."""


def pretraining_told(stages: Iterable[StageRow]) -> list[str]:
    """Return a sentence on the pre-training; none where there was none.

    Args:
        stages: the campaign's finished ones.
    """
    return [
        "The pre-training of an earlier campaign is used again; nothing was trained before the first round."
        if stage.metrics.get(MADE_BEFORE)
        else f"The generator was pre-trained before the first round ({stage.seconds:.0f} s); campaigns with the same "
        "space, construction and options use it again."
        for stage in stages
        if stage.name == STAGE
    ]
