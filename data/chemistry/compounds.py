"""Which objects are the same compound: information for people, never a reason to merge or reuse a measurement.

Two tautomers are two objects with two measurements, and one standard InChIKey.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from data.records import CandidateRow

_HYDROGEN = re.compile(r"H\d*")
_NO_LETTERS = {code: None for code in range(128) if not chr(code).isalpha()}


@lru_cache(maxsize=50_000)
def inchikey(smiles: str) -> str:
    """Return the standard InChIKey, or an empty text where InChI has none."""
    from data.chemistry.molecules import compound  # RDKit, for those who ask

    try:
        return compound(smiles)
    except ValueError:
        return ""


def _atoms(smiles: str) -> str:
    """Return the letters of a SMILES in order: texts of one compound have the same, and no molecule need be built."""
    return "".join(sorted(_HYDROGEN.sub("", smiles).upper().translate(_NO_LETTERS)))


def compound_of(row: CandidateRow) -> str:
    """Return the InChIKey of a row: the one it was written with, as far as there is one in it."""
    known = row.compound
    return inchikey(row.object) if known is None else str(known)


def with_compounds(rows: Sequence[CandidateRow], shown: Iterable[CandidateRow] | None = None) -> list[CandidateRow]:
    """Return rows with their compound and the ids of the other rows of it.

    Args:
        rows: candidates, each object once.
        shown: among which others are looked for; all rows, if left out.
    """
    ids: dict[str, list[str]] = {}
    likely = {_atoms(row.object) for row in rows}
    for row in rows if shown is None else shown:
        if shown is not None and _atoms(row.object) not in likely:
            continue
        key = compound_of(row)
        if key and row.id not in ids.setdefault(key, []):
            ids[key].append(row.id)
    out = []
    for row in rows:
        key = compound_of(row)
        others = [other for other in ids.get(key, ()) if other != row.id]
        out.append(row._replace(compound=key, same_compound=" ".join(others)))
    return out
