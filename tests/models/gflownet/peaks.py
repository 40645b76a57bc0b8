"""The policy whose law is the two peaks of `vectors`, in closed form."""

from __future__ import annotations

import math

import torch

from models.gflownet.environments.vectors import Fractions, Levels
from models.gflownet.policies.beta_law import BetaLaw
from models.gflownet.policies.vectors import VectorOutputs, VectorPolicy


def exponents(variable):
    """The exponents of a variable's law in the first product: of its Dirichlet, which for a real is a Beta."""
    return (6.0, *[2.0] * (variable.n - 1)) if isinstance(variable, Fractions) else (4.0, 12.0)


def weights(variable, product):
    """The probabilities of a variable's levels in a product."""
    rising = torch.arange(1.0, variable.n + 1, dtype=torch.float64) / sum(range(1, variable.n + 1))
    return rising if product else rising.flip(0)


class TwoPeaks(VectorPolicy):
    """What is next given what is set: each product weighs as much as it gives to what is set, and integrates to one.

    Fraction j of a Dirichlet is a share of what the earlier ones leave: Beta(a_j, a_j+1 + ... + a_m).
    """

    def outputs(self, states, condition=None):
        env, n = self.env, len(states)
        steps = [(v, j) for v in env.variables for j in range(v.n - 1 if isinstance(v, Fractions) else 1)]
        so_far = torch.zeros((n, 2), dtype=torch.float64)
        alpha, beta = torch.ones((n, 3), dtype=torch.float64), torch.ones((n, 3), dtype=torch.float64)
        logits = torch.zeros((n, self.most), dtype=torch.float64)
        for place, (variable, j) in enumerate(steps):
            here, past = states.step == place, states.step > place
            room = env.room(type(states)(states.done, states.value, torch.full_like(states.step, place)))
            for product in (0, 1):
                if isinstance(variable, Levels):
                    chances = weights(variable, product)
                    gained = chances[states.value[:, place].long()].log()
                else:
                    powers = exponents(variable)[:: -1 if product else 1]
                    a, b = powers[j], math.fsum(powers[j + 1 :])
                    share = (states.value[:, place] / room).clamp(1e-12, 1 - 1e-12)
                    law = torch.distributions.Beta(torch.tensor(a).double(), torch.tensor(b).double())
                    gained = law.log_prob(share) - room.log()
                    alpha[here, 1 + product], beta[here, 1 + product] = a, b
                so_far[:, product] += torch.where(past, gained, 0.0)
            if isinstance(variable, Levels):
                mixed = so_far.softmax(1) @ torch.stack([weights(variable, 0), weights(variable, 1)])
                logits[here, : variable.n] = mixed[here].log()
        never = torch.full((n, 1), -torch.inf, dtype=torch.float64)
        return VectorOutputs(BetaLaw(torch.cat([never, so_far], 1), alpha, beta), logits, so_far.logsumexp(1))
