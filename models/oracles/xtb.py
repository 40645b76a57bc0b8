"""Electronic properties by extended tight binding (xTB), computed in process by `tblite`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version as distribution_version
from types import ModuleType
from typing import Any, Literal

import numpy as np
from pydantic import Field
from rdkit import rdBase
from threadpoolctl import ThreadpoolController

from models.oracles.base import MeasurementFailure, MoleculeOracle, OracleOptions
from models.oracles.conformer import PROTOCOL, conformer

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


class Xtb(MoleculeOracle["Xtb.Options"]):
    """Vertical electron affinity, vertical ionisation potential, orbital gap (eV) or dipole moment (D).

    All charge states are computed in the geometry of the neutral molecule (vertical); the geometry is one ETKDG +
    MMFF94 conformer of a fixed seed. Affinities and potentials are differences of total energies with the published
    shift `IPEA_SHIFT` subtracted. Deterministic; 0.04-0.1 CPU-seconds for molecules of up to 14 heavy atoms.

    References: IPEA1-xTB: Asgeirsson, Bauer, Grimme, Chem. Sci. 2017, 8, 4879. GFN1-xTB: Grimme, Bannwarth, Shushkov,
    J. Chem. Theory Comput. 2017, 13, 1989. GFN2-xTB: Bannwarth, Ehlert, Grimme, ibid. 2019, 15, 1652.
    """

    kind = "xtb"
    spaces = ("molecules",)
    reference = "Asgeirsson, Bauer, Grimme, Chem. Sci. 2017, 8, 4879 (IPEA1-xTB)"
    digits = 6

    class Options(OracleOptions):
        """Options of the oracle `xtb`."""

        property: Property = Field(default="electron_affinity", description="what is measured")
        method: Method = Field(default="IPEA1-xTB", description="tight-binding parametrisation")
        seed: int = Field(default=42, ge=0, description="seed of the conformer")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.unit = "D" if self.options.property == "dipole" else "eV"

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
        if options.property in ("electron_affinity", "ionization_potential"):
            parts.append(f"shift-{IPEA_SHIFT}")
        return "/".join(parts)

    def prepare(self) -> None:
        """Load `tblite`."""
        _load()

    def measure(self, smiles: str) -> float:
        """Return the property of one molecule.

        Raises:
            MeasurementFailure: `invalid`, `embedding`, or `calculation` where the self-consistent field fails.
        """
        numbers, positions, charge = conformer(smiles, self.options.seed)
        if (int(numbers.sum()) - charge) % 2:
            raise MeasurementFailure("invalid", f"{smiles!r} has an unpaired electron; expected a closed shell.")

        def solve(added: int) -> Any:
            return _single_point(self.options.method, numbers, positions * ANGSTROM_IN_BOHR, charge - added)

        return _PROPERTIES[self.options.property](solve)


@cache
def _load() -> tuple[ModuleType, ThreadpoolController]:
    interface = importlib.import_module("tblite.interface")
    return interface, ThreadpoolController()


def _single_point(method: str, numbers: Any, positions: Any, charge: int) -> Any:
    # tblite is loaded where it is used: naming the oracle costs nothing, and it need not be there to read a ledger.
    interface, threads = _load()
    electrons = int(numbers.sum()) - charge
    try:
        calculator = interface.Calculator(method, numbers, positions, charge=float(charge), uhf=electrons % 2)
        calculator.set("verbosity", 0)
        # For molecules of this size a second thread only waits, and spins while it does: many times slower when
        # processes share the cores.
        with threads.limit(limits=1):
            return calculator.singlepoint()
    except RuntimeError as error:  # TBLiteRuntimeError is one
        raise MeasurementFailure("calculation", f"{method}, charge {charge}: {error}") from error


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
