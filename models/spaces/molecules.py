"""Molecules: neutral, of one component and bounded size; the text is RDKit's canonical SMILES."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from rdkit import Chem

from data.chemistry.accessibility import synthetic_accessibility
from data.chemistry.bounds import outside, strained
from data.chemistry.compounds import inchikey, letters
from data.chemistry.cores import core_places
from data.chemistry.depiction import atom_places, depict
from data.chemistry.elements import SYMBOLS
from data.chemistry.files.readers import FORMATS
from data.chemistry.groups import GROUPS, groups_in
from data.chemistry.molecules import identity, scaffold, shared
from data.chemistry.standardise import heavy_atoms_in_text, net_charge_in_text, standard_form
from data.config import nearest_spelling
from data.objects import NotStandardError, Space
from data.yaml_text import shown
from models.registry import Component, ComponentError
from models.spaces.base import BaseSpace, Fact
from models.spaces.molecule_exports import as_sdf, as_smi
from models.spaces.molecule_operators import Operators, count_palette

_SMILES = re.compile(r"[A-Za-z0-9@+\-\[\]()=#$:/\\%.*~]+")


_MOST = 100_000
_admissions: dict[str, dict[str, tuple[str | None, str]]] = {}
"""Key of a space -> text -> standard form, or None and the reason; `_MOST` texts of a space."""


LONGEST = 2000
"""Characters of a SMILES: RDKit takes minutes for ten thousand atoms, and crashes at twenty thousand."""


def standard_molecule(text: str) -> str:
    """Return the canonical SMILES of a molecule in standard form: counter-ions off, charges settled; any size.

    Raises:
        NotStandardError: it cannot be read or standardised; the message is a phrase.
    """
    return _read(text)[1]


def _read(text: str) -> tuple[Chem.Mol, str]:
    if not text:
        raise NotStandardError("no SMILES in this row")
    if len(text) > LONGEST:
        raise NotStandardError(f"{len(text):,} characters, of a SMILES at most {LONGEST:,}")
    return standard_form(text)


class Molecules(BaseSpace["Molecules.Options"]):
    """Neutral molecules of one component, of bounded size and given elements.

    Tautomers, stereoisomers and isotopologues are different molecules. Train and test share no Bemis-Murcko scaffold.
    """

    kind = "molecules"
    cites = ("rdkit",)
    edits_cite = ("jensen2019graph",)
    nouns = ("molecule", "molecules")
    features = {"kind": "both"}
    weighed_features = {"kind": "descriptors_and_fingerprints"}
    neighbours = {"kind": "morgan_counts"}
    construction = {"kind": "fragments"}
    column = "smiles"
    text_name = "SMILES"
    compound_column = "inchikey"
    compound_name = "compound (InChIKey)"
    suffix = "smi"
    files = FORMATS
    exports = {"sdf": as_sdf, "smi": as_smi}
    family_name = "scaffold"
    map_name = "Chemical space"
    map_method = "kernel PCA of Tanimoto similarities of Morgan counts (radius 2)"
    unfit_kind = "strained_rings"
    likeness = "Tanimoto similarity (Morgan counts, radius 2)"
    motifs = tuple(GROUPS)
    motifs_told = (
        f"Each molecule was searched for {len(GROUPS)} SMARTS patterns of common groups and rings when the page was "
        "made; other substructures cannot be searched for here."
    )
    facts = {
        "sa_score": Fact("SA score", note="SA score: synthetic accessibility, 1 (easy) to 10 (hard)."),
        "heavy_atoms": Fact("Heavy atoms", digits=0),
    }

    class Options(Component.Options):
        """Bounds of the space."""

        max_heavy_atoms: int = Field(default=14, ge=1, le=60, description="most atoms other than hydrogen")
        min_heavy_atoms: int = Field(default=3, ge=1, description="fewest atoms other than hydrogen")
        elements: tuple[str, ...] = Field(
            default=("H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Br"),
            description="symbols of the allowed elements, hydrogen included",
        )
        strained_rings: Literal["refuse", "allow"] = Field(
            default="refuse",
            description="whether molecules may be bought whose rings are of more than eight atoms or too strained",
        )

        def cited(self) -> tuple[str, ...]:
            """Return the paper of what rings are too strained, where they are refused."""
            return ("fawcett1950bredt",) if self.strained_rings == "refuse" else ()

        @field_validator("elements")
        @classmethod
        def _are_elements(cls, elements: tuple[str, ...]) -> tuple[str, ...]:
            for symbol in elements:
                if symbol not in SYMBOLS:
                    hint = nearest_spelling(symbol.capitalize(), SYMBOLS)
                    raise ValueError(f"{shown(symbol)} is no symbol of an element; expected such as C, N or Cl.{hint}")
            return elements

        @model_validator(mode="after")
        def _ordered(self) -> Self:
            if self.min_heavy_atoms > self.max_heavy_atoms:
                raise ValueError(
                    f"min_heavy_atoms ({self.min_heavy_atoms}) is above max_heavy_atoms ({self.max_heavy_atoms})"
                )
            return self

    @property
    def max_heavy_atoms(self) -> int:
        """Most atoms other than hydrogen."""
        return self.options.max_heavy_atoms

    @property
    def min_heavy_atoms(self) -> int:
        """Fewest atoms other than hydrogen."""
        return self.options.min_heavy_atoms

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the allowed elements, hydrogen included."""
        return self.options.elements

    @property
    def allows_strain(self) -> bool:
        """Whether molecules with large or strained rings may be made and bought."""
        return self.options.strained_rings == "allow"

    def told(self) -> str:
        """Return what is in the space, in a few words for people."""
        return f"molecules of {self.min_heavy_atoms} to {self.max_heavy_atoms} heavy atoms"

    def standard(self, text: str) -> str:
        """Return the canonical SMILES of the standard form.

        Raises:
            NotStandardError: it cannot be read or standardised; the message is a phrase.
        """
        return standard_molecule(text)

    def outside(self, obj: str) -> str | None:
        """Return why a molecule is outside the bounds, a phrase; None: it is inside."""
        return outside(obj, self)

    def unfit(self, obj: str) -> str | None:
        """Return why a molecule is outside the bounds, or its rings cannot be trusted to exist, unless they may."""
        mol = shared(obj)
        if mol is None:
            return "no valid SMILES"
        return outside(mol, self) or (None if self.allows_strain else strained(mol))

    def glance(self, text: str) -> str | None:
        """Return whether a text has too many heavy atoms: the text tells in microseconds, RDKit in milliseconds."""
        if heavy_atoms_in_text(text) > self.max_heavy_atoms and _SMILES.fullmatch(text):
            return f"more than {self.max_heavy_atoms} heavy atoms"
        return None

    def admit(self, text: str) -> str:
        """Return the canonical SMILES of a molecule in standard form inside the space; it is parsed once.

        What was said of a text is remembered: a library that is data and source of candidates is read for both.

        Raises:
            NotStandardError: it cannot be read or standardised, or is outside; the message is a phrase.
        """
        said = self._admitted.get(text)
        if said is None:
            if len(self._admitted) >= _MOST:
                self._admitted.clear()
            said = self._admitted[text] = self._admission(text)
        standard, reason = said
        if standard is None:
            raise NotStandardError(reason)
        return standard

    @cached_property
    def _admitted(self) -> dict[str, tuple[str | None, str]]:
        return _admissions.setdefault(self.key(), {})

    def _admission(self, text: str) -> tuple[str | None, str]:
        """Return the standard form of a text, or None and why it is not admitted."""
        try:
            reason = self.glance(text) if text else None
            if reason is None:
                mol, standard = _read(text)
                reason = outside(mol, self)
                if reason is None:
                    return standard, ""
        except NotStandardError as error:
            reason = str(error)
        return None, reason

    def settled(self, text: str, obj: str) -> str:
        """Return that counter-ions were taken off or a charge was settled with protons; empty: neither."""
        if "." in text and "." not in obj:
            return "counter-ions or solvent, which were taken off"
        return "a net charge, which was settled with protons" if net_charge_in_text(text) else ""

    def identity(self, obj: str) -> str:
        """Return the handle of the structure: equal exactly for texts with one canonical SMILES.

        Raises:
            ValueError: the text is no valid molecule.
        """
        return identity(obj)

    def named(self, text: str) -> str:
        """Return the identity of the structure as it is written: its salts and charges are not settled.

        Raises:
            ValueError: the text is no valid molecule.
        """
        return identity(text)

    def reading(self) -> str:
        """Return nothing: the canonical SMILES says all."""
        return ""

    def family(self, obj: str) -> str:
        """Return the Bemis-Murcko scaffold; empty for acyclic molecules."""
        return scaffold(obj)

    def variation(self, sample: Sequence[str]) -> Operators:
        """Return graph edits; what they attach is counted in the sample."""
        return Operators(count_palette(sample, self), self)

    def compound(self, obj: str) -> str:
        """Return the standard InChIKey, which tautomers share; empty where InChI has none."""
        return inchikey(obj)

    def sketch(self, obj: str) -> str:
        """Return the letters of a SMILES in order."""
        return letters(obj)

    def facts_of(self, obj: str) -> dict[str, float]:
        """Return synthetic accessibility and the number of heavy atoms; nothing of what is no molecule."""
        mol = shared(obj)
        if mol is None:
            return {}
        return {"sa_score": float(f"{synthetic_accessibility(obj):.3f}"), "heavy_atoms": float(mol.GetNumHeavyAtoms())}

    def fact(self, obj: str, key: str) -> float | None:
        """Return one of the numbers about a molecule: the number of atoms in microseconds."""
        mol = shared(obj)
        return float(mol.GetNumHeavyAtoms()) if key == "heavy_atoms" and mol is not None else super().fact(obj, key)

    def motifs_in(self, obj: str) -> tuple[str, ...]:
        """Return the names of the common groups and rings that a molecule has."""
        return groups_in(obj)

    def draw(self, obj: str) -> str | None:
        """Return the structural formula as an inline SVG."""
        return None if shared(obj) is None else depict(obj)

    def part_places(self, obj: str) -> tuple[tuple[float, float], ...]:
        """Return where the atoms are in the structural formula, in their order in the SMILES."""
        return atom_places(obj)

    def core_places(self, obj: str, other: str) -> tuple[tuple[float, float], ...]:
        """Return where the atoms of the largest common part are in the structural formula of another molecule."""
        return core_places(obj, other)

    def versions(self) -> dict[str, str]:
        """Return RDKit's version."""
        return {"rdkit": version("rdkit")}


def of_molecules(space: Space) -> Molecules:
    """Return a space as that of molecules, for parts that build nothing else.

    Raises:
        ComponentError: it is of other objects.
    """
    if not isinstance(space, Molecules):
        raise ComponentError(f"Molecules are asked for in a space of {space.nouns[1]}. Use another generator.")
    return space
