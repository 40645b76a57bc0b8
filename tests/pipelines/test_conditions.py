"""`discover candidates --columns --where`: which candidates, and what of them; whatever is left out is said."""

import csv
import io
import json

import pytest

from data.config import parse_config
from data.ledger.book import OracleBook
from data.records import Measurement
from pipelines.conditions import Kind, chosen_columns, conditions_of
from tasks.workspace import Workspace

KINDS = {
    "value": Kind.NUMBER,
    "arm": Kind.TEXT,
    "message": Kind.TEXT,
    "front": Kind.TRUTH,
    "=tox <%>.value": Kind.NUMBER,
    "it's": Kind.TEXT,
    "two words": Kind.NUMBER,
}
ROWS = [
    {"value": 1.0, "arm": "initial", "message": "", "front": True, "=tox <%>.value": 0.5, "it's": "", "two words": 2},
    {"value": -3.5, "arm": "control", "message": "a > b", "front": False, "=tox <%>.value": 2, "it's": "x y",
     "two words": 0},
    {"value": None, "arm": "control", "message": None, "front": None, "=tox <%>.value": None, "it's": None,
     "two words": None},
]  # fmt: skip


def kept(*texts):
    return [
        place for place, row in enumerate(ROWS) if all(condition.met(row) for condition in conditions_of(texts, KINDS))
    ]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("value > -4", [0, 1]),
        ("value>=1", [0]),
        ("value <1e0", [1]),
        ("value <= -3.5", [1]),
        ("value = 1", [0]),
        ("value == 1", [0]),
        ("value != 1", [1]),
        ("arm = control", [1, 2]),
        ("arm != control", [0]),
        ("arm='control'", [1, 2]),
        ("arm contains tro", [1, 2]),
        ('arm contains "Tro"', []),
        ('message = ""', [0, 2]),
        ("message contains >", [1]),
        ('message = "a > b"', [1]),
        ("front = true", [0]),
        ("front != yes", [1]),
        ('"=tox <%>.value" < 1', [0]),
        ("'it''s' = x y", [1]),
        ('"two words" >= 0', [0, 1]),
    ],
)
def test_a_condition_keeps_what_meets_it(text, places):
    assert kept(text) == places


def test_all_conditions_must_be_met():
    assert kept("arm = control", "value < 0") == [1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("valeu > 3", "Did you mean 'value'"),
        ("VALUE > 3", "Did you mean 'value'"),
        ("value ~ 3", "the operator '~', which there is not; expected one of >=, <=, >, <, !=, =, contains"),
        ("value likes 3", "the operator 'likes'"),
        ("two words > 3", "is written in quotes"),
        ("value >", "compares with nothing"),
        ("value", "is no condition"),
        ("", "is no condition"),
        ("> 3", "is no condition"),
        ("value > abc", "compares numbers with a text"),
        ("value = abc", "compares numbers with a text"),
        ("value > nan", "compares numbers with a text"),
        ("value > 3,5", "Write it like 3, -0.5 or 1e-9"),
        ("value > __import__('os').getpid()", "compares numbers with a text"),
        ("arm > 3", "compares as a number what is none"),
        ("value contains 3", "looks for a text"),
        ("front > 0", "compares as a number what is none"),
        ("front = maybe", "true or false"),
    ],
)
def test_what_is_no_condition_is_refused_with_a_sentence(text, told):
    with pytest.raises(Exception, match="--where") as refused:
        conditions_of([text], KINDS)
    assert told in str(refused.value)


def test_columns_are_named_with_commas_between_and_quotes_around_commas():
    known = ["id", "a, b.value", "value"]
    assert chosen_columns('value, "a, b.value",id', known) == ["value", "a, b.value", "id"]
    for text, told in [("valu", "Did you mean 'value'"), ("id,id", "twice"), ("", "empty"), ("id,", "column ''")]:
        with pytest.raises(Exception, match="--columns") as refused:
            chosen_columns(text, known)
        assert told in str(refused.value)


def candidates(bench, *more):
    return bench.discover("candidates", "finished", *more)


@pytest.fixture
def rows(finished):
    return json.loads(candidates(finished, "--format", "json").out)


def test_what_is_left_out_is_said_beside_what_is_printed(finished, rows):
    told = candidates(finished, "--where", "round > 0", "--where", "arm = control", "--format", "json")
    wanted = [row for row in rows if row["round"] > 0 and row["arm"] == "control"]
    assert json.loads(told.out) == wanted
    assert wanted
    assert told.err.strip() == f"{len(rows) - len(wanted)} of {len(rows)} candidates are left out by --where."


def test_the_best_so_many_are_those_of_what_meets_the_conditions(finished, rows):
    told = candidates(finished, "--where", "round = 2", "--top", "2", "--format", "json")
    assert json.loads(told.out) == [row for row in rows if row["round"] == 2][:2]


def test_csv_and_table_have_the_columns_that_are_named_in_their_order(finished, rows, tmp_path):
    file = tmp_path / "some.csv"
    told = candidates(finished, "--columns", "value,id,smiles", "--out", str(file))
    assert told.exit == 0, told.err
    read = list(csv.reader(io.StringIO(file.read_text())))
    assert read[0] == ["value", "id", "smiles"]
    assert [line[1] for line in read[1:]] == [row["id"] for row in rows]
    printed = candidates(finished, "--columns", "round,id", "--top", "1").out.splitlines()
    assert [line.split() for line in printed] == [["round", "id"], [str(rows[0]["round"]), rows[0]["id"]]]


def test_files_of_molecules_take_conditions_and_no_columns(finished, tmp_path):
    file = tmp_path / "some.smi"
    assert candidates(finished, "--where", "round = 0", "--out", str(file)).exit == 0
    assert len(file.read_text().splitlines()) == 8
    for form in ("sdf", "smi"):
        refused = candidates(finished, "--columns", "id", "--format", form)
        assert refused.exit == 2
        assert f"{form} has a fixed form" in refused.message


def test_nothing_is_written_where_a_condition_is_refused(finished, tmp_path):
    refused = candidates(finished, "--where", "velue > 3", "--out", str(tmp_path / "some.csv"))
    assert refused.exit == 2
    assert "Did you mean 'value'" in refused.message
    assert not list(tmp_path.iterdir())


def test_where_nothing_meets_the_conditions_the_table_is_empty_and_says_so(finished, rows):
    told = candidates(finished, "--where", "value > 1e9")
    assert told.exit == 0
    assert f"{len(rows)} of {len(rows)} candidates are left out" in told.err


def test_columns_of_several_goals_are_named_as_the_export_names_them(bench):
    oracle = {"kind": "python", "function": "tiny_oracle:measure"}
    other = oracle | {"unit": "mg/L"}
    bench.write_config(name="two", objectives=[{"name": "yield", "oracle": oracle}, {"name": "b c", "oracle": other}])
    ledger = Workspace(bench.home).ledger()
    campaign = ledger.begin_campaign(parse_config(bench.config), bench.folder)
    ids = ["CCO", "CCN", "CCC"]
    ledger.add_candidates(campaign.id, 0, [{"object_id": i, "object": i, "arm": "initial", "source": "g"} for i in ids])
    for name, part, values in (("o", "", [1.0, 2.0, None]), ("p", "1", [5.0, 4.0, 3.0])):
        book = OracleBook(ledger, campaign.id, name, "1", part=part)
        book.reserve(0, [(i, i) for i in ids], cost=1.0)
        book.submit(ids)
        for i, value in zip(ids, values, strict=True):
            book.complete(i, Measurement(i, value, error=None if value is not None else "timeout"))
    ledger.close()
    told = bench.discover(
        "candidates", "two", "--where", "yield.value >= 1", "--where", '"b c.value" > 4', "--columns", "id,b c.value",
        "--format", "json",
    )  # fmt: skip
    assert json.loads(told.out) == [{"id": "CCO", "b c.value": 5.0}]
    assert "2 of 3 candidates are left out by --where, 1 of them because they have no value to compare." in told.err
