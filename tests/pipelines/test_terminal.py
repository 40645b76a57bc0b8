"""What users wrote is shown as they wrote it."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.terminal import Terminal

BRACKETS = ["c1cc[nH]c1", "c1cc[se]c1", "C[n+]1ccccc1", "[bold]x[/bold]", "[/]", ":smile:", "[link=file:///x]y"]


def told(columns: int | None, monkeypatch, **more) -> str:
    terminal = Terminal()
    out = io.StringIO()
    terminal._file = out
    if columns is not None:
        monkeypatch.setenv("COLUMNS", str(columns))
        terminal._force_terminal = True
    terminal.records(["", "SMILES"], [[str(i), text] for i, text in enumerate(more.get("texts", BRACKETS))])
    return out.getvalue()


@pytest.mark.parametrize("columns", [None, 40, 80, 200])
def test_brackets_and_emoji_codes_stay(columns, monkeypatch):
    shown = told(columns, monkeypatch)
    assert all(text in shown for text in BRACKETS)


def test_a_long_text_goes_on_below_in_a_terminal_and_is_whole_in_a_pipe(monkeypatch):
    text = "C" * 300
    assert text in told(None, monkeypatch, texts=[text])
    narrow = told(40, monkeypatch, texts=[text])
    assert re.sub(r"[^C]", "", re.sub(r"\x1b[^m]*m|SMILES", "", narrow)) == text
    assert "…" not in narrow


def test_nothing_but_the_terminal_makes_consoles_or_reads_markup():
    root = Path(__file__).resolve().parents[2]
    for package in ("pipelines", "tasks", "models", "data"):
        for file in (root / package).rglob("*.py"):
            if file.name != "terminal.py":
                found = re.findall(
                    r"\bConsole\(|from_markup|markup=True|rich\.text|rich\.console import Console", file.read_text()
                )
                assert not found, (file, found)
    assert issubclass(Terminal, Console)


@pytest.mark.parametrize("words", [["--help"], ["candidates", "--help"]])
def test_the_help_is_readable_in_a_pipe_and_in_a_file(words):
    done = subprocess.run([sys.executable, "-m", "pipelines", *words], capture_output=True, text=True, check=True)
    assert "NAME" in done.stdout or "candidates" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
