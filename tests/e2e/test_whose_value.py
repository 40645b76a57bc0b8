"""A value is shown only for what was certainly measured so: two folders, two programs, two names, one workspace."""

import shutil

import pytest

from tests.conftest import LIBRARY, Bench, use

CONFIG = {
    "space": {"max_heavy_atoms": 14, "min_heavy_atoms": 1},
    "generator": {"kind": "random", "proposals": 60},
    "screens": [],
    "rounds": 0,
    "batch_size": 4,
    "budget": {},
}
LOGP = "from rdkit import Chem\nfrom rdkit.Chem import Crippen\ndef measure(ms): return [Crippen.MolLogP(Chem.MolFromSmiles(s)) for s in ms]\n"
WEIGHT = "from rdkit import Chem\nfrom rdkit.Chem import Descriptors\ndef measure(ms): return [Descriptors.MolWt(Chem.MolFromSmiles(s)) for s in ms]\n"
SCRIPT = '#!/bin/bash\necho smiles,value\nwhile read s k; do echo "\\"$s\\",{value}"; done\n'


@pytest.fixture
def folders(tmp_path, tracking, monkeypatch):
    """Campaign folders of one workspace, by letter."""
    monkeypatch.setattr("tasks.reporting.report.round_figures", lambda *_: {})
    use(Bench(tmp_path), tracking, monkeypatch)

    def folder(letter: str, name: str, oracle: dict[str, object], **files: str) -> Bench:
        (tmp_path / letter).mkdir(exist_ok=True)
        bench = Bench(tmp_path / letter)
        data = {"kind": "csv", "path": "library.csv", "initial": 6}
        bench.write_config(name=name, objectives=[{"name": "p", "oracle": oracle}], data=data, **CONFIG)
        write(bench, **files)
        return bench

    return folder


def write(bench: Bench, **files: str) -> None:
    for name, text in files.items():
        path = bench.folder / name.replace("__", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)


def values(bench: Bench) -> dict[str, float]:
    return {row["smiles"]: row["value"] for row in bench.candidates()}


def origins(bench: Bench) -> set[str]:
    from tasks.workspace import Workspace

    ledger = Workspace.open().ledger()
    rows = ledger.candidates(ledger.campaign(bench.config["name"]).id)
    ledger.close()
    return {row.origin for row in rows}


def logp(smiles: str) -> float:
    from rdkit import Chem
    from rdkit.Chem import Crippen

    return Crippen.MolLogP(Chem.MolFromSmiles(smiles))


def weight(smiles: str) -> float:
    from rdkit import Chem
    from rdkit.Chem import Descriptors

    return Descriptors.MolWt(Chem.MolFromSmiles(smiles))


MINE = {"kind": "python", "function": "my_oracle:measure"}
SCORE = {"kind": "command", "command": "./score.sh"}


def test_a_function_of_the_same_name_in_another_folder_measures_for_itself(folders):
    first = folders("A", "projA", MINE, my_oracle__py=LOGP)
    second = folders("B", "projB", MINE, my_oracle__py=WEIGHT)
    assert first.run().exit == 0
    assert second.run().exit == 0
    assert values(first) == pytest.approx({s: logp(s) for s in values(first)}, abs=1e-8)
    assert values(second) == pytest.approx({s: weight(s) for s in values(second)}, abs=1e-8)
    assert origins(second) == {"called"}


def test_a_program_of_the_same_name_in_another_folder_measures_for_itself(folders):
    first = folders("A", "projA", SCORE, score__sh=SCRIPT.format(value="1.0"))
    second = folders("B", "projB", SCORE, score__sh=SCRIPT.format(value="2.0"))
    assert first.run().exit == 0
    assert second.run().exit == 0
    assert set(values(first).values()) == {1.0}
    assert set(values(second).values()) == {2.0}


def test_a_copied_folder_with_the_same_content_takes_values_over(folders):
    first = folders("A", "projA", MINE, my_oracle__py=LOGP)
    copy = folders("B", "projB", MINE, my_oracle__py=LOGP)
    assert first.run().exit == 0
    assert copy.run().exit == 0
    assert origins(copy) == {"reused"}
    assert values(copy) == values(first)


@pytest.mark.parametrize(
    ("oracle", "files", "change"),
    [
        (MINE, {"my_oracle__py": "from helper import measure\n", "helper__py": LOGP}, {"helper__py": WEIGHT}),
        (
            MINE,
            {"my_oracle__py": "import importlib\nm = importlib.import_module('hel' + 'per')\nmeasure = m.measure\n", "helper__py": LOGP},
            {"helper__py": WEIGHT},
        ),
        (
            MINE | {"files": ["weights.json"]},
            {"my_oracle__py": "import json, pathlib\ndef measure(ms): return [json.loads(pathlib.Path(__file__).with_name('weights.json').read_text())] * len(ms)\n", "weights__json": "1.5"},
            {"weights__json": "2.5"},
        ),
        (
            {"kind": "command", "command": "bash score.sh"},
            {"score__sh": SCRIPT.format(value="$(./inner.sh)"), "inner__sh": "#!/bin/sh\necho 1\n"},
            {"inner__sh": "#!/bin/sh\necho 2\n"},
        ),
        (
            {"kind": "command", "command": "{python} score.py parameters.txt"},
            {
                "score__py": "import sys\nvalue = open(sys.argv[1]).read()\nprint('smiles,value')\nfor line in sys.stdin: print(f'\"{line.split()[0]}\",{value}')\n",
                "parameters__txt": "1",
            },
            {"parameters__txt": "2"},
        ),
    ],
    ids=["what it imports", "computed import", "named data file", "script that a script runs", "argument file"],
)  # fmt: skip
def test_what_a_program_leads_to_counts_as_well(folders, oracle, files, change):
    first = folders("A", "projA", oracle, **files)
    second = folders("B", "projB", oracle, **files | change)
    assert first.run().exit == 0
    told = second.run()
    assert told.exit == 0, told.message
    assert origins(second) == {"called"}
    assert not set(values(first).values()) & set(values(second).values())


def test_another_column_of_a_programs_table_is_another_measurement(folders):
    script = '#!/bin/bash\necho smiles,a,b\nwhile read s k; do echo "\\"$s\\",1,2"; done\n'
    for letter in "ab":
        bench = folders(letter, f"proj{letter}", SCORE | {"value": letter}, score__sh=script)
        assert bench.run().exit == 0
    assert set(values(bench).values()) == {2.0}


def test_speed_options_do_not_change_what_is_measured(folders):
    first = folders("A", "projA", MINE, my_oracle__py=LOGP)
    faster = folders("B", "projB", MINE | {"chunk": 3, "timeout": 9, "cost": 2.0}, my_oracle__py=LOGP)
    assert first.run().exit == 0
    assert faster.run().exit == 0
    assert origins(faster) == {"reused"}


@pytest.mark.parametrize("other", [WEIGHT, LOGP])
def test_one_name_in_two_folders_is_refused_with_both_named(folders, other):
    first = folders("A", "mine", MINE, my_oracle__py=LOGP)
    second = folders("B", "mine", MINE, my_oracle__py=other)
    second.write_library(*LIBRARY[:30])
    assert first.run().exit == 0
    before = values(first)
    told = second.run()
    assert told.exit == 2
    assert str(first.folder) in told.message
    assert str(second.folder) in told.message
    assert values(first) == before


def test_a_folder_that_was_moved_goes_on(folders, tmp_path):
    bench = folders("A", "mine", MINE, my_oracle__py=LOGP)
    assert bench.run().exit == 0
    before = values(bench)
    shutil.move(tmp_path / "A", tmp_path / "moved")
    moved = Bench.__new__(Bench)
    moved.folder, moved.config = tmp_path / "moved", bench.config
    told = moved.run()
    assert told.exit == 0, told.message
    assert values(moved) == before


@pytest.mark.parametrize(
    ("oracle", "before", "after", "named"),
    [
        (MINE, {"my_oracle__py": LOGP}, {"my_oracle__py": WEIGHT}, "my_oracle.py"),
        (MINE, {"my_oracle__py": "from helper import measure\n", "helper__py": LOGP}, {"helper__py": WEIGHT}, "helper.py"),
        (SCORE, {"score__sh": SCRIPT.format(value=1)}, {"score__sh": SCRIPT.format(value=2)}, "score.sh"),
    ],
)  # fmt: skip
def test_a_campaign_does_not_go_on_with_changed_code_and_says_which(folders, oracle, before, after, named):
    bench = folders("A", "mine", oracle, **before)
    assert bench.run().exit == 0
    first = values(bench)
    write(bench, **after)
    told = bench.run()
    assert told.exit == 2
    assert named in told.message
    assert "--fresh" in told.message
    assert values(bench) == first
    told = bench.run("--fresh")
    assert told.exit == 0, told.message
    assert origins(bench) == {"called"}
    assert not set(values(bench).values()) & set(first.values())


def test_code_that_changes_while_it_measures_stops_the_campaign(folders):
    changing = (
        "from pathlib import Path\ndef measure(ms):\n    me = Path(__file__)\n"
        "    me.write_text(me.read_text() + '# edited')\n    return [1.0] * len(ms)\n"
    )
    bench = folders("A", "mine", MINE, my_oracle__py=changing)
    told = bench.run()
    assert told.exit == 2
    assert "changed while" in told.message


def test_the_second_generation_of_a_campaign_has_a_folder_that_no_name_can_have(folders, tmp_path):
    first = folders("A", "kinase", MINE, my_oracle__py=LOGP)
    other = folders("B", "kinase.2", MINE, my_oracle__py=WEIGHT)
    for bench, arguments in ((first, ()), (other, ()), (first, ("--fresh",)), (other, ())):
        told = bench.run(*arguments)
        assert told.exit == 0, told.message
    assert values(other) == pytest.approx({s: weight(s) for s in values(other)}, abs=1e-8)
    assert values(first) == pytest.approx({s: logp(s) for s in values(first)}, abs=1e-8)
    assert len(list((tmp_path / "home" / "campaigns").iterdir())) == 3


def test_names_that_one_file_system_may_take_for_another_are_refused(folders):
    assert folders("A", "kinase", MINE, my_oracle__py=LOGP).run().exit == 0
    told = folders("B", "Kinase", MINE, my_oracle__py=LOGP).run()
    assert told.exit == 2
    assert "'kinase'" in told.message


def test_a_tautomer_does_not_get_the_value_of_the_other(folders):
    """2-pyridone against 2-hydroxypyridine: dipole 5.11 and 2.28 D by xTB; one InChIKey."""
    xtb = {"kind": "xtb", "property": "dipole"}
    first, second = folders("A", "taut-a", xtb), folders("B", "taut-b", xtb)
    first.write_library("Oc1ccccn1", "Sc1ccccn1", "NC(N)=O", "CCO")
    second.write_library("O=c1cccc[nH]1", "S=c1cccc[nH]1", "N=C(N)O", "CCO")
    for bench in (first, second):
        told = bench.run("--set", "data.initial=4")
        assert told.exit == 0, told.message
    assert values(first)["Oc1ccccn1"] == pytest.approx(2.28, abs=0.05)
    assert values(second)["O=c1cccc[nH]1"] == pytest.approx(5.11, abs=0.05)
    assert values(second)["CCO"] == values(first)["CCO"]
    assert origins(second) == {"called", "reused"}
