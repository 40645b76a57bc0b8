"""Maximum-likelihood warm-up: let the policy imitate known objects before it sees a reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from models.gflownet.construction.base import Bound, Member
from models.gflownet.environments.base import States
from models.gflownet.policies.backward import BackwardWalk, UniformBackward
from models.gflownet.policies.base import Policy
from models.gflownet.training.trainer import Trainer
from models.gflownet.training.trajectories import sample_backward

S = TypeVar("S", bound=States)


def imitate(
    trainer: Trainer[S],
    bound: Bound[S],
    members: Sequence[Member],
    steps: int,
    generator: torch.Generator,
    *,
    policy: Policy[S] | None = None,
) -> list[float]:
    """Maximise the likelihood of molecules along uniform backward trajectories; return the losses in nats.

    With conditioning each trajectory is shown a condition drawn at random: what is imitated does not depend on it.

    Args:
        trainer: its policy is trained, with an optimiser of its own that is forgotten afterwards.
        bound: construction with the trainer's environment.
        members: objects that it builds, at least one.
        steps: steps of one batch each.
        generator: source of all randomness.
        policy: another one, that is trained instead.

    Raises:
        ValueError: there is no object to imitate.
    """
    if not members:
        raise ValueError("There is no object to imitate: got none, expected at least one member of the space.")
    options, policy, conditioning = trainer.options, policy or trainer.policy, trainer.conditioning
    walk = BackwardWalk(trainer.env, policy, UniformBackward())
    optimizer = torch.optim.Adam(policy.parameters(), lr=options.learning_rate, fused=True)
    losses = []
    for _ in range(steps):
        index = torch.randint(len(members), (options.batch_size,), generator=generator).tolist()
        terminal = bound.states([members[place] for place in index], generator)
        condition = None
        if conditioning is not None:
            condition = conditioning.encode(conditioning.draw(len(terminal), generator))
        paths = sample_backward(trainer.env, walk, terminal, generator, condition=condition)
        loss = -policy.score(paths.before, paths.forward, None, paths.conditions).log_pf.sum() / len(terminal)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(policy.parameters(), options.clip_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses
