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


def lay(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755 if path.suffix in ("", ".sh") else 0o644)


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


def test_code_that_is_named_in_any_way_counts_and_what_is_not_named_does_not(tmp_path):
    """Each case: the code, and the one file whose values it gives; `unrelated.py` and the rest are in every folder."""
    ways = [
        ("from hp import *", "hp/weights.py"),
        ("from importlib import import_module as im\nh = im('helper')", "helper.py"),
        ("import importlib\nload = importlib.import_module\nload('helper')", "helper.py"),
        ("import sys as s\ns.path.insert(0, 'lib')\nimport helper", "lib/helper.py"),
        ("import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'helper'])", "helper.py"),
        ("import os, subprocess\nsubprocess.run(f'{os.getcwd()}/score.sh')", "score.sh"),
        ("import os, subprocess\nsubprocess.run(os.path.join('lib', 'score.py'))", "lib/score.py"),
        ("import subprocess\nfrom pathlib import Path\nP = Path(__file__).parent / 'bin' / 'score'", "bin/score"),
        ("import subprocess\ndef f(kind): subprocess.run(f'./{kind}_dock.sh')", "fast_dock.sh"),
        ("def measure(ms): return [float(open('factor.txt').read())] * len(ms)", "factor.txt"),
    ]
    for number, (code, deciding) in enumerate(ways):
        folder = write(tmp_path / str(number), mine=code, **{"hp/__init__.py": "__all__ = ['weights']"})
        lay(folder, deciding, "K = 1")
        before = oracle("python", function="mine:measure").identity(folder)
        lay(folder, "calls.log", "written while it measures")
        lay(folder, "library.csv", "smiles")
        assert oracle("python", function="mine:measure").identity(folder) == before, code
        lay(folder, deciding, "K = 2")
        assert oracle("python", function="mine:measure").identity(folder) != before, code


@pytest.mark.parametrize(
    ("script", "deciding"),
    [
        ('here=$(dirname "$0"); exec python3 "$here/score.py"', "score.py"),
        ("python3 $(dirname $0)/score.py", "score.py"),
        ('exec python3 "${BASH_SOURCE%/*}/score.py"', "score.py"),
        ('exec python3 "$PWD/score.py"', "score.py"),
        ("cd scripts && python3 score.py", "scripts/score.py"),
        ("python3 -m score", "score.py"),
        ("python3 -m pk", "pk/__main__.py"),
        ("exec bin/score", "bin/score"),
        (". ./params.env", "params.env"),
        (". ./params", "params"),
        ("python3 - <<X\nimport helper\nX", "helper.py"),
        ("java -jar model.jar", "model.jar"),
        ("./dock_$KIND.sh", "dock_fast.sh"),
        ("exec make score", "Makefile"),
    ],
)
def test_a_file_that_a_script_or_a_command_names_in_any_way_counts(tmp_path, script, deciding):
    commands = ["./run.sh", ["bash", "-c", script.replace("$0", "./run.sh")]]
    lay(tmp_path, "run.sh", f"#!/bin/bash\n{script} >> calls.log\n")
    lay(tmp_path, deciding, "K=1")
    before = [oracle("command", command=command).identity(tmp_path) for command in commands]
    for name in ("calls.log", "other.py", "scripts/other.py", "bin/other", "results.json"):
        lay(tmp_path, name, "nothing of it")
    assert [oracle("command", command=command).identity(tmp_path) for command in commands] == before
    lay(tmp_path, deciding, "K=2")
    after = [oracle("command", command=command).identity(tmp_path) for command in commands]
    assert not set(before) & set(after)


@pytest.mark.parametrize(
    ("command", "deciding"),
    [
        ("{python} -m pk", ["pk/__main__.py", "pk/core.py"]),
        (["{python}", "-c", "import helper; helper.main()"], ["helper.py"]),
        (["bash", "-c", 'cd "$PWD"; python3 $PWD/score.py'], ["score.py"]),
        ("{python} score.py", ["score.py", "factor.txt"]),
    ],
)
def test_what_the_words_of_a_command_name_counts(tmp_path, command, deciding):
    lay(tmp_path, "pk/__init__.py", "")
    lay(tmp_path, "pk/__main__.py", "from pk import core")
    lay(tmp_path, "score.py", "print(open('factor.txt').read())")
    for name in set(deciding) - {"pk/__main__.py", "score.py"}:
        lay(tmp_path, name, "K = 1")
    for name in deciding:
        before = oracle("command", command=command).identity(tmp_path)
        lay(tmp_path, name, (tmp_path / name).read_text() + "# edited")
        assert oracle("command", command=command).identity(tmp_path) != before, name


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("calls.log", "open('calls.log', 'a').write('1')"),
        ("calls.json", "import json, subprocess\njson.dump({}, open('calls.json', 'w'))"),
        ("seen.json", "from pathlib import Path\nSEEN = Path(__file__).with_name('seen.json')\nSEEN.write_text('{}')"),
        ("seen.yaml", "SEEN = 'seen.yaml'\nwith open(SEEN, 'a') as file: file.write('1')"),
        ("pose.json", "import subprocess\nsubprocess.run(['dock', '--out', 'pose.json'])"),
        ("job.sh", "import subprocess\nopen('job.sh', 'w').write('')\nsubprocess.run(['sh', 'job.sh'])"),
        ("k1.sh", "import subprocess\ndef f(k): open(f'{k}.sh', 'w').write(''); subprocess.run(['sh', f'{k}.sh'])"),
        ("work/k1/job.sh", "import subprocess\ndef f(k): subprocess.run('./job.sh', cwd=f'work/{k}')"),
        ("xtbout.json", "import json, subprocess\nsubprocess.run(['xtb'])\njson.load(open('xtbout.json'))"),
        ("energy.txt", "import subprocess\nsubprocess.run(['xtb'])\nopen('energy.txt').read()"),
        ("__pycache__/helper.py", "import importlib\nimportlib.import_module('a' + 'b')"),
        ("gate", "import pathlib\nwhile not pathlib.Path('gate').exists(): pass"),
    ],
)
def test_a_file_that_the_code_writes_while_it_measures_does_not_change_it(tmp_path, written, code):
    write(tmp_path, mine=code)
    before = oracle("python", function="mine:measure").identity(tmp_path)
    lay(tmp_path, written, "" if written == "gate" else "1")
    assert oracle("python", function="mine:measure").identity(tmp_path) == before


def test_a_file_that_a_program_writes_behind_its_scripts_back_is_named(tmp_path):
    lay(tmp_path, "run.sh", "#!/bin/sh\nfoo_dft molecule.inp\ngrep total energy.json\n")
    lay(tmp_path, "energy.json", "1")
    told = oracle("command", command="sh run.sh", writes=("scratch", "*.json"))
    careless = oracle("command", command="sh run.sh")
    before, noticed = told.identity(tmp_path), careless.identity(tmp_path)
    lay(tmp_path, "energy.json", "2")
    assert told.identity(tmp_path) == before
    assert careless.identity(tmp_path) != noticed
    lay(tmp_path, "run.sh", "#!/bin/sh\nfoo_dft --accurate molecule.inp\ngrep total energy.json\n")
    assert told.identity(tmp_path) != before


def test_parameters_of_code_that_writes_a_log_count(tmp_path):
    write(tmp_path, mine="import json\nK = json.load(open('k.json'))\nopen('calls.log', 'a').write(str(K))")
    lay(tmp_path, "k.json", "1")
    before = oracle("python", function="mine:measure").identity(tmp_path)
    lay(tmp_path, "k.json", "2")
    assert oracle("python", function="mine:measure").identity(tmp_path) != before


@pytest.mark.parametrize("way", ["..", "../shared", "lib of PYTHONPATH"])
def test_modules_from_outside_the_folder_count_by_content_with_what_they_import(tmp_path, monkeypatch, way):
    place = tmp_path / {"..": "", "../shared": "shared"}.get(way, "lib")
    code = "from chem.score import score"
    if way.startswith(".."):
        code = f"import sys\nsys.path.insert(0, {way!r})\n{code}"
    else:
        monkeypatch.syspath_prepend(str(place))
    write(tmp_path / "camp", mine=code)
    lay(place, "chem/__init__.py", "")
    lay(place, "chem/score.py", "from .sub import x\nimport other_of_this_test")
    lay(place, "chem/sub/__init__.py", "x = 1")
    lay(place, "other_of_this_test.py", "y = 1")
    for name in ("chem/__init__.py", "chem/score.py", "chem/sub/__init__.py", "other_of_this_test.py"):
        before = oracle("python", function="mine:measure").parts(tmp_path / "camp")
        assert str(tmp_path) not in str(before)
        lay(place, name, (place / name).read_text() + "# edited")
        assert oracle("python", function="mine:measure").parts(tmp_path / "camp") != before, name


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


@pytest.mark.slow
def test_a_plugin_counts_by_its_options_and_its_code():
    plain, moved = Offset(), Offset(offset=1.0)
    assert plain.identity() != moved.identity()
    assert any(name.startswith("file ") and name.endswith("test_identity.py") for name in plain.parts())
