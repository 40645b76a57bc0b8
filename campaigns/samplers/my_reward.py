"""A reward of one's own: distinct objects in, one number above 0 for each out. Molecules are canonical SMILES."""

import math

from rdkit import Chem
from rdkit.Chem import QED


def drug_likeness(molecules: list[str]) -> list[float]:
    """Return the eighth power of the quantitative estimate of drug-likeness, so that differences count."""
    return [(2.0 * QED.qed(Chem.MolFromSmiles(smiles))) ** 8 for smiles in molecules]


BONDS = {"GC": 3, "CG": 3, "AU": 2, "UA": 2, "GU": 2, "UG": 2}


def hydrogen_bonds(sequences: list[str]) -> list[float]:
    """Return exp of the hydrogen bonds when the first letter meets the last, the second the last but one, and so on."""
    return [math.exp(sum(BONDS.get(one[at] + one[-1 - at], 0) for at in range(len(one) // 2))) for one in sequences]
