"""`discover export`: everything of one campaign in one ZIP file, the same bytes each time, and no password in it."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from data.config import ConfigError
from data.ledger.campaigns import Campaign
from data.ledger.lock import refuse_if_running
from data.ledger.rows import rows_of
from data.masking import masked
from data.records import JsonDict
from data.version import version
from data.wording import counted
from pipelines.campaign_file import campaign_file, settings_file
from pipelines.terminal import Terminal
from tasks.workspace import Workspace, WorkspaceError, writing

_BEGINNING = (1980, 1, 1, 0, 0, 0)
"""Time of every file inside: the first that the format knows."""
_LEVEL = 6

_ROWS = {
    "calls": "every call of an oracle: the object, the value or why there is none, the identity of the oracle\n"
    "    (a hash of all that decides a value), origin (called | imported: came with the data | reused: another\n"
    "    campaign of the ledger had bought it | awaited: another one is buying it), state, cost and times",
    "candidates": "every candidate: round, arm, source, what was predicted when it was chosen",
    "stages": "every finished stage: what went in (key), the folder of its results (uri) and their sha256",
    "revisions": "answers as they were before somebody corrected them",
    "campaign": "the campaign itself: configuration, state, what was booked, all that its oracles are",
}
"""Table -> what its rows are."""


def write_archive(workspace: Workspace, name: str, out: Path, console: Terminal) -> None:
    """Write a campaign into a ZIP file.

    Args:
        workspace: where it is.
        name: of the campaign, or of the folder of one of its generations.
        out: the file, which must be new.
        console: where it is told, also what was left out.

    Raises:
        ConfigError: the file has another ending.
        LedgerError: there is no such campaign, or a process runs it.
        WorkspaceError: the file is there already, is in the workspace, or cannot be written.
    """
    file = _refuse_taken(out, workspace)
    ledger = workspace.ledger()
    campaign = ledger.campaign_of(name)
    refuse_if_running(ledger, campaign.name)
    others = [one.slug for one in ledger.campaigns() if one.name == campaign.name and one.id != campaign.id]
    rows = rows_of(ledger, campaign.id)
    masks = _Masks()
    texts = {f"ledger/{table}.jsonl": masks.of(_lines(found)) for table, found in rows.items()}
    texts |= {"campaign.yaml": campaign_file(campaign), "settings.json": settings_file(ledger, campaign)}
    kept, left_out = _files(workspace, campaign)
    notes = _notes(masks.count, left_out, others)
    texts["README.txt"] = _readme(campaign, rows, notes)
    with writing(file):
        handle, partial = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
        try:
            with os.fdopen(handle, "wb") as opened, zipfile.ZipFile(opened, "w") as archive:
                _fill(archive, campaign.slug, texts, kept)
            os.chmod(partial, 0o666 & ~_umask())
            os.replace(partial, file)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(partial)
    for note in notes:
        console.say(("note", "yellow"), f"  {note}")
    calls = len(rows["calls"])
    console.say(
        f"{campaign.slug}: {counted(calls, 'call')} and {counted(len(kept), 'file')} of its stages written to {out}"
    )


class _Masks:
    """Counts the passwords that are taken out of texts."""

    def __init__(self) -> None:
        self.count = 0

    def of(self, lines: Iterable[str]) -> str:
        found = []
        for line in lines:
            hidden = masked(line)
            self.count += hidden != line
            found.append(hidden)
        return "".join(f"{line}\n" for line in found)


def _lines(rows: Iterable[JsonDict]) -> Iterator[str]:
    return (json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows)


def _files(workspace: Workspace, campaign: Campaign) -> tuple[dict[str, Path], dict[str, str]]:
    """Return the campaign's files by their names in the archive, and those that are left out with the reason."""
    folder = workspace.campaign_folder(campaign)
    found = {f"stages/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*")}
    # Answers that the ledger has not taken yet are paid for: they belong to the campaign.
    found |= {f"undelivered/{path.name}": path for path in workspace.home.glob(f"undelivered/{campaign.slug}-*.jsonl")}
    kept, left_out = {}, {}
    for name, path in found.items():
        if path.is_symlink():
            left_out[name] = "is a link"
        elif not path.is_file():
            continue
        elif any(part.endswith(".partial") for part in Path(name).parts):
            left_out[name] = "was not finished"
        elif _holds_a_password(path):
            left_out[name] = "holds what looks like a password"
        else:
            kept[name] = path
    return kept, left_out


def _holds_a_password(path: Path) -> bool:
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return masked(text) != text


def _notes(masks: int, left_out: Mapping[str, str], others: Iterable[str]) -> list[str]:
    """Return a sentence on each thing that is not inside, or not as it was."""
    told = [f"{name} is left out: it {reason}." for name, reason in sorted(left_out.items())]
    if masks:
        rows = "1 row" if masks == 1 else f"{masks} rows"
        told.append(f"{rows} of the ledger held what looks like a password; *** stands for it.")
    names = list(others)
    if names:
        told.append(
            f"The other generations of the name are not inside: {', '.join(names)}. Each is exported by itself."
        )
    return told


def _readme(campaign: Campaign, rows: Mapping[str, list[JsonDict]], notes: Iterable[str]) -> str:
    tables = "\n".join(f"  ledger/{table}.jsonl  ({len(rows[table])} rows)\n    {_ROWS[table]}" for table in _ROWS)
    said = "".join(f"- {note}\n" for note in notes) or "- Nothing was left out.\n"
    return f"""Campaign {campaign.slug}, begun {campaign.created_at}, state {campaign.state}.
Written by discovery-flows {version()}.

campaign.yaml
    the campaign file as the ledger has it, defaults left out
settings.json
    the same with all defaults, and all that decides the values of its oracles
ledger/
    the campaign's rows of the ledger, a JSON object on each line
{tables}
stages/
    the results of each stage, round-NNN/STAGE; report/ has the page of candidates (candidates.html)
    stages.jsonl has the sha256 of each folder: that of lines NAME, a zero byte, sha256 of the file, in order of names
undelivered/
    answers of oracles that the ledger had not taken yet, where there are some

What was left out or changed:
{said}- The folder of the campaign file, which is a place on one machine, is not told.
"""


def _fill(archive: zipfile.ZipFile, top: str, texts: Mapping[str, str], files: Mapping[str, Path]) -> None:
    """Write everything in the order of names, with one time and one mode."""
    for name in sorted([*texts, *files]):
        entry = zipfile.ZipInfo(f"{top}/{name}", _BEGINNING)
        entry.create_system, entry.external_attr = 3, 0o100644 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        content = texts[name].encode("utf-8", "backslashreplace") if name in texts else files[name].read_bytes()
        archive.writestr(entry, content, compresslevel=_LEVEL)


def _refuse_taken(out: Path, workspace: Workspace) -> Path:
    """Return the file that is to be written."""
    if out.suffix.lower() != ".zip":
        raise ConfigError(f"--out is {out}; expected a file that ends in .zip.")
    file = out.expanduser().resolve()
    if file.exists() or file.is_relative_to(workspace.home.resolve()):
        what = "there already" if file.exists() else f"in the workspace {workspace.home}"
        raise WorkspaceError(f"--out is {out}, which is {what}. Nothing was written; name another file.")
    return file


def _umask() -> int:
    """Return the umask, which can only be read by setting it."""
    present = os.umask(0o077)
    os.umask(present)
    return present
