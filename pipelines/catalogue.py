"""Listing the exchangeable parts, and making a vocabulary of fragments."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from data.config import ConfigError
from data.records import JsonDict
from models.registry import GROUPS, kinds
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
                "name": name,
                "type": inspect.formatannotation(field.annotation).replace("typing.", ""),
                "required": required,
                "default": None if required else _plain(field.get_default(call_default_factory=True)),
                "description": field.description or "",
            }
        )
    summary = (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")
    return {"group": group, "kind": kind, "summary": summary, "reference": cls.reference, "options": options}


def _plain(value: Any) -> Any:
    try:
        json.dumps(value)
    except TypeError:
        return str(value)
    return value


def show_components(group: str | None, format: str, console: Terminal) -> None:
    """Print the components as a table or as JSON."""
    entries = catalogue(group)
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


def build_vocabulary_file(
    file: Path, out: Path, max_fragments: int | None, min_count: int | None, console: Terminal
) -> None:
    """Build a vocabulary from a file of SMILES and write it.

    Raises:
        ConfigError: the file is missing or no text.
        VocabularyError: its molecules have no fragment in common.
        WorkspaceError: the vocabulary cannot be written.
    """
    from data.vocabulary import build_vocabulary

    given = {"max_fragments": max_fragments, "min_count": min_count}
    limits: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if not file.is_file():
        raise ConfigError(f"There is no file {str(file)!r}; expected a text with one SMILES per line.")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is no UTF-8 text ({error.reason}); expected one SMILES per line.") from error
    vocabulary = build_vocabulary((line.split()[0] for line in lines if line.strip()), name=file.name, **limits)
    with writing(out):
        vocabulary.save(out)
    console.say(f"{len(vocabulary.fragments)} fragments written to {out}")
