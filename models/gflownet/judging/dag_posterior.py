"""The posterior over Bayesian networks, exactly and without enumerating graphs: log Z and the probability of each edge.

There are 4e18 graphs of ten nodes. A sum over graphs is a sum over which nodes have no child, with signs, as graphs are
counted; it takes 3^n terms.
"""

from __future__ import annotations

import numpy as np

from data.records import FloatArray

MOST = 12
"""Most nodes."""


def log_partition(scores: FloatArray) -> float:
    """Return log of the sum, over all acyclic graphs, of exp(score).

    Args:
        scores: `(n, 2^n)`, of each node with each set of parents (bit i for node i).

    Raises:
        ValueError: there are more than `MOST` nodes.

    Reference: Robinson, Counting unlabeled acyclic digraphs, LNM 622, 28 (1977); Tian and He, Computing posterior
    probabilities of structural features in Bayesian networks, UAI 2009.
    """
    top, sums = _sums(scores)
    return float(np.log(_total(sums)) + top.sum())


def edge_marginals(scores: FloatArray) -> FloatArray:
    """Return `(n, n)`: the posterior probability of each edge, from row to column.

    Args:
        scores: as above.

    Raises:
        ValueError: there are more than `MOST` nodes.
    """
    n = len(scores)
    top, sums = _sums(scores)
    whole = _total(sums)
    found = np.zeros((n, n))
    sets = np.arange(1 << n)
    for child in range(n):
        for parent in range(n):
            if parent != child:
                kept = np.where(sets >> parent & 1, np.exp(scores[child] - top[child]), 0.0)
                changed = sums.copy()
                changed[child] = subset_sums(kept)
                found[parent, child] = _total(changed) / whole
    return found


def _sums(scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the largest score of each node (n,), and (n, 2^n): of each set, the sum over its subsets as parents."""
    n = len(scores)
    if n > MOST:
        raise ValueError(f"The exact posterior takes 3^n steps: got {n} nodes, expected at most {MOST}.")
    top = scores.max(1)
    return top, np.stack([subset_sums(np.exp(row - most)) for row, most in zip(scores, top, strict=True)])


def subset_sums(values: FloatArray) -> FloatArray:
    """Return, for each set, the sum of the values of its subsets (the zeta transform)."""
    sums = values.copy()
    for bit in range(len(values).bit_length() - 1):
        folded = sums.reshape(-1, 2, 1 << bit)
        folded[:, 1] += folded[:, 0]
    return sums


def _total(sums: FloatArray) -> float:
    """Return the sum over all graphs: Z(S) = sum over T of (-1)^(|T| + 1) Z(S - T) prod over j in T of A_j(S - T)."""
    n = len(sums)
    totals = np.zeros(1 << n)
    totals[0] = 1.0
    # What follows a set U whose total is known: every T among the others that has no child outside U.
    signed = np.array([(-1.0) ** (subset.bit_count() + 1) for subset in range(1 << n)])
    for known in range(1 << n):
        others = [j for j in range(n) if not known >> j & 1]
        products, places = np.ones(1), np.zeros(1, dtype=np.int64)
        for j in others:
            products = np.concatenate([products, products * sums[j, known]])
            places = np.concatenate([places, places | 1 << j])
        totals[known | places[1:]] += signed[places[1:]] * totals[known] * products[1:]
    return float(totals[-1])
