"""A text or a drawing to one molecule, or why it is none: CXSMILES extensions, polymers, mixtures, queries, R-groups.

One reading for tables, SMILES files and SD files: whatever is drawn beyond a plain molecule is either part of the
molecule that is returned (radicals, stereochemistry) or a reason to refuse it; nothing is passed over.
"""

from __future__ import annotations

import re

from rdkit import Chem

from data.chemistry.axes import lost_from_text
from data.chemistry.molecules import quiet_rdkit
from data.objects import NotStandardError

# A section is told by what it begins with; RDKit passes over those it does not know.
_SECTIONS = re.compile(
    r"\(|\$|\^[1-7]:|[&o]\d+:|a:|r(,|$)|[cCH]:|t:|ctu:|w:|w[UDu]?:|wU:|wD:|atomProp:|Sg|SgD|SgH|m:|LN:|rb:|s:|u:|lp:|f:|\d"
)
_HARMLESS_GROUPS = frozenset({"DAT", "SUP"})
"""Notes on atoms, and abbreviations that are drawn out: the structure is whole without them."""
_BONDS = frozenset(
    {Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC, Chem.BondType.DATIVE}
)
_ALIASES = re.compile(r"_AP\d+|_R\d+|R\d*|Pol(_p)?|star_e|[AQMX]H?(_[ep])?")
_UNUSUAL = re.compile(r"[*~$]|#0")
"""What a SMILES has if it has an unknown atom or a bond without an order; the text tells in a microsecond."""
_BAD = re.compile(r"[^!-~]")


def split_text(text: str) -> tuple[str, str]:
    """Return the SMILES of a text, and its CXSMILES extension `|...|`, empty where there is none.

    Raises:
        NotStandardError: something else stands behind the SMILES, or the extension does not close.
    """
    smiles, _, rest = text.strip().replace("\t", " ").partition(" ")
    rest = rest.strip()
    if not rest:
        return smiles, ""
    if not rest.startswith("|"):
        raise NotStandardError("text behind the SMILES that is no CXSMILES extension |...|")
    end = rest.find("|", 1)
    if end != len(rest) - 1 or end < 1:
        raise NotStandardError("a CXSMILES extension |...| that does not close, or text behind it")
    return smiles, rest


def structure(text: str) -> Chem.Mol:
    """Return the sanitised molecule of a SMILES or CXSMILES text, atom-map numbers taken off.

    Raises:
        NotStandardError: no valid SMILES, or more or less than a molecule (`refusal`).
    """
    smiles, extension = split_text(text)
    if not smiles or _BAD.search(smiles):
        raise NotStandardError("no valid SMILES")
    if extension and not _known_sections(extension[1:-1]):
        raise NotStandardError("a CXSMILES extension |...| that cannot be read")
    with quiet_rdkit():
        mol = Chem.MolFromSmiles(f"{smiles} {extension}" if extension else smiles)
    if mol is None and extension and _valid(smiles):
        raise NotStandardError("a CXSMILES extension |...| that cannot be read")
    if mol is None or mol.GetNumAtoms() == 0:
        raise NotStandardError("no valid SMILES")
    reason = refusal(mol, drawn=bool(extension)) if extension or _UNUSUAL.search(smiles) else None
    reason = reason or lost_from_text(smiles, extension, mol)
    if reason is not None:
        raise NotStandardError(reason)
    return without_maps(mol) if ":" in smiles else mol


def _valid(smiles: str) -> bool:
    with quiet_rdkit():
        return Chem.MolFromSmiles(smiles) is not None


def _known_sections(inside: str) -> bool:
    """Whether an extension begins with a section that there is; RDKit reads on from there or refuses."""
    return not inside.strip() or _SECTIONS.match(inside.lstrip(" ,")) is not None


def without_maps(mol: Chem.Mol) -> Chem.Mol:
    """Return the molecule without atom-map numbers: they say which atom is which in a reaction, not what it is."""
    if not any(atom.GetAtomMapNum() for atom in mol.GetAtoms()):
        return mol
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(0)
    with quiet_rdkit():
        read: Chem.Mol | None = Chem.MolFromSmiles(Chem.MolToSmiles(mol))
    return mol if read is None else read


def refusal(mol: Chem.Mol, *, drawn: bool = True) -> str | None:
    """Return why a drawing is not one molecule, or None.

    Args:
        mol: as RDKit reads it.
        drawn: whether it can have more than atoms and bonds (an SD file, or a CXSMILES extension).
    """
    if any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms()):
        return "an R-group, an attachment point or an unknown atom (*)"
    if any(bond.GetBondType() not in _BONDS or bond.HasQuery() for bond in mol.GetBonds()):
        return "a bond that is a query or has no order"
    if any(atom.HasQuery() for atom in mol.GetAtoms()):
        return "a query atom"
    return _beyond_atoms(mol) if drawn else None


def _beyond_atoms(mol: Chem.Mol) -> str | None:
    kinds = {group.GetProp("TYPE") for group in Chem.GetMolSubstanceGroups(mol)} - _HARMLESS_GROUPS
    if kinds & {"SRU", "MON", "MER", "COP", "CRO", "MOD", "GRA", "ANY"}:
        return "a polymer: its repeat unit is drawn, the value is that of the polymer"
    if kinds:
        return f"brackets of kind {', '.join(sorted(kinds))} (a mixture, a multiple or a generic group)"
    mixtures = {Chem.StereoGroupType.STEREO_AND, Chem.StereoGroupType.STEREO_OR}
    if any(group.GetGroupType() in mixtures for group in mol.GetStereoGroups()):
        return "a mixture of stereoisomers, or an unknown one of them (enhanced stereochemistry & or o)"
    for atom in mol.GetAtoms():
        label = atom.GetProp("atomLabel") if atom.HasProp("atomLabel") else ""
        if atom.HasProp("molAttchpt") or _ALIASES.fullmatch(label):
            return "an R-group, an attachment point or an unknown atom (*)"
    if mol.HasProp("_molLinkNodes"):
        return "a link node: a part that repeats"
    if any(bond.HasProp("_MolFileBondEndPts") for bond in mol.GetBonds()):
        return "a bond to one of several atoms"
    return None
