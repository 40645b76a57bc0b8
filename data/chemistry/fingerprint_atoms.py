"""Which atoms each count of a fingerprint comes from, so that a count can be taken away with its atoms."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rdkit import Chem

from data.chemistry.fingerprints import AROMATIC_RINGS, RINGS, morgan_bits, pair_bits
from data.chemistry.pharmacophores import feature_invariants

Counted = tuple[int, frozenset[int]]
"""A column, and the atoms without any of which it would be one less."""


def _environments(mol: Chem.Mol, bits: Mapping[int, tuple[tuple[int, int], ...]]) -> list[Counted]:
    return [(column, _around(mol, *centre)) for column, centres in bits.items() for centre in centres]


def _around(mol: Chem.Mol, atom: int, radius: int) -> frozenset[int]:
    """Return an atom and those within so many bonds of it; RDKit itself gives nothing for a lone atom."""
    bonds = Chem.FindAtomEnvironmentOfRadiusN(mol, radius, atom) if radius else []
    ends = (mol.GetBondWithIdx(bond) for bond in bonds)
    return frozenset({atom} | {end for bond in ends for end in (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())})


def _of_atoms(mol: Chem.Mol) -> list[Counted]:
    return _environments(mol, morgan_bits(mol))


def _of_features(mol: Chem.Mol) -> list[Counted]:
    return _environments(mol, morgan_bits(mol, feature_invariants(mol)))


def _of_pairs(mol: Chem.Mol) -> list[Counted]:
    return [(column, frozenset(pair)) for column, pairs in pair_bits(mol).items() for pair in pairs]


def _of_composition(mol: Chem.Mol) -> list[Counted]:
    out: list[Counted] = []
    for atom in mol.GetAtoms():
        own = frozenset({atom.GetIdx()})
        out += [(atom.GetAtomicNum(), own), *[(1, own)] * atom.GetTotalNumHs()]
    for ring in mol.GetRingInfo().AtomRings():
        out.append((RINGS, frozenset(ring)))
        pairs = zip(ring, (*ring[1:], ring[0]), strict=True)
        if all(mol.GetBondBetweenAtoms(*pair).GetIsAromatic() for pair in pairs):
            out.append((AROMATIC_RINGS, frozenset(ring)))
    return out


COUNTED: Mapping[str, Callable[[Chem.Mol], list[Counted]]] = {
    "morgan": _of_atoms,
    "feature_morgan": _of_features,
    "atom_pairs": _of_pairs,
    "composition": _of_composition,
}
"""For each of `data.chemistry.fingerprints.FINGERPRINTS` its counts one by one: they add up to the fingerprint."""
