"""`discover backup` and `discover restore`: a workspace in one file, also while campaigns run, checked by sha256.

What is written comes in an order in which nothing measured can fall between: answers that the ledger has not taken yet,
then the ledger as it is at one moment, then MLflow's database, then the files, which are finished before the ledger
names them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.config import ConfigError
from data.ledger.campaigns import now
from data.ledger.ledger import Ledger
from data.ledger.snapshot import copy_ledger, copy_sqlite, fill_ledger
from data.masking import masked
from data.version import version
from data.wording import counted
from pipelines.terminal import Terminal
from tasks.oracles.undelivered import folder_of
from tasks.read_tables import STAGE
from tasks.stages import folder_sha256
from tasks.workspace import LEDGER_VARIABLE, Workspace, WorkspaceError

ENDINGS = (".tar.gz", ".tgz")
MANIFEST = "MANIFEST.json"
FORMAT = 1
LEDGER = "ledger.db"
DATABASES = ("mlflow.db", "prefect/prefect.db")
FOLDERS = ("campaigns", "artifacts", "proxies", "filled-in")
LEFT_OUT = "services/ (the servers' token), logs/ and cache/, which are made anew"
UNPINNED = ("report", STAGE)
"""Stages whose results are looked at only, and are made again at will."""
_IN_MEMORY = 1 << 26
"""Bytes up to which a file is read at once, so that one that changes meanwhile is whole all the same."""
_PART = 1 << 20


@dataclass(slots=True)
class _Written:
    """What was written.

    Attributes:
        sums: sha256 by name.
        notes: sentences on what is not inside.
        others: campaigns of other workspaces, of which a shared ledger tells.
    """

    sums: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    others: int = 0


def back_up(workspace: Workspace, out: Path, console: Terminal) -> int:
    """Write a workspace into one file of mode 600; campaigns may run meanwhile.

    Raises:
        ConfigError: the file has another ending.
        WorkspaceError: it is there already, is in the workspace, cannot be written, or a campaign was deleted
            meanwhile.
        LedgerError: the ledger cannot be read.
    """
    file = _refuse_taken(out, workspace)
    written = _Written()
    handle, partial = _temporary(file)
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=workspace.home) as scratch:
            with (
                os.fdopen(handle, "wb") as opened,
                tarfile.open(fileobj=opened, mode="w:gz", compresslevel=6) as archive,
            ):
                campaigns = _fill(workspace, archive, Path(scratch), written)
            with Path(partial).open("rb+") as whole:
                os.fsync(whole.fileno())
        os.replace(partial, file)
    except OSError as error:
        raise WorkspaceError(
            f"{out} cannot be written ({error.strerror or error}). Free space there, or name another file. Nothing of "
            "the workspace was changed."
        ) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(partial)
    for note in written.notes:
        console.say(("note", "yellow"), f"  {note}")
    folders = sorted({str(one["base"]) for one in campaigns})
    console.say(f"{counted(len(campaigns), 'campaign')} and {counted(len(written.sums), 'file')} written to {out}.")
    if written.others:
        console.say(
            f"Its ledger is the shared one, whole: {counted(written.others, 'campaign')} of other workspaces "
            f"{'is' if written.others == 1 else 'are'} in it too, without their files."
        )
    console.say(f"Left out: {LEFT_OUT}.")
    if folders:
        console.say(f"Campaign files, tables and oracles are not in the workspace; copy them too: {', '.join(folders)}")
    return 0


def _temporary(file: Path) -> tuple[int, str]:
    try:
        return tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)  # mode 600
    except OSError as error:
        raise WorkspaceError(
            f"{file} cannot be written ({error.strerror}). Name a file in a folder that exists and can be written."
        ) from error


def _fill(workspace: Workspace, archive: tarfile.TarFile, scratch: Path, written: _Written) -> list[dict[str, Any]]:
    home = workspace.home
    waiting = folder_of(workspace)
    for path in sorted(waiting.glob("*")) if waiting.is_dir() else ():
        _add(archive, f"{waiting.name}/{path.name}", path, written)
    with closing(workspace.ledger(migrating=False)) as ledger:
        copy_ledger(ledger, scratch / LEDGER)
        elsewhere = bool(os.environ.get(LEDGER_VARIABLE))
    _add(archive, LEDGER, scratch / LEDGER, written)
    for name in DATABASES:
        if (home / name).is_file() and (home / name).stat().st_size:
            copy = scratch / Path(name).name
            copy_sqlite(home / name, copy)
            _add(archive, name, copy, written)
    if (home / "workspace.json").is_file():
        _add(archive, "workspace.json", home / "workspace.json", written)
    for folder in FOLDERS:
        for path in _files(home / folder, written):
            _add(archive, path.relative_to(home).as_posix(), path, written)
    with closing(Ledger.at(scratch / LEDGER, migrating=False)) as copied:
        every = copied.campaigns()
        mine = [one for one in every if not elsewhere or workspace.campaign_folder(one).is_dir()]
        campaigns = [{"name": one.slug, "state": str(one.state), "base": str(one.base)} for one in mine]
        written.others = len(every) - len(mine)
        lost = _unsound(copied, home, shared=elsewhere)
    if lost:
        raise WorkspaceError(
            f"Nothing was written: of {counted(len(lost), 'result')} the files are not those that the ledger names, "
            f"{lost[0]} first. If a campaign was deleted meanwhile, give the same command again; else look with "
            "`discover doctor`."
        )
    manifest = {
        "format": FORMAT,
        "version": version(),
        "made": now(),
        "home": str(home.resolve()),
        "shared_ledger": elsewhere,
        "campaigns": campaigns,
        "others": written.others,
        "sha256": written.sums,
    }
    content = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
    archive.addfile(_entry(MANIFEST, len(content)), io.BytesIO(content))
    return campaigns


def _files(folder: Path, written: _Written) -> Iterator[Path]:
    """Return the files of a folder that are worth keeping, in order; what is not finished is none."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if any(part.endswith(".partial") for part in path.relative_to(folder).parts):
            continue
        if path.is_symlink():
            written.notes.append(f"{path} is a link, which is left out.")
        elif path.is_file():
            yield path


def _add(archive: tarfile.TarFile, name: str, path: Path, written: _Written) -> None:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= _IN_MEMORY:
                content = file.read()
                source, size = _Summing(io.BytesIO(content)), len(content)
            else:
                source = _Summing(file)
            archive.addfile(_entry(name, size), source)
    except FileNotFoundError:  # such as a report that was replaced, or an answer that the ledger has taken meanwhile
        return
    written.sums[name] = source.sum.hexdigest()


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


class _Summing:
    """A file that sums up what is read of it."""

    def __init__(self, file: Any) -> None:
        self.file, self.sum = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        content: bytes = self.file.read(size)
        self.sum.update(content)
        return content


def _unsound(ledger: Ledger, home: Path, *, shared: bool) -> list[str]:
    """Return the folders of finished stages whose files are not those that the ledger names.

    Args:
        ledger: that names them.
        home: in which they are.
        shared: whether the ledger has campaigns of other workspaces, whose files are elsewhere.
    """
    found = []
    for campaign in ledger.campaigns():
        for stage in ledger.stages(campaign.id):
            folder = home / stage.uri
            if not folder.is_dir():
                found += [] if shared else [stage.uri]
            elif stage.name not in UNPINNED and folder_sha256(folder) != stage.sha256:
                found.append(stage.uri)
    return found


def _refuse_taken(out: Path, workspace: Workspace) -> Path:
    if not out.name.endswith(ENDINGS):
        raise ConfigError(f"--out is {out}; expected a file that ends in {' or '.join(ENDINGS)}.")
    file = out.expanduser().resolve()
    if file.exists() or file.is_relative_to(workspace.home.resolve()):
        what = "there already" if file.exists() else f"in the workspace {workspace.home}"
        raise WorkspaceError(f"--out is {out}, which is {what}. Nothing was written; name another file.")
    return file


# -- restore ---------------------------------------------------------------------------------------------------------


def restore(file: Path, to: Path, console: Terminal) -> int:
    """Make a workspace of a backup, after every file in it was checked; where something is wrong nothing is made.

    With `DISCOVER_LEDGER` the ledger is written into that database, which must be empty.

    Raises:
        ConfigError: the file is no backup, or is damaged.
        WorkspaceError: the folder is there and not empty, or cannot be written.
        LedgerError: the database has campaigns.
    """
    target = to.expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise WorkspaceError(f"--to is {to}, which is there and not empty. Nothing was restored; name another folder.")
    with _scratch(target) as folder:
        manifest = _extracted(file, folder)
        with closing(Ledger.at(folder / LEDGER)) as ledger:  # migrated, if an earlier program wrote it
            ledger.check()
            lost = _unsound(ledger, folder, shared=bool(manifest["shared_ledger"]))
        if lost:
            raise ConfigError(f"{file} is damaged: {lost[0]} is not as its ledger says. Nothing was restored.")
        url = os.environ.get(LEDGER_VARIABLE)
        if url:
            with closing(Ledger(url)) as into:
                fill_ledger(folder / LEDGER, into)
            (folder / LEDGER).unlink()
        if target.exists():
            target.rmdir()
        os.replace(folder, target)
    names = ", ".join(f"{one['name']} ({one['state']})" for one in manifest["campaigns"]) or "no campaign"
    others = manifest.get("others", 0)
    if others:
        names += f", and without their files {counted(others, 'campaign')} of other workspaces,"
    into_ = f", its ledger in {masked(url)}" if url else ""
    console.say(f"Restored {names} as of {manifest['made']} to {target}{into_}; every file is as it was written.")
    console.say(f"Use it by: export DISCOVER_HOME={shlex.quote(str(target))}")
    console.say(
        "What the workspace it was made of has bought since is not in it. Run campaigns in one of the two only: the "
        "other would buy the same again."
    )
    return 0


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """Have a folder beside a target, on the same disk, that is gone after the block unless it became the target."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise WorkspaceError(f"--to is {target}, beside which nothing can be written ({error.strerror}).") from error
    try:
        yield folder
    except OSError as error:
        raise WorkspaceError(
            f"{target} cannot be written ({error.strerror or error}). Nothing was restored. Free space there, or name "
            "another folder."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _extracted(file: Path, folder: Path) -> dict[str, Any]:
    """Write the files of a backup into a folder and return its manifest.

    Raises:
        ConfigError: it is none, or is damaged.
    """
    found: dict[str, str] = {}
    try:
        with tarfile.open(file, "r:gz") as archive:
            for entry in archive:
                source = archive.extractfile(entry) if entry.isreg() else None
                path = folder / entry.name
                if source is None or ".." in Path(entry.name).parts or not path.is_relative_to(folder):
                    raise ConfigError(
                        f"{file} holds {entry.name!r}, which no backup of ours has. Nothing was restored."
                    )
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                summing = _Summing(source)
                with path.open("xb") as made:
                    os.fchmod(made.fileno(), 0o600)
                    while part := summing.read(_PART):
                        made.write(part)
                found[entry.name] = summing.sum.hexdigest()
    except FileNotFoundError as error:
        if error.filename == str(file):
            raise ConfigError(f"There is no file {str(file)!r}; expected one that `discover backup` wrote.") from error
        raise
    except (tarfile.TarError, EOFError, ValueError, FileExistsError) as error:
        raise _damaged(file, str(error)) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(file, str(error)) from error  # gzip's own: the sum of what is compressed is wrong
    if MANIFEST not in found:
        raise _damaged(file, f"it has no {MANIFEST}")
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    if manifest.get("format") != FORMAT:
        raise ConfigError(
            f"{file} has format {manifest.get('format')!r}; this program reads {FORMAT}. Install the discovery-flows "
            f"that wrote it, {manifest.get('version')!r}."
        )
    del found[MANIFEST]
    wrong = sorted(name for name in {*found, *manifest["sha256"]} if found.get(name) != manifest["sha256"].get(name))
    if wrong:
        raise _damaged(file, f"{wrong[0]} is not as it was written")
    (folder / MANIFEST).unlink()
    return manifest


def _damaged(file: Path, reason: str) -> ConfigError:
    return ConfigError(f"{file} is no whole backup ({reason}). Nothing was restored. Take another copy of it.")
