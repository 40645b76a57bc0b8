"""Hooks of MkDocs: the reference, made from the program itself, and pages of the repository's files that texts link to.

Texts link to files as they do on a code host, relative to themselves. A link out of `docs/` leads to a page made of
that file, or of that folder; one to nothing is a warning, which ends a strict build.
"""

from __future__ import annotations

import io
import json
import logging
import posixpath
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "campaigns/README.md": "campaigns.md",
    "benchmarks/README.md": "measurements.md",
}
"""Texts outside `docs/`, and the pages that they are; the first page of the site takes the place of the README."""
SHOWN = {".csv": "text", ".json": "json", ".md": "markdown", ".py": "python", ".smi": "text", ".yaml": "yaml"}
LONGEST = 400
"""Lines that are shown of a file."""

log = logging.getLogger("mkdocs.hooks.site")
origins: dict[str, str] = {}
"""Page -> the file that its text is of, from which its links start."""


def on_config(config: MkDocsConfig) -> None:
    """List the parts, which the navigation cannot know beforehand."""
    from models.registry import GROUPS

    reference = next(entry["Reference"] for entry in config.nav or [] if "Reference" in entry)
    parts = next(entry["Parts"] for entry in reference if "Parts" in entry)
    parts += [{_named(group): f"reference/parts/{group}.md"} for group in sorted(GROUPS)]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the reference, the texts outside `docs/`, and whatever else is linked to."""
    origins.clear()
    for page, text in {"reference/cli.md": _command_line(), **_parts()}.items():
        files.append(File.generated(config, page, content=text))
    origins.update(
        {file.src_uri: f"docs/{file.src_uri}" for file in files.documentation_pages() if not file.generated_by}
    )
    for path, page in PAGES.items():
        if page != "index.md":
            _add(files, config, page, path, (ROOT / path).read_text())
    waiting = list(origins.items())
    while waiting:
        page, path = waiting.pop()
        for target, _ in LINK.findall((ROOT / path).read_text()):
            linked = _resolved(path, target)
            if linked is None or not (ROOT / linked).exists() or _page(linked) in files.src_uris:
                continue
            made = _page(linked)
            if linked.endswith(".md"):
                _add(files, config, made, linked, (ROOT / linked).read_text())
                waiting.append((made, linked))
            elif not linked.startswith("docs/images/"):
                files.append(File.generated(config, made, content=_source(linked)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links of a text to pages of the site."""
    here = page.file.src_uri
    if here not in origins:
        return markdown

    def led(match: re.Match[str]) -> str:
        linked = _resolved(origins[here], match[1])
        if linked is None:
            return match[0]
        if not (ROOT / linked).exists():
            if _page(linked) not in files.src_uris:
                log.warning("%s links to %s, which is not in the repository.", origins[here], linked)
            return match[0]
        return posixpath.relpath(_page(linked), posixpath.dirname(here) or ".") + (match[2] or "")

    return LINK.sub(led, markdown)


def _resolved(path: str, target: str) -> str | None:
    """Return the file of the repository that a link in a file leads to, or None where it leads elsewhere."""
    if "://" in target or target.startswith(("mailto:", "/")):
        return None
    found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return None if found.startswith("..") else found


def _page(path: str) -> str:
    """Return the page or file of the site that a file of the repository is."""
    if path in PAGES:
        return PAGES[path]
    inside = path.removeprefix("docs/")
    if inside != path and not inside.endswith(".py"):
        return inside
    return f"source/{path}" if path.endswith(".md") else f"source/{path}.md"


def _add(files: Files, config: MkDocsConfig, page: str, path: str, text: str) -> None:
    files.append(File.generated(config, page, content=text))
    origins[page] = path


def _source(path: str) -> str:
    """Return a page that shows a file, or each file of a folder."""
    shown = ROOT / path
    if shown.is_dir():
        inside = [file for file in sorted(shown.rglob("*")) if file.suffix in SHOWN and "__pycache__" not in file.parts]
    else:
        inside = [shown]
    parts = ["---", "search: {exclude: true}", "---", f"# {path}", ""]
    for file in inside:
        lines = file.read_text().splitlines()
        name = file.relative_to(ROOT).as_posix()
        parts += [f"## {name}", ""] if shown.is_dir() else []
        parts += [f"~~~~~~{SHOWN.get(file.suffix, 'text')}", *lines[:LONGEST], "~~~~~~", ""]
        if len(lines) > LONGEST:
            parts += [f"The first {LONGEST} of {len(lines)} lines.", ""]
    return "\n".join(parts)


def _command_line() -> str:
    """Return the page of all commands: what `discover COMMAND --help` prints."""
    from pipelines.cli import app

    parts = ["# Command line", "", "Each text is what the command prints with `--help`.", ""]
    parts += ["## discover", "", *_help()]
    for name in sorted(name for name in app if not name.startswith("-")):
        parts += [f"## discover {name}", "", *_help(name)]
    return "\n".join(parts)


def _help(*command: str) -> Iterator[str]:
    from pipelines.cli import guarded

    with redirect_stdout(io.StringIO()) as told:
        code = guarded([*command, "--help"])
    if code:
        log.warning("`discover %s --help` ended with exit code %s.", " ".join(command), code)
    yield from ("~~~~~~text", told.getvalue().rstrip(), "~~~~~~", "")


def _parts() -> dict[str, str]:
    """Return the pages of the parts: what `discover components --format json` tells."""
    from pipelines.catalogue import catalogue

    pages: dict[str, list[str]] = {}
    index = [
        "# Parts", "",
        "Everything that a campaign file or a sampler file names by `kind`, as `discover components` lists it.", "",
        "| part | kinds |", "|---|---|",
    ]  # fmt: skip
    kinds: dict[str, list[str]] = {}
    for entry in catalogue():
        group, kind = entry["group"], entry["kind"]
        kinds.setdefault(group, []).append(f"[`{kind}`]({group}.md#{kind})")
        lines = pages.setdefault(group, [f"# {_named(group)}", ""])
        lines += [f"## `{kind}` {{ #{kind} }}", "", entry["summary"], ""]
        lines += [entry["reference"] + ".", ""] if entry["reference"] else []
        if entry["options"]:
            lines += ["| option | type | default | what |", "|---|---|---|---|"]
            lines += [_option(option) for option in entry["options"]] + [""]
    index += [f"| [{_named(group)}]({group}.md) | {', '.join(links)} |" for group, links in kinds.items()]
    made = {f"reference/parts/{group}.md": "\n".join(lines) for group, lines in pages.items()}
    return {"reference/parts/index.md": "\n".join(index), **made}


def _option(option: dict[str, Any]) -> str:
    default = "required" if option["required"] else f"`{json.dumps(option['default'], ensure_ascii=False)}`"
    what = _escaped(option["description"].replace("|", "\\|"))
    return f"| `{option['name']}` | `{option['type']}` | {default} | {what} |"


def _escaped(text: str) -> str:
    """Return a text in which no `<` begins a tag; between backticks Markdown sees to that itself."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if place % 2 else part.replace("<", "&lt;") for place, part in enumerate(parts))


def _named(group: str) -> str:
    return group.replace("_", " ").capitalize()
