"""`discover example`: the campaigns that are shipped, to run or to change, wherever discovery-flows is installed."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

from data.config import ConfigError, nearest_spelling
from pipelines.terminal import Terminal
from tasks.workspace import writing


def examples() -> dict[str, Path]:
    """Return name -> file or folder of every example."""
    folder = Path(str(files("data.resources"))) / "campaigns"
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return {entry.stem: entry for entry in entries if entry.suffix == ".yaml" or (entry.is_dir() and _files(entry))}


def show_examples(console: Terminal) -> None:
    """Print every example with its first line."""
    for name, path in examples().items():
        console.say((name, "bold"))
        for file in _files(path):
            first = file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
            prefix = "" if path.is_file() else f"{file.name}: "
            console.say(f"  {prefix}{first}")
    console.say("`discover example NAME` copies one into this folder.")


def copy_example(name: str, out: Path | None, console: Terminal) -> None:
    """Copy an example and print how it is run.

    Args:
        name: of the example.
        out: file or folder to write; None: the example's own name, in this folder.
        console: to print on.

    Raises:
        ConfigError: there is no such example, or something stands where it would be written.
        WorkspaceError: it cannot be written.
    """
    known = examples()
    if name not in known:
        raise ConfigError(
            f"There is no example {name!r}; expected one of {', '.join(known)}.{nearest_spelling(name, list(known))}"
        )
    source = known[name]
    target = Path(source.name) if out is None else out.expanduser()
    with writing(target):
        if target.exists() or target.is_symlink():
            raise ConfigError(f"{target} is there already and is not overwritten; name another place by `--out`.")
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source, target)
    for file in _files(target):
        command = "sampler" if name == "samplers" else "run"
        console.say(f"discover {command} {file}")


def _files(path: Path) -> list[Path]:
    """Return the files that a command takes."""
    return sorted(path.glob("*.yaml")) if path.is_dir() else [path]
