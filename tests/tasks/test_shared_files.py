"""Finished files that stand in several places."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tasks.shared_files import share, share_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "stage"
    (made / "plots").mkdir(parents=True)
    (made / "table.csv").write_text("id\n1\n")
    (made / "plots" / "map.png").write_bytes(b"\x89PNG")
    return made


def test_the_files_of_a_folder_stand_in_another_and_take_room_once(folder: Path, tmp_path: Path) -> None:
    share_folder(folder, tmp_path / "view")
    for name in ("table.csv", "plots/map.png"):
        assert (tmp_path / "view" / name).samefile(folder / name)
    assert len([path for path in (tmp_path / "view").rglob("*") if path.is_file()]) == 2


def test_what_stood_in_the_place_is_replaced_and_not_written_to(folder: Path, tmp_path: Path) -> None:
    before = tmp_path / "before.csv"
    before.write_text("old\n")
    view = tmp_path / "view.csv"
    share(before, view)
    share(folder / "table.csv", view)
    share(folder / "table.csv", view)  # again: nothing changes
    assert (before.read_text(), view.read_text()) == ("old\n", "id\n1\n")


def test_where_there_are_no_links_it_is_a_copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refused)
    share_folder(folder, tmp_path / "view")
    assert (tmp_path / "view" / "table.csv").read_text() == "id\n1\n"
    assert not (tmp_path / "view" / "table.csv").samefile(folder / "table.csv")
