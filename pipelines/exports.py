"""Candidates as files of other programs: exact values, every text in a form that reads back.

* CSV: texts that a spreadsheet would run get an apostrophe in front (`data.tables.spreadsheets`).
* JSON: as they are.
* SMI: a SMILES and an id in a line, with a tab between them.
* SDF: a text that its format cannot hold (line breaks, `$$$$`, a leading `>`, blanks at its ends) is a JSON string, in
  quotation marks; one that begins with a quotation mark is too, so that every such property is read by `json.loads`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.chemistry.molecules import quiet_rdkit
from data.config import ConfigError
from data.records import JsonDict
from data.tables.spreadsheets import safe_text

FIELDS = (
    "id",
    "smiles",
    "value",
    "unit",
    "round",
    "arm",
    "predicted_mean",
    "predicted_std",
    "source",
    "origin",
    "state",
    "novelty",
    "error",
    "message",
    "inchikey",
    "same_compound",
)
"""Keys of an exported candidate, in order."""


def as_json(rows: Sequence[JsonDict]) -> str:
    """Return candidates as JSON, every letter beyond ASCII escaped."""
    return json.dumps(rows, indent=1) + "\n"


def as_csv(rows: Sequence[JsonDict]) -> str:
    """Return candidates as CSV."""
    text = io.StringIO()
    plain = csv.DictWriter(text, FIELDS, lineterminator="\n")
    # Python quotes a carriage return only where it ends lines, and readers end a line at one that is not quoted.
    quoted = csv.DictWriter(text, FIELDS, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    plain.writeheader()
    for row in rows:
        cells = {key: safe_text(_writable(value)) for key, value in row.items()}
        writer = quoted if any("\r" in cell for cell in cells.values() if isinstance(cell, str)) else plain
        writer.writerow(cells)
    return text.getvalue()


def as_smi(rows: Sequence[JsonDict]) -> str:
    """Return candidates as a SMILES file: SMILES, tab, id."""
    return "".join(f"{row['smiles']}\t{row['id']}\n" for row in rows)


def as_sdf(rows: Sequence[JsonDict]) -> str:
    """Return candidates as an SD file with 2-D coordinates, every field a property."""
    text = io.StringIO()
    for row in rows:
        text.write(_molblock(row["smiles"], row["id"]))
        for key, value in row.items():
            if value is not None and value != "":
                text.write(f">  <{key}>\n{sdf_text(value)}\n\n")
        text.write("$$$$\n")
    return text.getvalue()


def sdf_text(value: Any) -> str:
    """Return a value as one line that is what it is to every reader of SD files."""
    if not isinstance(value, str):
        return repr(value)
    plain = value.isprintable() and value == value.strip() and not value.startswith(('"', ">", "$$$$"))
    return value if plain else json.dumps(value, ensure_ascii=not value.isprintable())


FORMS: Mapping[str, Callable[[Sequence[JsonDict]], str]] = {
    "csv": as_csv,
    "sdf": as_sdf,
    "json": as_json,
    "smi": as_smi,
}
"""Format -> its text; a format is the ending of its files."""

OF_MOLECULES = ("sdf", "smi")
"""Formats that hold nothing but molecules."""


def form_of(format: str | None, name: str) -> Callable[[Sequence[JsonDict]], str]:
    """Return what writes a file: of the format that is asked for, else of the name's ending, CSV where it has none.

    Raises:
        ConfigError: the ending is of no format that is written, or of another one than was asked for.
    """
    ending = Path(name).suffix[1:].lower()
    if ending not in FORMS and ending:
        told = f"its ending {'.' + ending!r} names no format that is written"
    elif format is not None and ending and ending != format:
        told = f"its ending says {ending}, and --format says {format}"
    else:
        return FORMS[format or ending or "csv"]
    named = ", ".join(f".{form}" for form in FORMS)
    raise ConfigError(
        f"{name!r} is not written: {told}. Give the file one of the endings {named}, or none and its --format."
    )


def _molblock(smiles: str, name: str) -> str:
    """Return a molblock that reads back as the molecule, by the first way of drawing it that does.

    Double bonds in large rings and the like need other coordinates or the newer format; where no way keeps everything,
    the property `smiles` still does.
    """
    from rdkit import Chem

    with quiet_rdkit():
        blocks = (_drawn(smiles, name, engine, v3000) for v3000 in (False, True) for engine in (False, True))
        first = None
        for block in blocks:
            first = block if first is None else first
            back = Chem.MolFromMolBlock(block)
            if back is not None and Chem.MolToSmiles(back) == Chem.CanonSmiles(smiles):
                return block
    assert first is not None
    return first


def _drawn(smiles: str, name: str, coordgen: bool, v3000: bool) -> str:
    from rdkit import Chem
    from rdkit.Chem import rdCoordGen, rdDepictor

    mol = Chem.MolFromSmiles(smiles)
    if coordgen:
        rdCoordGen.AddCoords(mol)
    else:
        rdDepictor.Compute2DCoords(mol)
    mol.SetProp("_Name", name if name.isprintable() else "")
    if any(atom.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED for atom in mol.GetAtoms()):
        mol.SetIntProp("_MolFileChiralFlag", 1)  # absolute: the structure is this enantiomer, not a racemate
    return str(Chem.MolToMolBlock(mol, forceV3000=v3000))


def _writable(value: Any) -> Any:
    """Return a text without lone surrogates, which no file can hold: written as their escapes."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
