"""Cutting molecules into fragments and putting them together again: the chemistry under the vocabulary.

The rule is local and intrinsic: whether a bond is cut depends only on properties of its two atoms that no join can
change (element, charge, ring membership, multiple bonds, all of which lie inside one fragment). Joins never make rings.
So the pieces of an assembled molecule are the pieces it was assembled from, and every molecule has one fragment tree.

Stereochemistry is not represented: molecules are flattened. Idea: retrosynthetic cutting as in BRICS (Degen et al.,
ChemMedChem 2008, 3, 1503), with the rule made context-free so that decomposition is unique.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from rdkit import Chem

CUTTING_RULE = (
    "Acyclic single bonds between heavy atoms, not between two charged atoms, when an end is in a ring, or it joins "
    "two carbons of which one has a multiple bond, or a carbon and a neutral N, O, P, S, Se or B without a double bond."
)
_HALOGENS = frozenset({9, 17, 35, 53})
_MULTIPLE = {Chem.BondType.DOUBLE: "=", Chem.BondType.TRIPLE: "#"}
_ATOM = re.compile(r"\[(?P<bracket>[^\]]+)\]|Br|Cl|[BCNOPSFIbcnops]")
_BRACKET_H = re.compile(r"(?<=[A-Za-z@])H(\d*)")


@dataclass(frozen=True, slots=True)
class Joint:
    """A single bond between atom `atom_a` of piece `piece_a` and atom `atom_b` of piece `piece_b`."""

    piece_a: int
    atom_a: int
    piece_b: int
    atom_b: int


@dataclass(frozen=True, slots=True)
class Pieces:
    """A molecule cut up: the canonical SMILES of each piece (hydrogens where it was cut) and the bonds between them.

    Atom numbers count along the piece's SMILES, from 0.
    """

    smiles: tuple[str, ...]
    joints: tuple[Joint, ...]


def _unsaturation(atom: Chem.Atom) -> str:
    marks = (
        _MULTIPLE[bond.GetBondType()] + bond.GetOtherAtom(atom).GetSymbol()
        for bond in atom.GetBonds()
        if bond.GetBondType() in _MULTIPLE
    )
    return "".join(sorted(marks))


def is_cut(bond: Chem.Bond) -> bool:
    """Whether `CUTTING_RULE` cuts the bond."""
    if bond.GetBondType() != Chem.BondType.SINGLE or bond.IsInRing():
        return False
    a, b = bond.GetBeginAtom(), bond.GetEndAtom()
    if 1 in (a.GetAtomicNum(), b.GetAtomicNum()) or (a.GetFormalCharge() and b.GetFormalCharge()):
        return False
    if a.IsInRing() or b.IsInRing():
        return True
    if a.GetAtomicNum() == b.GetAtomicNum() == 6:
        return bool(_unsaturation(a) or _unsaturation(b))
    carbon, other = (a, b) if a.GetAtomicNum() == 6 else (b, a)
    if carbon.GetAtomicNum() != 6 or other.GetAtomicNum() in _HALOGENS:
        return False
    return not other.GetFormalCharge() and not _unsaturation(other)


def site_type(atom: Chem.Atom) -> str:
    """Name the intrinsic environment of an atom of a fragment, such as `c`, `C`, `C=O`, `n`, `N.ring`, `N~S`, `N+=O`.

    Element (lower case if aromatic), charge, ring membership, multiple bonds and, outside rings, hetero neighbours
    within the fragment.
    """
    symbol = atom.GetSymbol().lower() if atom.GetIsAromatic() else atom.GetSymbol()
    charge = {0: "", 1: "+", -1: "-"}.get(atom.GetFormalCharge(), f"{atom.GetFormalCharge():+d}")
    ring = ".ring" if atom.IsInRing() and not atom.GetIsAromatic() else ""
    single = sorted(
        bond.GetOtherAtom(atom).GetSymbol()
        for bond in atom.GetBonds()
        if bond.GetBondType() == Chem.BondType.SINGLE and bond.GetOtherAtom(atom).GetAtomicNum() not in (1, 6)
    )
    neighbours = "" if atom.IsInRing() else "".join(f"~{name}" for name in single)
    return symbol + charge + _unsaturation(atom) + ring + neighbours


@lru_cache(maxsize=50_000)
def fragment_atoms(smiles: str) -> tuple[tuple[str, int], ...]:
    """Return (site type, hydrogens) of each atom of a fragment, in the order of its SMILES."""
    mol = Chem.MolFromSmiles(smiles)
    return tuple((site_type(atom), atom.GetTotalNumHs()) for atom in mol.GetAtoms())


@lru_cache(maxsize=50_000)
def fragment_charge(smiles: str) -> int:
    """Return the net formal charge of a fragment."""
    return int(Chem.GetFormalCharge(Chem.MolFromSmiles(smiles)))


def cut(mol: Chem.Mol) -> Pieces:
    """Cut a sanitised molecule by `CUTTING_RULE`; its stereochemistry is ignored.

    Raises:
        ValueError: a piece is no valid molecule once its dangling bonds are hydrogens, or there is more than one
            component.
    """
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds() if is_cut(bond)]
    work = Chem.RWMol(mol)
    Chem.RemoveStereochemistry(work)
    for a, b in bonds:
        work.RemoveBond(a, b)
        for index in (a, b):
            atom = work.GetAtomWithIdx(index)
            if atom.GetNoImplicit() or (atom.GetIsAromatic() and atom.GetAtomicNum() != 6):
                atom.SetNumExplicitHs(atom.GetNumExplicitHs() + 1)
    indices: list[tuple[int, ...]] = []
    try:
        parts = Chem.GetMolFrags(work, asMols=True, sanitizeFrags=True, fragsMolAtomMapping=indices)
    except Chem.MolSanitizeException as error:
        raise ValueError(f"{Chem.MolToSmiles(mol)} falls into a piece that is no valid molecule: {error}.") from error
    if len(parts) != len(bonds) + 1:
        raise ValueError(f"{Chem.MolToSmiles(mol)} has more than one component; a fragment tree needs one.")
    where: dict[int, tuple[int, int]] = {}
    smiles = []
    for number, (part, atoms) in enumerate(zip(parts, indices, strict=True)):
        smiles.append(Chem.MolToSmiles(part))
        order = part.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"]
        where.update({atoms[old]: (number, new) for new, old in enumerate(order)})
    return Pieces(tuple(smiles), tuple(Joint(*where[a], *where[b]) for a, b in bonds))


def _less_hydrogen(token: str, used: int) -> str:
    """Return the SMILES token of an atom that gave `used` hydrogens away; outside brackets they are implicit."""
    if not token.startswith("[") or not used:
        return token

    def fewer(match: re.Match[str]) -> str:
        left = int(match.group(1) or 1) - used
        return "" if left == 0 else "H" if left == 1 else f"H{left}"

    return _BRACKET_H.sub(fewer, token, count=1)


@lru_cache(maxsize=50_000)
def _tokens(smiles: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the atom tokens of a SMILES and the text before each of them, with the tail as last entry."""
    atoms, between, end = [], [], 0
    for match in _ATOM.finditer(smiles):
        between.append(smiles[end : match.start()])
        atoms.append(match.group(0))
        end = match.end()
    return tuple(atoms), (*between, smiles[end:])


def join(pieces: Pieces) -> str:
    """Return a SMILES of the molecule that the pieces and joints describe, not canonical, not validated.

    The pieces stand side by side, and each joint is a ring closure between two of them: one parse makes the molecule.

    Raises:
        ValueError: more than 90 joints, for which SMILES has no closure numbers.
    """
    if len(pieces.joints) > 90:
        raise ValueError(f"SMILES can number 90 joints; got {len(pieces.joints)}. Use fewer fragments.")
    closures: dict[tuple[int, int], list[str]] = {}
    for number, joint in enumerate(pieces.joints, start=10):
        closures.setdefault((joint.piece_a, joint.atom_a), []).append(f"-%{number}")
        closures.setdefault((joint.piece_b, joint.atom_b), []).append(f"-%{number}")
    texts = []
    for piece, smiles in enumerate(pieces.smiles):
        atoms, between = _tokens(smiles)
        out = [between[0]]
        for index, token in enumerate(atoms):
            marks = closures.get((piece, index), ())
            out += [_less_hydrogen(token, len(marks)), *marks, between[index + 1]]
        texts.append("".join(out))
    return ".".join(texts)


def assemble(pieces: Pieces) -> str | None:
    """Return the canonical SMILES of the assembled molecule, or None if RDKit refuses it."""
    return assemble_faithfully(pieces)[0]


def assemble_faithfully(pieces: Pieces) -> tuple[str | None, bool]:
    """Return the canonical SMILES, None if RDKit refuses it, and whether RDKit sees the pieces in it as they are alone.

    The cutting rule asks for elements, charges, ring membership and multiple bonds. Joins make no rings, so if aromatic
    atoms and charges are those of the pieces, the molecule is cut into the same pieces again.
    """
    mol = Chem.MolFromSmiles(join(pieces))
    if mol is None:
        return None, False
    seen = [(atom.GetIsAromatic(), atom.GetFormalCharge()) for atom in mol.GetAtoms()]
    alone = [mark for smiles in pieces.smiles for mark in _marks(smiles)]
    return str(Chem.MolToSmiles(mol)), seen == alone


@lru_cache(maxsize=50_000)
def _marks(smiles: str) -> tuple[tuple[bool, int], ...]:
    """Return (aromatic, charge) of each atom of a piece, in the order of its SMILES."""
    return tuple((atom.GetIsAromatic(), atom.GetFormalCharge()) for atom in Chem.MolFromSmiles(smiles).GetAtoms())


@lru_cache(maxsize=50_000)
def atom_automorphisms(smiles: str, limit: int = 100_000) -> tuple[tuple[int, ...], ...]:
    """Return the automorphisms of a fragment as atom permutations (image of atom i at position i).

    Raises:
        ValueError: there are more than `limit`.
    """
    mol = Chem.MolFromSmiles(smiles)
    labels = [(atom.GetTotalNumHs(), atom.GetFormalCharge()) for atom in mol.GetAtoms()]
    matches = mol.GetSubstructMatches(mol, uniquify=False, maxMatches=limit)
    if len(matches) >= limit:
        raise ValueError(f"Fragment {smiles} has {limit} automorphisms or more; leave it out of the vocabulary.")
    return tuple(tuple(m) for m in matches if all(labels[i] == labels[j] for i, j in enumerate(m)))
