"""Configurations of axes, which RDKit's canonical SMILES cannot write: mirror images would become one molecule.

An axis is a chain of cumulated double bonds (allenes are chiral, butatrienes cis or trans) or a single bond about which
two hindered rings do not turn. What a text or a drawing says of one is a reason to refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rdkit import Chem

from data.chemistry.molecules import quiet_rdkit

REASON = "the configuration of an axis ({}), which canonical SMILES cannot write: mirror images would be one molecule"

_ATOM = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*]")
_WEDGES = re.compile(r"(?:^|,)w[UD]:((?:\d+\.\d+,?)+)")
_PLACED = re.compile(r"\([^)]*\)|\$[^$]*\$")
_RELATIVE = re.compile(r"(^|,)r(:[\d,]*)?(,|$)")
_CUMULATED = Chem.MolFromSmarts("[#6;X2](=[#6])=[#6]")
_BIARYL = Chem.MolFromSmarts("[a;R]-!@[a;R]")
_ATROPISOMERS = frozenset({Chem.BondStereo.STEREOATROPCW, Chem.BondStereo.STEREOATROPCCW})
_HINDERED = 3
"""Substituents beside a bond between two aromatic rings from which on they do not turn about it (a rule of thumb)."""


def lost_from_text(smiles: str, extension: str, mol: Chem.Mol) -> str | None:
    """Return what a text says of configurations that its canonical SMILES does not say, None where that is nothing.

    Args:
        smiles: the text.
        extension: `|...|`, empty where there is none.
        mol: what RDKit reads from both.
    """
    marks = "@" in smiles or "/" in smiles or "\\" in smiles
    if marks and mol.HasSubstructMatch(_CUMULATED):
        lengths = {len(chain) % 2 for chain in _cumulenes(mol)}
        if 0 in lengths and ("/" in smiles or "\\" in smiles):
            return REASON.format("a cumulene")
        if 1 in lengths and _has_axial_mark(smiles):
            return REASON.format("an allene")
    if not extension:
        return None
    sections = _PLACED.sub("", extension[1:-1])
    if _RELATIVE.search(sections) and any(atom.GetChiralTag() for atom in mol.GetAtoms()):
        return "a relative configuration |r|: which of the mirror images it is, or whether both, is not known"
    if (wedges := _WEDGES.findall(sections)) and _wedge_lost(smiles, extension, wedges):
        return "a wedge |wU| or |wD| whose meaning canonical SMILES cannot write: mirror images would be one molecule"
    return lost_from_drawing(mol)


def lost_from_drawing(mol: Chem.Mol) -> str | None:
    """Return what a drawing says of axes, None where that is nothing.

    Args:
        mol: as RDKit reads it from a mol block or coordinates, hydrogens implicit.
    """
    if any(bond.GetStereo() in _ATROPISOMERS for bond in mol.GetBonds()):
        return REASON.format("an atropisomer")
    if not mol.GetNumConformers():
        return None
    solid = mol.GetConformer().Is3D()
    if mol.HasSubstructMatch(_CUMULATED):
        for chain in _cumulenes(mol):
            # Double bonds in an even number twist the ends, which a flat drawing shows by wedges only.
            if len(chain) % 2 == 0 or solid or _has_wedge(mol, chain):
                return REASON.format("an allene or a cumulene")
    if solid and any(_is_fixed(mol, pair) for pair in mol.GetSubstructMatches(_BIARYL)):
        return REASON.format("two hindered rings, drawn in space")
    return None


def _cumulenes(mol: Chem.Mol) -> list[list[int]]:
    """Return the atoms of each chain of cumulated double bonds whose ends have two different substituents each."""
    inner = {match[0] for match in mol.GetSubstructMatches(_CUMULATED)}
    ranks = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
    chains = []
    for start in sorted({near for at in inner for near in _double(mol, at)} - inner):
        chain = [start]
        while following := [near for near in _double(mol, chain[-1]) if near not in chain and near in inner]:
            chain.append(following[0])
        chain += [near for near in _double(mol, chain[-1]) if near not in chain]
        ends = (mol.GetAtomWithIdx(chain[0]), mol.GetAtomWithIdx(chain[-1]))
        if chain[0] < chain[-1] and all(_differ(end, set(chain), ranks) for end in ends):
            chains.append(chain)
    return chains


def _double(mol: Chem.Mol, at: int) -> list[int]:
    bonds = mol.GetAtomWithIdx(at).GetBonds()
    return [bond.GetOtherAtomIdx(at) for bond in bonds if bond.GetBondType() == Chem.BondType.DOUBLE]


def _differ(end: Chem.Atom, chain: set[int], ranks: Sequence[int]) -> bool:
    others = [ranks[near.GetIdx()] for near in end.GetNeighbors() if near.GetIdx() not in chain]
    others += [-1] * end.GetTotalNumHs()
    return end.GetSymbol() == "C" and len(others) == 2 and len(set(others)) == 2


def _has_wedge(mol: Chem.Mol, chain: Sequence[int]) -> bool:
    return any(
        bond.HasProp(name)
        and bond.GetIntProp(name) in marks
        and {bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()} & set(chain)
        for bond in mol.GetBonds()
        for name, marks in (("_MolFileBondStereo", (1, 6)), ("_MolFileBondCfg", (1, 3)))
    )


def _has_axial_mark(smiles: str) -> bool:
    """Whether a carbon between two double bonds has an `@`, which RDKit passes over."""
    mol = _as_written(smiles)
    if mol is None:
        return False
    inner = {match[0] for match in mol.GetSubstructMatches(_CUMULATED)}
    return any("@" in text and at in inner for at, text in enumerate(_ATOM.findall(smiles)))


def _wedge_lost(smiles: str, extension: str, wedges: Sequence[str]) -> bool:
    """Whether a wedge begins at a flat atom, or at a stereocentre whose configuration RDKit did not take from it."""
    mol = _as_written(f"{smiles} {extension}")
    if mol is None:
        return False
    begins = {int(bond.partition(".")[0]) for told in wedges for bond in told.strip(",").split(",")}
    unset = {
        found.centeredOn
        for found in Chem.FindPotentialStereo(mol)
        if found.type == Chem.StereoType.Atom_Tetrahedral and found.specified == Chem.StereoSpecified.Unspecified
    }
    flat = {Chem.HybridizationType.SP, Chem.HybridizationType.SP2}
    return any(
        at in unset or (at < mol.GetNumAtoms() and mol.GetAtomWithIdx(at).GetHybridization() in flat) for at in begins
    )


def _as_written(text: str) -> Chem.Mol | None:
    """Return the molecule with every atom that is written, in the order of the text."""
    options = Chem.SmilesParserParams()
    options.removeHs = False  # type: ignore[assignment]  # RDKit's stubs
    with quiet_rdkit():
        mol: Chem.Mol | None = Chem.MolFromSmiles(text, options)
    return mol


def _is_in_the_way(near: Chem.Atom) -> bool:
    """Whether an atom beside the bond has a substituent; fluorine is too small to keep rings from turning."""
    return near.GetDegree() > 2 and all(other.GetSymbol() != "F" for other in near.GetNeighbors())


def _is_fixed(mol: Chem.Mol, pair: Sequence[int]) -> bool:
    """Whether two rings are too hindered to turn, and neither is the same on both sides of the bond between them."""
    ranks = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
    hindered = 0
    for here, there in (pair, pair[::-1]):
        beside = [near for near in mol.GetAtomWithIdx(here).GetNeighbors() if near.GetIdx() != there]
        if len(beside) != 2 or ranks[beside[0].GetIdx()] == ranks[beside[1].GetIdx()]:
            return False
        hindered += sum(_is_in_the_way(near) for near in beside)
    return hindered >= _HINDERED
