"""An ensemble of graph networks on atoms and bonds, trained together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from data.records import FloatArray
from models.featurisers.base import Features
from models.featurisers.graphs import ATOM_FEATURES, BOND_FEATURES, Graphs
from models.proxies.checks import checked_state
from models.proxies.ensemble import Labelled, Members
from models.proxies.network_ensemble import NetworkEnsemble, NetworkMembers, member_predictions
from models.proxies.networks import BatchedLinear, BatchedMlp


class BatchedGine(nn.Module):
    """Graph isomorphism networks with bond features, for M members at once, up to the head.

    PyG's `GINEConv` passes messages along the last but one dimension, so that members are a leading dimension of the
    atoms' and bonds' features and each layer's perceptron is one batched product.

    Args:
        members: M.
        width: of the atoms' features between the layers.
        layers: rounds of messages.
        outputs: targets.
        atoms: mean number of atoms of a molecule, which scales the sum over atoms.
        generator: of the initial weights.
    """

    atoms: Tensor

    def __init__(
        self, members: int, width: int, layers: int, outputs: int, atoms: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        from torch_geometric.nn import GINEConv  # takes 3 s

        self.encode = BatchedLinear(members, ATOM_FEATURES, width, generator)
        self.bonds = nn.ModuleList(BatchedLinear(members, BOND_FEATURES, width, generator) for _ in range(layers))
        self.convolutions = nn.ModuleList(
            GINEConv(BatchedMlp(members, [width, width, width], generator)) for _ in range(layers)
        )
        self.head = BatchedMlp(members, [2 * width, width, outputs], generator)
        self.register_buffer("atoms", torch.tensor(atoms))

    def pooled(self, graphs: Graphs) -> Tensor:
        """Return mean and sum of the atoms' last features, shape `(M, n, 2 width)`."""
        from torch_geometric.nn import global_add_pool

        atoms, bonds, ends, molecule = graphs.joined()
        h = self.encode(atoms)
        for encode, convolve in zip(self.bonds, self.convolutions, strict=True):
            step = convolve(nn.functional.layer_norm(h, h.shape[-1:]), ends, encode(bonds))
            h = h + nn.functional.silu(step)
        total = global_add_pool(h, molecule, size=len(graphs))
        count = torch.bincount(molecule, minlength=len(graphs)).to(h.dtype)[None, :, None]
        return torch.cat([total / count, total / self.atoms], -1)


class GnnMembers:
    """M graph networks.

    Args:
        network: all of them.
        collection: makes of molecules what the networks read.
    """

    def __init__(self, network: Any, collection: Callable[[Sequence[str], torch.dtype], Any] = Graphs) -> None:
        self.network, self.head, self.collection = network, network.head, collection

    def tensors(self, molecules: Sequence[str], features: Features) -> Any:
        """Return the graphs of n molecules; the features are not used."""
        return self.collection(molecules, self.network.encode.weight.dtype)

    def head_input(self, inputs: Any) -> Tensor:
        """Return what is known of the molecules after the last message, `(M, n, d)`."""
        pooled: Tensor = self.network.pooled(inputs)
        return pooled

    def predict(self, molecules: Sequence[str], features: Features) -> FloatArray:
        """Return standardised predictions, shape `(M, n, K)`."""
        return member_predictions(self, molecules, features)

    def state(self) -> dict[str, Tensor]:
        """Return weights, in single precision as they were trained."""
        return {f"network_{name}": one.float().clone() for name, one in self.network.state_dict().items()}


class GnnEnsemble(NetworkEnsemble):
    """Graph isomorphism networks with bond features (GINE) on bootstrap samples, all members in one batched product.

    The option `features` only says in what the distance to the data is measured.

    Reference: Hu et al., Strategies for pre-training graph neural networks, ICLR (2020); Xu et al., ICLR (2019).
    """

    kind = "gnn_ensemble"
    spaces = ("molecules",)
    cites: ClassVar[tuple[str, ...]] = ("hu2020pretraining", "xu2019gin")
    collection: Callable[[Sequence[str], torch.dtype], Any] = Graphs
    """What the networks read."""

    reads_features = False

    class Options(NetworkEnsemble.Options):
        """Options of the graph networks."""

        features: str | dict[str, Any] = Field(
            "morgan_counts", description="featuriser in whose space the distance to the data is measured"
        )
        members: int = Field(5, ge=2, le=100, description="members, each trained on its own bootstrap sample")
        width: int = Field(64, ge=1, description="features of an atom between the layers")
        layers: int = Field(3, ge=1, le=12, description="rounds of messages along bonds")
        steps: int = Field(600, ge=1, description="minibatches of a training from nothing")
        refit_steps: int = Field(200, ge=1, description="minibatches of a refit with replay")

        def cited(self) -> tuple[str, ...]:
            """Return the library of graph networks beside the papers of every ensemble of networks."""
            return (*super().cited(), "fey2019pyg")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        if self.featuriser.objects != "molecules":
            raise ValueError(
                f"A {self.kind} reads molecules; its option `features` names {self.featuriser.kind!r}, which takes "
                f"{self.featuriser.objects}. Use morgan_counts, descriptors or both, or the proxy mlp_ensemble."
            )

    def _network(self, outputs: int, atoms: float, generator: torch.Generator) -> Any:
        options = self.options
        return BatchedGine(options.members, options.width, options.layers, outputs, atoms, generator)

    def _untrained_members(self, data: Labelled, seed: int) -> NetworkMembers:
        graphs = type(self).collection(data.objects, torch.float32).graphs
        atoms = sum(len(graph.atoms) for graph in graphs) / len(graphs)
        network = self._network(data.z.shape[1], atoms, torch.Generator().manual_seed(seed + 1))
        return GnnMembers(network, type(self).collection)

    def _members(self, state: Mapping[str, Any]) -> Members:
        checked_state(self.kind, state, {"network_atoms", "network_head.layers.1.bias"})
        weights = {name[len("network_") :]: one for name, one in state.items() if name.startswith("network_")}
        network = self._network(weights["head.layers.1.bias"].shape[2], float(weights["atoms"]), torch.Generator())
        expected = {name: tuple(one.shape) for name, one in network.state_dict().items()}
        if expected != {name: tuple(one.shape) for name, one in weights.items()}:
            raise ValueError(
                f"The state of this {self.kind} has weights of other shapes than {self.options.members} members of "
                f"width {self.options.width} and {self.options.layers} layers. Build it with the options that it was "
                "saved with."
            )
        network.load_state_dict(weights)
        return GnnMembers(network.double(), type(self).collection)
