"""The prior of relative objectives: what a policy learns from a library, made once and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.kept_files import keep_file
from models.gflownet.construction.base import Bound, Member
from models.gflownet.training.trainer import Trainer
from models.gflownet.training.warm_up import imitate
from models.sealed import kept_sealed, write_sealed

_WHAT = "The prior of a library"


def prior_weights(
    trainer: Trainer[Any], bound: Bound[Any], members: Sequence[Member], steps: int, cache: Path | None
) -> dict[str, Tensor]:
    """Return the weights of a policy that imitates a library.

    They depend on the building blocks, the network, the members and the steps, not on a seed of the campaign: all
    campaigns of a workspace with equal ones share them.

    Args:
        trainer: whose options, conditioning and environment are used; its policy is not touched.
        bound: the construction.
        members: objects to imitate; without any the policy stays untrained.
        steps: of maximum likelihood, one batch each.
        cache: folder of the workspace; None: nothing is kept. Where nothing can be written it is said and left out.
    """
    conditions = 0 if trainer.conditioning is None else trainer.conditioning.width
    generator = torch.Generator().manual_seed(0)
    policy = bound.policy(conditions=conditions, generator=generator, env=trainer.env)
    if not members or not steps:
        return policy.state_dict()

    def make() -> dict[str, Tensor]:
        imitate(trainer, bound, members, steps, generator, policy=policy)
        return policy.state_dict()

    return kept_weights(cache, _key(trainer, bound, members, steps, policy), make)


def kept_weights(cache: Path | None, key: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return what was made under a key, making it once.

    Args:
        cache: folder of the workspace; None: nothing is kept. Where nothing can be written it is said and left out.
        key: a hash of all that decides the weights.
        make: makes them.
    """
    file = None if cache is None else cache / "priors" / f"{key}.pt"
    weights = None if file is None else kept_sealed(file, _WHAT)
    if weights is None:
        made = weights = make()
        if file is not None:
            keep_file(file, lambda partial: write_sealed(made, partial), _WHAT)
    return weights


def _key(trainer: Trainer[Any], bound: Bound[Any], members: Sequence[Member], steps: int, policy: Any) -> str:
    shapes = {name: list(value.shape) for name, value in policy.state_dict().items()}
    conditioning = None if trainer.conditioning is None else trainer.conditioning.config()
    options = trainer.options.model_dump(mode="json", include={"batch_size", "learning_rate", "clip_norm"})
    told = [bound.digest(), bound.space.config(), shapes, conditioning, options, steps, [m.object for m in members]]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
