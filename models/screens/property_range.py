"""Bounds on a descriptor of RDKit."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Self

from pydantic import Field, field_validator, model_validator
from rdkit import Chem
from rdkit.Chem import Descriptors

from data.chemistry.molecules import quiet_rdkit
from models.registry import Component
from models.screens.base import MoleculeScreen

_DESCRIPTORS = dict(Descriptors.descList)


class PropertyRange(MoleculeScreen["PropertyRange.Options"]):
    """Refuse molecules whose RDKit descriptor lies outside [min, max]; either bound may be left out."""

    kind = "property_range"
    lasting = True
    cites = ("rdkit",)
    reference = "RDKit, rdkit.Chem.Descriptors"

    class Options(Component.Options):
        """Options of the screen `property_range`."""

        descriptor: str = Field(description="name in rdkit.Chem.Descriptors, for example MolLogP, TPSA, RingCount")
        min: float | None = Field(default=None, description="smallest value that passes")
        max: float | None = Field(default=None, description="largest value that passes")

        @field_validator("descriptor")
        @classmethod
        def _known(cls, name: str) -> str:
            if name not in _DESCRIPTORS:
                close = "".join(f"; the nearest is {item!r}" for item in get_close_matches(name, _DESCRIPTORS, n=1))
                raise ValueError(f"RDKit has no descriptor {name!r}{close}")
            return name

        @model_validator(mode="after")
        def _bounds(self) -> Self:
            if self.min is None and self.max is None:
                raise ValueError("expected `min`, `max` or both")
            if self.min is not None and self.max is not None and self.min > self.max:
                raise ValueError(f"`min` {self.min:g} is above `max` {self.max:g}")
            return self

    def reason(self, mol: Chem.Mol) -> str | None:
        """Return that the descriptor is out of range, or None; one that is not a number refuses."""
        options = self.options
        with quiet_rdkit():
            value = float(_DESCRIPTORS[options.descriptor](mol))
        above = options.min is None or value >= options.min
        below = options.max is None or value <= options.max
        if above and below:
            return None
        low = "-inf" if options.min is None else f"{options.min:g}"
        high = "inf" if options.max is None else f"{options.max:g}"
        return f"{options.descriptor} is {value:.4g}; between {low} and {high} passes."
