"""RDKit's filter catalogues of medicinal chemistry, by name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from pydantic import Field, field_validator
from rdkit import Chem
from rdkit.Chem.FilterCatalog import FilterCatalog as RdkitCatalog
from rdkit.Chem.FilterCatalog import FilterCatalogParams

from models.registry import Component
from models.screens.base import MoleculeScreen

_CATALOGS: dict[str, Any] = dict(FilterCatalogParams.FilterCatalogs.names)


class FilterCatalog(MoleculeScreen["FilterCatalog.Options"]):
    """Refuse molecules that match a filter catalogue of RDKit, such as BRENK, PAINS or NIH.

    These lists are made for drug screening: they refuse, among others, quinones and many nitriles.

    References: BRENK: Brenk et al., ChemMedChem 2008, 3, 435. PAINS: Baell, Holloway, J. Med. Chem. 2010, 53, 2719.
    NIH: Jadhav et al., J. Med. Chem. 2010, 53, 37.
    """

    kind = "filter_catalog"
    lasting = True
    cites = ("brenk2008lessons", "baell2010pains", "jadhav2010artifacts", "rdkit")

    class Options(Component.Options):
        """Options of the screen `filter_catalog`."""

        catalogs: tuple[str, ...] = Field(default=("BRENK",), min_length=1, description="names of RDKit catalogues")

        @field_validator("catalogs")
        @classmethod
        def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
            for name in names:
                if name not in _CATALOGS:
                    known = sorted(_CATALOGS)
                    close = "".join(f"; the nearest is {item!r}" for item in get_close_matches(name, known, n=1))
                    raise ValueError(f"RDKit has no catalogue {name!r}; expected {', '.join(known)}{close}")
            return names

    def cited(self) -> tuple[str, ...]:
        """Return the papers of the catalogues that are used."""
        papers = {"BRENK": "brenk2008lessons", "PAINS": "baell2010pains", "NIH": "jadhav2010artifacts"}
        named = [papers[family] for family in papers if any(one.startswith(family) for one in self.options.catalogs)]
        return (*(named or papers.values() if "ALL" in self.options.catalogs else named), "rdkit")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        parameters = FilterCatalogParams()
        for name in self.options.catalogs:
            parameters.AddCatalog(_CATALOGS[name])
        self._catalog = RdkitCatalog(parameters)

    def reason(self, mol: Chem.Mol) -> str | None:
        """Return the first entry of a catalogue that the molecule matches, or None."""
        entry = self._catalog.GetFirstMatch(mol)
        if entry is None:
            return None
        return f"It matches {entry.GetDescription()} of the catalogue {'+'.join(self.options.catalogs)}."
