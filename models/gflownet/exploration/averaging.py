"""A sampling policy that follows the trained one slowly."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from models.gflownet.environments.base import Environment

P = TypeVar("P", bound=nn.Module)


def frozen_copy(policy: P) -> P:
    """Return an equal policy that is not trained; the environment is shared."""
    held = (value for module in policy.modules() for value in vars(module).values())
    shared = {id(value): value for value in held if isinstance(value, Environment)}
    copied: P = copy.deepcopy(policy, shared).requires_grad_(False)
    return copied


class AveragedPolicy(Generic[P]):
    """A copy of a policy whose weights are the exponential moving average w <- decay w + (1 - decay) w_policy.

    Trajectories drawn from the average change less from step to step. The multi-objective GFlowNets of Jain et al.,
    ICML 2023, arXiv:2210.12765, are sampled in this way. Buffers are copied, not averaged; the environment is shared.

    Args:
        policy: the policy that is trained; the average starts as an equal copy.
        decay: share of the old average that is kept at each update; 0 follows the policy exactly.

    Raises:
        ValueError: the decay is not in [0, 1).
    """

    def __init__(self, policy: P, decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"The decay of an average must be at least 0 and below 1; got {decay}.")
        self.decay = decay
        self.policy: P = frozen_copy(policy)
        self._move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def update(self, policy: P) -> None:
        """Move the average towards the weights of a policy."""
        mine, theirs = list(self.policy.parameters()), [value.detach() for value in policy.parameters()]
        if mine:
            self._move(mine, theirs, 0)
        for old, new in zip(self.policy.buffers(), policy.buffers(), strict=True):
            old.copy_(new)

    def state(self) -> dict[str, Tensor]:
        """Return tensors from which `load_state` restores the average bit for bit."""
        return {name: value.clone() for name, value in self.policy.state_dict().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
        self.policy.load_state_dict(dict(state))
