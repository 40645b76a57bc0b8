"""What the commands that look at a campaign answer, and what they refuse."""

import csv
import io
import json
import re

import pytest
from rdkit import Chem

from pipelines.cli import EXIT_BAD_INPUT

KEYS = {"id", "smiles", "value", "unit", "round", "arm", "predicted_mean", "predicted_std", "source", "state"}


def test_status_lists_the_campaigns_and_shows_the_rounds_of_one(finished):
    listed = finished.discover("status")
    assert listed.exit == 0
    assert "finished done 2 of 2 16 of 20" in listed.message
    shown = finished.discover("status", "finished")
    assert shown.exit == 0
    rows = [line.split() for line in shown.out.splitlines()]
    assert [row[:3] for row in rows if row and row[0].isdigit()] == [
        ["0", "8", "0"],
        ["1", "12", "0"],
        ["2", "16", "0"],
    ]


@pytest.mark.parametrize("command", [("status",), ("candidates",), ("retrain", "--plain"), ("unlock",)])
def test_a_campaign_that_is_unknown_is_refused_with_those_that_exist(finished, command):
    told = finished.discover(command[0], "finishd", *command[1:])
    assert told.exit == EXIT_BAD_INPUT
    assert "no campaign 'finishd'; it has finished" in told.message


def test_candidates_as_json_have_the_promised_keys_best_first(finished):
    rows = finished.candidates()
    assert len(rows) == 16
    assert all(set(row) >= KEYS for row in rows)
    values = [row["value"] for row in rows]
    assert values == sorted(values, reverse=True)
    assert {row["unit"] for row in rows} == {"a.u."}
    assert {row["state"] for row in rows} == {"done"}
    arms = [[row["arm"] for row in rows if row["round"] == number] for number in (0, 1, 2)]
    assert arms[0] == ["initial"] * 8
    for arm in arms[1:]:
        assert sorted(arm) == ["acquisition"] * 3 + ["control"]
    assert all((row["predicted_mean"] is None) == (row["round"] == 0) for row in rows)
    assert {row["source"] for row in rows} == {"csv", "genetic", "random"}
    assert len({row["id"] for row in rows}) == 16


def test_what_is_not_measured_yet_has_no_value_and_says_so(bench):
    bench.run("--set", "budget.calls=10")
    waiting = [row for row in bench.candidates() if row["value"] is None]
    assert [row["state"] for row in waiting] == ["proposed", "proposed"]
    assert all(row["predicted_std"] > 0 for row in waiting)
    assert "not measured" in bench.discover("candidates", "tiny").out


def test_candidates_as_csv_hold_the_same_as_json(finished):
    told = finished.discover("candidates", "finished", "--format", "csv", "--top", "5")
    rows = list(csv.DictReader(io.StringIO(told.out)))
    expected = finished.candidates()[:5]
    assert [(row["id"], row["smiles"], float(row["value"])) for row in rows] == [
        (row["id"], row["smiles"], row["value"]) for row in expected
    ]


def test_candidates_as_sdf_are_read_by_rdkit_under_their_ids(finished, tmp_path):
    out = tmp_path / "best.sdf"
    told = finished.discover("candidates", "finished", "--format", "sdf", "--top", "3", "--out", str(out))
    assert told.exit == 0
    assert "3 candidates written" in told.message
    expected = finished.candidates()[:3]
    read = list(Chem.SDMolSupplier(str(out)))
    assert [mol.GetProp("_Name") for mol in read] == [row["id"] for row in expected]
    assert [Chem.MolToSmiles(mol) for mol in read] == [row["smiles"] for row in expected]
    assert [float(mol.GetProp("value")) for mol in read] == [row["value"] for row in expected]


def test_candidates_as_a_table_show_the_best(finished):
    told = finished.discover("candidates", "finished", "--top", "2")
    assert told.exit == 0
    shown = re.findall(r"^ *(\d+) +(-?\d+\.\d{3})", told.out, flags=re.MULTILINE)
    assert shown == [(str(k), f"{row['value']:.3f}") for k, row in enumerate(finished.candidates()[:2], start=1)]


@pytest.mark.parametrize("format", ["table", "csv", "json", "sdf"])
def test_a_campaign_without_candidates_exports_none(bench, format):
    bench.run("--set", "screens=[{kind: property_range, descriptor: RingCount, min: 20}]")
    told = bench.discover("candidates", "tiny", "--format", format)
    assert told.exit == 0
    if format == "json":
        assert json.loads(told.out) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--top", "0"), "--top is 0"),
        (("--top", "-2"), "--top is -2"),
        (("--format", "xlsx"), "xlsx"),
        (("--format", "csv", "--out", "nowhere/at/all.csv"), "nowhere/at/all.csv"),
    ],
)
def test_an_export_that_cannot_be_made_is_refused(finished, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    answer = finished.discover("candidates", "finished", *arguments)
    assert answer.exit == EXIT_BAD_INPUT
    assert told in answer.message


def test_components_are_listed_with_options_and_defaults(finished):
    listed = json.loads(finished.discover("components", "--format", "json").out)
    (genetic,) = [entry for entry in listed if (entry["group"], entry["kind"]) == ("generator", "genetic")]
    assert "Jensen" in genetic["reference"]
    (offspring,) = [option for option in genetic["options"] if option["name"] == "offspring"]
    assert offspring["default"] == 100
    (python,) = [entry for entry in listed if (entry["group"], entry["kind"]) == ("oracle", "python")]
    (function,) = [option for option in python["options"] if option["name"] == "function"]
    assert function["required"]
    only = json.loads(finished.discover("components", "proxy", "--format", "json").out)
    assert only == [entry for entry in listed if entry["group"] == "proxy"] != []
    table = finished.discover("components", "generator")
    assert table.exit == 0
    assert "offspring (100)" in table.message
    assert '"from": null' in table.message  # named as files write it
    assert "origin" not in table.message


def test_a_group_of_components_that_is_unknown_is_refused_with_the_nearest(finished):
    told = finished.discover("components", "generators")
    assert told.exit == EXIT_BAD_INPUT
    assert "Did you mean 'generator'?" in told.message


def test_validate_says_what_would_be_run_and_runs_nothing(bench):
    told = bench.discover("validate", str(bench.file))
    assert told.exit == 0
    assert "12 planned, budget 20" in told.message
    assert "is valid" in told.message
    assert not bench.home.exists()
    assert bench.calls() == []
    told = bench.discover("validate", str(bench.file), "--set", "proxy.kind=gausian_process")
    assert told.exit == EXIT_BAD_INPUT


def test_a_vocabulary_is_built_from_a_file_and_used_by_a_generator(bench):
    smiles = bench.folder / "all.smi"
    ethers = [f"{head}Oc1ccc({tail})cc1 ether" for head in ("C", "CC", "CCC") for tail in ("O", "OC", "N", "CC", "S")]
    smiles.write_text("\n".join([*ethers, "", "nonsense"]))
    out = bench.folder / "fragments.json"
    told = bench.discover("vocabulary", str(smiles), "--out", str(out), "--min-count", "1")
    assert told.exit == 0
    fragments = {entry["smiles"] for entry in json.loads(out.read_text())["fragments"]}
    assert f"{len(fragments)} fragments written" in told.message
    assert bench.discover("vocabulary", str(smiles), "--out", str(out), "--min-count", "1").exit == 0
    refused = bench.discover("vocabulary", str(smiles), "--out", str(smiles))
    assert (refused.exit, "exists and is no vocabulary" in refused.message) == (EXIT_BAD_INPUT, True)
    assert "nonsense" in smiles.read_text()
    bench.write_config(generator={"kind": "random", "proposals": 20, "vocabulary": "fragments.json"}, screens=[])
    bench.write_config(control={"kind": "random", "fraction": 0})
    assert bench.run().exit == 0
    made = [row["smiles"] for row in bench.candidates() if row["source"] == "random"]
    assert made
    # None of the elements that the file does not have, in any molecule that was made.
    assert not any(atom.GetSymbol() in ("F", "Cl") for text in made for atom in Chem.MolFromSmiles(text).GetAtoms())


def test_a_vocabulary_that_cannot_be_used_is_refused_before_anything_is_bought(bench):
    bench.write_config(generator={"kind": "random", "proposals": 20, "vocabulary": "fragments.json"})
    told = bench.run()
    assert told.exit == EXIT_BAD_INPUT
    assert "fragments.json" in told.message
    (bench.folder / "fragments.json").write_text("{}")
    assert bench.run().exit == EXIT_BAD_INPUT
    assert bench.calls() == []


@pytest.mark.parametrize(
    ("generator", "told"),
    [
        ({"kind": "gflownet", "objective": {"kind": "trajectory_balanc"}}, "Did you mean 'trajectory_balance'?"),
        ({"kind": "gflownet", "backward": {"kind": "unifrom"}}, "Did you mean 'uniform'?"),
        ({"kind": "gflownet", "dim": 30, "heads": 4}, "heads"),
        ({"kind": "union", "members": [{"generator": {"kind": "genetik"}}]}, "Did you mean 'genetic'?"),
        ({"kind": "union", "members": [{"generator": {"kind": "random", "vocabulary": "none.json"}}]}, "none.json"),
        ({"kind": "random", "max_fragments": 1}, "the space is empty"),
    ],
)
def test_a_generator_that_cannot_be_used_is_refused_before_anything_is_bought(bench, generator, told):
    bench.write_config(generator=generator, control={"kind": "random", "fraction": 0}, rounds=0)
    if told == "the space is empty":
        bench.write_config(space={"max_heavy_atoms": 3, "min_heavy_atoms": 3, "elements": ["H", "F"]})
    answer = bench.run()
    assert answer.exit == EXIT_BAD_INPUT
    assert told in answer.message
    assert bench.calls() == []


@pytest.mark.parametrize("content", [None, b"", b"xx\nyy\n", b"\xff\xfe\x00"])
def test_a_file_that_gives_no_vocabulary_is_refused(bench, content):
    file = bench.folder / "all.smi"
    if content is not None:
        file.write_bytes(content)
    told = bench.discover("vocabulary", str(file), "--out", str(bench.folder / "fragments.json"))
    assert told.exit == EXIT_BAD_INPUT
    assert "all.smi" in told.message
    assert not (bench.folder / "fragments.json").exists()


def test_doctor_examines_the_installation(finished):
    told = finished.discover("doctor")
    assert told.exit == 0, told.message
    for name in ("packages", "components", "workspace", "ledger", "oracle", "prefect"):
        assert f"ok {name}" in told.message


def test_doctor_notices_a_cache_that_cannot_be_written_and_leaves_nothing_in_one_that_can(bench):
    assert "ok cache" in bench.discover("doctor").message
    assert not list((bench.home / "cache").iterdir())
    (bench.home / "cache").rmdir()
    (bench.home / "cache").write_text("in the way")
    told = bench.discover("doctor")
    assert told.exit == 0, told.message
    assert f"look cache nothing can be kept in {bench.home / 'cache'}" in told.message


def test_doctor_says_what_to_mend(bench, monkeypatch):
    (bench.folder / "occupied").touch()
    monkeypatch.setenv("DISCOVER_HOME", str(bench.folder / "occupied"))
    told = bench.discover("doctor")
    assert told.exit == EXIT_BAD_INPUT
    assert "fail workspace" in told.message
    assert "not writable" in told.message


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("runn",), "runn"), (("run",), "config"), (("status", "finished", "--al"), "--al"), (("candidates",), "name")],
)
def test_a_command_that_is_misspelt_or_incomplete_is_refused(finished, arguments, told):
    answer = finished.discover(*arguments)
    assert answer.exit == EXIT_BAD_INPUT
    assert told in answer.message
