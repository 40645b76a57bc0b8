"""An example of one's own measurement: any function of a list of SMILES will do."""

from rdkit import Chem
from rdkit.Chem import Crippen, rdMolDescriptors


def measure(molecules: list[str]) -> list[float]:
    """Prefer a log P of 2.5 with a small polar surface; 0 is ideal."""
    out = []
    for smiles in molecules:
        mol = Chem.MolFromSmiles(smiles)
        surface = rdMolDescriptors.CalcTPSA(mol)
        out.append(-abs(Crippen.MolLogP(mol) - 2.5) - surface / 100)
    return out
