"""What every oracle shares: cost, timeout and chunk as options, and one measurement per molecule, whatever happens."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence

from pydantic import Field

from data.records import LARGEST_VALUE, Measurement
from models.registry import Component, Options


class MeasurementFailure(Exception):
    """One molecule could not be measured.

    Args:
        error: the class of the failure, a word: `invalid`, `embedding`, `calculation`, `not_finite` ...
        message: what happened.
    """

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


class OracleOptions(Options):
    """Options of every oracle."""

    cost: float = Field(default=1.0, ge=0, description="cost of one call, in the unit of the campaign's budget")
    timeout: float = Field(default=60.0, gt=0, description="seconds that one molecule may take")
    chunk: int = Field(default=1, ge=1, description="molecules per call")


class MoleculeOracle(Component):
    """Base of oracles that measure one molecule at a time; `measure` either returns a value or raises.

    An oracle whose unit is fixed may round to `digits` decimals of it, so that its values do not depend on the number
    of threads or the machine's summation order. The others answer to the last digit: a value in mol/l may be 1e-12.
    """

    group = "oracle"
    semantics: str = "pure"
    unit: str = ""
    version: str = "1"
    digits: int | None = None

    class Options(OracleOptions):
        """Options of every oracle."""

    @property
    def cost(self) -> float:
        """Cost of one call."""
        return float(self.options.cost)

    @property
    def timeout(self) -> float:
        """Seconds that one molecule may take."""
        return float(self.options.timeout)

    @property
    def chunk(self) -> int:
        """Molecules per call of `evaluate`."""
        return int(self.options.chunk)

    def prepare(self) -> None:
        """Load what the first measurement needs; called once in the process that measures.

        Raises:
            ImportError: a library is missing.
        """

    @abstractmethod
    def measure(self, smiles: str) -> float:
        """Return the value of one molecule.

        Raises:
            MeasurementFailure: it cannot be measured.
        """

    def evaluate(self, molecules: Sequence[str], *, keys: Sequence[str]) -> Iterator[Measurement]:
        """Yield one Measurement per molecule, in order; a molecule that fails has an error and ends nothing."""
        for smiles in molecules:
            started = time.perf_counter()
            try:
                value = self.measure(smiles)
            except MeasurementFailure as failure:
                yield failed(smiles, failure.error, str(failure), started)
            except Exception as error:  # a fault of a library on one molecule is that molecule's result
                yield failed(smiles, "calculation", f"{type(error).__name__}: {error}", started)
            else:
                yield measured(smiles, value, started, self.digits)


def measured(smiles: str, value: float, started: float, digits: int | None = None) -> Measurement:
    """Return the measurement of a value; one that is not finite or too large becomes the failure `not_finite`."""
    if not abs(value) <= LARGEST_VALUE:
        message = f"The oracle answered {value}; expected a finite number of at most {LARGEST_VALUE:g}."
        return failed(smiles, "not_finite", message, started)
    value = value if digits is None else round(value, digits)
    return Measurement(smiles, value, seconds=time.perf_counter() - started)


def failed(smiles: str, error: str, message: str, started: float) -> Measurement:
    """Return the measurement of a failure."""
    return Measurement(smiles, None, error=error, message=message, seconds=time.perf_counter() - started)
