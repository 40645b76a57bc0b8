"""Sequences as FASTA."""

from __future__ import annotations

from collections.abc import Sequence

from data.records import JsonDict
from models.spaces.base import text_of

_WIDTH = 60
"""Letters of a line."""


def as_fasta(rows: Sequence[JsonDict]) -> str:
    """Return candidates as FASTA: `>id value=... unit=...`, then the letters in lines of 60.

    Reference: Pearson and Lipman, PNAS 1988, 85, 2444.
    """
    parts = []
    for row in rows:
        sequence = text_of(row)
        told = [
            f"{key}={' '.join(str(row[key]).split())}" for key in ("value", "unit") if row.get(key) not in (None, "")
        ]
        parts.append(" ".join([f">{row['id']}", *told]))
        parts += [sequence[at : at + _WIDTH] for at in range(0, len(sequence), _WIDTH)]
    return "".join(f"{line}\n" for line in parts)
