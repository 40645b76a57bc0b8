"""Electronic properties by extended tight binding (xTB), computed in process by `tblite`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version as distribution_version
from types import ModuleType
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from rdkit import rdBase
from threadpoolctl import ThreadpoolController

from models.oracles.base import MeasurementFailure, MoleculeOracle, OracleOptions
from models.oracles.conformer import PROTOCOL, conformer
from models.oracles.relaxation import METHOD, protocol, relaxed
from models.registry import ComponentError

HARTREE_IN_EV = 27.211386245988
ANGSTROM_IN_BOHR = 1 / 0.529177210903
AU_IN_DEBYE = 2.541746473

IPEA_SHIFT = 4.846
"""Empirical shift in eV, as the `xtb` program subtracts it from the vertical ionisation potentials and electron
affinities of IPEA1-xTB (`xtb --vipea`): the self-interaction of an added or removed electron puts both too high.
IP = E(cation) - E(neutral) - shift, EA = E(neutral) - E(anion) - shift."""

_OCCUPIED = 0.5

Property = Literal["electron_affinity", "ionization_potential", "gap", "dipole"]
Method = Literal["IPEA1-xTB", "GFN1-xTB", "GFN2-xTB"]
Geometry = Literal["force_field", "xtb", "adiabatic"]

_DIFFERENCES = ("electron_affinity", "ionization_potential")
"""Properties of two charge states."""


class Xtb(MoleculeOracle["Xtb.Options"]):
    """Vertical electron affinity, vertical ionisation potential, orbital gap (eV) or dipole moment (D).

    All charge states are computed in the geometry of the neutral molecule (vertical); the geometry is one ETKDG +
    MMFF94 conformer of a fixed seed. Affinities and potentials are differences of total energies with the published
    shift `IPEA_SHIFT` subtracted. Deterministic; 0.04-0.1 CPU-seconds for molecules of up to 14 heavy atoms.

    `geometry` makes a ladder of it: `xtb` relaxes the neutral molecule by GFN2-xTB first, `adiabatic` each charge state
    (`models.oracles.relaxation`); energies are those of `method`. 0.1-0.4 and 0.2-0.8 CPU-seconds.

    References: IPEA1-xTB: Asgeirsson, Bauer, Grimme, Chem. Sci. 2017, 8, 4879. GFN1-xTB: Grimme, Bannwarth, Shushkov,
    J. Chem. Theory Comput. 2017, 13, 1989. GFN2-xTB: Bannwarth, Ehlert, Grimme, ibid. 2019, 15, 1652.
    """

    kind = "xtb"
    spaces = ("molecules",)
    cites = (
        "asgeirsson2017ipea1",
        "grimme2017gfn1",
        "bannwarth2019gfn2",
        "wang2020etkdg",
        "halgren1996mmff94",
        "rappe1992uff",
        "byrd1995lbfgsb",
        "tblite",
        "rdkit",
    )
    reference = "Asgeirsson, Bauer, Grimme, Chem. Sci. 2017, 8, 4879 (IPEA1-xTB)"
    digits = 6

    class Options(OracleOptions):
        """Options of the oracle `xtb`."""

        property: Property = Field(default="electron_affinity", description="what is measured")
        method: Method = Field(default="IPEA1-xTB", description="tight-binding parametrisation")
        seed: int = Field(default=42, ge=0, description="seed of the conformer")
        geometry: Geometry = Field(
            default="force_field",
            description="MMFF94 conformer, the neutral molecule relaxed by GFN2-xTB, or each charge state for itself",
        )

        @model_validator(mode="after")
        def _of_two_states(self) -> Self:
            if self.geometry == "adiabatic" and self.property not in _DIFFERENCES:
                raise ValueError(
                    f"geometry is adiabatic, and {self.property} is of the neutral molecule alone; write geometry: xtb"
                )
            return self

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.unit = "D" if self.options.property == "dipole" else "eV"

    def cited(self) -> tuple[str, ...]:
        """Return the papers of the method and of the geometry, and the libraries."""
        options = self.options
        unused = {"bannwarth2019gfn2", "byrd1995lbfgsb"} if options.geometry == "force_field" else set()
        unused |= {"asgeirsson2017ipea1"} if options.method != "IPEA1-xTB" else set()
        if options.method == "GFN2-xTB":
            unused = unused - {"bannwarth2019gfn2"} | {"grimme2017gfn1"}
        return tuple(key for key in self.cites if key not in unused)

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"xtb:{self.options.property}"

    @property
    def version(self) -> str:  # type: ignore[override]
        """What identifies a value: property, method, library versions, conformer protocol and seed, shift."""
        options = self.options
        parts = [
            options.property,
            options.method,
            f"tblite-{distribution_version('tblite')}",
            f"{PROTOCOL}-seed{options.seed}-rdkit-{rdBase.rdkitVersion}",
        ]
        if options.property in _DIFFERENCES:
            parts.append(f"shift-{IPEA_SHIFT}")
        if options.geometry != "force_field":
            parts.append(f"{options.geometry}-{protocol()}")
        return "/".join(parts)

    def prepare(self) -> None:
        """Load `tblite`."""
        _load()

    def check(self) -> None:
        """Load `tblite` before anything is bought.

        Raises:
            ComponentError: it cannot be loaded.
        """
        try:
            self.prepare()
        except (ImportError, OSError) as error:
            raise ComponentError(
                f"The oracle `xtb` needs the library tblite, which cannot be loaded ({error}). Install it, "
                "`pip install tblite`, and see `discover doctor`."
            ) from error

    def measure(self, smiles: str) -> float:
        """Return the property of one molecule.

        Raises:
            MeasurementFailure: `invalid`, `embedding`, or `calculation` where the self-consistent field fails.
        """
        numbers, positions, charge = conformer(smiles, self.options.seed)
        if (int(numbers.sum()) - charge) % 2:
            raise MeasurementFailure("invalid", f"{smiles!r} has an unpaired electron; expected a closed shell.")

        geometry = positions * ANGSTROM_IN_BOHR
        if self.options.geometry != "force_field":
            geometry = _relaxed(numbers, geometry, charge)

        def solve(added: int) -> Any:
            own = geometry
            if added and self.options.geometry == "adiabatic":
                own = _relaxed(numbers, geometry, charge - added)
            return _single_point(self.options.method, numbers, own, charge - added)

        return _PROPERTIES[self.options.property](solve)


@cache
def _load() -> tuple[ModuleType, ThreadpoolController]:
    interface = importlib.import_module("tblite.interface")
    return interface, ThreadpoolController()


def _calculator(method: str, numbers: Any, positions: Any, charge: int) -> Any:
    interface, _ = _load()
    electrons = int(numbers.sum()) - charge
    calculator = interface.Calculator(method, numbers, positions, charge=float(charge), uhf=electrons % 2)
    calculator.set("verbosity", 0)
    return calculator


@contextmanager
def _calculating(method: str, charge: int) -> Iterator[None]:
    """Compute on one thread, and turn what `tblite` cannot into a failure of the measurement."""
    # tblite is loaded where it is used: naming the oracle costs nothing, and it need not be there to read a ledger.
    _, threads = _load()
    try:
        # For molecules of this size a second thread only waits, and spins while it does: many times slower when
        # processes share the cores.
        with threads.limit(limits=1):
            yield
    except RuntimeError as error:  # TBLiteRuntimeError is one
        raise MeasurementFailure("calculation", f"{method}, charge {charge}: {error}") from error


def _single_point(method: str, numbers: Any, positions: Any, charge: int) -> Any:
    with _calculating(method, charge):
        return _calculator(method, numbers, positions, charge).singlepoint()


def _relaxed(numbers: Any, positions: Any, charge: int) -> Any:
    with _calculating(METHOD, charge):
        return relaxed(_calculator, numbers, positions, charge)


def _energy(result: Any) -> float:
    return float(result.get("energy")) * HARTREE_IN_EV


def _electron_affinity(solve: Callable[[int], Any]) -> float:
    return _energy(solve(0)) - _energy(solve(1)) - IPEA_SHIFT


def _ionization_potential(solve: Callable[[int], Any]) -> float:
    return _energy(solve(-1)) - _energy(solve(0)) - IPEA_SHIFT


def _gap(solve: Callable[[int], Any]) -> float:
    result = solve(0)
    energies = np.asarray(result.get("orbital-energies")).ravel()
    occupations = np.asarray(result.get("orbital-occupations")).ravel()
    occupied = energies[occupations > _OCCUPIED]
    virtual = energies[occupations <= _OCCUPIED]
    if not len(occupied) or not len(virtual):
        raise MeasurementFailure("calculation", "No gap: the molecule has no occupied or no empty orbital.")
    return float(virtual.min() - occupied.max()) * HARTREE_IN_EV


def _dipole(solve: Callable[[int], Any]) -> float:
    return float(np.linalg.norm(solve(0).get("dipole"))) * AU_IN_DEBYE


_PROPERTIES: Mapping[str, Callable[[Callable[[int], Any]], float]] = {
    "electron_affinity": _electron_affinity,
    "ionization_potential": _ionization_potential,
    "gap": _gap,
    "dipole": _dipole,
}
