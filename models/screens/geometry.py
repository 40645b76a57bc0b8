"""Whether a molecule has a geometry in three dimensions at all."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from data.chemistry.molecules import quiet_rdkit
from models.registry import Component
from models.screens.base import MoleculeScreen


class Geometry(MoleculeScreen["Geometry.Options"]):
    """Refuse molecules of which ETKDG finds no geometry, from random coordinates either.

    Some 10 ms a molecule of 20 heavy atoms, where the rules of `strained_rings` take microseconds and miss a few: small
    cages with a carbonyl or an imine in a bridge.

    Reference: Wang, Witek, Landrum and Riniker, J. Chem. Inf. Model. 60, 2044 (2020).
    """

    kind = "geometry"
    lasting = True
    cites = ("wang2020etkdg",)

    class Options(Component.Options):
        """Options of the screen `geometry`."""

        tries: int = Field(default=10, ge=1, le=1000, description="starts from which a geometry is sought")

    def reason(self, mol: Chem.Mol) -> str | None:
        """Return that there is no geometry, or None."""
        parameters: Any = rdDistGeom.ETKDGv3()
        parameters.randomSeed, parameters.maxIterations = 7, self.options.tries
        molecule = Chem.AddHs(mol)
        with quiet_rdkit():
            for parameters.useRandomCoords in (False, True):
                if rdDistGeom.EmbedMolecule(molecule, parameters) == 0:
                    return None
        return "The molecule has no geometry: ETKDG finds none, from random coordinates either."
