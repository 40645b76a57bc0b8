"""Tables of earlier measurements, from which a proxy learns how labels of an assay tell its other values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.records import FloatArray
from data.tables.number_tables import text_table
from data.tables.rows import SourceError
from models.component import ComponentError
from models.proxies.prior_fitted_network import Draw

FEWEST_SHOWN, MOST_SHOWN, ASKED = 8, 64, 32
"""Labels of a draw, and values that it asks for."""
FEWEST = FEWEST_SHOWN + ASKED
"""Values without which a column teaches nothing."""


@dataclass(frozen=True)
class EarlierAssays:
    """Values of T earlier assays.

    Attributes:
        objects: n texts, as the table has them.
        lines: on which they stand.
        values: shape `(n, T)`, nan where one was not measured.
        names: of the T columns.
        told: how the table was read where it is no usual CSV file, and what was left out; phrases.
    """

    objects: tuple[str, ...]
    lines: tuple[int, ...]
    values: FloatArray
    names: tuple[str, ...]
    told: tuple[str, ...]


def table_sha256(path: Path) -> str:
    """Return the sha256 of a table's content.

    Raises:
        ComponentError: there is none.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ComponentError(
            f"The table of earlier measurements {path} cannot be read ({error.strerror}). Give `table` the path of "
            "a CSV file, from the folder of the campaign file."
        ) from error


def read_earlier(path: Path, column: str) -> EarlierAssays:
    """Read a table: a column of objects, every other column an assay.

    Raises:
        ComponentError: it cannot be read, lacks the column of objects, or no column has enough different values.
    """
    return _read(path, column, table_sha256(path))


@lru_cache(maxsize=4)
def _read(path: Path, column: str, sha256: str) -> EarlierAssays:
    del sha256  # what is kept is of this content
    try:
        table = text_table(path, column)
        assays = [name for name in table.names if name != column]
        mark = table.mark(assays)
        told = table.remarks(mark)
        cells = {name: table.numbers(name, mark) for name in assays}
    except SourceError as error:
        raise ComponentError(
            f"The table of earlier measurements cannot be used. {error}"
            + (" Name the column that holds the objects by `column`." if "has no column" in str(error) else "")
        ) from error
    names, columns, few = [], [], []
    for name, found in cells.items():
        numbers = np.array([np.nan if value is None else value for value in found], dtype=np.float64)
        measured = numbers[np.isfinite(numbers)]
        if len(measured) < FEWEST or np.ptp(measured) == 0:
            few.append(name)
            continue
        names.append(name)
        columns.append(numbers)
    if not names:
        raise ComponentError(
            f"The table of earlier measurements {path} has no column of {FEWEST} numbers or more that differ, beside "
            f"{column!r}. A neural process learns from such columns, one for each earlier assay; without any use the "
            "proxy gaussian_process."
        )
    if few:
        told.append(f"{', '.join(few)}: fewer than {FEWEST} values, or all alike; left out")
    objects = tuple(table.column(column))
    return EarlierAssays(objects, table.lines, np.stack(columns, axis=1), tuple(names), tuple(told))


@dataclass(frozen=True)
class EarlierTasks:
    """What a network draws from: labels and questions of one assay after the other.

    Values of a draw are scaled by those that are shown, as a campaign's are by those that are measured.

    Attributes:
        rows: of the objects, shape `(n, features)`.
        values: shape `(n, T)`, nan where one was not measured.
        measured: of each assay the places of its values.
    """

    rows: Tensor
    values: Tensor
    measured: tuple[Tensor, ...]

    @classmethod
    def of(cls, rows: FloatArray, values: FloatArray) -> EarlierTasks:
        """Take rows `(n, features)` and values `(n, T)`."""
        places = tuple(torch.from_numpy(np.flatnonzero(np.isfinite(column))) for column in values.T)
        return cls(torch.from_numpy(rows).float(), torch.from_numpy(values).float(), places)

    @property
    def features(self) -> int:
        """Numbers of an object."""
        return self.rows.shape[1]

    def draw(self, sets: int, generator: torch.Generator) -> Draw:
        """Draw labels and questions of as many assays, each of one size."""
        assays = torch.randint(0, len(self.measured), (sets,), generator=generator).tolist()
        room = min(len(self.measured[assay]) for assay in assays) - ASKED
        shown = int(torch.randint(FEWEST_SHOWN, min(MOST_SHOWN, room) + 1, (), generator=generator))
        x, y = [], []
        for assay in assays:
            places = self.measured[assay]
            chosen = places[torch.randperm(len(places), generator=generator)[: shown + ASKED]]
            x.append(self.rows[chosen])
            y.append(self.values[chosen, assay])
        values = torch.stack(y)
        centre, spread = values[:, :shown].mean(1, keepdim=True), values[:, :shown].std(1, keepdim=True)
        usable = spread > 1e-6 * centre.abs().clamp(min=1e-6)
        return Draw(torch.stack(x), (values - centre) / torch.where(usable, spread, 1.0), shown)


def seed_of(*what: Any) -> int:
    """Return a seed that depends on nothing but what is given."""
    return int(hashlib.sha256(repr(what).encode()).hexdigest()[:8], 16)
