"""One molecule to its standard form: counter-ions off, charges settled, groups as people draw them.

Sulfoxides, sulfoximines, phosphine oxides and their kind are neutral with double bonds, S(=O), also where they were
drawn with charges; nitro, N-oxide and azide are as RDKit's readers give them. Tautomers stay as drawn: they are two
objects. Charges are settled with protons only (RDKit's Uncharger): no hydride is ever added or taken off.
"""

from __future__ import annotations

import re
from functools import cache

from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

from data.chemistry.molecules import parse, quiet_rdkit, remember_canonical
from data.chemistry.structures import structure
from data.objects import NotStandardError

COUNTER_IONS = frozenset(
    {
        *("[Li+]", "[Na+]", "[K+]", "[Rb+]", "[Cs+]", "[Mg+2]", "[Ca+2]", "[Sr+2]", "[Ba+2]", "[Zn+2]"),
        *("[NH4+]", "N", "[F-]", "[Cl-]", "[Br-]", "[I-]", "Cl", "Br", "I", "O"),
    }
)
"""Fragments that are taken off, however many and in any order: alkali, alkaline-earth and zinc cations, ammonium and
ammonia, halides and the hydrogen halides, water. Any other second fragment could be the one that was measured (an acid
such as fumaric, a second drug), so the row is refused."""

# A bracket atom that is no hydrogen, or an atom of the organic subset.
_HEAVY_ATOM = re.compile(r"\[(?!\d*H[+-]?\d*(?::\d+)?\])[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*]")

_CHARGED = re.compile(r"\[[^\]]*[+-]")
"""A bracket atom with a charge. A sign outside of brackets is a bond."""

_SIGNS = re.compile(r"\[[^\]+-]*(\+\d+|-\d+|\++|-+)[^\]]*\]")
"""The charge of a bracket atom: a sign with a number, or repeated."""

_RECOMBINE = """//	Name	SMIRKS
1,3	[N,P,As,O,S,Se,Te;-1:1]-[A+0:2]=[N,P,As,O,S,Se,Te;+1:3]>>[*-0:1]=[*:2]-[*+0:3]
1,3 aromatic	[N,O,P,S;-1:1]-[a+0:2]:[n,o,p,s;+1:3]>>[*-0:1]=[*:2]:[*+0:3]
1,5	[N,P,As,O,S,Se,Te;-1:1]-[A+0:2]=[A:3]-[A:4]=[N,P,As,O,S,Se,Te;+1:5]>>[*-0:1]=[*:2]-[*:3]=[*:4]-[*+0:5]
amidinium	[N;X3;+0;!H0:1]-[C+0:2]=[N;+1;H0;!$(*~[-]):3]>>[*+1:1]=[*:2]-[*+0:3]
1,5 aromatic	[N,O,P,S;-1:1]-[c:2]:[a:3]:[a:4]:[n,o,p,s;+1:5]>>[*-0:1]=[c:2]:[*:3]:[*:4]:[*+0:5]
"""
"""Charges that are one resonance form of a neutral molecule (an amide drawn O-C=N+), and
those of an amidinium that are drawn on the nitrogen without a proton to give; the rules are RDKit's."""

_HYPERVALENT = frozenset({"P", "S", "Se", "Te", "As"})
_DOUBLE_TO = frozenset({"O", "S", "Se", "N"})
_TAKES_PROTON = {"N": 2, "O": 1, "S": 1, "Se": 1, "Te": 1, "F": 0, "Cl": 0, "Br": 0, "I": 0, "P": 2, "As": 2}
"""Symbol -> most neighbours of an anionic atom that a proton makes neutral. Not in it: boron, aluminium, silicon and
carbon anions and hydride, whose neutral forms are other substances; nor PF6-, which has too many neighbours."""


def heavy_atoms_in_text(smiles: str) -> int:
    """Count the heavy atoms of the largest fragment of a SMILES text, without building a molecule (5 us)."""
    if "." in smiles:
        return max(heavy_atoms_in_text(part) for part in smiles.split("."))
    return len(_HEAVY_ATOM.findall(smiles))


def net_charge_in_text(smiles: str) -> int:
    """Return the sum of the formal charges in a SMILES text, without building a molecule."""
    found = (match[1] for match in _SIGNS.finditer(smiles))
    return sum(
        (1 if signs[0] == "+" else -1) * (int(signs[1:]) if signs[1:].isdigit() else len(signs)) for signs in found
    )


@cache
def _tools() -> tuple[rdMolStandardize.Normalizer, rdMolStandardize.Uncharger]:
    with quiet_rdkit():
        normalizer = rdMolStandardize.NormalizerFromData(_RECOMBINE, rdMolStandardize.CleanupParameters())
        return normalizer, rdMolStandardize.Uncharger(canonicalOrder=True, protonationOnly=True)


def standardise(smiles: str) -> Chem.Mol:
    """Return the standard form of a molecule, sanitised; its canonical SMILES reads back as the same molecule.

    In order: atom-map numbers and counter-ions are taken off (`COUNTER_IONS`), charges that only draw a double bond
    are drawn as one, and protons are added or removed until the charge is zero where that is possible. What stays
    charged is returned charged: whether ions are allowed is the search space's question. So are radicals and isotopes.

    Args:
        smiles: SMILES, or CXSMILES with its extension `|...|`.

    Raises:
        NotStandardError: no valid SMILES, more or less than one molecule (polymer, R-group, query, mixture of
            stereoisomers), more than one fragment that is no counter-ion, or no valid structure left.
    """
    return standard_form(smiles)[0]


def standard_form(smiles: str) -> tuple[Chem.Mol, str]:
    """Return the standard form of a molecule, and its canonical SMILES; as `standardise`."""
    drawn = mol = structure(smiles)
    if "." in smiles:
        mol = _parent(mol)
    # Charges of which the text has none are those that RDKit's readers give: nitro, azide, N-oxide.
    if _CHARGED.search(smiles):
        mol = _settled(mol)
    text = str(Chem.MolToSmiles(mol))
    if mol is drawn and text == smiles:  # nothing was changed: to read it again would give the same molecule
        remember_canonical(text, text)
        return mol, text
    settled = parse(text)
    if settled is None:
        raise NotStandardError("no valid structure after its charges are settled")
    canonical = str(Chem.MolToSmiles(settled))
    remember_canonical(text, canonical)
    return settled, canonical


def _settled(mol: Chem.Mol) -> Chem.Mol:
    normalizer, uncharger = _tools()
    with quiet_rdkit():
        try:
            mol = _double_bonds(normalizer.normalize(mol))
            return uncharger.uncharge(mol) if all(map(_can_settle, mol.GetAtoms())) else mol
        except (ValueError, RuntimeError) as error:
            raise NotStandardError("RDKit cannot normalise the structure") from error


def _can_settle(atom: Chem.Atom) -> bool:
    """Whether an atom is no anion, has its charge beside a positive one, or can take a proton."""
    if atom.GetFormalCharge() >= 0 or any(near.GetFormalCharge() > 0 for near in atom.GetNeighbors()):
        return True
    return atom.GetDegree() <= _TAKES_PROTON.get(atom.GetSymbol(), -1)


def _double_bonds(mol: Chem.Mol) -> Chem.Mol:
    """Return the molecule with S+ and O- and their kind drawn as a double bond."""
    if not any(map(_draws_double, mol.GetBonds())):
        return mol
    drawn = Chem.RWMol(mol)
    Chem.Kekulize(drawn, clearAromaticFlags=True)
    for bond in drawn.GetBonds():
        if _draws_double(bond):
            bond.SetBondType(Chem.BondType.DOUBLE)
            for atom in (bond.GetBeginAtom(), bond.GetEndAtom()):
                atom.SetFormalCharge(atom.GetFormalCharge() - (1 if atom.GetFormalCharge() > 0 else -1))
    Chem.SanitizeMol(drawn)
    return drawn.GetMol()


def _draws_double(bond: Chem.Bond) -> bool:
    if bond.GetBondType() != Chem.BondType.SINGLE:
        return False
    a, b = bond.GetBeginAtom(), bond.GetEndAtom()
    plus, minus = (a, b) if a.GetFormalCharge() > 0 else (b, a)
    return (
        plus.GetFormalCharge() > 0
        and minus.GetFormalCharge() == -1
        and plus.GetSymbol() in _HYPERVALENT
        and minus.GetSymbol() in _DOUBLE_TO
    )


def _parent(mol: Chem.Mol) -> Chem.Mol:
    fragments = Chem.GetMolFrags(mol, asMols=True)
    if len(fragments) == 1:
        return mol
    organic: list[Chem.Mol] = [fragment for fragment in fragments if Chem.MolToSmiles(fragment) not in COUNTER_IONS]
    if len(organic) != 1:
        raise NotStandardError("more than one fragment, and not a salt of a simple counter-ion")
    return organic[0]
