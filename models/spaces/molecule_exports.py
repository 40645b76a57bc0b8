"""Candidates as files of chemistry.

* SMI: a SMILES and an id in a line, with a tab between them.
* SDF: a text that its format cannot hold (line breaks, `$$$$`, a leading `>`, blanks at its ends) is a JSON string, in
  quotation marks; one that begins with a quotation mark is too, so that every such property is read by `json.loads`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from data.chemistry.molecules import quiet_rdkit
from data.records import JsonDict


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
                text.write(f">  <{field_name(key)}>\n{sdf_text(value)}\n\n")
        text.write("$$$$\n")
    return text.getvalue()


def field_name(key: str) -> str:
    """Return a key as a reader of SD files finds it in its brackets: names of objectives are people's texts."""
    return "".join(letter if letter.isprintable() and letter not in "<>" else "_" for letter in key)


def sdf_text(value: Any) -> str:
    """Return a value as one line that is what it is to every reader of SD files."""
    if not isinstance(value, str):
        return repr(value)
    plain = value.isprintable() and value == value.strip() and not value.startswith(('"', ">", "$$$$"))
    return value if plain else json.dumps(value, ensure_ascii=not value.isprintable())


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
