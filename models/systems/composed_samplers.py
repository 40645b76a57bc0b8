"""Composed samplers: do flows of several rewards add up to a sampler of the sum, without training one?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from data.records import FloatArray
from data.sampler_config import parse_sampler
from models.gflownet.judging.composition import composed
from models.gflownet.judging.exact import (
    FixedPoint,
    StateGraph,
    backward_log_probs,
    fixed_point,
    target_law,
    terminal_law,
    total_variation,
)
from models.gflownet.judging.study import Study, build_study
from models.gflownet.judging.tabular import segment_logsumexp
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.rewards.base import Judged
from models.registry import Component
from models.systems.base import Bench, Check, System
from models.systems.training import on_policy
from models.threads import single_thread

WEIGHTS = (0.7, 0.3)
REWARDS = ({"reward": "original", "r0": 0.1}, {"reward": "cosine", "r0": 0.1})
"""Of the two members: modes near the corners, and ridges of the density."""


class ComposedSamplersClaim(System["ComposedSamplersClaim.Options"]):
    """Flows of several rewards, added up."""

    kind: ClassVar[str] = "composed_samplers"
    cites: ClassVar[tuple[str, ...]] = ("garipov2023sculpting", "malkin2022tb")
    title: ClassVar[str] = "Composition of trained samplers"
    claim: ClassVar[str] = (
        "Of GFlowNets that are exact for several rewards, the mean of their policies by flow is exact for the weighted "
        "sum of the rewards, without training; trained samplers are as good together as each is alone."
    )
    protocol: ClassVar[str] = (
        "Grid 8 x 8. Exact: flows of three random rewards (log-rewards normal with deviation 2), under the uniform "
        "backward policy, under three random ones, and with flows of the former put to policies of the latter; total "
        "variation between the composition and the sum. Trained: two samplers by trajectory balance, of the original "
        "and of the cosine reward, the same network, batch 16; objects drawn by either with probability w_i Z_i, w = "
        "0.7 and 0.3, each log Z as learnt. Beside it a sampler trained on the sum itself, for the steps of one member."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("generator", "composed"),)
    example: ClassVar[str] = "campaigns/composed/campaign.yaml"
    checks: ClassVar[tuple[Check, ...]] = (
        Check("flows of one backward policy add up exactly", "shared_tv", at_most=1e-12),
        Check("flows of different backward policies add up exactly as well", "own_tv", at_most=1e-12),
        Check("flows of one backward policy do not go with policies of another", "mixed_tv", at_least=0.01),
        Check("two trained samplers sample the sum of their rewards", "composed_tv", at_most=0.05),
        Check(
            "they are no further from their sum than the worse of them from its own reward",
            "composed_tv",
            "worse_tv",
            at_most=0.01,
        ),
        Check("a sampler trained on the sum itself, for as long as one of them", "scratch_tv"),
        Check("CPU-seconds of training the two members", "members_seconds"),
        Check("CPU-seconds of training on the sum", "scratch_seconds"),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(2000, ge=8, description="steps of each training")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Compose exact flows, then trained samplers; return distances from the sum of the rewards."""
        members = [_study(reward, self.options.steps, bench) for reward in REWARDS]
        studies = [*members, replace(members[0], reward=_Sum([one.reward for one in members]))]
        sessions, seconds = [study.start(seed) for study in studies], list[float]()
        for number, session in enumerate(sessions):

            def report(done: int, total: int, told: Mapping[str, float], number: int = number) -> None:
                bench.progress(number * total + done, len(studies) * total, told)

            began = time.process_time()
            with single_thread():
                session.trainer.train(report=report)
            seconds.append(time.process_time() - began)
        laws = [session.laws()[0] for session in sessions]
        log_z = [session.trainer.log_z.item() for session in sessions[: len(members)]]
        shares = np.exp(np.log(WEIGHTS) + log_z)
        mixture: FloatArray = sum(share * law.policy for share, law in zip(shares / shares.sum(), laws, strict=False))
        alone = [total_variation(law.policy, law.target) for law in laws]
        return {
            **exact_figures(members[0], seed),
            "composed_tv": total_variation(mixture, laws[-1].target),
            "worse_tv": max(alone[:-1]),
            "scratch_tv": alone[-1],
            "members_seconds": sum(seconds[:-1]),
            "scratch_seconds": seconds[-1],
        }


class _Sum:
    """The weighted sum of the members' rewards."""

    def __init__(self, rewards: Sequence[Callable[[Any], Judged]]) -> None:
        self._rewards = rewards

    def __call__(self, states: Any) -> Judged:
        judged = [reward(states) for reward in self._rewards]
        parts = torch.stack([values + math.log(w) for (values, _), w in zip(judged, WEIGHTS, strict=True)])
        return parts.logsumexp(0), judged[0][1]


def _study(reward: Mapping[str, Any], steps: int, bench: Bench) -> Study:
    config = {
        "environment": {"kind": "hypergrid", "dimensions": 2, "height": 8, **reward},
        "policy": {"kind": "mlp", "hidden": [64, 64]},
        "objective": {"kind": "trajectory_balance"},
        "backward_policy": {"kind": "uniform"},
        "training": on_policy(steps),
    }
    return build_study(parse_sampler(config), home=bench.home, base=bench.home)


def exact_figures(study: Study, seed: int) -> dict[str, float]:
    """Return total variations between compositions of exact flows and the sum of their random rewards.

    Args:
        study: whose environment is taken, and nothing else.
        seed: of the rewards, weights and backward policies.
    """
    graph, rng = study.graph, np.random.default_rng(seed)
    assert graph is not None  # a grid of 8 x 8 is enumerated
    values, weights = rng.normal(scale=2.0, size=(3, len(graph.terminal))), rng.uniform(0.1, 1.0, 3).tolist()
    log_pb = backward_log_probs(study.env, graph, UniformBackward())
    shared = [fixed_point(graph, own, log_pb) for own in values]
    own = [fixed_point(graph, one, _random_backward(graph, rng)) for one in values]
    mixed = [FixedPoint(flows.log_flow, policy.log_pf) for flows, policy in zip(shared, own, strict=True)]
    target = target_law(np.logaddexp.reduce(values + np.log(weights)[:, None]))
    return {
        f"{name}_tv": total_variation(terminal_law(graph, composed(graph, members, weights).log_pf), target)
        for name, members in (("shared", shared), ("own", own), ("mixed", mixed))
    }


def _random_backward(graph: StateGraph[Any], rng: np.random.Generator) -> Tensor:
    """Return log P_B of the edges (E,), from normal logits."""
    logits = torch.from_numpy(rng.normal(size=len(graph.origin)))
    return logits - segment_logsumexp(logits, graph.target, len(graph.states))[graph.target]
