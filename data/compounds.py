"""Which objects are the same compound: information for people, never a reason to merge or reuse a measurement.

Two tautomers are two objects with two measurements, and one standard InChIKey.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from data.records import JsonDict


@lru_cache(maxsize=50_000)
def inchikey(smiles: str) -> str:
    """Return the standard InChIKey, or an empty text where InChI has none."""
    from rdkit import Chem

    from data.molecules import quiet_rdkit, shared

    mol = shared(smiles)
    if mol is None:
        return ""
    with quiet_rdkit():
        return str(Chem.MolToInchiKey(mol))


def with_compounds(rows: Sequence[JsonDict], shown: Iterable[JsonDict] | None = None) -> list[JsonDict]:
    """Return rows with `inchikey` and `same_compound`: the ids of the other rows of that compound, with blanks between.

    Args:
        rows: mappings with `id` and `smiles`, each object once.
        shown: among which others are looked for; all rows, if left out.
    """
    ids: dict[str, list[str]] = {}
    for row in rows if shown is None else shown:
        key = inchikey(row["smiles"])
        if key and row["id"] not in ids.setdefault(key, []):
            ids[key].append(row["id"])
    out = []
    for row in rows:
        key = inchikey(row["smiles"])
        others = [other for other in ids.get(key, ()) if other != row["id"]]
        out.append({**row, "inchikey": key, "same_compound": " ".join(others)})
    return out
