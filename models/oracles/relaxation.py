"""Geometries relaxed by GFN2-xTB, for one charge state of a molecule at a time.

Cartesian coordinates, energies and gradients by `tblite`, minimised by L-BFGS-B (Byrd et al., SIAM J. Sci. Comput.
1995, 16, 1190). GFN2-xTB: Bannwarth, Ehlert, Grimme, J. Chem. Theory Comput. 2019, 15, 1652.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray
from models.oracles.base import MeasurementFailure

METHOD = "GFN2-xTB"

GRADIENT = 1e-3
"""Largest component of the gradient at which a geometry is relaxed, in hartree per bohr; the `xtb` program's own level
`normal` asks the same of the norm."""

_MAX_ITERATIONS = 500


def protocol() -> str:
    """Return the name of all that decides a relaxed geometry, beside the library that gives the energies."""
    return f"{METHOD}-lbfgs-{GRADIENT:g}-scipy-{version('scipy')}"


def relaxed(make: Any, numbers: NDArray[np.int64], positions: FloatArray, charge: int) -> FloatArray:
    """Return the positions `(a, 3)` in bohr of the nearest minimum.

    Args:
        make: makes a calculator of `tblite` of (method, numbers, positions, charge).
        numbers: atomic numbers `(a,)`.
        positions: to begin with, `(a, 3)` in bohr.
        charge: of the molecule.

    Raises:
        MeasurementFailure: `calculation` where no minimum is reached.
    """
    from scipy.optimize import minimize

    calculator = make(METHOD, numbers, positions, charge)
    last: list[Any] = []

    def energy(flat: Any) -> tuple[float, FloatArray]:
        calculator.update(positions=flat.reshape(-1, 3))
        result = calculator.singlepoint(*last[-1:])  # from the last density: a third of the iterations
        last[:] = [result]
        return float(result.get("energy")), np.asarray(result.get("gradient"), dtype=np.float64).ravel()

    options: Any = {
        "maxiter": _MAX_ITERATIONS,
        "maxfun": 2 * _MAX_ITERATIONS,
        "gtol": GRADIENT,
        "ftol": 0.0,
        "maxcor": 20,
    }
    found = minimize(energy, positions.ravel(), jac=True, method="L-BFGS-B", options=options)
    if not float(np.abs(found.jac).max()) <= GRADIENT:
        raise MeasurementFailure(
            "calculation", f"{METHOD}, charge {charge}: no minimum after {found.nit} steps ({found.message})."
        )
    return np.asarray(found.x, dtype=np.float64).reshape(-1, 3)
