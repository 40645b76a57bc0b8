"""Distinct objects drawn from a policy, their probabilities, and candidates made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from data.records import Candidate, FloatArray
from models.gflownet.construction.base import Bound
from models.gflownet.environments.base import States
from models.gflownet.judging.metrics import log_probability
from models.gflownet.policies.base import Policy
from models.gflownet.training.trainer import Trainer
from models.gflownet.training.trajectories import sample_forward

S = TypeVar("S", bound=States)

_PATIENCE = 10
"""Batches without a new object after which sampling ends."""


def draw_objects(
    bound: Bound[S], policy: Policy[S], n: int, generator: torch.Generator, condition: Tensor | None = None
) -> dict[str, tuple[str, S]]:
    """Return up to n distinct objects as identity -> (text, its terminal state), in the order of drawing.

    Args:
        bound: the construction.
        policy: draws the objects.
        n: how many.
        generator: source of all randomness.
        condition: (1, C) encoded condition of all of them, or None.
    """
    drawn: dict[str, tuple[str, S]] = {}
    idle = 0
    batch = min(256, max(32, n))
    given = None if condition is None else condition.expand(batch, -1)
    while len(drawn) < n and idle < _PATIENCE:
        before = len(drawn)
        terminal = sample_forward(bound.env, policy, batch, generator, condition=given).terminal
        for place, obj in enumerate(bound.decode(terminal)):
            if obj is None or len(drawn) == n:
                continue
            key = bound.space.identity(obj)
            if key not in drawn:
                drawn[key] = (obj, terminal[place : place + 1])
        idle = idle + 1 if len(drawn) == before else 0
    return drawn


def draw_evenly(
    bound: Bound[S], policy: Policy[S], n: int, generator: torch.Generator, conditions: Tensor
) -> tuple[dict[str, tuple[str, S]], Tensor]:
    """Return up to n distinct objects, as many of each of m conditions, in turn; and the condition (n, C) of each.

    A condition under which too little that is new can be drawn leaves its places to the others.

    Args:
        bound: the construction.
        policy: draws the objects.
        n: how many.
        generator: source of all randomness.
        conditions: (m, C) encoded.
    """
    drawn: dict[str, tuple[str, S]] = {}
    row: dict[str, int] = {}
    m, left = len(conditions), list(range(len(conditions)))
    batch = max(m, min(256, max(32, n)))
    idle = 0
    quota = -(-n // m)
    while len(drawn) < n and idle < _PATIENCE:
        before = len(drawn)
        rows = [left[place % len(left)] for place in range(batch)]
        terminal = sample_forward(bound.env, policy, batch, generator, condition=conditions[rows]).terminal
        counts = Counter(row.values())
        for place, (obj, own) in enumerate(zip(bound.decode(terminal), rows, strict=True)):
            if obj is None or len(drawn) == n or counts[own] == quota:
                continue
            key = bound.space.identity(obj)
            if key not in drawn:
                drawn[key] = (obj, terminal[place : place + 1])
                row[key] = own
                counts[own] += 1
        left = [own for own in range(m) if counts[own] < quota]
        idle = idle + 1 if len(drawn) == before else 0
        if not left or (idle == _PATIENCE and quota < n):
            quota, left, idle = n, list(range(m)), 0
    order = [conditions[row[key]] for key in drawn]
    return drawn, torch.stack(order) if order else conditions[:0]


def log_probabilities(
    trainer: Trainer[S],
    terminal: S,
    generator: torch.Generator,
    *,
    draws: int = 2,
    condition: Tensor | None = None,
) -> FloatArray:
    """Estimate log p(x), (n,), of the objects of n terminal states; see `metrics.log_probability`.

    `condition` is the encoded condition of all of them (1, C), or of each (n, C), or None.
    """
    given = None if condition is None else condition.expand(len(terminal), -1)
    return log_probability(trainer.env, trainer.policy, trainer.walk, terminal, generator, draws=draws, condition=given)


def candidates(
    drawn: Mapping[str, tuple[str, Any]], source: str, log_probs: FloatArray | None = None
) -> list[Candidate]:
    """Return drawn objects as candidates."""
    values = [None] * len(drawn) if log_probs is None else log_probs.tolist()
    return [
        Candidate(key, obj, source=source, log_prob=value)
        for (key, (obj, _)), value in zip(drawn.items(), values, strict=True)
    ]
