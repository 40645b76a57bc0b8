"""What decides a value is of the identity, what does not is not."""

import shutil

import pytest
from pydantic import Field

from models.oracles.base import MoleculeOracle, OracleOptions
from models.registry import ComponentError, build


def oracle(kind, **options):
    return build("oracle", {"kind": kind, **options})


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        path = folder.joinpath(*name.split("/"))
        path = path.with_name(path.name + ("" if "." in path.name else ".py"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return folder


def files(folder, function="mine:measure"):
    parts = oracle("python", function=function).parts(folder)
    return {name.removeprefix("file ") for name in parts if name.startswith("file ")}


@pytest.mark.parametrize("kind", ["xtb", "rdkit"])
def test_options_of_speed_are_not_of_it_and_the_others_are(kind):
    assert oracle(kind).identity() == oracle(kind, cost=3, timeout=9, chunk=7).identity()
    other = {"xtb": {"seed": 1}, "rdkit": {"property": "logp"}}[kind]
    assert oracle(kind).identity() != oracle(kind, **other).identity()
    assert len(oracle(kind).identity()) == 64


@pytest.mark.parametrize(
    ("code", "others", "followed"),
    [
        ("import helper", {"helper": "", "unused": ""}, {"mine.py", "helper.py"}),
        ("def f():\n    from pack.sub import g", {"pack/sub": "", "pack/other": ""}, {"mine.py", "pack/sub.py"}),
        ("from pack import sub", {"pack/__init__": "from . import deep", "pack/sub": "", "pack/deep": ""},
         {"mine.py", "pack/__init__.py", "pack/sub.py", "pack/deep.py"}),
        ("import a", {"a": "import b", "b": "import a"}, {"mine.py", "a.py", "b.py"}),
        ("import os.path, json", {"other": ""}, {"mine.py"}),
        ("import importlib\nimportlib.import_module('helper')", {"helper": "", "unused": ""}, {"mine.py", "helper.py"}),
        ("import importlib\nimportlib.import_module(name)", {"x": "", "y/z": ""}, {"mine.py", "x.py", "y/z.py"}),
        ("import sys\nsys.path.insert(0, 'lib')\nimport inner", {"lib/inner": ""}, {"mine.py", "lib/inner.py"}),
        ("import subprocess\nsubprocess.run(['./dock.sh'])", {"dock.sh": "#!/bin/sh\n", "log.txt": ""},
         {"mine.py", "dock.sh"}),
        ("this is no Python", {"helper": ""}, {"mine.py"}),
    ],
)  # fmt: skip
def test_what_a_module_imports_from_its_folder_is_followed(tmp_path, code, others, followed):
    assert files(write(tmp_path, mine=code, **others)) == followed


def test_a_folder_that_hides_a_library_or_ours_is_read_first(tmp_path):
    assert files(write(tmp_path, mine="import data, rdkit", data="", rdkit="")) == {"mine.py", "data.py", "rdkit.py"}


def test_the_version_of_a_library_counts_and_the_place_of_the_folder_does_not(tmp_path):
    write(tmp_path / "a", mine="import numpy\nimport helper", helper="x = 1")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first, second = (oracle("python", function="mine:measure").parts(tmp_path / name) for name in "ab")
    assert first == second
    assert first["package numpy"].startswith("numpy ")
    assert str(tmp_path) not in str(first)


def test_a_module_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ComponentError, match="no module 'nowhere'"):
        oracle("python", function="nowhere:measure").parts(tmp_path)


def test_a_data_file_that_is_not_there_is_named(tmp_path):
    write(tmp_path, mine="")
    with pytest.raises(ComponentError, match=r"weights\.bin"):
        oracle("python", function="mine:measure", files=["weights.bin"]).parts(tmp_path)


def test_a_command_is_known_by_content_wherever_it_is(tmp_path):
    write(tmp_path / "a", **{"score.sh": "#!/bin/sh\n. ./common.sh\n", "common.sh": "A=1", "calls.log": "1"})
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "calls.log").write_text("a log is written while it measures")
    made = [oracle("command", command="./score.sh", folder=str(tmp_path / name)) for name in "ab"]
    absolute = [oracle("command", command=[str(tmp_path / n / "score.sh")], folder=str(tmp_path / n)) for n in "ab"]
    assert made[0].identity(tmp_path) == made[1].identity(tmp_path)
    assert absolute[0].identity(tmp_path) == absolute[1].identity(tmp_path)
    write(tmp_path / "b", **{"common.sh": "A=2"})
    assert made[0].identity(tmp_path) != made[1].identity(tmp_path)


def test_a_program_on_the_path_counts_by_its_content(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(write(tmp_path / "bin", **{"dock.sh": "#!/bin/sh\necho 1\n"})), prepend=":")
    before = oracle("command", command="dock.sh").identity(tmp_path)
    write(tmp_path / "bin", **{"dock.sh": "#!/bin/sh\necho 2\n"})
    assert oracle("command", command="dock.sh").identity(tmp_path) != before


def test_a_table_is_known_by_its_content_and_not_by_its_name(tmp_path):
    for name, value in (("a.csv", 1), ("b.csv", 1), ("c.csv", 2)):
        (tmp_path / name).write_text(f"smiles,value\nCCO,{value}\n")
    first, copy, other = (oracle("table", path=tmp_path / name).identity() for name in ("a.csv", "b.csv", "c.csv"))
    assert first == copy != other


class Offset(MoleculeOracle):
    """An oracle of another distribution."""

    kind = "offset_for_this_test"

    class Options(OracleOptions):
        offset: float = Field(default=0.0)

    def measure(self, smiles):
        return len(smiles) + self.options.offset


def test_a_plugin_counts_by_its_options_and_its_code():
    plain, moved = Offset(), Offset(offset=1.0)
    assert plain.identity() != moved.identity()
    assert any(name.startswith("file ") and name.endswith("test_identity.py") for name in plain.parts())
