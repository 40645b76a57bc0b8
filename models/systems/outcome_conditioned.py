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
from models.gflownet.conditioning.outcome import Outcome
from models.gflownet.judging.evaluation import ExactEvaluator
from models.gflownet.judging.exact import (
    StateGraph,
    backward_log_probs,
    expected_reward,
    fixed_point,
    forward_log_probs,
    target_law,
    terminal_law,
    total_variation,
)
from models.gflownet.judging.outcomes import converted, learnt_flows, outcome_flows, outcome_policy, summed
from models.gflownet.judging.study import Session, Study, build_study
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.flat import FlatPolicy
from models.gflownet.policies.mlp import MLP
from models.gflownet.rewards.base import Judged
from models.gflownet.training.distilling import Distillation, PosteriorNetwork
from models.gflownet.training.trajectories import sample_forward
from models.registry import Component
from models.systems.base import Bench, Check, System
from models.systems.outcome_factors import EXPONENT, SHARP, campaigns, factor_scores, rewards_of
from models.systems.training import on_policy
from models.threads import single_thread

GRID = {"kind": "hypergrid", "dimensions": 2, "height": 8}
TASKS = 3
RATE = 1e-2
"""Learning rate on sequences, at first: under a smaller one the flows, which decide the conversion, lag."""
EVERY = 20
"""Steps between two evaluations of a training from scratch on few letters."""
JUDGED = 12
"""Evaluations of one on many, at most: each takes as long as dozens of steps."""
_MISSED = 0.01
"""Reward of all that was not asked for, together, where objects are many; of one that was, it is 1."""

LISTED = {"kind": "outcome"}
Report = Callable[[int, int, Mapping[str, float]], None]
Law = tuple[float, FloatArray]
"""CPU-seconds of training, and the law over objects (X,) by then."""


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
        "Reward 1 for the object asked for and little for others, half of each batch in hindsight, sub-trajectory "
        "balance, uniform backward policy. Grid 8 x 8: the probability that the object asked for is reached, exactly, "
        "over all 64. DNA of four letters put on either end: three random rewards (log-rewards normal, deviation 2), "
        "for each the flows converted by the sum over all 256 objects; error of the expected reward relative to that "
        "of the target, and total variation. Beside it the closed form of the flows of the uniform backward policy, "
        "which trains nothing, and trajectory balance from scratch on each reward for a third of the CPU time of the "
        "pre-training. Tasks that pay for the pre-training: its CPU time over that in which training from scratch "
        "comes as near as the conversion; all of its time where it does not. The sum distilled into two networks, for "
        "the first of the rewards. The same on DNA of eight letters for the measured binding of three transcription "
        "factors (scores scaled to 0 to 1, cubed; also to the tenth power), with sums over the objects that a state "
        "can become. Two campaigns on TFBind8 (200 known, 3 rounds of 64, Gaussian process): generator pre-trained for "
        "fewer steps and fine-tuned for 50 a round, or a GFlowNet of 120 steps a round from nothing. Not tried: the "
        "objective of the paper, with the reward on every edge, and its distillation for spaces that cannot be listed."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("generator", "outcome_conditioned"),)
    settings: ClassVar[tuple[str, ...]] = ("conditioning: {kind: outcome}",)
    example: ClassVar[str] = "campaigns/pretrained/campaign.yaml"
    version: ClassVar[int] = 4
    checks: ClassVar[tuple[Check, ...]] = (
        Check("the object asked for is reached on the grid", "success", at_least=0.95),
        Check("largest relative error of the expected reward over three unseen rewards", "worst_error", at_most=0.1),
        Check("total variation of the conversion, mean of the three", "zero_shot_tv"),
        Check("the closed form, without any training, is exact", "closed_tv", at_most=1e-12),
        Check("total variation from scratch in a third of the CPU time", "scratch_tv"),
        Check("tasks that pay for the pre-training", "break_even"),
        Check("CPU-seconds of the pre-training on sequences", "pretraining_seconds"),
        Check("the distilled sum: total variation from the sum itself", "distilled_tv", at_most=0.1),
        Check("the distilled sum: relative error of the expected reward", "distilled_error", at_most=0.1),
        Check("CPU-seconds of the distillation, for one reward", "distilled_seconds"),
        Check("three factors: largest relative error of the expected reward", "factors_error", at_most=0.1),
        Check("three factors: the conversion is nearer to the reward than drawing evenly (total variation)",
              "factors_tv", "even_tv", at_most=0.0),
        Check("three factors: error of the expected reward of drawing evenly, the least", "even_error"),
        Check("three factors: the same error of the conversion at a sharper reward", "factors_sharp_error"),
        Check("three factors: how often the object asked for is reached", "factors_success"),
        Check("three factors: the closed form is exact", "factors_closed_tv", at_most=1e-12),
        Check("three factors: largest error from scratch in a third of the CPU time", "factors_scratch_error"),
        Check("three factors: total variation from scratch in a third of the CPU time", "factors_scratch_tv"),
        Check("three factors: tasks that pay for the pre-training", "factors_break_even"),
        Check("three factors: CPU-seconds of the pre-training", "factors_seconds"),
        Check("campaigns: the mean of the best 50 bought is no worse than from nothing, by .02 at most",
              "pretrained_found", "fresh_found", at_least=-0.02),
        Check("campaigns: best value with the pre-training", "pretrained_best"),
        Check("campaigns: best value from nothing", "fresh_best"),
        Check("campaigns: CPU-seconds of a round with the pre-training, without it", "pretrained_round_seconds"),
        Check("campaigns: CPU-seconds of a round from nothing", "fresh_round_seconds"),
    )  # fmt: skip

    class Options(Component.Options):
        """How long the trial takes."""

        grid_steps: int = Field(800, ge=8, description="steps of the pre-training on the grid")
        steps: int = Field(2200, ge=8, description="steps of the pre-training on sequences")
        length: int = Field(4, ge=1, le=5, description="letters of a sequence")
        scratch_steps: int = Field(3000, ge=EVERY, description="most steps of a training from scratch")
        distilled_steps: int = Field(2000, ge=1, description="steps of the distillation")
        factor_steps: int = Field(1800, ge=8, description="steps of the pre-training for transcription factors")
        factor_length: int = Field(8, ge=2, le=8, description="letters of a sequence that factors bind")
        campaign_steps: int = Field(300, ge=1, description="steps of the pre-training of a campaign")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Pre-train on the grid and on sequences, convert, distil, and let campaigns buy; return errors and times."""
        options, total = self.options, 100 * (5 + 2 * TASKS)

        def told(part: int) -> Report:
            return lambda done, of, row: bench.progress(min(total, 100 * part + 1 + 99 * done // of), total, row)

        grid, _ = _pretrained(GRID, options.grid_steps, seed, bench, told(0), rate=2e-3)
        figures = {"success": float(np.mean(_reached(grid)))}
        figures |= self._random_rewards(seed, bench, told)
        figures |= self._factors(seed, bench, lambda part: told(3 + TASKS + part))
        last = told(4 + 2 * TASKS)
        return figures | campaigns(seed, bench, options.campaign_steps, lambda done, of: last(done, of, {}))

    def _random_rewards(self, seed: int, bench: Bench, told: Callable[[int], Report]) -> dict[str, float]:
        options = self.options
        letters = _letters(options.length)
        session, seconds = _pretrained(letters, options.steps, seed, bench, told(1), rate=RATE)
        graph, log_pb = _exact(session)
        flow, policy = learnt_flows(graph, session.trainer)
        known = outcome_flows(graph, log_pb)
        rng = np.random.default_rng(seed)
        found: dict[str, list[float]] = {name: [] for name in ("error", "tv", "closed", "scratch", "needed")}
        distilled: dict[str, float] = {}
        for task in range(TASKS):
            log_reward = rng.normal(scale=2.0, size=len(graph.terminal))
            target = target_law(log_reward)
            law = terminal_law(graph, converted(graph, flow, policy, log_reward).log_pf)
            found["error"].append(_error(law, log_reward))
            found["tv"].append(total_variation(law, target))
            exact = converted(graph, known, outcome_policy(graph, known, log_pb), log_reward)
            found["closed"].append(total_variation(terminal_law(graph, exact.log_pf), target))
            curve = _scratch(letters, log_reward, seconds / TASKS, options.scratch_steps, seed, bench, told(2 + task))
            found["scratch"].append(total_variation(curve[-1][1], target))
            found["needed"].append(_needed(curve, target, found["tv"][-1]))
            if not distilled:
                distilled = _distilled(session, law, log_reward, options.distilled_steps, seed)
        told(2 + TASKS)(1, 1, {})
        return distilled | {
            "worst_error": max(found["error"]),
            "zero_shot_tv": float(np.mean(found["tv"])),
            "closed_tv": max(found["closed"]),
            "scratch_tv": float(np.mean(found["scratch"])),
            "break_even": seconds / float(np.mean(found["needed"])),
            "pretraining_seconds": seconds,
        }

    def _factors(self, seed: int, bench: Bench, told: Callable[[int], Report]) -> dict[str, float]:
        options, size = self.options, 4**self.options.factor_length
        letters = _letters(options.factor_length)
        listed = {"kind": "outcome", "floor": _MISSED / size, "most": 2 * size}
        how: dict[str, Any] = {"rate": RATE, "conditioning": listed, "batch_size": 128}
        session, seconds = _pretrained(letters, options.factor_steps, seed, bench, told(0), **how)
        graph, log_pb = _exact(session)
        conditioning = session.trainer.conditioning
        assert isinstance(conditioning, Outcome)
        conditions = conditioning.encode(conditioning.numbers(graph.objects))
        scores = factor_scores(bench, graph.objects)
        rewards, sharp = rewards_of(scores, EXPONENT), rewards_of(scores, SHARP)
        with single_thread():
            points = summed(graph, _policy(session), conditions, np.concatenate([rewards, sharp]))
        laws = [terminal_law(graph, point.log_pf) for point in points]
        even = np.full(size, 1.0 / size)
        found: dict[str, list[float]] = {name: [] for name in ("closed", "scratch", "scratch_error", "needed")}
        tv = [total_variation(law, target_law(one)) for law, one in zip(laws, rewards, strict=False)]
        for task, log_reward in enumerate(rewards):
            target = target_law(log_reward)
            exact = fixed_point(graph, log_reward, log_pb)
            found["closed"].append(total_variation(terminal_law(graph, exact.log_pf), target))
            limit, every = seconds / TASKS, max(1, options.scratch_steps // JUDGED)
            curve = _scratch(
                letters, log_reward, limit, options.scratch_steps, seed, bench, told(1 + task), listed, every
            )
            found["scratch"].append(total_variation(curve[-1][1], target))
            found["scratch_error"].append(_error(curve[-1][1], log_reward))
            found["needed"].append(_needed(curve, target, tv[task]))
        return {
            "factors_error": max(_error(law, one) for law, one in zip(laws, rewards, strict=False)),
            "factors_sharp_error": max(_error(law, one) for law, one in zip(laws[TASKS:], sharp, strict=True)),
            "factors_tv": float(np.mean(tv)),
            "even_tv": float(np.mean([total_variation(even, target_law(one)) for one in rewards])),
            "even_error": min(_error(even, one) for one in rewards),
            "factors_success": _often(session, seed),
            "factors_closed_tv": max(found["closed"]),
            "factors_scratch_error": max(found["scratch_error"]),
            "factors_scratch_tv": float(np.mean(found["scratch"])),
            "factors_break_even": seconds / float(np.mean(found["needed"])),
            "factors_seconds": seconds,
        }


def _error(law: FloatArray, log_reward: FloatArray) -> float:
    """Return the error of the expected reward, relative to that of the target."""
    return abs(expected_reward(law, log_reward) / expected_reward(target_law(log_reward), log_reward) - 1.0)


def _needed(curve: list[Law], target: FloatArray, tv: float) -> float:
    """Return the CPU-seconds in which a training came as near to the target; all of them if it did not."""
    return next((spent for spent, law in curve if total_variation(law, target) <= tv), curve[-1][0])


def _often(session: Session, seed: int, draws: int = 4000) -> float:
    """Return how often the object asked for is reached, in draws."""
    trainer, generator = session.trainer, torch.Generator().manual_seed(seed)
    conditioning = trainer.conditioning
    assert isinstance(conditioning, Outcome)
    raw = conditioning.draw(draws, generator)
    with single_thread():
        ends = sample_forward(trainer.env, trainer.policy, draws, generator, condition=conditioning.encode(raw))
    reached = conditioning.values(trainer.env)(ends.terminal)[0]
    return float((reached == raw[:, 0]).double().mean())


def _distilled(
    session: Session, summed_law: FloatArray, log_reward: FloatArray, steps: int, seed: int
) -> dict[str, float]:
    """Distil the sum over all objects; return how far from it that is, from the reward, and how long it took."""
    graph, _ = _exact(session)
    trainer, generator = session.trainer, torch.Generator().manual_seed(seed)
    conditioning = trainer.conditioning
    assert isinstance(conditioning, Outcome)
    numerators: MLP[Any] = MLP(trainer.env, generator=generator)
    distillation = Distillation(
        _policy(session),
        conditioning.encode(conditioning.numbers(graph.objects)),
        torch.from_numpy(log_reward),
        numerators=numerators,
        posterior=PosteriorNetwork(trainer.env, len(graph.objects), 256, generator),
        generator=generator,
    )
    began = time.process_time()
    with single_thread():
        distillation.train(steps, learning_rate=RATE)
    seconds = time.process_time() - began
    law = terminal_law(graph, forward_log_probs(graph, numerators))
    return {
        "distilled_tv": total_variation(law, summed_law),
        "distilled_error": _error(law, log_reward),
        "distilled_seconds": seconds,
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
    report: Report,
    *,
    rate: float,
    batch_size: int = 64,
    conditioning: Mapping[str, Any] = LISTED,
) -> tuple[Session, float]:
    """Return a training towards all objects, and its CPU-seconds."""
    how = {
        "batch_size": batch_size,
        "learning_rate": rate,
        "schedule": "cosine",
        "epsilon": 0.1,
        "replay_share": 0.5,
        # Values are the numbers of objects: a replay that prefers large ones would leave most objects out.
        "replay": {"kind": "uniform", "capacity": 10_000},
    }
    session = _study(
        environment,
        bench,
        objective={"kind": "sub_trajectory_balance"},
        conditioning=dict(conditioning),
        training=on_policy(steps, **how, evaluate_every=steps),
    ).start(seed)
    session.trainer.evaluate = None  # of a few objects; here all are judged
    began = time.process_time()
    with single_thread():
        session.trainer.train(report=report)
    return session, time.process_time() - began


def _exact(session: Session) -> tuple[StateGraph[Any], Tensor]:
    assert isinstance(session.evaluator, ExactEvaluator)  # both spaces are enumerated
    graph = session.evaluator.graph
    return graph, backward_log_probs(session.trainer.env, graph, UniformBackward())


def _policy(session: Session) -> FlatPolicy[Any]:
    policy = session.trainer.policy
    assert isinstance(policy, FlatPolicy)  # a perceptron
    return policy


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
    report: Report,
    listed: Mapping[str, Any] = LISTED,
    every: int = EVERY,
) -> list[Law]:
    """Return the laws of a training from scratch as it goes; one at least."""
    study = _study(letters, bench, conditioning=dict(listed), training=on_policy(steps, batch_size=64))
    numbered, values = study.reward, torch.from_numpy(log_reward)

    def reward(states: Any) -> Judged:
        numbers, objects = numbered(states)
        return values[numbers.long()], objects

    session = replace(study, reward=reward, conditioning=None, cases=study.cases[:0]).start(seed)
    graph = study.graph
    assert graph is not None  # sequences are enumerated
    spent, curve = 0.0, list[Law]()
    with single_thread():
        for done in range(1, steps + 1):
            began = time.process_time()
            row = session.trainer.step()
            spent += time.process_time() - began
            if done % every == 0:
                curve.append((spent, terminal_law(graph, forward_log_probs(graph, session.trainer.policy))))
                report(done, steps, row)
                if spent >= limit:
                    break
    return curve
