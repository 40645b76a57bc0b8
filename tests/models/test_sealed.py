"""A cache or a checkpoint that is cut short, garbled or emptied is known to be damaged, and made again."""

import errno
import logging
from unittest.mock import Mock

import pytest
import torch

from data.chemistry.files.readers import FORMATS
from data.tables.library_file import LibraryFile
from data.tables.prepared import PreparedLibrary
from models.generators.pool import PoolGenerator
from models.protocols import GenerationContext
from models.sealed import DamagedCheckpoint, read_sealed, write_sealed
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=9, min_heavy_atoms=1, elements=("H", "C", "N", "O"))


def garbled(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


DAMAGES = {
    "cut short": lambda content: content[: len(content) // 2],
    "garbled": garbled,
    "emptied": lambda content: b"",
    "one byte more": lambda content: content + b"\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    file = tmp_path / "checkpoint.pt"
    write_sealed({"done": 3, "weights": torch.arange(4.0)}, file)
    assert read_sealed(file)["done"] == 3
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    with pytest.raises(DamagedCheckpoint, match=r"checkpoint\.pt is damaged"):
        read_sealed(file)


@pytest.fixture
def library(tmp_path):
    file = tmp_path / "library.smi"
    file.write_text("CCO\nCCN\nCCC\nCCCO\nCC=O\n")
    return file


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_parts_of_a_prepared_library_are_made_again(tmp_path, library, damage, caplog):
    prepared = PreparedLibrary(LibraryFile(library, more=FORMATS), SPACE, tmp_path / "cache")
    expected = list(prepared.parts())
    files = sorted((tmp_path / "cache").rglob("part-*.json"))
    whole = [file.read_bytes() for file in files]
    assert len(files) == 2
    for file, content in zip(files, whole, strict=True):
        file.write_bytes(DAMAGES[damage](content))
        with caplog.at_level(logging.WARNING):
            assert list(prepared.parts()) == expected
        assert str(file) in caplog.text
        assert [one.read_bytes() for one in files] == whole


@pytest.mark.parametrize(
    "obstacle", ["a file in the place of the folder", "no room", "a folder in the place of a part"]
)
def test_parts_that_cannot_be_kept_are_said_once_and_made_each_time(tmp_path, library, obstacle, caplog, monkeypatch):
    library.write_text("CCO\n" * 12_000)
    prepared = PreparedLibrary(LibraryFile(library, more=FORMATS), SPACE, tmp_path / "cache")
    expected = list(PreparedLibrary(LibraryFile(library, more=FORMATS), SPACE).parts())
    if obstacle == "no room":
        monkeypatch.setattr("os.replace", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    elif obstacle == "a folder in the place of a part":
        (tmp_path / "cache" / f"library-{prepared.key()[:16]}" / "part-00000.json").mkdir(parents=True)
    else:
        (tmp_path / "cache").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert [list(prepared.parts()) for _ in range(2)] == [expected] * 2
    assert caplog.text.count("cannot be kept in") == 1
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_pool_with_a_damaged_checkpoint_begins_anew(tmp_path, library, damage, caplog):
    context = GenerationContext(
        SPACE, lambda molecules: torch.arange(len(molecules)).double().numpy(), 0, checkpoint=tmp_path / "pool.pt"
    )

    def proposed():
        generator = PoolGenerator(path=str(library))
        generator.fit(context)
        return generator.sample(5, seed=0)

    expected = proposed()
    whole = (tmp_path / "pool.pt").read_bytes()
    (tmp_path / "pool.pt").write_bytes(DAMAGES[damage](whole))
    with caplog.at_level(logging.WARNING):
        assert proposed() == expected
    assert "pool.pt is damaged" in caplog.text
    assert (tmp_path / "pool.pt").read_bytes() == whole
