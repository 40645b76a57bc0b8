"""The policy whose law is the three peaks of `torus`, in closed form: anywhere, and then to where the reward is."""

from __future__ import annotations

import math

import torch

from models.gflownet.policies.base import Answer, Policy
from models.gflownet.policies.von_mises_law import VonMisesLaw


class ThreePeaks(Policy):
    """The last step has the density R / Z of where it leads to, all steps before are uniform, and so is the way back.

    The flow into each state is then Z / (2 pi)^m. With `wander`, the last step is uniform too.
    """

    def __init__(self, env, *, wander=False):
        super().__init__()
        self.env, self.wander = env, wander

    def score(self, before, actions, after, condition=None):
        anywhere = VonMisesLaw.uniform(len(before), self.env.angles).log_density(actions)
        there = self.env.log_reward(self.env.step(before, actions)) - self.env.log_partition
        last = (before.time == self.env.steps - 1) & (not self.wander)
        flow = torch.full_like(anywhere, self.env.log_partition - self.env.angles * math.log(2 * math.pi))
        return Answer(torch.where(last, there, anywhere), flow, None)

    def sample(self, states, generator, exploration, condition=None):
        actions = VonMisesLaw.uniform(len(states), self.env.angles).draw(generator)
        if not self.wander:
            last = (states.time == self.env.steps - 1).nonzero()[:, 0]
            peak = torch.randint(3, (len(last),), generator=generator)
            kappa = torch.full((len(last), self.env.angles, 1), 4.0, dtype=torch.float64)
            mean = self.env.centres[peak][:, :, None]
            actions[last] = VonMisesLaw(torch.zeros_like(kappa[:, 0]), mean, kappa).draw(generator) - states.place[last]
        return actions, self.score(states, actions, None).log_pf

    def backward_logits(self, states, condition=None):
        raise AssertionError("the way back is uniform")
