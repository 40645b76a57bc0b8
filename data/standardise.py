"""One molecule to its standard form: counter-ions off, functional groups normalised, charges settled.

Uses RDKit's own rules (Normalizer and Uncharger of `MolStandardize`); tautomers are left as drawn: they are different
objects, and what is measured on one is not known of the other.
"""

from __future__ import annotations

import re
from functools import cache

from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

from data.molecules import parse, quiet_rdkit

COUNTER_IONS = frozenset(
    {"[Li+]", "[Na+]", "[K+]", "[Mg+2]", "[Ca+2]", "[NH4+]", "N", "[Cl-]", "[Br-]", "[I-]", "Cl", "Br", "I", "O"}
)
"""Fragments that are taken off: alkali and alkaline-earth cations, ammonium and ammonia, halides and the hydrogen
halides, water. Any other second fragment could be the one that was measured, so the row is refused."""

# A bracket atom that is no hydrogen, or an atom of the organic subset.
_HEAVY_ATOM = re.compile(r"\[(?!\d*H[+-]?\d*\])[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*]")


class NotStandardError(ValueError):
    """The text has no standard form; the message is a phrase that says why."""


def heavy_atoms_in_text(smiles: str) -> int:
    """Count the heavy atoms of the largest fragment of a SMILES text, without building a molecule (5 us)."""
    if "." in smiles:
        return max(heavy_atoms_in_text(part) for part in smiles.split("."))
    return len(_HEAVY_ATOM.findall(smiles))


@cache
def _tools() -> tuple[rdMolStandardize.Normalizer, rdMolStandardize.Uncharger]:
    with quiet_rdkit():
        return rdMolStandardize.Normalizer(), rdMolStandardize.Uncharger(canonicalOrder=True)


def standardise(smiles: str) -> Chem.Mol:
    """Return the standard form of a molecule, sanitised; its canonical SMILES reads back as the same molecule.

    In order: counter-ions and water are taken off (`COUNTER_IONS`), functional groups are normalised (for example
    pentavalent nitro to charge-separated), and protons are added or removed until the charge is zero where that is
    possible. What stays charged is returned charged: whether ions are allowed is the search space's question.

    Args:
        smiles: any SMILES text.

    Raises:
        NotStandardError: no valid SMILES, more than one fragment that is no counter-ion, or no valid structure left.
    """
    mol = parse(smiles)
    if mol is None:
        raise NotStandardError("no valid SMILES")
    if "." in smiles:
        mol = _parent(mol)
    normalizer, uncharger = _tools()
    with quiet_rdkit():
        try:
            text = str(Chem.MolToSmiles(uncharger.uncharge(normalizer.normalize(mol))))
        except (ValueError, RuntimeError) as error:
            raise NotStandardError("RDKit cannot normalise the structure") from error
    settled = parse(text)
    if settled is None:
        raise NotStandardError("no valid structure after its charges are settled")
    return settled


def _parent(mol: Chem.Mol) -> Chem.Mol:
    fragments = Chem.GetMolFrags(mol, asMols=True)
    if len(fragments) == 1:
        return mol
    organic: list[Chem.Mol] = [fragment for fragment in fragments if Chem.MolToSmiles(fragment) not in COUNTER_IONS]
    if len(organic) != 1:
        raise NotStandardError("more than one fragment, and not a salt of a simple counter-ion")
    return organic[0]
