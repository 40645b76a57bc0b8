"""What the generator `gflownet` keeps on disk: its checkpoint, what was seen beside it, and trained networks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.gflownet.construction.base import Bound
from models.gflownet.judging.evaluation import Seen
from models.gflownet.training.trainer import Trainer
from models.protocols import GenerationContext
from models.sealed import DamagedCheckpoint, read_sealed

logger = logging.getLogger(__name__)


class Report:
    """Passes progress on, and keeps on disk what the checkpoint of the trainer lacks, always before that is written."""

    def __init__(self, context: GenerationContext, trainer: Trainer[Any], seen: Seen) -> None:
        self._context, self._trainer, self._seen = context, trainer, seen

    def __call__(self, done: int, total: int, metrics: Mapping[str, float]) -> None:
        """Take in a step."""
        self._seen.end_step()
        trainer, checkpoint = self._trainer, self._context.checkpoint
        if checkpoint is not None and (done % trainer.options.checkpoint_every == 0 or trainer.ended):
            self._seen.save(beside(checkpoint))
        self._context.progress(done, total, metrics)


def usable(checkpoint: Path, fingerprint: str) -> bool:
    """Return whether there is a checkpoint of the training.

    One that is damaged, or of another training (other options, older code), is said to be so and removed: training
    begins anew.
    """
    if not checkpoint.is_file():
        return False
    try:
        for file in (checkpoint, beside(checkpoint)):
            if file.is_file():
                read_sealed(file)
    except DamagedCheckpoint:
        logger.warning("The checkpoint %s is damaged; the training begins anew.", file)
        checkpoint.unlink()  # what stands beside it is written anew with it
        return False
    if read_sealed(checkpoint)["fingerprint"] != fingerprint:
        logger.warning("The checkpoint %s is of another training; this one begins anew.", checkpoint)
        checkpoint.unlink()
        return False
    return True


def beside(checkpoint: Path) -> Path:
    """Return the file of what was seen."""
    return checkpoint.with_name(f"{checkpoint.name}.found")


def load_networks(state: Mapping[str, Any], trainer: Trainer[Any], bound: Bound[Any], name: str) -> None:
    """Put trained networks in place of untrained ones.

    Raises:
        ValueError: they do not fit.
    """
    if state["blocks"] != bound.digest():
        raise ValueError(
            f"{name} was trained on another vocabulary or space: got building blocks {state['blocks'][:12]}, expected "
            f"{bound.digest()[:12]}. Use the vocabulary and space it was trained with, or start anew."
        )
    own = trainer.backward.network == "own"
    if own != (state["backward"] is not None):
        raise ValueError(
            f"{name} has {'a' if state['backward'] else 'no'} backward network, and the backward policy "
            f"{trainer.backward.kind!r} needs {'one' if own else 'none'}. Use the options it was trained with."
        )
    try:
        trainer.policy.load_state_dict(state["policy"])
        if own:
            trainer.assessor.backward_network.load_state_dict(state["backward"])
        if trainer.decomposition is not None and "potentials" in state:
            trainer.decomposition.network.load_state_dict(state["potentials"])
    except RuntimeError as error:
        raise ValueError(
            f"{name} has a network of another shape. Use the options it was trained with (dim, layers, heads, "
            f"conditioning), or start anew. {error}"
        ) from error
