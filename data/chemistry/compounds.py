"""Which objects are the same compound: information for people, never a reason to merge or reuse a measurement.

Two tautomers are two objects with two measurements, and one standard InChIKey.
"""

from __future__ import annotations

import re
from functools import lru_cache

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


def letters(smiles: str) -> str:
    """Return the letters of a SMILES in order: texts of one compound have the same, and no molecule need be built."""
    return "".join(sorted(_HYDROGEN.sub("", smiles).upper().translate(_NO_LETTERS)))
