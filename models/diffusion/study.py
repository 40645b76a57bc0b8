"""From a sampler file with a `density` to a training that can be judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.config import ConfigError, derive_seed, digest, validated
from data.sampler_config import EvaluationConfig, SamplerConfig
from models.diffusion.bounds import log_weights
from models.diffusion.densities import Density
from models.diffusion.targets import GaussianMixture, KnownTarget, Target
from models.diffusion.trainer import DiffusionOptions, DiffusionTrainer
from models.gflownet.judging.study import refusing
from models.registry import build, located
from models.threads import single_thread

CODE_VERSION = 1
"""Raised when a training's meaning changes, so that results of old code are not taken for new ones."""
DRAWS = 2000
"""Vectors that are written at the end."""
FEW = 0.01
"""Effective share below which nothing is relied on."""


@dataclass(frozen=True)
class ChainSession:
    """One training, of one seed.

    Attributes:
        trainer: evaluates itself by `evaluator`.
        evaluator: gives the figures.
        target: what is learnt.
        seed: of the training.
    """

    trainer: DiffusionTrainer
    evaluator: ChainEvaluator
    target: Target
    seed: int

    def remark(self, figures: Mapping[str, float]) -> str:
        """Return what to do where nearly none of the draws count, as the end of a sentence; else nothing."""
        if figures["effective_share"] >= FEW:
            return ""
        return (
            f"; less than {100 * FEW:g} % of the draws count, so neither these nor log Z can be relied on: train "
            "longer, take more steps (`training.length`), or scale the numbers so that they are about 0, give or take 1"
        )

    def state(self) -> dict[str, Any]:
        """Return the weights, and log Z."""
        return {"network": self.trainer.network.state_dict(), "log_z": self.trainer.log_z.detach()}

    @torch.no_grad()
    def draws(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return (n, d) ends of 2,000 chains, their log-densities (n,), and weights (n,) of mean 1.

        With the weights, which come from the whole chains, means over the ends are those of the density in the limit of
        many chains, whatever the sampler has learnt.
        """
        trainer, generator = self.trainer, torch.Generator().manual_seed(derive_seed(self.seed, "draws"))
        with single_thread():
            places = trainer.chain.forward(trainer.network.drift, DRAWS, generator)
            weights = log_weights(trainer.chain, trainer.network.drift, self.target, places).softmax(0)
            return places[-1], self.target.log_reward(places[-1]), DRAWS * weights


class ChainEvaluator:
    """What chains of a sampler say of log Z, and how much of them counts.

    Of n fresh chains with weights w = R P_B / P_F: `log_z_lower` is the mean of log w, at most log Z in expectation;
    `log_z_sampled` the log of the mean of w, whose expectation is Z; `effective_share` (sum w)^2 / (n sum w^2), 1 where
    the policy is the target. `log_z` was learnt. Where log Z is known, `log_z_error` is that of `log_z_sampled`; where
    it can be drawn exactly, `log_z_upper` is the mean of log w over bridges to exact draws, at least log Z in
    expectation. `modes` are the Gaussians of a mixture that are met.

    Args:
        trainer: what is judged.
        target: what it learns.
        evaluation: `samples` chains are drawn.
    """

    def __init__(self, trainer: DiffusionTrainer, target: Target, evaluation: EvaluationConfig) -> None:
        self.trainer, self.target, self.samples = trainer, target, evaluation.samples

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """Return the figures of the sampler as it is."""
        trainer, target, n = self.trainer, self.target, self.samples
        chain, drift = trainer.chain, trainer.network.drift
        # The trainer's own generator is left alone: an evaluation must not change the training.
        generator = torch.Generator().manual_seed(derive_seed(0, "evaluation") + trainer.done)
        places = chain.forward(drift, n, generator)
        weights = log_weights(chain, drift, target, places)
        total = weights.logsumexp(0)
        told = {
            "log_z": trainer.log_z.item(),
            "log_z_lower": float(weights.mean()),
            "log_z_sampled": float(total) - math.log(n),
            "effective_share": float((2.0 * total - (2.0 * weights).logsumexp(0)).exp()) / n,
        }
        if isinstance(target, KnownTarget):
            told["log_z_error"] = told["log_z_sampled"] - target.log_partition
            back = chain.backward(target.sample(n, generator), generator)
            told["log_z_upper"] = float(log_weights(chain, drift, target, back).mean())
        if isinstance(target, GaussianMixture):
            told["modes"] = float(target.modes(places[-1]))
        return told


@dataclass(frozen=True)
class ChainStudy:
    """Everything that a sampler file with a density names, built; a training is started for each seed.

    Attributes:
        evaluation: how a sampler is judged.
        target: what is learnt.
        options: how.
        details: everything that decides the training and its figures, defaults included, but for the seed.
    """

    evaluation: EvaluationConfig
    target: Target
    options: DiffusionOptions
    details: dict[str, Any]

    @property
    def identity(self) -> str:
        """The sha256 of `details`."""
        return digest(["density", CODE_VERSION, self.details])

    def fingerprint(self, seed: int) -> str:
        """Return what names the training of a seed."""
        return digest([self.identity, seed])

    def judged_by(self) -> str:
        """Return in words how a sampler is judged."""
        known = isinstance(self.target, KnownTarget)
        return "from chains, and bridges to exact draws" if known else "from chains: of the density nothing is known"

    def start(self, seed: int) -> ChainSession:
        """Return the training of a seed, before its first step.

        Raises:
            ConfigError: parts do not go together.
        """
        trainer = self._trainer(seed, self.options)
        evaluator = ChainEvaluator(trainer, self.target, self.evaluation)
        trainer.evaluate = evaluator
        return ChainSession(trainer, evaluator, self.target, seed)

    def try_out(self) -> None:
        """Take two small steps of a training that is thrown away, so that what cannot be trained is refused at once.

        Raises:
            ConfigError: parts do not go together; the message says which.
        """
        small = self.options.model_copy(update={"steps": 2, "batch_size": min(8, self.options.batch_size)})
        with refusing():
            self._trainer(0, small).train()

    def _trainer(self, seed: int, options: DiffusionOptions) -> DiffusionTrainer:
        with refusing():
            return DiffusionTrainer(
                self.target.dimensions,
                self.target.log_reward,
                options,
                torch.Generator().manual_seed(derive_seed(seed, "sampler")),
                gradient=self.target.gradient if self._uses_gradient(options) else None,
            )

    @staticmethod
    def _uses_gradient(options: DiffusionOptions) -> bool:
        return options.langevin or options.local_search is not None


def build_chain_study(config: SamplerConfig, *, base: Path) -> ChainStudy:
    """Build everything that a sampler file with a density names.

    Args:
        config: the file.
        base: folder of the file, where its modules start.

    Raises:
        ConfigError: parts do not go together.
        ComponentError: a component or an option is unknown.
    """
    if "objective" in config.training:
        raise ConfigError("The sampler cannot be trained: `objective` belongs beside `training`, not into it.")
    with refusing():
        density: Density = build("density", located("density", config.density or {}, base))
        given = {**config.training, "objective": config.objective}
        options = validated(DiffusionOptions, given, source="training", what="training")
        details = {
            "density": {**density.config(), "version": density.version(base)},
            "objective": build("objective", config.objective).config(),
            "training": options.model_dump(mode="json", exclude={"objective"}),
            "evaluation": config.evaluation.model_dump(mode="json"),
        }
        return ChainStudy(config.evaluation, density.target(base), options, details)
