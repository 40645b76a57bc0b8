"""Which atoms accept, donate, are aromatic, halogens, basic or acidic.

Gobbi and Poppinger, Biotechnol. Bioeng. 61, 47 (1998).

The definitions are RDKit's, taken apart: its patterns ask questions within questions, each of which it answers for all
atoms of a molecule; here they are asked of the few atoms they are about. The atoms are the same ones (the tests compare
them), at half of the time.
"""

from __future__ import annotations

from rdkit import Chem

_DONOR, _ACCEPTOR, _AROMATIC, _HALOGEN, _BASIC, _ACIDIC = (1 << bit for bit in range(6))

_donors = Chem.MolFromSmarts("[N&!H0&v3,N&!H0&v4&+1,O&H1&+0,S&H1&+0,n&H1&+0]")
_aromatic = Chem.MolFromSmarts("a")
_halogens = Chem.MolFromSmarts("[F,Cl,Br,I]")
_basic = Chem.MolFromSmarts("[#7&+]")
_acids = Chem.MolFromSmarts("[C,S](=[O,S,P])-[O&H1,O&-1]")

_always_accept = Chem.MolFromSmarts("[O&H0&v2,S&H0&v2,O&-,S&-,n&H0&+0]")
_may_accept = Chem.MolFromSmarts("[O&H1&v2,S&H1&v2,N&v3,o&+0,s&+0]")
_conjugated = tuple(map(Chem.MolFromSmarts, ("[O&H1,S&H1]-*=[O,N,P,S]", "[N&v3]-*=[O,N,P,S]", "[o,s]:n", "[o,s]:c:n")))
"""What keeps an atom that may accept from it."""

_amines = Chem.MolFromSmarts("[N&+0&H0,N&+0&H1,N&+0&H2]")
_carbonyls = Chem.MolFromSmarts("[C,a]=O")
_MOST = 1_000_000

_counted = Chem.MolFromSmarts("[O&H0&v2,S&H0&v2,O&-,S&-,n&H0&X2&+0,o&+0,s&+0]")
_hydroxyls = Chem.MolFromSmarts("[O&H1&v2,S&H1&v2]-*")
_unsaturated = Chem.MolFromSmarts("*=[O,N,P,S]")
_nitrogens = Chem.MolFromSmarts("[N&v3]")
_amides = Chem.MolFromSmarts("[N&v3]-*=!@[O,N,P,S]")


def _first(mol: Chem.Mol, pattern: Chem.Mol) -> set[int]:
    return {match[0] for match in mol.GetSubstructMatches(pattern, False, False, False, _MOST)}


def _acceptors(mol: Chem.Mol) -> set[int]:
    maybe = _first(mol, _may_accept)
    if maybe:
        for pattern in _conjugated:
            maybe -= _first(mol, pattern)
    return maybe | _first(mol, _always_accept)


def _basic_amines(mol: Chem.Mol) -> set[int]:
    """Return the neutral nitrogens on which every carbon that counts is no carbonyl: as many as hydrogens leave."""
    amines = _first(mol, _amines)
    if not amines:
        return amines
    carbonyls = _first(mol, _carbonyls)
    basic = set()
    for index in amines:
        atom = mol.GetAtomWithIdx(index)
        hydrogens = atom.GetTotalNumHs(True)
        bearers = 0
        for bond in atom.GetBonds():
            near = bond.GetOtherAtom(atom)
            plain = bond.GetBondType() == Chem.BondType.SINGLE or bond.GetIsAromatic()
            aromatic = near.GetIsAromatic()
            counts = (near.GetAtomicNum() == 6 and not aromatic) or (aromatic and hydrogens > 0)
            bearers += plain and counts and near.GetIdx() not in carbonyls
        if bearers >= 3 - hydrogens:
            basic.add(index)
    return basic


def feature_invariants(mol: Chem.Mol) -> list[int]:
    """Return, for each atom, a number whose bits say what it is: donor 1, acceptor 2, aromatic 4, halogen 8, basic 16,
    acidic 32.
    """
    kinds = [0] * mol.GetNumAtoms()
    for bit, atoms in (
        (_DONOR, _first(mol, _donors)),
        (_ACCEPTOR, _acceptors(mol)),
        (_AROMATIC, _first(mol, _aromatic)),
        (_HALOGEN, _first(mol, _halogens)),
        (_BASIC, _first(mol, _basic) | _basic_amines(mol)),
        (_ACIDIC, _first(mol, _acids)),
    ):
        for index in atoms:
            kinds[index] |= bit
    return kinds


def acceptor_count(mol: Chem.Mol) -> int:
    """Return the number of acceptors of a hydrogen bond as RDKit's `NumHAcceptors` counts them.

    Its definition is another one than that of the feature: an alkylated n does not accept, an o or s always does.
    """
    accept = _first(mol, _nitrogens)
    if accept:
        accept -= _first(mol, _amides)
    accept |= _first(mol, _counted)
    hydroxyls = mol.GetSubstructMatches(_hydroxyls, False, False, False, _MOST)
    if hydroxyls:
        unsaturated = _first(mol, _unsaturated)
        accept.update(oxygen for oxygen, near in hydroxyls if near not in unsaturated)
    return len(accept)
