"""Outcome-conditioned GFlowNets: does one policy, trained without a reward, sample rewards that it has never seen?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from data.records import FloatArray
from data.sampler_config import parse_sampler
from models.gflownet.judging.evaluation import ExactEvaluator
from models.gflownet.judging.exact import (
    StateGraph,
    backward_log_probs,
    expected_reward,
    forward_log_probs,
    target_law,
    terminal_law,
    total_variation,
)
from models.gflownet.judging.outcomes import converted, learnt_flows, outcome_flows, outcome_policy
from models.gflownet.judging.study import Session, Study, build_study
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.rewards.base import Judged
from models.registry import Component
from models.systems.base import Bench, Check, System
from models.systems.training import on_policy
from models.threads import single_thread

GRID = {"kind": "hypergrid", "dimensions": 2, "height": 8}
TASKS = 3
RATE = 1e-2
"""Learning rate of a pre-training on sequences: under a smaller one the flows, which decide the conversion, lag."""
EVERY = 20
"""Steps between two evaluations of a training from scratch."""


class OutcomeConditionedClaim(System["OutcomeConditionedClaim.Options"]):
    """One policy for all objects, turned into a sampler of any reward."""

    kind: ClassVar[str] = "outcome_conditioned"
    cites: ClassVar[tuple[str, ...]] = ("pan2024pretraining", "madan2023subtb")
    title: ClassVar[str] = "OC-GFN, pre-training without a reward"
    claim: ClassVar[str] = (
        "A GFlowNet that is trained to reach whatever object it is asked for, without a reward, reaches it nearly "
        "always, and its flows, summed over objects by a new reward, sample that reward without further training."
    )
    protocol: ClassVar[str] = (
        "Reward 1 for the object asked for and 1e-4 for others, half of each batch of 64 in hindsight, sub-trajectory "
        "balance, uniform backward policy. Grid 8 x 8: the probability that the object asked for is reached, exactly, "
        "over all 64. DNA of four letters put on either end: three random rewards (log-rewards normal, deviation 2), "
        "for each the flows converted by the sum over all 256 objects; error of the expected reward relative to that "
        "of the target, and total variation. Beside it the closed form of the flows of the uniform backward policy, "
        "which trains nothing, and trajectory balance from scratch on each reward for a third of the CPU time of the "
        "pre-training. Tasks that pay for the pre-training: its CPU time over that in which training from scratch "
        "comes as near as the conversion; all of its time where it does not. Not tried: the "
        "objective of the paper, with the reward on every edge, its distillation for large spaces, and whether "
        "campaigns buy better from a pre-training."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (
        ("generator", "outcome_conditioned"),
        ("conditioning", "outcome"),
    )
    example: ClassVar[str] = "campaigns/pretrained/campaign.yaml"
    version: ClassVar[int] = 2
    checks: ClassVar[tuple[Check, ...]] = (
        Check("the object asked for is reached on the grid", "success", at_least=0.95),
        Check("largest relative error of the expected reward over three unseen rewards", "worst_error", at_most=0.1),
        Check("total variation of the conversion, mean of the three", "zero_shot_tv"),
        Check("the closed form, without any training, is exact", "closed_tv", at_most=1e-12),
        Check("total variation from scratch in a third of the CPU time", "scratch_tv"),
        Check("tasks that pay for the pre-training", "break_even"),
        Check("CPU-seconds of the pre-training on sequences", "pretraining_seconds"),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        grid_steps: int = Field(800, ge=8, description="steps of the pre-training on the grid")
        steps: int = Field(2200, ge=8, description="steps of the pre-training on sequences")
        length: int = Field(4, ge=1, le=5, description="letters of a sequence")
        scratch_steps: int = Field(3000, ge=EVERY, description="most steps of a training from scratch")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Pre-train on the grid and on sequences, convert to three rewards; return errors and times."""
        options, total = self.options, 100 * (2 + TASKS)

        def told(part: int) -> Callable[[int, int, Mapping[str, float]], None]:
            return lambda done, of, row: bench.progress(min(total, 100 * part + 1 + 99 * done // of), total, row)

        letters = _letters(options.length)
        grid, _ = _pretrained(GRID, options.grid_steps, seed, bench, told(0), rate=2e-3)
        session, seconds = _pretrained(letters, options.steps, seed, bench, told(1), rate=RATE)
        graph, log_pb = _exact(session)
        flow, policy = learnt_flows(graph, session.trainer)
        known = outcome_flows(graph, log_pb)
        rng = np.random.default_rng(seed)
        found: dict[str, list[float]] = {name: [] for name in ("error", "tv", "closed", "scratch", "needed")}
        for task in range(TASKS):
            log_reward = rng.normal(scale=2.0, size=len(graph.terminal))
            target = target_law(log_reward)
            law = terminal_law(graph, converted(graph, flow, policy, log_reward).log_pf)
            wanted = expected_reward(target, log_reward)
            found["error"].append(abs(expected_reward(law, log_reward) / wanted - 1.0))
            found["tv"].append(total_variation(law, target))
            exact = converted(graph, known, outcome_policy(graph, known, log_pb), log_reward)
            found["closed"].append(total_variation(terminal_law(graph, exact.log_pf), target))
            curve = _scratch(letters, log_reward, seconds / TASKS, options.scratch_steps, seed, bench, told(2 + task))
            found["scratch"].append(curve[-1][1])
            found["needed"].append(next((spent for spent, tv in curve if tv <= found["tv"][-1]), curve[-1][0]))
        return {
            "success": float(np.mean(_reached(grid))),
            "worst_error": max(found["error"]),
            "zero_shot_tv": float(np.mean(found["tv"])),
            "closed_tv": max(found["closed"]),
            "scratch_tv": float(np.mean(found["scratch"])),
            "break_even": seconds / float(np.mean(found["needed"])),
            "pretraining_seconds": seconds,
        }


def _letters(length: int) -> dict[str, Any]:
    """Return the environment of DNA of so many letters, put on either end."""
    how = {"min_length": length, "max_length": length, "mode": "prepend_append"}
    return {"kind": "sequence", "alphabet": "ACGT", **how}


def _study(environment: Mapping[str, Any], bench: Bench, **more: Any) -> Study:
    config = {
        "environment": dict(environment),
        "policy": {"kind": "mlp", "hidden": [256, 256]},
        "backward_policy": {"kind": "uniform"},
        **more,
    }
    return build_study(parse_sampler(config), home=bench.home, base=bench.home)


def _pretrained(
    environment: Mapping[str, Any],
    steps: int,
    seed: int,
    bench: Bench,
    report: Callable[[int, int, Mapping[str, float]], None],
    *,
    rate: float,
) -> tuple[Session, float]:
    """Return a training towards all objects, and its CPU-seconds."""
    how = {"batch_size": 64, "learning_rate": rate, "schedule": "cosine", "epsilon": 0.1, "replay_share": 0.5}
    session = _study(
        environment,
        bench,
        objective={"kind": "sub_trajectory_balance"},
        conditioning={"kind": "outcome"},
        training=on_policy(steps, **how, evaluate_every=steps),
    ).start(seed)
    began = time.process_time()
    with single_thread():
        session.trainer.train(report=report)
    return session, time.process_time() - began


def _exact(session: Session) -> tuple[StateGraph[Any], Tensor]:
    assert isinstance(session.evaluator, ExactEvaluator)  # both spaces are enumerated
    graph = session.evaluator.graph
    return graph, backward_log_probs(session.trainer.env, graph, UniformBackward())


def _reached(session: Session) -> FloatArray:
    """Return the probability that each object is reached when it is asked for, (X,)."""
    graph, _ = _exact(session)
    _, policy = learnt_flows(graph, session.trainer)
    return np.array([terminal_law(graph, policy[:, y].log())[y] for y in range(len(graph.terminal))])


def _scratch(
    letters: Mapping[str, Any],
    log_reward: FloatArray,
    limit: float,
    steps: int,
    seed: int,
    bench: Bench,
    report: Callable[[int, int, Mapping[str, float]], None],
) -> list[tuple[float, float]]:
    """Return CPU-seconds of training and total variation of a training from scratch, as it goes; one at least."""
    study = _study(letters, bench, conditioning={"kind": "outcome"}, training=on_policy(steps, batch_size=64))
    numbered, values = study.reward, torch.from_numpy(log_reward)

    def reward(states: Any) -> Judged:
        numbers, objects = numbered(states)
        return values[numbers.long()], objects

    session = replace(study, reward=reward, conditioning=None, cases=study.cases[:0]).start(seed)
    graph = study.graph
    assert graph is not None  # 256 objects are enumerated
    target, spent, curve = target_law(log_reward), 0.0, list[tuple[float, float]]()
    with single_thread():
        for done in range(1, steps + 1):
            began = time.process_time()
            row = session.trainer.step()
            spent += time.process_time() - began
            if done % EVERY == 0:
                law = terminal_law(graph, forward_log_probs(graph, session.trainer.policy))
                curve.append((spent, total_variation(law, target)))
                report(done, steps, row)
                if spent >= limit:
                    break
    return curve
