"""Conformers of one molecule: the torsion angles of its bonds that turn."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field, field_validator, model_validator
from rdkit import Chem

from data.chemistry.structures import structure
from data.chemistry.torsions import (
    PROTOCOL,
    GeometryError,
    Quadruple,
    Relaxed,
    Rotor,
    open_centres,
    rotor,
    torsion_about,
    turning,
)
from data.config import digest
from data.objects import NotStandardError, joined, split
from data.yaml_text import shown
from models.registry import Component
from models.spaces.base import BaseSpace, Exporter

__all__ = ["GeometryError", "Torsions"]

TURN = 360
_ENUMERATED = 4096
"""Spaces of at most so many conformers are listed, not drawn from."""
_ROUNDS = 40
"""Sets of draws until a space is taken for exhausted."""
_TRIES = 20
_WIDTH = 30.0
"""Standard deviation of a small edit of an angle, in degrees."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
Atom = Annotated[int, Field(ge=0)]


class Turn(NamedTuple):
    """A bond that turns.

    Attributes:
        name: of its angle.
        atoms: of its torsion.
    """

    name: str
    atoms: Quadruple


class Torsions(BaseSpace["Torsions.Options"]):
    """Conformers of one molecule, told by the torsion angles of bonds that turn; all else follows by relaxation.

    The text is `phi=-75, psi=60`, in the order of the bonds. Angles are degrees, rounded to multiples of `step` in
    (-180, 180]; 190 and -170 are one angle. Every text with a number for each angle is inside the space. Conformers
    that a symmetry of the molecule takes into each other are different objects.

    Without `bonds`, those of RDKit's definition turn: single, in no ring, heavy atoms behind both ends, beside no
    triple bond; amides only with `amides`. They are called t1, t2, ... in the order of the atoms.
    """

    kind = "torsions"
    energies: ClassVar[str] = PROTOCOL
    """Name of what decides the energies of `relaxed`, beside the library's version."""
    cites = ("owen1998scrambling", "rdkit")
    construction = {"kind": "increments"}
    nouns = ("conformer", "conformers")
    column = "conformer"
    text_name = "Torsion angles"
    likeness = "similarity 1 / (1 + distance of angles as points of circles)"

    class Options(Component.Options):
        """The molecule and what turns."""

        smiles: str = Field(description="the molecule, one fragment with all stereocentres given")
        bonds: tuple[tuple[str, tuple[Atom, ...]], ...] = Field(
            default=(),
            description="{phi: [1, 3, 4, 6]}: name and atoms of a torsion, or the two of its bond, counted from 0 in "
            "`smiles`; a list of bonds names them t1, t2, ...; none: all bonds that turn",
        )
        amides: bool = Field(default=False, description="whether bonds of amides turn, where `bonds` are not given")
        step: int = Field(default=1, ge=1, le=120, description="degrees that angles are multiples of; divides 360")

        @field_validator("bonds", mode="before")
        @classmethod
        def _named(cls, raw: Any) -> Any:
            if isinstance(raw, Mapping):
                return tuple((str(name), _atoms(atoms)) for name, atoms in raw.items())
            if not isinstance(raw, list | tuple):
                raise ValueError(f"`bonds` are torsions by name, such as {{phi: [1, 3, 4, 6]}}; got {shown(raw)}")
            if all(isinstance(one, list | tuple) and len(one) == 2 and isinstance(one[0], str) for one in raw):
                return tuple((name, _atoms(atoms)) for name, atoms in raw)
            return tuple((f"t{place + 1}", _atoms(atoms)) for place, atoms in enumerate(raw))

        @model_validator(mode="after")
        def _turns(self) -> Self:
            if TURN % self.step:
                raise ValueError(f"`step` divides a turn of 360 degrees; got {self.step}, which leaves a rest")
            self.turns()
            return self

        def turns(self) -> tuple[Turn, ...]:
            """Return what turns.

            Raises:
                ValueError: the SMILES is none, or leaves something open; a bond does not turn, or none does.
            """
            mol = _molecule(self.smiles)
            if not self.bonds:
                found = turning(mol, amides=self.amides)
                if not found:
                    raise ValueError(
                        f"no bond of {self.smiles} turns; name some by `bonds`, or take in amides by `amides: true`"
                    )
                return tuple(Turn(f"t{place + 1}", atoms) for place, atoms in enumerate(found))
            turns = tuple(Turn(name, _torsion(mol, name, atoms)) for name, atoms in self.bonds)
            names = [one.name for one in turns]
            middles = ["-".join(map(str, sorted(one.atoms[1:3]))) for one in turns]
            for kind, said in (("name", names), ("bond", middles)):
                twice = next((one for one in said if said.count(one) > 1), None)
                if twice is not None:
                    raise ValueError(f"the {kind} {twice} stands twice in `bonds`; leave one out")
            return turns

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.turns = self.options.turns()
        self.names = tuple(one.name for one in self.turns)
        self._levels = TURN // self.options.step

    @property
    def features(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """Featuriser of the angles."""
        return {"kind": "angles", "names": list(self.names)}

    @property
    def neighbours(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """Featuriser of the angles."""
        return self.features

    @property
    def exports(self) -> Mapping[str, Exporter]:  # type: ignore[override]  # it needs the molecule
        """SD files of the relaxed geometries."""
        from models.spaces.torsion_files import sdf_of

        return {"sdf": sdf_of(self)}

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the angles."""
        return self.names

    @cached_property
    def rotor(self) -> Rotor:
        """The molecule with what turns, shared in a process."""
        return rotor(self.options.smiles, tuple(one.atoms for one in self.turns))

    def told(self) -> str:
        """Return what is in the space, in a few words for people."""
        turns = ", ".join(f"{one.name} (atoms {'-'.join(map(str, one.atoms))})" for one in self.turns)
        return f"conformers of {self.options.smiles} by {turns}, to {self.options.step} degrees"

    def standard(self, text: str) -> str:
        """Return the conformer with its angles in order, rounded and in (-180, 180].

        Raises:
            NotStandardError: an angle has no value or an unreadable one, or is none of the space's.
        """
        return self.written(self.degrees(text))

    def outside(self, obj: str) -> str | None:
        """Return None: all angles are allowed."""
        return None

    def degrees(self, text: str) -> tuple[int, ...]:
        """Return the m angles, rounded, in (-180, 180].

        Raises:
            NotStandardError: as `standard`.
        """
        if not text.strip():
            raise NotStandardError(f"no conformer in this row; expected such as {self.names[0]}=60")
        cells = split(text)
        unknown = next((name for name in cells if name not in self.names), None)
        if unknown is not None:
            raise NotStandardError(f"{unknown} is none of the angles {', '.join(self.names)}")
        missing = next((name for name in self.names if name not in cells), None)
        if missing is not None:
            raise NotStandardError(f"no value of {missing}")
        return self.rounded([_number(name, cells[name]) for name in self.names])

    def rounded(self, degrees: Sequence[float]) -> tuple[int, ...]:
        """Return angles of any size as multiples of the step in (-180, 180]."""
        step = self.options.step
        places = [math.floor(math.remainder(one, TURN) / step + 0.5) * step for one in degrees]
        return tuple(_TOP - (_TOP - place) % TURN for place in places)

    def written(self, degrees: Sequence[float]) -> str:
        """Return the standard form of a conformer."""
        return joined(self.names, list(map(str, self.rounded(degrees))))

    def value(self, obj: str) -> dict[str, int]:
        """Return the angles by name, in degrees."""
        return dict(zip(self.names, self.degrees(obj), strict=True))

    def text(self, value: Any) -> str:
        """Return the conformer of what `value` returned.

        Raises:
            NotStandardError: it is no mapping of names to numbers, or as `standard`.
        """
        if not isinstance(value, Mapping):
            raise NotStandardError(f"a {type(value).__name__} that is no mapping of names to degrees")
        return self.standard(joined(list(map(str, value)), list(map(str, value.values()))))

    def reading(self) -> str:
        """Return a hash of the molecule and of what turns: the same angles of another are another conformer."""
        return digest([self.kind, self.rules, self.options.smiles, [[one.name, *one.atoms] for one in self.turns]])

    def relaxed(self, obj: str, starts: int = 3) -> Relaxed:
        """Return the geometry and the energy of a conformer; see `Rotor.relaxed`.

        Raises:
            GeometryError: there is none.
            NotStandardError: the text is no conformer of the space.
        """
        return self.rotor.relaxed(self.degrees(obj), starts)

    def random(self, n: int, seed: int) -> list[str]:
        """Return up to n distinct conformers, uniform over all."""
        rng, m = np.random.default_rng(seed), len(self.names)
        if self._levels**m <= _ENUMERATED:
            whole = rng.permutation(self._levels**m)[:n]
            return [self._at(np.array(np.unravel_index(one, (self._levels,) * m))) for one in whole]
        found: dict[str, None] = {}
        for _ in range(_ROUNDS):
            found |= dict.fromkeys(map(self._at, rng.integers(self._levels, size=(n, m))))
            if len(found) >= n:
                break
        return list(found)[:n]

    def design(self, n: int, seed: int) -> list[str]:
        """Return up to n distinct conformers of a scrambled Sobol sequence over all angles.

        Reference: Owen, J. Complexity 14, 466 (1998), as in `scipy.stats.qmc`.
        """
        if self._levels ** len(self.names) <= min(_ENUMERATED, 4 * n):
            return self.random(n, seed)
        from scipy.stats import qmc  # half a second, which only a design needs

        sobol = qmc.Sobol(len(self.names), scramble=True, rng=np.random.default_rng(seed))
        rows = sobol.random(2 ** max(1, math.ceil(math.log2(n + 1))))
        found = dict.fromkeys(map(self._at, np.floor(rows * self._levels).astype(np.int64)[:n]))
        return list(dict.fromkeys([*found, *self.random(2 * n, seed)]))[:n]

    def _at(self, places: np.ndarray[Any, np.dtype[np.int64]]) -> str:
        return self.written((places * self.options.step).tolist())

    def variation(self, sample: Sequence[str]) -> Turns:
        """Return turns of some angles, and conformers with angles of two."""
        return Turns(self)

    def draw(self, obj: str) -> str:
        """Return an inline SVG: the structural formula, and a dial for each angle."""
        from models.spaces.torsion_drawing import drawn

        return drawn(self.options.smiles, self.value(obj), obj)

    def versions(self) -> dict[str, str]:
        """Return RDKit's version."""
        return {"rdkit": version("rdkit")}


_TOP = TURN // 2


class Turns:
    """Edits of conformers: an angle or more turned a little, or to anywhere; angles of two conformers."""

    def __init__(self, space: Torsions) -> None:
        self._space = space

    def mutate(self, obj: str, rng: np.random.Generator) -> str | None:
        """Return a conformer of which one angle or more have turned."""
        degrees, step = np.array(self._space.degrees(obj), dtype=float), self._space.options.step
        for _ in range(_TRIES):
            turned = rng.random(len(degrees)) < 1.0 / len(degrees)
            turned[rng.integers(len(degrees))] = True
            by = rng.normal(0.0, max(_WIDTH, step), len(degrees))
            by = np.where(rng.random(len(degrees)) < 0.2, rng.uniform(-_TOP, _TOP, len(degrees)), by)
            made = self._space.written((degrees + turned * by).tolist())
            if made != obj:
                return made
        return None

    def crossover(self, first: str, second: str, rng: np.random.Generator) -> str | None:
        """Return a conformer whose every angle is one parent's."""
        pair = np.array([self._space.degrees(first), self._space.degrees(second)])
        return self._space.written(pair[rng.integers(2, size=pair.shape[1]), np.arange(pair.shape[1])].tolist())


def _number(name: str, cell: str) -> float:
    try:
        number = float(cell.removesuffix("°"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise NotStandardError(f"{name}={shown(cell)}, which is no number of degrees")
    return number


def _atoms(atoms: Any) -> Any:
    if not isinstance(atoms, list | tuple) or len(atoms) not in (2, 4):
        raise ValueError(f"a torsion is told by its four atoms, or the two of its bond; got {shown(atoms)}")
    return tuple(atoms)


def _torsion(mol: Chem.Mol, name: str, atoms: Sequence[int]) -> Quadruple:
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name of an angle is a word such as phi; got {shown(name)}")
    beyond = next((atom for atom in atoms if atom >= mol.GetNumAtoms()), None)
    if beyond is not None:
        raise ValueError(f"{name} has the atom {beyond}; the molecule has the atoms 0 to {mol.GetNumAtoms() - 1}")
    first, second = atoms[-3:-1] if len(atoms) == 4 else atoms
    try:
        usual = torsion_about(mol, first, second)
    except ValueError as error:
        raise ValueError(f"{name} does not turn: {error}") from None
    if len(atoms) == 2:
        return usual
    a, b, c, d = atoms
    bonded = mol.GetBondBetweenAtoms(a, b) is not None and mol.GetBondBetweenAtoms(c, d) is not None
    if not bonded or len({a, b, c, d}) < 4:
        raise ValueError(f"the atoms {', '.join(map(str, atoms))} of {name} are no chain of four bonded atoms")
    return a, b, c, d


def _molecule(smiles: str) -> Chem.Mol:
    try:
        mol = structure(smiles)
    except NotStandardError as error:
        raise ValueError(f"`smiles` is one molecule; got {shown(smiles)}: {error}") from None
    if "." in smiles:
        raise ValueError(f"`smiles` is one molecule; {shown(smiles)} has several fragments")
    left = open_centres(mol)
    if left:
        raise ValueError(
            f"conformers belong to one stereoisomer; {shown(smiles)} leaves open {', '.join(left)} (counted from 0). "
            "Write it with @ or @@, / or \\"
        )
    return mol
