"""Generative marginalization: are all marginals of a law read off one network, each by one evaluation?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from data.config import derive_seed
from models.gflownet.environments.masked import Masked, MaskedStates, every_object
from models.gflownet.judging.study import Session
from models.gflownet.rewards.ising import IsingReward
from models.registry import Component
from models.systems.base import Bench, Check, System
from models.systems.training import train

_SIDES = (3, 4)
_STATES = 25
"""Partly set states of each number of set spins, at which marginals are compared."""


class GenerativeMarginalizationClaim(System["GenerativeMarginalizationClaim.Options"]):
    """Flows of partly set states, as marginals."""

    kind: ClassVar[str] = "generative_marginalization"
    cites: ClassVar[tuple[str, ...]] = ("liu2024marginalization", "bengio2023foundations")
    title: ClassVar[str] = "Generative marginalization (MaM)"
    claim: ClassVar[str] = (
        "A network of the marginals of all subsets of the variables, trained so that those of neighbours are "
        "consistent, learns the law of an energy, and gives any marginal by one evaluation, where a product of "
        "conditionals takes one for each variable."
    )
    protocol: ClassVar[str] = (
        "Ising model on a torus of 3 x 3 and of 4 x 4 spins, log-reward x^T (0.1 G) x + 0.2 sum x. The consistency is "
        "detailed balance on the lattice of partly set states with uniform backward probabilities; a network of 128 x "
        "128. Read off at the end, against sums over all 2^9 and 2^16 objects: log Z, "
        "the marginals of one and of two neighbouring spins, and the log-marginals of 25 states for each number of set "
        "spins, their values drawn from the law; beside them the products of the network's conditionals. Each figure "
        "is a mean absolute error. Version 1 trained 4 x 4 spins for 3,500 steps, at one rate to the end: 0.124 was "
        "left of the log-marginals of any subset."
    )
    version: ClassVar[int] = 2
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("environment", "masked"), ("reward", "ising"))
    settings: ClassVar[tuple[str, ...]] = ("objective: {kind: detailed_balance}",)
    example: ClassVar[str] = "campaigns/samplers/ising.yaml"
    axes: ClassVar[tuple[str, str]] = ("Spins set", "Error of log-marginals (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("3 x 3: log Z is known to 0.02", "three_log_z_error", at_most=0.02),
        Check("3 x 3: marginals of one and of two spins are known to 0.01", "three_spins", at_most=0.01),
        Check("3 x 3: log-marginals of any subset are known to 0.05", "three_read", at_most=0.05),
        Check("4 x 4: log Z is known to 0.1", "four_log_z_error", at_most=0.1),
        Check("4 x 4: marginals of one and of two spins are known to 0.01", "four_spins", at_most=0.01),
        Check("4 x 4: log-marginals of any subset are known to 0.1", "four_read", at_most=0.1),
        Check("3 x 3: error of log-marginals by a product of conditionals", "three_chain"),
        Check("4 x 4: error of log-marginals by a product of conditionals", "four_chain"),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(2000, ge=2, description="steps of the training of 3 x 3 spins")
        large_steps: int = Field(8000, ge=2, description="steps of that of 4 x 4")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train both samplers; return errors, and those of log-marginals by the number of set spins."""
        lengths = {3: self.options.steps, 4: self.options.large_steps}
        figures, curves, before = dict[str, Any](), dict[str, list[list[float]]](), 0
        for side in _SIDES:

            def progress(done: int, _total: int, told: Mapping[str, float], before: int = before) -> None:
                bench.progress(before + done, sum(lengths.values()), told)

            session = train(_sampler(side, lengths[side]), seed, bench, progress=progress).session
            before += lengths[side]
            name = "three" if side == 3 else "four"
            found, by_count = _judged(session, side, seed)
            figures |= {f"{name}_{key}": value for key, value in found.items()}
            curves[f"{side} x {side}"] = [[float(k) for k in range(1, len(by_count) + 1)], by_count]
        return figures | {"curves": curves}


def _sampler(side: int, steps: int) -> dict[str, Any]:
    return {
        "environment": {"kind": "masked", "variables": side * side, "values": 2},
        "reward": {"kind": "ising", "rows": side, "columns": side},
        "policy": {"kind": "mlp", "hidden": [128, 128]},
        "objective": {"kind": "detailed_balance"},
        "training": {
            "steps": steps,
            "batch_size": 32 if side == 3 else 64,
            "learning_rate": 3e-3,
            "schedule": "cosine",
            "epsilon": 0.05,
            "replay_share": 0,
            "evaluate_every": steps,
        },
        # Nothing is enumerated: the exact figures here are sums over objects, not over states.
        "evaluation": {"max_states": 0, "samples": 16, "held_out": 3, "draws": 2},
    }


def _judged(session: Session, side: int, seed: int) -> tuple[dict[str, float], list[float]]:
    """Return the errors, and the mean error of log-marginals of 1, 2, ... set spins."""
    spins = side * side
    objects = every_object(spins)
    log_reward = IsingReward(rows=side, columns=side).log_reward(objects)
    law, log_z = log_reward.softmax(0), float(log_reward.logsumexp(0))
    env = Masked(variables=spins, values=2)
    network, learnt = session.trainer.policy, session.trainer.log_z.detach()

    def marginal(states: MaskedStates) -> Tensor:
        with torch.no_grad():
            return env.log_marginal(states, network.state_values(states), learnt)

    generator = torch.Generator().manual_seed(derive_seed(seed, "marginals", side))
    read, chain = list[float](), list[float]()
    for k in range(1, spins):
        places = [torch.randperm(spins, generator=generator)[:k] for _ in range(_STATES)]
        drawn = objects[torch.multinomial(law, _STATES, replacement=True, generator=generator)]
        states = env.partial(
            [dict(zip(p.tolist(), x[p].tolist(), strict=True)) for p, x in zip(places, drawn, strict=True)]
        )
        exact = torch.stack([_mass(law, p, x) for p, x in zip(places, drawn, strict=True)]).log()
        read.append(float((marginal(states) - exact).abs().mean()))
        chain.append(float((_product(session, env, places, drawn) - exact).abs().mean()))
    one = marginal(env.partial([{at: 1} for at in range(spins)])).exp()
    pairs = [(at, at // side * side + (at + 1) % side) for at in range(spins)]
    two = marginal(env.partial([{a: 1, b: 1} for a, b in pairs])).exp()
    exact_one = (law[:, None] * objects).sum(0)
    exact_two = torch.stack([_mass(law, torch.tensor(pair), objects[-1]) for pair in pairs])
    errors = torch.cat([one - exact_one, two - exact_two]).abs()
    figures = {
        "log_z_error": abs(float(learnt) - log_z),
        "spins": float(errors.mean()),
        "read": math.fsum(read) / len(read),
        "chain": math.fsum(chain) / len(chain),
    }
    return figures, read


def _mass(law: Tensor, places: Tensor, value: Tensor) -> Tensor:
    """Return the probability that some spins, by number, are as in an object (L,); bit i of an object's is spin i."""
    bits = 1 << places
    held, numbers = int(bits.sum()), torch.arange(len(law))
    return law[(numbers & held) == int((bits * value[places]).sum())].sum()


def _product(session: Session, env: Masked, places: list[Tensor], drawn: Tensor) -> Tensor:
    """Return (S,) float64: sums of the logs of the network's conditionals, spin after spin."""
    network = session.trainer.policy
    total = torch.zeros(len(places), dtype=torch.float64)
    states = env.source(len(places))
    for step in range(len(places[0])):
        place = torch.stack([one[step] for one in places])
        value = drawn.gather(1, place[:, None])[:, 0]
        with torch.no_grad():
            both = torch.stack([network.score(states, place * 2 + v, None).log_pf.double() for v in range(2)], 1)
        total += both.log_softmax(1).gather(1, value[:, None])[:, 0]
        states = env.step(states, place * 2 + value)
    return total
