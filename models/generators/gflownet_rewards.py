"""What the generator `gflownet` is rewarded by: one log-reward of an object, or one per objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from models.gflownet.construction.base import Bound, Member
from models.gflownet.construction.drawing import draw_objects
from models.gflownet.rewards.base import ObjectReward
from models.gflownet.rewards.objectives import ObjectivesReward
from models.protocols import GenerationContext

_FLOOR_MARGIN = 5.0
"""Nats below the worst reference object at which the log-reward is cut off."""
_RANDOM = 64
"""Random members of the space among the reference objects."""
_MODE_QUANTILE = 0.9
"""A mode is as good as the best tenth of the measured objects, or of the held-out ones if none is measured."""


def reward_of(
    context: GenerationContext, bound: Bound[Any], known: list[Member], *, trade_offs: bool
) -> tuple[ObjectReward | ObjectivesReward, dict[str, Any]]:
    """Return the reward, its floor below all reference objects (known and random ones), and the random ones.

    Args:
        context: of the round.
        bound: the construction.
        known: measured objects that it builds.
        trade_offs: whether the reward is one per objective.
    """
    places = {obj: place for place, obj in reversed(list(enumerate(context.known)))}
    measured: dict[str, int] = {}
    for member in known:
        # Best first: of several stereoisomers the best stands for their flat formula.
        measured.setdefault(member.object, places[member.given])
    generator = torch.Generator().manual_seed(context.seed)
    random = dict(draw_objects(bound, bound.uniform, _RANDOM, generator).values())
    reward = (_of_objectives if trade_offs else _of_one)(context, bound, measured, list(random))
    return reward, random


def _of_one(context: GenerationContext, bound: Bound[Any], measured: dict[str, int], random: list[str]) -> ObjectReward:
    values = context.known_log_reward.tolist()
    known = {obj: values[place] for obj, place in measured.items()}
    reward = ObjectReward(bound.decode, context.log_reward, floor=-np.inf, known=known, dtype=torch.float32)
    sample = reward.evaluate(random)
    finite = [value for value in [*known.values(), *sample.tolist()] if np.isfinite(value)]
    reward.floor = min(finite, default=0.0) - _FLOOR_MARGIN
    return reward


def _of_objectives(
    context: GenerationContext, bound: Bound[Any], measured: dict[str, int], random: list[str]
) -> ObjectivesReward:
    utilities = context.utilities
    assert utilities is not None  # the conditioning was refused without
    rows, worth = utilities.known.tolist(), context.known_log_reward.tolist()
    reward = ObjectivesReward(
        bound.decode,
        utilities.of,
        context.log_reward,
        objectives=utilities.objectives,
        floor=-np.inf,
        known={obj: (rows[place], worth[place]) for obj, place in measured.items()},
    )
    lowest = float(reward.evaluate([*measured, *random]).min(initial=0.0))
    reward.floor = lowest - _FLOOR_MARGIN / utilities.power
    return reward


def threshold(reward: ObjectReward | ObjectivesReward, objects: Sequence[Any], values: list[Any]) -> float:
    """Return the least worth of a mode: of measured objects, else of others, of which the reward gave `values`."""
    known = list(reward.known.values())
    if not known and isinstance(reward, ObjectivesReward):
        known = reward.worth([obj for obj in objects if obj is not None])
    return float(np.quantile(known or values or [0.0], _MODE_QUANTILE))
