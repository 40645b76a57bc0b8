"""Tables of earlier measurements, from which a proxy learns how labels of an assay tell its other values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from data.records import FloatArray
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
        values: shape `(n, T)`, nan where one was not measured.
        names: of the T columns.
        told: what was left out of the table, sentences.
    """

    objects: tuple[str, ...]
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
        frame = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError) as error:
        raise ComponentError(
            f"The table of earlier measurements {path} is no CSV file in UTF-8 ({error}). Save it as one, with commas "
            "between the columns and points in the numbers."
        ) from error
    if column not in frame:
        raise ComponentError(
            f"The table of earlier measurements {path} has no column {column!r}; it has {', '.join(frame.columns)}. "
            "Name the one that holds the objects by `column`."
        )
    objects = frame[column].str.strip()
    names, columns, few = [], [], []
    for name in (name for name in frame if name != column):
        texts = frame[name].str.strip()
        numbers = pd.to_numeric(texts.where(texts != ""), errors="coerce").to_numpy(dtype=np.float64)
        wrong = np.flatnonzero((texts != "").to_numpy() & ~np.isfinite(numbers))
        if len(wrong):
            raise ComponentError(
                f"The table of earlier measurements {path}, line {wrong[0] + 2}, has {texts.iloc[wrong[0]]!r} in the "
                f"column {name!r}; expected a number, or nothing where nothing was measured."
                + (f" {len(wrong)} cells of the column are so." if len(wrong) > 1 else "")
            )
        measured = numbers[np.isfinite(numbers)]
        if len(measured) < FEWEST or np.ptp(measured) == 0:
            few.append(str(name))
            continue
        names.append(str(name))
        columns.append(numbers)
    if not names:
        raise ComponentError(
            f"The table of earlier measurements {path} has no column of {FEWEST} numbers or more that differ, beside "
            f"{column!r}. A neural process learns from such columns, one for each earlier assay; without any use the "
            "proxy gaussian_process."
        )
    told = (f"{', '.join(few)}: fewer than {FEWEST} values, or all alike; left out",) if few else ()
    return EarlierAssays(tuple(objects), np.stack(columns, axis=1), tuple(names), told)


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
