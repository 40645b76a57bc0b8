"""Listing the exchangeable parts, and making a vocabulary of fragments."""

from __future__ import annotations

import inspect
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from data.records import JsonDict
from data.wording import counted
from models.registry import GROUPS, kinds, plugin_problems
from pipelines.terminal import Terminal, table
from tasks.workspace import writing


def catalogue(group: str | None = None) -> list[JsonDict]:
    """Return every component: group, kind, summary, reference, options (name, type, default, description).

    Raises:
        ComponentError: no such group.
    """
    groups = [group] if group is not None else sorted(GROUPS)
    return [_entry(name, kind, cls) for name in groups for kind, cls in kinds(name).items()]


def _entry(group: str, kind: str, cls: Any) -> JsonDict:
    options = []
    for name, field in cls.Options.model_fields.items():
        required = field.is_required()
        options.append(
            {
                "name": field.alias or name,
                "type": inspect.formatannotation(field.annotation).replace("typing.", ""),
                "required": required,
                "default": None if required else _default(field),
                "description": field.description or "",
            }
        )
    summary = (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")
    return {"group": group, "kind": kind, "summary": summary, "reference": cls.reference, "options": options}


def _default(field: FieldInfo) -> Any:
    """Return a default as files write it, or in words where it has no form there or depends on other options."""
    try:
        value = field.get_default(call_default_factory=True)
    except ValueError:  # a factory that takes the other options
        return "depends on the other options"
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value


def show_components(group: str | None, format: str, console: Terminal) -> None:
    """Print the components as a table or as JSON; plugins that are left out are told on standard error."""
    entries = catalogue(group)
    tell_plugin_problems()
    if format == "json":
        console.raw(json.dumps(entries, indent=1) + "\n")
        return
    lines = []
    for entry in entries:
        options = [
            option["name"] + ("" if option["required"] else f" ({json.dumps(option['default'])})")
            for option in entry["options"]
        ]
        what = entry["summary"] + (f"\n{entry['reference']}" if entry["reference"] else "")
        lines.append([entry["group"], entry["kind"], what, "\n".join(options)])
    headers = ["group", "kind", "what", "options (default)"]
    if console.fits(headers, lines, long=(2, 3)):
        made = table(headers, lines, long=(2, 3))
        made.padding = (0, 2, 1, 0)
        console.print(made)
    else:
        console.records(headers, lines, long=(2, 3))


def tell_plugin_problems() -> None:
    """Print, on standard error, one sentence for each plugin that is left out."""
    for problem in plugin_problems():
        print(problem, file=sys.stderr)


def build_vocabulary_file(
    file: Path, out: Path, max_fragments: int | None, min_count: int | None, console: Terminal
) -> None:
    """Build a vocabulary from a file of SMILES and write it.

    Raises:
        SourceError: the file is missing, no text, or lacks a column `smiles`.
        VocabularyError: its molecules have no fragment in common.
        WorkspaceError: the vocabulary cannot be written.
        ConfigError: something else stands where it would be written.
    """
    from data.chemistry.vocabulary import Vocabulary, VocabularyError, build_vocabulary
    from data.config import ConfigError
    from data.tables.remarks import reasons_told

    if out.is_file():
        try:
            Vocabulary.load(out)
        except (VocabularyError, UnicodeDecodeError) as error:
            raise ConfigError(f"--out is {out}, which exists and is no vocabulary. Name another file.") from error
    given = {"max_fragments": max_fragments, "min_count": min_count}
    limits: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    refused: Counter[str] = Counter()
    try:
        vocabulary = build_vocabulary(_molecules(file, refused), name=file.name, **limits)
    finally:  # also where what is left gives no vocabulary
        if refused:
            were = "was" if refused.total() == 1 else "were"
            said = f"{counted(refused.total(), 'row')} of {file.name} {were} refused: {reasons_told(refused)}."
            console.say(said)
    with writing(out):
        vocabulary.save(out)
    console.say(f"{len(vocabulary.fragments)} fragments written to {out}")


def _molecules(file: Path, refused: Counter[str]) -> Iterator[str]:
    """Yield the molecules of a file in standard form, as data sources and pools read it; count the others."""
    from data.chemistry.files.readers import FORMATS
    from data.objects import NotStandardError
    from data.tables.library_file import LibraryFile, standard_object
    from data.tables.remarks import reason_kind
    from data.tables.rows import SourceError
    from models.spaces.molecules import standard_molecule

    library = LibraryFile(file, more=FORMATS)
    try:
        library.kind()
    except SourceError:  # a list of SMILES under any name
        library = LibraryFile(file, format="smiles", more=FORMATS)
    for row in library.rows():
        try:
            yield standard_object(row, standard_molecule)
        except NotStandardError as error:
            refused[reason_kind(str(error))] += 1
