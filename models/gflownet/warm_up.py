"""Maximum-likelihood warm-up: let the policy imitate known molecules before it sees a reward."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from data.vocabulary import FragmentTree
from models.gflownet.environments.fragments import FragmentEnvironment, FragmentStates
from models.gflownet.policies.backward import BackwardWalk, UniformBackward
from models.gflownet.trainer import Trainer
from models.gflownet.trajectories import sample_backward


def imitate(
    trainer: Trainer[FragmentStates], trees: Sequence[FragmentTree], steps: int, generator: torch.Generator
) -> list[float]:
    """Maximise the likelihood of molecules along uniform backward trajectories; return the losses in nats.

    Args:
        trainer: its policy is trained, with an optimiser of its own that is forgotten afterwards.
        trees: decomposed molecules of the space.
        steps: steps of one batch each.
        generator: source of all randomness.

    Raises:
        TypeError: the environment is not the fragment environment.
    """
    env, options = trainer.env, trainer.options
    if not isinstance(env, FragmentEnvironment):
        raise TypeError(f"Imitation of molecules needs a fragment environment; got {type(env).__name__}.")
    walk = BackwardWalk(env, trainer.policy, UniformBackward())
    optimizer = torch.optim.Adam(trainer.policy.parameters(), lr=options.learning_rate, fused=True)
    losses = []
    for _ in range(steps):
        index = torch.randint(len(trees), (options.batch_size,), generator=generator).tolist()
        terminal = env.trees([trees[place] for place in index], generator)
        paths = sample_backward(env, walk, terminal, generator)
        loss = -trainer.policy.score(paths.before, paths.forward, None).log_pf.sum() / len(terminal)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trainer.policy.parameters(), options.clip_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses
