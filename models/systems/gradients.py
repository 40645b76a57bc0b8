"""Bias and variance of the gradients of objectives: how near that of a small batch is to a large one's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from models.gflownet.objectives.base import Objective
from models.gflownet.training.trainer import Trainer
from models.gflownet.training.trajectories import sample_forward


def alignment(
    trainer: Trainer[Any],
    objectives: Mapping[str, Objective],
    reference: Objective,
    *,
    large: int,
    small: int,
    draws: int,
    generator: torch.Generator,
) -> dict[str, float]:
    """Return the mean cosine of small-batch gradients with the reference objective's of a large batch.

    Gradients are of the forward policy alone: learnt flows are held. A biased gradient of low variance may be nearer
    to the truth than an unbiased one that is all noise.

    Args:
        trainer: whose policy, flows and log Z are looked at; nothing is changed.
        objectives: by name.
        reference: of the large batch.
        large: trajectories of the large batch.
        small: of a small one.
        draws: small batches.
        generator: draws them.

    Reference: Madan et al., ICML 2023, section on gradient variance.
    """
    truth = _gradient(trainer, reference, large, generator)
    cosines: dict[str, list[float]] = {name: [] for name in objectives}
    for _ in range(draws):
        state = generator.get_state()
        for name, objective in objectives.items():
            generator.set_state(state)  # all objectives see the same trajectories
            found = _gradient(trainer, objective, small, generator)
            cosines[name].append(float(torch.nn.functional.cosine_similarity(found, truth, dim=0)))
    return {name: sum(values) / len(values) for name, values in cosines.items()}


def _gradient(trainer: Trainer[Any], objective: Objective, n: int, generator: torch.Generator) -> Tensor:
    """Return the gradient (P,) of an objective over n fresh trajectories with respect to the forward policy."""
    paths = sample_forward(trainer.env, trainer.policy, n, generator)
    values, _ = trainer.reward(paths.terminal)
    assessed = trainer.assessor.assess(paths, values)
    loss = objective.loss(replace(assessed, log_flow=assessed.log_flow.detach()))
    parameters = [one for one in trainer.policy.parameters() if one.requires_grad]
    parts = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat(
        [
            torch.zeros_like(one).flatten() if part is None else part.flatten()
            for one, part in zip(parameters, parts, strict=True)
        ]
    )
