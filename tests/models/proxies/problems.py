"""A smooth target of small molecules, and proxies of every registered kind that learn it in a second."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Crippen

from models.registry import build, kinds

RINGS = ["c1ccccc1{}", "c1ccncc1{}", "c1ccsc1{}", "C1CCCCC1{}", "c1ccc2ccccc2c1{}"]
TAILS = ["", "C", "O", "CC", "C#N", "C(=O)O", "N", "Cl", "C(F)(F)F", "OC", "C(=O)C", "S(=O)(=O)C"]
MOLECULES = sorted({Chem.CanonSmiles(ring.format(tail)) for ring in RINGS for tail in TAILS})
LOGP = np.array([Crippen.MolLogP(Chem.MolFromSmiles(smiles)) for smiles in MOLECULES])
TRAIN, TEST = MOLECULES[::2], MOLECULES[1::2]
Y, Y_TEST = LOGP[::2], LOGP[1::2]
FAR = [
    "BrC(Br)(Br)P(=O)(O)OI",
    "O=S(=O)(O)OO[Si](Br)(Br)Br",
    "IC(I)(I)C(I)(I)I",
    "[O-][N+](=O)C([N+](=O)[O-])[N+](=O)[O-]",
]
QUICK: dict[str, dict[str, Any]] = {
    "random_forest": {"members": 60},
    "mlp_ensemble": {"steps": 150, "members": 5, "width": 32},
    "multi_task": {"steps": 150, "members": 5, "width": 32},
    "egnn": {"steps": 60, "members": 2, "width": 16, "layers": 2},
    "function_space_laplace": {"steps": 60, "width": 32},
    "prior_fitted": {"components": 10},
    "greedy_ensemble": {
        "pool": [
            {"kind": "random_forest", "members": 30},
            {"kind": "random_forest", "members": 30, "uncertainty": "jackknife"},
        ],
        "folds": 3,
    },
    "gnn_ensemble": {"steps": 120, "members": 3, "width": 24, "layers": 2, "batch": 32},
}
"""Options that make a training take a second; everything else is the default."""
KINDS = [
    kind
    for kind, cls in kinds("proxy").items()
    if not hasattr(cls, "fit_rows") and "table" not in cls.Options.model_fields
]
"""Those that learn one target of any object: neither whole rows of a system, nor beside a table of earlier assays."""


def made(kind: str, **options: Any) -> Any:
    return build("proxy", {"kind": kind, **QUICK.get(kind, {}), **options})


def takes_arrays(kind: str) -> bool:
    try:
        made(kind, features="identity")
    except ValueError:
        return False
    return True


every = pytest.mark.parametrize("kind", KINDS)
of_any_object = pytest.mark.parametrize("kind", [kind for kind in KINDS if takes_arrays(kind)])
"""Kinds that take sequences and arrays as well as molecules."""


def fitted(kind: str, molecules: Any = TRAIN, values: np.ndarray = Y, seed: int = 0, **options: Any) -> Any:
    proxy = made(kind, **options)
    proxy.fit(molecules, values, seed=seed)
    return proxy


@cache
def standard(kind: str) -> Any:
    return fitted(kind)


def reloaded(state: dict[str, Any]) -> dict[str, Any]:
    """The state as it comes back from a file that may hold nothing but tensors and plain values."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def agree(a: Any, b: Any, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(a.mean, b.mean, rtol=0, atol=atol)
    np.testing.assert_allclose(a.std, b.std, rtol=0, atol=atol)


def rmse(prediction: Any, values: np.ndarray) -> float:
    return float(np.sqrt(np.square(prediction.mean - values).mean()))
