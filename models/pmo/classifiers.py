"""The three learned tasks of PMO: probabilities that a molecule is active, from published classifiers as plain arrays.

`data/resources/pmo_classifiers.npz` was made by `benchmarks/pmo_classifiers.py` from the models that PyTDC downloads
and the package molscore ships; `pmo_classifiers.json` beside it tells source, licence and checksum. No pickle is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from models.component import ComponentError
from models.pmo.quantities import Quantity

BITS = 2048
"""Length of the folded fingerprints."""

LEARNED = ("drd2", "gsk3b", "jnk3")
"""Tasks that are classifiers."""

_CLIP = 1e-7
_ITERATIONS = 100
_TOLERANCE = 0.0025

_bits = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS)
_feature_counts = rdFingerprintGenerator.GetMorganGenerator(
    radius=3, fpSize=BITS, atomInvariantsGenerator=rdFingerprintGenerator.GetMorganFeatureAtomInvGen()
)

Arrays = Mapping[str, NDArray[np.generic]]


class Forest:
    """A random forest over bits: the mean over its trees of the share of actives in the leaf of a molecule.

    Args:
        feature: of each node the bit that it asks for, -1 for a leaf; tree after tree, each in preorder, so that the
            child of a bit that is not set comes next, and the other after all of that child's descendants.
        share: of each leaf in that order the share of actives.
    """

    def __init__(self, feature: NDArray[np.int16], share: NDArray[np.float64]) -> None:
        nodes = len(feature)
        unset, is_set, roots, waiting = np.arange(1, nodes + 1), np.arange(nodes), [], list[int]()
        leaf = (feature < 0).tolist()
        starts = True
        for node in range(nodes):
            if starts:
                roots.append(node)
            elif leaf[node - 1]:
                is_set[waiting.pop()] = node
            if not leaf[node]:
                waiting.append(node)
            starts = leaf[node] and not waiting
        leaves = feature < 0
        unset[leaves] = np.flatnonzero(leaves)
        self._children = np.stack([unset, is_set]).astype(np.int32)
        self._feature = np.where(leaves, 0, feature).astype(np.int16)
        self._share = np.zeros(nodes)
        self._share[leaves] = share
        self._leaf, self._roots = leaves, np.array(roots, dtype=np.int32)

    def __call__(self, mol: Chem.Mol) -> float:
        """Return the probability that a molecule is active."""
        bits = _bits.GetFingerprintAsNumPy(mol)
        at = self._roots
        while not self._leaf[at].all():
            at = self._children[bits[self._feature[at]], at]
        return float(self._share[at].mean())


class SupportVectors:
    """A support-vector classifier with Gaussian kernel over counts, its decision made a probability.

    The decision d becomes r = 1 / (1 + exp(a d + b)) (Platt), and r the probabilities of two classes by the iteration
    of libsvm (Wu, Lin, Weng, J. Mach. Learn. Res. 2004, 5, 975), which stops early: its result is part of the task.

    Args:
        arrays: `rows` and `columns` and `counts` of the support vectors' entries, their `weights`, and `settings`:
            intercept, gamma, a, b.
    """

    def __init__(self, arrays: Arrays) -> None:
        self._weights = arrays["weights"].astype(np.float64)
        vectors = np.zeros((BITS, len(self._weights)), dtype=np.float32)
        vectors[arrays["columns"], arrays["rows"]] = arrays["counts"]
        self._vectors, self._norms = vectors, np.square(vectors, dtype=np.float64).sum(axis=0)
        self._intercept, self._gamma, self._a, self._b = (float(number) for number in arrays["settings"])

    def __call__(self, mol: Chem.Mol) -> float:
        """Return the probability that a molecule is active."""
        counts = _feature_counts.GetCountFingerprintAsNumPy(mol)
        bits = np.flatnonzero(counts)
        present = counts[bits].astype(np.float64)
        products = present @ self._vectors[bits]
        distances = self._norms + present @ present - 2 * products
        decision = self._weights @ np.exp(-self._gamma * distances) + self._intercept
        inactive = 1 / (1 + np.exp(self._a * decision + self._b))
        return _coupled(min(max(float(inactive), _CLIP), 1 - _CLIP))


def _coupled(first: float) -> float:
    """Return the probability of the second of two classes, given the pairwise one of the first."""
    pairwise = np.array([first, 1 - first])
    quadratic = np.outer(pairwise[::-1], pairwise[::-1]) * np.array([[1, -1], [-1, 1]])
    chances = np.array([0.5, 0.5])
    for _ in range(_ITERATIONS):
        gradient = quadratic @ chances
        value = chances @ gradient
        if np.abs(gradient - value).max() < _TOLERANCE:
            break
        for one in (0, 1):
            step = (value - gradient[one]) / quadratic[one, one]
            chances[one] += step
            value = (value + step * (step * quadratic[one, one] + 2 * gradient[one])) / (1 + step) ** 2
            gradient = (gradient + step * quadratic[one]) / (1 + step)
            chances /= 1 + step
    return float(chances[1])


def _forest(arrays: Arrays) -> Forest:
    return Forest(arrays["feature"].astype(np.int16), arrays["share"].astype(np.float64))


_FORMS: Mapping[str, Callable[[Arrays], Quantity]] = {"drd2": SupportVectors, "gsk3b": _forest, "jnk3": _forest}


def classifier(name: str) -> Quantity:
    """Return one of `LEARNED`.

    Raises:
        ComponentError: the shipped file is missing or not the one that was shipped.
    """
    path = _file()
    if not path.is_file() or sha256(path.read_bytes()).hexdigest() != provenance()["sha256"]:
        raise ComponentError(
            f"{path}, which discovery-flows ships for the tasks {', '.join(LEARNED)}, is missing or was changed. "
            "Install the package again; the other 20 tasks need no file."
        )
    with np.load(path, allow_pickle=False) as stored:
        arrays = {key.removeprefix(f"{name}."): stored[key] for key in stored.files if key.startswith(f"{name}.")}
    return _FORMS[name](arrays)


@cache
def provenance() -> dict[str, str]:
    """Return what is known of the classifiers: source, licence, versions, checksum."""
    told: dict[str, str] = json.loads(_file().with_suffix(".json").read_text(encoding="utf-8"))
    return told


def _file() -> Path:
    return Path(str(files("data.resources"))) / "pmo_classifiers.npz"
