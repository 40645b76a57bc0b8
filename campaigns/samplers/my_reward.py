"""A reward of one's own: distinct objects in, one number above 0 for each out. Molecules are canonical SMILES."""

from rdkit import Chem
from rdkit.Chem import QED


def drug_likeness(molecules: list[str]) -> list[float]:
    """Return the eighth power of the quantitative estimate of drug-likeness, so that differences count."""
    return [(2.0 * QED.qed(Chem.MolFromSmiles(smiles))) ** 8 for smiles in molecules]
