"""A campaign over objects of another kind: the space is one class, and nothing else knows of it."""

import csv
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from pydantic import Field

import tasks.select_batch
from data.objects import NotStandardError
from models.registry import Options, build
from models.spaces.base import BaseSpace, Fact
from tasks.reporting.round_metrics import MOST
from tests.conftest import Bench

LETTERS = {"kind": "one_hot", "alphabet": "ABC", "length": 8}

ORACLE = """
from pathlib import Path
LOG = Path(__file__).with_name("calls.log")
def measure(words):
    with LOG.open("a") as file:
        file.writelines(word + "\\n" for word in words)
    return [word.count("A") - 0.5 * word.count("BB") for word in words]
"""


class _Edits:
    def mutate(self, obj, rng):
        place = int(rng.integers(len(obj)))
        return obj[:place] + str(rng.choice(list("ABC"))) + obj[place + 1 :]

    def crossover(self, first, second, rng):
        place = int(rng.integers(min(len(first), len(second))))
        return first[:place] + second[place:]


class Words(BaseSpace["Words.Options"]):
    """Words of A, B and C, upper case."""

    kind = "words_of_a_test"
    nouns = ("word", "words")
    features = LETTERS
    neighbours = LETTERS
    text_name = "Word"
    facts = {"length": Fact("Length", digits=0)}

    class Options(Options):
        longest: int = Field(default=8, ge=1)

    def told(self):
        return f"words of up to {self.options.longest} letters"

    def standard(self, text):
        if set(text.upper()) - set("ABC") or not text:
            raise NotStandardError("letters other than A, B and C")
        return text.upper()

    def outside(self, obj):
        return "a word that is too long" if len(obj) > self.options.longest else None

    def random(self, n, seed):
        rng = np.random.default_rng(seed)
        drawn = ("".join(rng.choice(list("ABC"), size=rng.integers(1, self.options.longest + 1))) for _ in range(4 * n))
        return list(dict.fromkeys(drawn))[:n]

    def variation(self, sample):
        return _Edits()

    def facts_of(self, obj):
        return {"length": float(len(obj))}


@pytest.fixture
def words(bench):
    rng = np.random.default_rng(0)
    rows = ["".join(rng.choice(list("ABC"), size=6)) for _ in range(60)]
    bench.write_library(*rows, "ABX", "ABCABCABCABC", rows[0].lower(), header="word")
    (bench.folder / "word_oracle.py").write_text(ORACLE)
    bench.write_config(
        name="words",
        space={"kind": Words.kind, "longest": 8},
        objectives=[{"name": "score", "oracle": {"kind": "python", "function": "word_oracle:measure"}}],
        data={"kind": "csv", "path": "library.csv", "smiles": "word", "initial": 8},
        screens=[],
        control={"kind": "genetic", "fraction": 0.25},
        rounds=2,
    )
    return bench


def test_a_campaign_over_words_reads_buys_reports_and_goes_on(words):
    checked = words.discover("validate", str(words.file))
    assert checked.exit == 0, checked.message
    assert "words of up to 8 letters" in checked.message
    told = words.run("--set", "rounds=1")
    assert told.exit == 0, told.message
    told = words.run()
    assert told.exit == 0, told.message
    assert "words kept" in told.message
    assert not {"SMILES", "molecules", "best.sdf"} & set(told.message.replace("`", " ").split())
    assert "letters other than A, B and C (1)" in told.message
    assert "a word that is too long (1)" in told.message
    assert len(words.calls()) == len(set(words.calls())) == 16
    rows = words.candidates()
    assert {row["object"]: row["value"] for row in rows} == {
        word: word.count("A") - 0.5 * word.count("BB") for word in words.calls()
    }
    assert all(0 <= row["novelty"] <= 1 for row in rows if row["round"] > 0)
    report = words.home / "campaigns" / "words" / "report"
    page = (report / "candidates.html").read_text()
    assert "Word and id" in page
    assert "Length" in page
    assert "SA score" not in page
    assert "Structure" not in page
    assert "not drawable" not in page
    assert {row["length"] for row in json.loads((report / "candidates.json").read_text())} <= {6.0, 7.0, 8.0}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"screens": [{"kind": "alerts"}]}, "The screen 'alerts' is for molecules"),
        ({"data": {"kind": "shipped", "initial": 8}}, "The source 'shipped' is for molecules"),
        ({"generator": {"kind": "gflownet"}}, "does not say how a GFlowNet builds its words"),
        ({"objectives": [{"name": "x", "oracle": {"kind": "xtb"}}]}, "The oracle 'xtb' is for molecules"),
        ({"space": {"kind": "words_of_a_test", "longest": 0}}, "Option 'longest' of space"),
        ({"space": {"kind": "words_of_the_test"}}, "Did you mean 'words_of_a_test'?"),
    ],
)
def test_parts_of_other_objects_are_refused_before_anything_is_bought(words, change, told):
    words.write_config(**change)
    refused = words.run()
    assert refused.exit == 2
    assert told in refused.message
    assert words.calls() == []


def test_words_are_exported_as_words(words, tmp_path):
    assert words.run("--set", "rounds=1").exit == 0
    for format in ("csv", "json", "table"):
        told = words.discover("candidates", "words", "--format", format)
        assert told.exit == 0, told.message
        assert all(word in told.out for word in words.calls())
        assert "UHFFFAOYSA" not in told.out  # the words that are SMILES too have no InChIKey here
    table = list(csv.DictReader(io.StringIO(words.discover("candidates", "words", "--format", "csv").out)))
    assert {row["object"] for row in table} == set(words.calls())
    assert not {"smiles", "inchikey"} & set(table[0])
    for arguments, told in (
        (["--format", "sdf"], "There is no --format sdf for words; expected table, csv, json."),
        (["--out", str(tmp_path / "best.smi")], "its ending '.smi' names no format in which words are written"),
    ):
        refused = words.discover("candidates", "words", *arguments)
        assert refused.exit == 2
        assert told in refused.message


def test_a_campaign_over_words_that_is_broken_off_ends_as_one_that_was_not(words, tmp_path, monkeypatch):
    assert words.run().exit == 0
    whole = [{key: row[key] for key in ("id", "object", "value", "round", "arm")} for row in words.candidates()]
    again = tmp_path / "again"
    shutil.copytree(words.folder, again, ignore=shutil.ignore_patterns("home", "calls.log"))
    monkeypatch.setenv("DISCOVER_HOME", str(again / "home"))
    other = Bench(again, words.config)
    (again / "library.csv").write_text((words.folder / "library.csv").read_text())
    measured = "tasks.select_batch._select"
    select, broken = tasks.select_batch._select, [True]

    def once(*given):
        if broken.pop() if broken else False:
            raise KeyboardInterrupt
        return select(*given)

    monkeypatch.setattr(measured, once)
    assert other.run().exit == 130
    assert other.run().exit == 0
    assert [{key: row[key] for key in ("id", "object", "value", "round", "arm")} for row in other.candidates()] == whole


def test_without_a_library_the_first_design_is_drawn_from_the_space(words):
    words.write_config(data={"kind": "random", "initial": 8, "size": 30}, control={"kind": "random", "fraction": 0.25})
    checked = words.discover("validate", str(words.file))
    assert checked.exit == 0, checked.message
    told = words.run("--set", "rounds=1")
    assert told.exit == 0, told.message
    drawn = build("space", {"kind": Words.kind, "longest": 8}).random(100, 0)
    assert len(words.calls()) == len(set(words.calls())) > 8
    assert {len(word) for word in words.calls()} <= {len(word) for word in drawn}


def test_a_library_may_name_its_column_of_objects(words):
    words.write_config(data={"kind": "csv", "path": "library.csv", "object": "word", "initial": 8})
    assert words.run("--set", "rounds=1").exit == 0
    words.write_config(data={"kind": "csv", "path": "library.csv", "object": "word", "smiles": "word", "initial": 8})
    refused = words.discover("validate", str(words.file))
    assert refused.exit == 2
    assert "`smiles` (word) and `object` (word) both name the column" in refused.message


def test_a_gflownet_builds_words_and_is_judged_exactly(words, tracking):
    letters = {"kind": "sequence", "alphabet": "ABC", "min_length": 1, "max_length": 4}
    words.write_config(
        name="words-judged-exactly",  # the database of runs is shared with other tests
        space={"kind": Words.kind, "longest": 4},
        data={"kind": "random", "initial": 12, "size": 40},
        generator={
            "kind": "gflownet",
            "construction": {"kind": "plain", "environment": letters, "policy": {"kind": "mlp", "hidden": [32]}},
            "max_states": 1000,
            "steps": 40,
            "proposals": 60,
        },
        rounds=1,
    )
    told = words.run()
    assert told.exit == 0, told.message
    (history,) = words.home.rglob("train_generator/**/history.csv")
    last = pd.read_csv(history).iloc[-1]
    assert 0 <= last["tv"] < 1
    assert last["kl"] >= 0
    client = MlflowClient(tracking_uri=tracking)
    name = words.config["name"]
    runs = client.search_runs([client.get_experiment_by_name(name).experiment_id], "attributes.run_name = 'round 1'")
    shown = runs[0].data.metrics  # the newest comes first
    assert len(shown) <= MOST
    assert shown["generator/tv"] == pytest.approx(last["tv"])
    assert {"generator/loss", "generator/kl", "proxy/spearman", "calibration/coverage_90"} <= set(shown)
    assert {row["source"] for row in words.candidates()} == {"design", "gflownet", "genetic"}
