"""Pre-training without a reward: one policy towards every object of a space, made once and kept."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from data.kept_files import keep_file
from models.gflownet.conditioning.drawn_outcome import DrawnOutcome
from models.gflownet.conditioning.outcome import Outcome
from models.gflownet.construction.base import Bound
from models.gflownet.judging.exact import TooManyStates
from models.gflownet.objectives.base import Objective
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.converted import ConvertedPolicy
from models.gflownet.policies.flat import FlatPolicy
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.gflownet.training.trajectories import sample_forward
from models.registry import Options, build
from models.sealed import kept_sealed, write_sealed
from models.threads import single_thread

VERSION = 1
"""Raised when the same options come to train another policy."""
logger = logging.getLogger(__name__)

_WHAT = "A pre-training"
_NARROW = 2
_LEAST = 1e-12
"""Least reward of an object: beyond, its logarithm is too far from that of what was asked for to be learnt."""


class PretrainingOptions(Options):
    """How the policy towards every object is trained, or what campaign's is used."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    origin: str | None = Field(
        None, alias="from", min_length=1, description="`from`: a campaign of the workspace whose pre-training is used."
    )
    steps: int = Field(3000, ge=1, description="Steps of the pre-training.")
    batch_size: int = Field(64, ge=2, description="Trajectories per step, half of them in hindsight.")
    learning_rate: float = Field(5e-3, gt=0, description="At first; it falls to a hundredth as a cosine.")
    missed: float = Field(
        0.01, gt=0, lt=1, description="Reward of all that was not asked for, together; of what was, it is 1."
    )
    listed: int = Field(
        20_000, ge=0, description="Spaces of up to so many states are listed, and objects asked for evenly; of larger "
        "ones those that random ways end at are."
    )  # fmt: skip
    objective: dict[str, Any] = Field(default={"kind": "sub_trajectory_balance"}, description="Must learn flows.")
    seed: int = Field(0, ge=0, description="Of the pre-training: not the campaign's, so that campaigns share it.")


@dataclass(frozen=True)
class Pretrained:
    """A policy towards every object.

    Attributes:
        policy: shown the features of an object.
        conditioning: what encodes them.
        state: what is kept of it.
    """

    policy: FlatPolicy[Any]
    conditioning: Outcome | DrawnOutcome
    state: Mapping[str, Any]

    def converted(self, terminal: Any, log_reward: Tensor) -> ConvertedPolicy[Any]:
        """Return the policy of a reward over K objects.

        Args:
            terminal: their K terminal states.
            log_reward: (K,).
        """
        chosen = self.conditioning
        return ConvertedPolicy(self.policy, chosen.encode(_raw(chosen, self.policy.env, terminal)), log_reward)


def _raw(conditioning: Outcome | DrawnOutcome, env: Any, terminal: Any) -> Tensor:
    if isinstance(conditioning, DrawnOutcome):
        return conditioning.raw(terminal)
    return conditioning.numbers(env.decode(terminal))


def fit_of(bound: Bound[Any]) -> str:
    """Return a hash of what a pre-training is for: the space, and how its objects are built."""
    return _hash([VERSION, bound.space.config(), bound.digest(), _shapes(bound)])


def fingerprint(bound: Bound[Any], options: PretrainingOptions) -> str:
    """Return a hash of all that decides a pre-training."""
    return _hash([fit_of(bound), options.model_dump(mode="json", exclude={"origin"})])


def _hash(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _shapes(bound: Bound[Any]) -> dict[str, list[int]]:
    policy = bound.policy(conditions=bound.env.n_features, generator=torch.Generator())
    return {name: list(value.shape) for name, value in policy.state_dict().items()}


def require_outcomes(bound: Bound[Any], options: PretrainingOptions) -> None:
    """Refuse a construction, or an objective, with which no policy towards every object can be trained.

    Raises:
        ValueError: it is so; the message says what to use.
    """
    if not bound.env.n_features or not isinstance(bound.uniform, FlatPolicy):
        raise ValueError(
            f"A policy towards every object sees it by 0/1 features, and {bound.env.kind!r} builds objects that have "
            "none. Use the generator 'gflownet', or another construction."
        )
    objective: Objective = build("objective", options.objective)
    if not objective.learns_flow:
        raise ValueError(
            f"The objective {objective.kind!r} of the pre-training learns no flows of states, of which policies for "
            "rewards are made. Use sub_trajectory_balance or detailed_balance."
        )


def _trainer(bound: Bound[Any], options: PretrainingOptions, steps: int | None = None) -> Trainer[Any]:
    env = bound.env
    generator = torch.Generator().manual_seed(options.seed)
    conditioning = conditioning_for(bound, options)
    policy = bound.policy(conditions=conditioning.width, generator=generator)
    return Trainer(
        env,
        policy,
        conditioning.values(env),
        objective=build("objective", options.objective),
        backward=UniformBackward(),
        options=TrainerOptions(
            steps=steps or options.steps,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            schedule="cosine",
            final_rate=0.01,
            epsilon=0.1,
            replay_share=0.5,
            replay={"kind": "uniform", "capacity": 10_000},
        ),
        generator=generator,
        conditioning=conditioning,
    )


def conditioning_for(bound: Bound[Any], options: PretrainingOptions) -> Outcome | DrawnOutcome:
    """Return the conditioning on the objects: listed where there are few enough states, drawn elsewhere."""
    floor = max(_LEAST, options.missed / objects_of(bound))
    if options.listed >= _NARROW:
        try:
            return Outcome(floor=floor, most=options.listed).of(bound.env)
        except TooManyStates:
            pass
    return DrawnOutcome(floor=floor).of(bound.env)


@torch.no_grad()
def objects_of(bound: Bound[Any], draws: int = 2000) -> float:
    """Estimate the number of terminal states: the mean of P_B / P_F over random ways, both uniform; the same each time.

    It is exact where every way has as many choices, as for letters put at the end of sequences of one length.
    """
    generator = torch.Generator().manual_seed(0)
    paths = sample_forward(bound.env, bound.uniform, draws, generator)
    back = UniformBackward().log_prob(bound.env, paths.after, None).gather(1, paths.backward[:, None])[:, 0]
    back = back + bound.env.log_correction(paths.before, paths.forward, paths.after)
    log_ratio = torch.zeros(draws, dtype=torch.float64).index_add_(0, paths.row, back.double()) - paths.log_behaviour
    return float(log_ratio.exp().mean())


def pretrained(
    bound: Bound[Any],
    options: PretrainingOptions,
    *,
    cache: Path | None = None,
    checkpoint: Path | None = None,
    report: Callable[[int, int, Mapping[str, float]], None] | None = None,
) -> tuple[dict[str, Any], bool]:
    """Return what is kept of a pre-training, and whether it had been made before.

    All campaigns of a workspace with the same space, construction and options share one, whatever their seed.

    Args:
        bound: the construction.
        options: of the pre-training.
        cache: folder of the workspace where it is kept; None: nothing is. Where nothing can be written it is said.
        checkpoint: file that a training goes on from; None: there is none.
        report: called after every step.

    Raises:
        ValueError: the construction or the objective is not made for it.
        TrainingError: something is not finite.
    """
    require_outcomes(bound, options)
    name = fingerprint(bound, options)
    file = None if cache is None else cache / "pretrained" / f"{name}.pt"
    kept = None if file is None else kept_sealed(file, _WHAT)
    if kept is not None:
        logger.info("The pre-training %s was made before in this workspace; it is used again.", name[:12])
        return kept, True
    trainer = _trainer(bound, options)
    with single_thread():
        trainer.train(checkpoint=checkpoint, fingerprint=name, report=report)
    state = {
        "fingerprint": name,
        "fit": fit_of(bound),
        "options": options.model_dump(mode="json", exclude={"origin"}),
        "policy": trainer.policy.state_dict(),
        "history": trainer.history,
    }
    if file is not None:
        keep_file(file, lambda partial: write_sealed(state, partial), _WHAT)
    return state, False


def restored(bound: Bound[Any], state: Mapping[str, Any], name: str) -> Pretrained:
    """Return the policy towards every object of what was kept.

    Args:
        bound: the construction.
        state: as `pretrained` returned it.
        name: of where it is from, for the message.

    Raises:
        ValueError: it is for another space, construction or network.
    """
    if state["fit"] != fit_of(bound):
        raise ValueError(
            f"{name} was pre-trained for another space, construction or network: got {state['fit'][:12]}, expected "
            f"{fit_of(bound)[:12]}. Use the space and the construction it was made with, or leave `from` out."
        )
    options = PretrainingOptions.model_validate(state["options"])
    conditioning = conditioning_for(bound, options)
    policy = bound.policy(conditions=conditioning.width, generator=torch.Generator())
    policy.load_state_dict(state["policy"])
    assert isinstance(policy, FlatPolicy)  # `require_outcomes` was asked before the training
    return Pretrained(policy, conditioning, state)
