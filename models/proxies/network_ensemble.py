"""What ensembles of networks share: training, a warm refit with replay, and embeddings."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from data.records import FloatArray
from models.featurisers.base import Features
from models.proxies.checks import checked_labels
from models.proxies.ensemble import EnsembleProxy, Labelled, Members
from models.proxies.networks import BatchedMlp, gradient_sketch, last_layer, minibatches, train, weighted_error
from models.threads import one_blas_thread, single_thread

logger = logging.getLogger(__name__)

_CHUNK = 1024
_RANGE = 5.0
"""A refit takes the target's location and scale from before, unless the labels now spread this much more or less."""


class NetworkMembers(Members, Protocol):
    """Members that are networks, the head of each a multilayer perceptron."""

    @property
    def network(self) -> torch.nn.Module:
        """The networks with all their weights."""

    @property
    def head(self) -> BatchedMlp:
        """The perceptrons at the end of the networks."""

    def tensors(self, objects: Sequence[str], features: Features) -> Any:
        """Return what the network takes of n objects, in the precision of the weights."""

    def head_input(self, inputs: Any) -> Tensor:
        """Return what the head is given, `(n, d)` or `(M, n, d)`."""


class NetworkEnsemble(EnsembleProxy):
    """Base of ensembles of networks.

    `refit` goes on from the previous round: with `refit: scratch` it is `fit`; with `refit: replay` it starts at the
    previous weights, and half of each minibatch is new objects, the other half replays the old ones, without which a
    network forgets them. What makes the features, the unit of the target, and the members that leave an object out
    stay as they were.

    Reference of the refit: Das et al., Accelerating batch active learning using continual learning techniques, TMLR
    (2023).
    """

    class Options(EnsembleProxy.Options):
        """Options of every ensemble of networks."""

        steps: int = Field(1000, ge=1, description="minibatches of a training from nothing")
        batch: int = Field(64, ge=2, description="objects of a minibatch")
        learning_rate: float = Field(2e-3, gt=0, le=1, description="largest rate of AdamW")
        weight_decay: float = Field(1e-2, ge=0, le=1, description="decoupled weight decay of AdamW")
        refit: Literal["scratch", "replay"] = Field(
            "scratch", description="train each round from nothing, or go on from the last round with replay"
        )
        refit_steps: int = Field(300, ge=1, description="minibatches of a refit with replay")

        def cited(self) -> tuple[str, ...]:
            """Return the paper of a refit with replay beside those of every ensemble."""
            return (*super().cited(), *(("das2023accelerating",) if self.refit == "replay" else ()))

    @abstractmethod
    def _untrained_members(self, data: Labelled, seed: int) -> NetworkMembers:
        """Return networks with random weights, of a size for the data."""

    def _learn(self, data: Labelled, seed: int) -> Members:
        members = self._untrained_members(data, seed)
        self._train(members, data, seed, self.options.steps, None)
        return members

    def refit(
        self,
        previous_state: Mapping[str, Any],
        objects: Sequence[str],
        values: FloatArray,
        new_mask: NDArray[np.bool_],
        *,
        seed: int,
    ) -> None:
        """Train on old and new labels, starting where the option `refit` says.

        Args:
            previous_state: what `state` returned in the last round.
            objects: n >= 5, old and new.
            values: shape `(n,)`, finite.
            new_mask: shape `(n,)`, true for what the last round did not have.
            seed: of the minibatches, and of everything with `refit: scratch`.

        Raises:
            ValueError: as `fit`; a mask of another length; a state of another kind or size of proxy.
        """
        values = checked_labels(self.kind, objects, values)
        self._refit(previous_state, objects, values[:, None], new_mask, seed)

    def _refit(
        self,
        previous: Mapping[str, Any],
        objects: Sequence[str],
        values: FloatArray,
        new_mask: NDArray[np.bool_],
        seed: int,
    ) -> None:
        new_mask = np.asarray(new_mask, dtype=bool)
        if new_mask.shape != (len(objects),):
            raise ValueError(
                f"The mask of new objects has one entry per object; got shape {new_mask.shape} for "
                f"{len(objects)} objects."
            )
        if self.options.refit == "scratch":
            self._fit(objects, values, seed)
            return
        self.load_state(previous)
        before = self._ready()
        if len(before.target.location) != values.shape[1]:
            raise ValueError(
                f"The previous state has {len(before.target.location)} targets, the values {values.shape[1]}. Train "
                "from nothing."
            )
        spread = np.nanstd(before.target.standardised(values), axis=0)
        if (spread < 1 / _RANGE).any() or (spread > _RANGE).any():
            logger.warning(
                "The labels of this %s now spread %s times what they did: it is trained from nothing, not refitted.",
                *(self.kind, ", ".join(f"{one:.3g}" for one in spread)),
            )
            self._fit(objects, values, seed)
            return
        with one_blas_thread():
            # The bootstrap's draw is that of the first training: a member must not be tested on what it once saw.
            data, order = self._labelled(objects, values, before.target, before.seed)
            self._train(before.members, data, seed, self.options.refit_steps, new_mask[order])  # type: ignore[arg-type]
            self._finish(data, before.members, before.target, before.seed)

    def _train(
        self, members: NetworkMembers, data: Labelled, seed: int, steps: int, new: NDArray[np.bool_] | None
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        z = torch.from_numpy(data.z).float()
        weights = torch.from_numpy(data.weights).float()
        members.network.float()
        inputs = members.tensors(data.objects, data.features)
        rows = None if new is None else torch.from_numpy(np.flatnonzero(new))
        batches = minibatches(len(z), self.options.batch, steps, generator, rows)
        with single_thread():
            train(
                members.network,
                lambda chosen: self._loss(members, inputs, z, weights, chosen, generator),
                batches,
                steps,
                learning_rate=self.options.learning_rate * (1.0 if new is None else 0.5),
                weight_decay=self.options.weight_decay,
            )
        members.network.double()

    def _loss(
        self,
        members: NetworkMembers,
        inputs: Any,
        z: Tensor,
        weights: Tensor,
        rows: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        guess = members.head(members.head_input(inputs[rows]))
        return weighted_error(guess, z[rows], weights[:, rows])

    def embed(self, objects: Sequence[str], kind: Literal["last_layer", "gradient"] = "last_layer") -> FloatArray:
        """Return `(n, d)` coordinates, d at most 512; see `models.proxies.networks` for both kinds.

        The derivatives are those by the weights of the head, the perceptron that ends in the output.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: another kind, or an invalid object.
        """
        if kind not in ("last_layer", "gradient"):
            raise ValueError(f"An embedding is of kind 'last_layer' or 'gradient'; got {kind!r}.")
        members: Any = self._ready().members
        function = last_layer if kind == "last_layer" else gradient_sketch
        parts = [np.zeros((0, 1))]
        with single_thread(), torch.no_grad():
            for at in range(0, len(objects), _CHUNK):
                some = objects[at : at + _CHUNK]
                given = members.head_input(members.tensors(some, self.featuriser(some)))
                parts.append(function(members.head, given).numpy().round(9))
        return np.concatenate(parts[1:] or parts)


def member_predictions(members: NetworkMembers, objects: Sequence[str], features: Features) -> FloatArray:
    """Return standardised predictions in double precision, shape `(M, n, K)`."""
    with single_thread(), torch.no_grad():
        parts = []
        for at in range(0, len(objects), _CHUNK):
            part = Features(features.dense[at : at + _CHUNK], features.counts[at : at + _CHUNK])
            inputs = members.tensors(objects[at : at + _CHUNK], part)
            parts.append(members.head(members.head_input(inputs)))
        return np.asarray(torch.cat(parts, 1).numpy())
