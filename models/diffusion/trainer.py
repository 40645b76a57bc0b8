"""Training of a diffusion sampler by the objectives of GFlowNets, on chains of its own and on bridges to known ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from models.diffusion.buffer import Buffer
from models.diffusion.chain import Chain
from models.diffusion.moves import langevin_moves
from models.diffusion.network import DriftNetwork
from models.gflownet.objectives.base import Objective
from models.gflownet.training.trainer import Report, TrainingError, checkpoint_of
from models.gflownet.training.trajectories import Trajectories
from models.registry import Component, Options, build
from models.sealed import write_sealed
from models.threads import single_thread

CITES = ("sendera2024improved", "lahlou2023continuous")
"""Keys of `data/resources/references.bib` that every training rests on."""
_LEAST_RATE = 0.02
"""The learning rate ends at this share of the first one."""

DGFS: dict[str, Any] = {
    "objective": {"kind": "forward_looking_sub_trajectory_balance", "decay": 2.0, "weighting": "geometric_within"},
    "langevin": True,
}
"""Diffusion generative flow samplers: Zhang et al., ICLR 2024, arXiv:2310.02679. Flows of unfinished states are learnt,
as what a reward of the unfinished state leaves, by sub-trajectory balance with lambda = 2; and Langevin drifts."""


class LocalMoves(Options):
    """Langevin moves from what is replayed; where they come is replayed instead from then on."""

    every: PositiveInt = Field(100, description="Steps between two searches.")
    chains: PositiveInt = Field(200, description="Positions that move at once.")
    moves: PositiveInt = Field(100, description="Moves of each.")
    burn_in: int = Field(50, ge=0, description="Moves of which nothing is kept.")


class DiffusionOptions(Component.Options):
    """How a diffusion sampler is built and trained."""

    length: int = Field(20, ge=2, description="Steps of a chain.")
    variance: float = Field(1.0, gt=0, description="Of the end of a chain without a drift.")
    hidden: PositiveInt = Field(64, description="Width of the hidden layers.")
    steps: PositiveInt = Field(1000, description="Gradient steps.")
    batch_size: int = Field(128, ge=2, description="Chains per step.")
    learning_rate: float = Field(3e-3, gt=0, description="Adam, falling as a cosine.")
    log_z_learning_rate: float = Field(0.1, gt=0, description="Of log Z.")
    clip_norm: float = Field(10.0, gt=0, description="Largest norm of a gradient.")
    objective: dict[str, Any] = Field(
        default_factory=lambda: {"kind": "trajectory_balance"}, description="{kind, option...} of a GFlowNet."
    )
    langevin: bool = Field(False, description="Whether the drift has a term along the gradient of log R.")
    exploration: float = Field(
        0.0, ge=0, description="Standard deviation, per unit of time, that noise has more at first when sampling."
    )
    exploration_share: float = Field(0.5, gt=0, le=1, description="Share of the training after which none is left.")
    replay: bool = Field(False, description="Whether every second step is on bridges to ends that were met.")
    capacity: PositiveInt = Field(10_000, description="Ends that are remembered.")
    local_search: LocalMoves | None = Field(
        None, description="{every, chains, moves, burn_in}: Langevin moves from what is replayed; null: none."
    )

    evaluate_every: PositiveInt = Field(50, description="Steps between evaluations, where there is one.")
    checkpoint_every: PositiveInt = Field(50, description="Steps between checkpoints, where there are any.")

    def cited(self) -> tuple[str, ...]:
        """Return the papers of Langevin drifts and of what is replayed."""
        langevin = ("zhang2022path",) * self.langevin
        return langevin + ("tripp2020weighted",) * (self.replay or self.local_search is not None)


class DiffusionTrainer:
    """A drift and log Z, trained so that ends of chains follow R / Z.

    Sendera et al., Improved off-policy training of diffusion samplers, NeurIPS 2024, arXiv:2402.05098: trajectory
    balance or another objective on chains (`models.diffusion.chain`), which need not be the sampler's own: noise is
    wider at first, and every second batch are bridges to ends that were met, or found from these by Langevin moves.

    Where the published code and this differ: exploration is told per unit of time, so that it means the same for
    chains of any length; a batch enters the buffer once; a refused move counts its position again.

    Args:
        dimensions: d.
        log_reward: ends (n, d) -> (n,); of all positions (..., d) -> (...) if the objective looks forward.
        options: how.
        generator: source of all randomness.
        gradient: of the log-reward, (..., d) -> (..., d); None: there is none.

    Raises:
        ValueError: the objective cannot be used here, or there is no gradient for Langevin drifts.
    """

    def __init__(
        self,
        dimensions: int,
        log_reward: Callable[[Tensor], Tensor],
        options: DiffusionOptions,
        generator: torch.Generator,
        *,
        gradient: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.objective: Objective = build("objective", options.objective)
        _require_usable(self.objective)
        if options.langevin and gradient is None:
            raise ValueError(
                "Langevin drifts need the gradient of log R, and there is none here. Leave `langevin` out."
            )
        self.options, self.generator = options, generator
        self.log_reward, self.gradient = log_reward, gradient
        self.chain = Chain(dimensions, options.length, options.variance)
        self.network = DriftNetwork(
            dimensions,
            generator=generator,
            gradient=gradient if options.langevin else None,
            hidden=options.hidden,
        )
        self.log_z = nn.Parameter(torch.zeros(()))
        self.met, self.found = Buffer(dimensions, options.capacity), Buffer(dimensions, options.capacity)
        self.optimizer = torch.optim.Adam(
            [
                {"params": list(self.network.parameters()), "lr": options.learning_rate},
                {"params": [self.log_z], "lr": options.log_z_learning_rate},
            ]
        )
        self.done = 0
        self.history: list[dict[str, float]] = []
        self.evaluate: Callable[[], Mapping[str, float]] | None = None

    @property
    def ended(self) -> bool:
        """Whether the last step was taken."""
        return self.done >= self.options.steps

    def train(self, report: Report | None = None, *, checkpoint: Path | None = None, fingerprint: str = "") -> None:
        """Train to the last step, going on from the checkpoint if there is one.

        Args:
            report: called after every step.
            checkpoint: file to go on from and to write to, atomically; None: none.
            fingerprint: names what is trained; a checkpoint of something else is refused.

        Raises:
            TrainingError: a reward, the loss or a gradient is not finite.
            ValueError: the checkpoint belongs to another training.
        """
        if checkpoint is not None and checkpoint.is_file():
            self.restore(checkpoint, fingerprint)
        options = self.options
        with single_thread():
            while not self.ended:
                metrics = self.step()
                if self.evaluate is not None and (self.done % options.evaluate_every == 0 or self.ended):
                    metrics.update(self.evaluate())
                if report is not None:
                    report(self.done, options.steps, metrics)
                if checkpoint is not None and (self.done % options.checkpoint_every == 0 or self.ended):
                    self.save(checkpoint, fingerprint)

    def save(self, path: Path, fingerprint: str) -> None:
        """Write the checkpoint atomically: a reader sees the old one or the new one."""
        state = {
            "fingerprint": fingerprint,
            "done": self.done,
            "network": self.network.state_dict(),
            "log_z": self.log_z.detach(),
            "optimizer": self.optimizer.state_dict(),
            "met": self.met.state(),
            "found": self.found.state(),
            "generator": self.generator.get_state(),
            "history": self.history,
        }
        write_sealed(state, path)

    def restore(self, path: Path, fingerprint: str) -> None:
        """Go back to a checkpoint.

        Raises:
            DamagedCheckpoint: it is not what was written.
            ValueError: it belongs to another training.
        """
        state = checkpoint_of(path, fingerprint)
        self.network.load_state_dict(state["network"])
        with torch.no_grad():
            self.log_z.copy_(state["log_z"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.met.load_state(state["met"])
        self.found.load_state(state["found"])
        self.generator.set_state(state["generator"])
        self.done, self.history = state["done"], list(state["history"])

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return (n, d) ends of chains of the sampler."""
        return self.chain.forward(self.network.drift, n, generator)[-1]

    def step(self) -> dict[str, float]:
        """Take one step of gradient descent and return its metrics.

        Raises:
            TrainingError: a reward, the loss or a gradient is not finite.
        """
        options = self.options
        if options.local_search is not None and self.done and self.done % options.local_search.every == 0:
            self._search(options.local_search)
        if self._replays and self.done % 2:
            ends, log_reward = (self.found if len(self.found) else self.met).draw(options.batch_size, self.generator)
            places = self.chain.backward(ends, self.generator)
        else:
            places = self.chain.forward(self.network.drift, options.batch_size, self.generator, self._exploration)
            log_reward = self._valued(places[-1])
            if self._replays:
                self.met.add(places[-1], log_reward)
        trajectories = self.trajectories(places, log_reward)
        loss = self.objective.loss(trajectories)
        self._descend(loss)
        self.done += 1
        metrics = {
            "step": float(self.done),
            "loss": loss.item(),
            "log_z": self.log_z.item(),
            "log_reward": log_reward.mean().item(),
        }
        self.history.append(metrics)
        return metrics

    def trajectories(self, places: Tensor, log_reward: Tensor) -> Trajectories:
        """Return what an objective sees of positions (T + 1, n, d) whose ends have log-rewards (n,), differentiably."""
        steps, n = self.chain.steps, places.shape[1]
        drift, flow = self.network(places[:-1], self.chain.times)
        log_pf, log_pb = self.chain.log_forward(places, drift), self.chain.log_backward(places)
        if self.done == 0:
            with torch.no_grad():
                # Not their mean: far from where R is large, the first chains may lie hundreds of nats below log Z.
                self.log_z.fill_((log_reward + (log_pb - log_pf).sum(0)).logsumexp(0) - math.log(n))
        if self.objective.forward_looking:
            flow = flow + self._unfinished(places[:-1])
        return Trajectories(
            log_pf=log_pf,
            log_pb=log_pb,
            log_flow=torch.cat([self.log_z.expand(1, n), flow[1:]]),
            alive=torch.ones((steps, n), dtype=torch.bool),
            log_reward=log_reward,
            condition=places.new_zeros((n, 0)),
            log_behaviour=torch.full((n,), torch.nan),
        )

    @property
    def _replays(self) -> bool:
        return self.options.replay or self.options.local_search is not None

    @property
    def _exploration(self) -> float:
        gone = self.done / (self.options.exploration_share * self.options.steps)
        return self.options.exploration * max(0.0, 1.0 - gone)

    def _unfinished(self, places: Tensor) -> Tensor:
        """Return (T, n) rewards of unfinished states: between the law of Brownian motion and R, in logarithms."""
        t = self.chain.times[:, None]
        with torch.no_grad():
            return (1.0 - t) * self.chain.log_reference(places) + t * self.log_reward(places)

    def _valued(self, ends: Tensor) -> Tensor:
        if not bool(ends.isfinite().all()):
            raise TrainingError(f"Step {self.done}: a chain has no finite end: the drift has diverged. {_LOWER}")
        with torch.no_grad():
            values = self.log_reward(ends)
        if not bool(values.isfinite().all()):
            raise TrainingError(f"Step {self.done}: a log-reward is not finite; a reward must be a finite number.")
        return values.float()

    def _search(self, options: LocalMoves) -> None:
        start, _ = self.met.draw(options.chains, self.generator)
        x, values = langevin_moves(
            self.log_reward,
            start,
            self.generator,
            gradient=self.gradient,
            moves=options.moves,
            burn_in=options.burn_in,
        )
        self.found.add(x, values)

    def _descend(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip_norm)
        if not bool(norm.isfinite()):
            raise TrainingError(f"Step {self.done}: the loss or its gradient is not finite. {_LOWER}")
        share = 0.5 * (1.0 + math.cos(math.pi * self.done / self.options.steps))
        rates = (self.options.learning_rate, self.options.log_z_learning_rate)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (_LEAST_RATE + (1.0 - _LEAST_RATE) * share)
        self.optimizer.step()


_LOWER = "Lower the learning rate."


def _require_usable(objective: Objective) -> None:
    """Refuse objectives that ask for more than a chain has.

    Raises:
        ValueError: it is one of them.
    """
    if objective.needs or objective.on_policy:
        raise ValueError(
            f"The objective {objective.kind!r} cannot train a diffusion sampler: it needs states that may stop, "
            "parents that can be listed, a prior, or chains that are the sampler's own. Use trajectory_balance, "
            "log_partition_variance, detailed_balance or sub_trajectory_balance."
        )
