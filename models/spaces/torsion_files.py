"""Conformers as SD files: the relaxed geometry of each, with hydrogens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rdkit import Chem

from data.chemistry.torsions import GeometryError
from data.objects import NotStandardError
from data.records import JsonDict
from models.spaces.base import Exporter
from models.spaces.molecule_exports import field_name, sdf_text

if TYPE_CHECKING:
    from models.spaces.torsions import Torsions


def sdf_of(space: Torsions) -> Exporter:
    """Return what writes conformers in three dimensions, every field a property.

    A conformer without a geometry is written as an empty molecule: its row is there all the same.
    """

    def written(rows: Sequence[JsonDict]) -> str:
        parts: list[str] = []
        for row in rows:
            try:
                mol = Chem.Mol(space.relaxed(row[space.column]).mol)
            except (GeometryError, NotStandardError):
                mol = Chem.Mol()
            mol.SetProp("_Name", str(row.get("id", "")))
            parts.append(Chem.MolToMolBlock(mol))
            for key, value in row.items():
                if value is not None and value != "":
                    parts.append(f">  <{field_name(key)}>\n{sdf_text(value)}\n\n")
            parts.append("$$$$\n")
        return "".join(parts)

    return written
