"""Scores that RDKit computes from the molecular graph: cheap stand-ins for a measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field
from rdkit import Chem, rdBase
from rdkit.Chem import QED, rdMolDescriptors

from data.chemistry.accessibility import synthetic_accessibility
from data.chemistry.molecules import shared
from models.oracles.base import MeasurementFailure, MoleculeOracle, OracleOptions

Property = Literal["qed", "logp", "synthetic_accessibility"]


def _qed(mol: Chem.Mol) -> float:
    return float(QED.qed(mol))


def _logp(mol: Chem.Mol) -> float:
    return float(rdMolDescriptors.CalcCrippenDescriptors(mol)[0])


def _synthetic_accessibility(mol: Chem.Mol) -> float:
    return synthetic_accessibility(Chem.MolToSmiles(mol))


_PROPERTIES: Mapping[str, Callable[[Chem.Mol], float]] = {
    "qed": _qed,
    "logp": _logp,
    "synthetic_accessibility": _synthetic_accessibility,
}


class RdkitScore(MoleculeOracle["RdkitScore.Options"]):
    """Drug-likeness (qed, 0 to 1), octanol-water logP, or synthetic accessibility (1 to 10); no unit.

    References: QED: Bickerton et al., Nature Chem. 2012, 4, 90. logP: Wildman, Crippen, J. Chem. Inf. Comput. Sci.
    1999, 39, 868. Synthetic accessibility: Ertl, Schuffenhauer, J. Cheminformatics 2009, 1, 8.
    """

    kind = "rdkit"
    spaces = ("molecules",)
    digits = 9
    lasting = True
    cites = ("bickerton2012qed", "wildman1999crippen", "ertl2009accessibility", "rdkit")

    class Options(OracleOptions):
        """Options of the oracle `rdkit`."""

        property: Property = Field(default="qed", description="the score")
        chunk: int = Field(default=32, ge=1, description="molecules per call")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.version = f"{self.options.property}/rdkit-{rdBase.rdkitVersion}"

    def cited(self) -> tuple[str, ...]:
        """Return the paper of the score, and the library."""
        papers = {"qed": "bickerton2012qed", "logp": "wildman1999crippen"}
        return papers.get(self.options.property, "ertl2009accessibility"), "rdkit"

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"rdkit:{self.options.property}"

    def measure(self, smiles: str) -> float:
        """Return the score of one molecule.

        Raises:
            MeasurementFailure: `invalid` if the text is no molecule.
        """
        mol = shared(smiles)
        if mol is None:
            raise MeasurementFailure("invalid", f"{smiles!r} is no valid SMILES.")
        return _PROPERTIES[self.options.property](mol)
