"""An ensemble of multilayer perceptrons, trained together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from data.records import FloatArray
from models.featurisers.base import Features
from models.proxies.base import FEATURES
from models.proxies.checks import checked_state
from models.proxies.design import Design
from models.proxies.ensemble import Labelled, Members
from models.proxies.greedy_members import distinctness, put_member, some_members
from models.proxies.network_ensemble import NetworkEnsemble, NetworkMembers, member_predictions
from models.proxies.networks import BatchedMlp, minibatches, train, weighted_error
from models.threads import single_thread


class MlpMembers:
    """M perceptrons on rows of features.

    Args:
        design: makes rows of features.
        network: the perceptrons.
    """

    def __init__(self, design: Design, network: BatchedMlp) -> None:
        self.design, self.network, self.head = design, network, network

    def tensors(self, objects: Sequence[str], features: Features) -> Tensor:
        """Return the rows of n objects, shape `(n, width)`."""
        return torch.from_numpy(self.design(features)).to(next(self.network.parameters()).dtype)

    def head_input(self, inputs: Tensor) -> Tensor:
        """Return the rows as they are."""
        return inputs

    def predict(self, objects: Sequence[str], features: Features) -> FloatArray:
        """Return standardised predictions, shape `(M, n, K)`."""
        return member_predictions(self, objects, features)

    def state(self) -> dict[str, Tensor]:
        """Return weights, in single precision as they were trained, and design."""
        weights = {f"network_{name}": one.float().clone() for name, one in self.network.state_dict().items()}
        return {**self.design.state(), **weights}


class MlpEnsemble(NetworkEnsemble):
    """Perceptrons on bootstrap samples, each layer of all members one batched product.

    With `mixup` > 0 each training row is mixed with another of a near label, in features and label: rows far apart in
    label have no meaningful mean. Partners come from the same minibatch and the same member's sample.

    With `diversity: greedy` members are trained one after the other, and each is rewarded for differing from those
    before it where there may be no data; see `models.proxies.greedy_members`. It is for a few features: of hundreds,
    moved inputs lie everywhere, and accuracy is lost (docs/benchmarks.md).

    Reference: Lakshminarayanan et al., NeurIPS (2017); mixing: Yao et al., C-Mixup, NeurIPS (2022).
    """

    kind = "mlp_ensemble"
    cites = ("lakshminarayanan2017ensembles",)

    class Options(NetworkEnsemble.Options):
        """Options of the perceptrons."""

        features: str | dict[str, Any] = Field("descriptors", description=FEATURES)
        width: int = Field(128, ge=1, description="units of a hidden layer")
        depth: int = Field(2, ge=1, le=8, description="hidden layers")
        mixup: float = Field(0.0, ge=0, description="a of the Beta(a, a) that the shares have; 0: no mixing")
        mixup_bandwidth: float = Field(
            0.3, gt=0, description="difference of labels, in deviations of the target, at which partners grow rare"
        )

        diversity: Literal["bootstrap", "greedy"] = Field(
            "bootstrap",
            description="members differ by their samples, or also by a reward for being different",
        )
        diversity_weight: float = Field(0.1, gt=0, description="of that reward, beside the mean squared error")
        diversity_noise: float = Field(
            1.0, gt=0, description="standard deviation by which rows are moved to places where members shall differ"
        )

        def cited(self) -> tuple[str, ...]:
            """Return the papers of mixing and of greedy members beside those of every ensemble of networks."""
            mixing = ("yao2022cmixup",) if self.mixup > 0 else ()
            return (*super().cited(), *mixing, *(("tiulpin2022greedy",) if self.diversity == "greedy" else ()))

    def _untrained_members(self, data: Labelled, seed: int) -> NetworkMembers:
        design = Design.of(data.features)
        wide = design(Features(data.features.dense[:1], data.features.counts[:1])).shape[1]
        widths = [wide, *[self.options.width] * self.options.depth, data.z.shape[1]]
        generator = torch.Generator().manual_seed(seed + 1)
        return MlpMembers(design, BatchedMlp(self.options.members, widths, generator))

    def _learn(self, data: Labelled, seed: int) -> Members:
        if self.options.diversity == "bootstrap":
            return super()._learn(data, seed)
        members: Any = self._untrained_members(data, seed)
        options, network = self.options, members.network
        generator = torch.Generator().manual_seed(seed)
        z, weights = torch.from_numpy(data.z).float(), torch.from_numpy(data.weights).float()
        inputs: Tensor = members.tensors(data.objects, data.features)
        with single_thread():
            for k in range(options.members):
                one, before = some_members(network, [k]), some_members(network, range(k))
                alone = MlpMembers(members.design, one)

                def loss(rows: Tensor, alone: MlpMembers = alone, before: BatchedMlp = before, k: int = k) -> Tensor:
                    plain = self._loss(alone, inputs, z, weights[k : k + 1], rows, generator)
                    if not k:
                        return plain
                    moved = torch.randn(inputs[rows].shape, generator=generator) * options.diversity_noise
                    apart = distinctness(alone.network, before, inputs[rows] + moved)
                    return plain - float(options.diversity_weight) * apart

                train(
                    one,
                    loss,
                    minibatches(len(z), options.batch, options.steps, generator),
                    options.steps,
                    learning_rate=options.learning_rate,
                    weight_decay=options.weight_decay,
                )
                put_member(network, k, one)
        network.double()
        return MlpMembers(members.design, network)

    def _members(self, state: Mapping[str, Any]) -> Members:
        names = [f"network_layers.{i}.{part}" for i in range(self.options.depth + 1) for part in ("weight", "bias")]
        checked_state(self.kind, state, {*names, "design_mean"})
        shapes = [tuple(state[f"network_layers.{i}.weight"].shape) for i in range(self.options.depth + 1)]
        widths = [shapes[0][1], *(shape[2] for shape in shapes)]
        if shapes[0][0] != self.options.members or any(one != self.options.width for one in widths[1:-1]):
            raise ValueError(
                f"The state is of {shapes[0][0]} members of width {widths[1]}; this {self.kind} has "
                f"{self.options.members} of width {self.options.width}. Build it with the options it was saved with."
            )
        network = BatchedMlp(shapes[0][0], widths, torch.Generator())
        network.load_state_dict({name[len("network_") :]: state[name] for name in names})
        return MlpMembers(Design.from_state(state), network.double())

    def _loss(
        self,
        members: NetworkMembers,
        inputs: Any,
        z: Tensor,
        weights: Tensor,
        rows: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        if not self.options.mixup:
            return super()._loss(members, inputs, z, weights, rows, generator)
        x, y, w = mixed(
            *(inputs[rows], z[rows], weights[:, rows], generator), self.options.mixup, self.options.mixup_bandwidth
        )
        return weighted_error(members.head(x), y, w)


def mixed(
    x: Tensor, z: Tensor, weights: Tensor, generator: torch.Generator, alpha: float, bandwidth: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return each member's rows `(M, b, d)`, mixed with partners of near labels, their labels and weights.

    Row i's partner j is drawn in proportion to `exp(-(z_i - z_j)^2 / (2 h^2))` among the rows that the member has, and
    the mixture is `t (x_i, z_i) + (1 - t) (x_j, z_j)` with t from Beta(a, a).

    Args:
        x: shape `(b, d)`.
        z: standardised labels, shape `(b, K)`; the distance is over the targets that both have.
        weights: shape `(M, b)`.
        generator: of the draws.
        alpha: a.
        bandwidth: h.
    """
    members, b = weights.shape
    gap = torch.nan_to_num(z[:, None] - z[None]).square().sum(2)
    odds = torch.exp(-0.5 * gap / bandwidth**2)[None] * (weights > 0).float()[:, None, :]
    # A row that the member does not have weighs nothing, whatever its partner: it is its own.
    odds = odds + torch.eye(b) * (odds.sum(2, keepdim=True) <= 0)
    partner = torch.multinomial(odds.reshape(-1, b), 1, generator=generator).view(members, b)
    # Beta(a, a) from two Gamma draws, the global generator untouched.
    gamma = torch._standard_gamma(torch.full((2, members, b, 1), alpha), generator=generator).clamp_min(1e-30)
    share = gamma[0] / gamma.sum(0)
    return share * x[None] + (1 - share) * x[partner], share * z[None] + (1 - share) * z[partner], weights
