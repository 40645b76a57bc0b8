"""The energy of a conformer whose torsion angles are held, above the lowest one known: its strain."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from pydantic import Field

from models.oracles.base import MeasurementFailure, ObjectOracle, OracleOptions
from models.registry import ComponentError
from models.spaces.base import BaseSpace
from models.spaces.torsions import GeometryError, Torsions


class ConformerEnergy(ObjectOracle["ConformerEnergy.Options"]):
    """MMFF94 energy in kcal/mol, in vacuum: the torsions of the space are held, all other coordinates relaxed.

    It is told above the lowest of 50 geometries that ETKDGv3 makes and MMFF94 relaxes freely, under a fixed seed: where
    those miss a lower one, an energy may be negative. Entropy and solvent are left out.

    References: MMFF94: Halgren, J. Comput. Chem. 1996, 17, 490. ETKDGv3: Wang et al., J. Chem. Inf. Model. 2020, 60,
    2044.
    """

    kind = "conformer_energy"
    spaces = ("torsions",)
    cites = ("halgren1996mmff94", "wang2020etkdg", "rdkit")
    unit = "kcal/mol"
    digits = 4
    lasting = True

    class Options(OracleOptions):
        """Options of the oracle `conformer_energy`."""

        starts: int = Field(
            default=3, ge=1, le=50, description="geometries to relax from with the torsions held; the lowest counts"
        )
        chunk: int = Field(default=16, ge=1, description="conformers per call")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.version = f"{Torsions.energies}/rdkit-{version('rdkit')}"

    @property
    def label(self) -> str:
        """Short name for people."""
        return "MMFF94 energy"

    def check_space(self, space: BaseSpace[Any]) -> None:
        """Look whether the molecule has energies.

        Raises:
            ComponentError: MMFF94 has no parameters for it.
        """
        if isinstance(space, Torsions) and not space.rotor.has_parameters:
            raise ComponentError(
                f"The oracle {self.kind!r} needs MMFF94 parameters, which the molecule {space.options.smiles} of the "
                "space has not for all its atoms. Measure with an oracle of kind 'command' or 'python', or take "
                "another molecule."
            )

    def measure(self, obj: str) -> float:
        """Return the energy of one conformer, kcal/mol.

        Raises:
            MeasurementFailure: `geometry` if no relaxation ends with the torsions where they are held.
        """
        space = self.space
        assert isinstance(space, Torsions)
        try:
            return space.relaxed(obj, self.options.starts).energy
        except GeometryError as error:
            raise MeasurementFailure("geometry", str(error)) from error
