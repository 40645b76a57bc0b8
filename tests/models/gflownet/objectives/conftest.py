"""Trajectories of random numbers, with every field that an objective may ask for."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import get_args

import pytest
import torch

from models.gflownet.training.trajectories import Trajectories
from models.registry import build, kinds

PER_STEP = ("log_pf", "log_pb", "log_flow", "log_stop", "log_state_reward", "log_inflow", "log_prior", "log_guide")


class Made:
    """Ways to make trajectories and to change them without changing what they mean."""

    @staticmethod
    def random(seed=0, n=6, longest=5, dtype=torch.float64, conditions=None):
        generator = torch.Generator().manual_seed(seed)
        length = torch.randint(1, longest + 1, (n,), generator=generator)
        length[0] = longest
        alive = torch.arange(longest)[:, None] < length

        def values(low, high):
            noise = torch.rand((longest, n), generator=generator, dtype=dtype)
            return ((low + (high - low) * noise) * alive).requires_grad_()

        log_pf = values(-3, 0)
        return Trajectories(
            log_pf=log_pf,
            log_pb=values(-3, 0),
            log_flow=values(-3, 3),
            alive=alive,
            log_reward=torch.randn(n, generator=generator, dtype=dtype),
            condition=torch.zeros((n, 0), dtype=dtype) if conditions is None else conditions,
            log_behaviour=log_pf.detach().sum(0) - 0.1 * torch.rand(n, generator=generator, dtype=dtype),
            log_stop=values(-3, 0),
            log_state_reward=values(-3, 3),
            log_inflow=values(-3, 3),
            log_prior=values(-3, 0),
            log_guide=values(-3, 0),
        )

    @staticmethod
    def rows(t, index):
        """Select trajectories."""
        parts = {f.name: getattr(t, f.name) for f in fields(t)}
        return Trajectories(**{k: v[:, index] if k in (*PER_STEP, "alive") else v[index] for k, v in parts.items()})

    @staticmethod
    def padded(t, steps):
        """Add rows of padding to every field; the new tensors are leaves."""
        more = {name: Made.longer(getattr(t, name), steps).detach().requires_grad_() for name in PER_STEP}
        return replace(t, alive=Made.longer(t.alive, steps), **more)

    @staticmethod
    def longer(values, steps):
        return torch.cat([values, values.new_zeros((steps, values.shape[1]))])

    @staticmethod
    def shifted(t, shift):
        """Multiply the reward, and so every flow, by a constant."""
        moved = {
            n: torch.where(t.alive, getattr(t, n) + shift, 0.0)
            for n in PER_STEP[2:]
            if n not in ("log_stop", "log_prior", "log_guide")
        }
        return replace(t, log_reward=t.log_reward + shift, **moved)

    @staticmethod
    def every_objective():
        """All registered objectives with their default options and with each value of each choice."""
        for kind, cls in kinds("objective").items():
            yield build("objective", {"kind": kind})
            for name, field in cls.Options.model_fields.items():
                for value in get_args(field.annotation):
                    yield build("objective", {"kind": kind, name: value})


@pytest.fixture(scope="session")
def made():
    return Made
