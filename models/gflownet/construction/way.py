"""One way on which an object is built, for people to look at."""

from __future__ import annotations

from typing import Any

import torch

from models.gflownet.construction.base import Bound


def way_to(bound: Bound[Any], obj: str) -> tuple[str, ...]:
    """Return the objects of the space on one way from nothing to an object, itself last; empty: it is not built so.

    The way is walked backwards, by the first of the legal steps each time, so that it is always the same one. A policy
    may have come by another: only where objects are built in one order, as letters are put at the end, is it the way.
    """
    members = bound.members([obj])
    if not members or bound.env.continuous:
        return ()
    states = bound.states(members[:1], torch.Generator().manual_seed(0))
    met = [states]
    while not bool(bound.env.is_source(states).all()):
        action = bound.env.backward_mask(states).int().argmax(1)
        states = bound.env.backstep(states, action)
        met.append(states)
    # The source is nothing, which no space has among its objects.
    texts = [text for state in met[:-1][::-1] for text in bound.decode(state) if text]
    return tuple(dict.fromkeys([*(text for text in texts if text != members[0].object), obj]))
