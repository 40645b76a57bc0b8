"""Candidates as rows: a space names the columns of its objects, and its own formats stand beside CSV and JSON."""

import csv
import io
import json

import pytest

from data.config import ConfigError
from data.records import CandidateRow
from models.registry import build
from models.spaces.base import BaseSpace, Fact
from models.spaces.columns import COLUMNS, columns_of, exported, with_compounds
from pipelines.exports import format_of, formats, written

TEXT = 'temperature=350, solvent="oil, light", value=2'


class Runs(BaseSpace):
    """Settings of a run; one has the name that every candidate's value has."""

    kind = "runs_of_a_test"
    nouns = ("run", "runs")
    column = "setting"
    fields = ("temperature", "solvent", "value")
    facts = {"heat": Fact("Heat")}
    exports = {"log": lambda rows: "".join(f"{row['id']}: {row['setting']}\n" for row in rows)}

    def told(self):
        return "runs"

    def standard(self, text):
        return text

    def outside(self, obj):
        return None

    def compound(self, obj):
        return obj.partition(",")[0]


RUNS = Runs()


def row(text=TEXT, **more):
    return {"id": "m1", "object": text, "value": 0.1 + 0.2, "compound": None} | more


def test_numbers_are_numbers_in_files_so_that_a_sign_is_no_formula():
    told = [exported(row("temperature=-5, solvent=-x, value=007"), COLUMNS, RUNS)]
    (read,) = csv.DictReader(io.StringIO(written(told, "csv", RUNS)))
    assert (read["temperature"], read["solvent"], read["run.value"]) == ("-5", "'-x", "007")
    (read,) = json.loads(written(told, "json", RUNS))
    assert (read["temperature"], read["solvent"], read["run.value"]) == (-5, "-x", "007")


def test_a_column_of_objects_whose_name_is_taken_has_the_noun_in_front(tmp_path):
    (tmp_path / "a.csv").write_text("id,size\nA,1\nB,2\n")
    space = build("space", {"kind": "table", "path": "a.csv", "key": "id", "columns": ["size"]}, base=tmp_path)
    names = columns_of(COLUMNS, space)
    assert len(set(names)) == len(names)
    told = exported(row("A"), COLUMNS, space)
    assert (told["id"], told["row.id"]) == ("m1", "A")


def test_an_object_of_several_values_has_a_column_for_each_behind_its_text():
    (read,) = csv.DictReader(io.StringIO(written([exported(row(), COLUMNS, RUNS)], "csv", RUNS)))
    assert list(read)[:6] == ["id", "setting", "temperature", "solvent", "run.value", "value"]
    assert (read["setting"], read["temperature"], read["solvent"], read["run.value"]) == (
        TEXT,
        "350",
        "oil, light",
        "2",
    )
    assert float(read["value"]) == 0.1 + 0.2
    (read,) = json.loads(written([exported(row(), COLUMNS, RUNS)], "json", RUNS))
    assert (read["solvent"], read["value"]) == ("oil, light", 0.1 + 0.2)


def test_a_text_that_no_longer_reads_is_exported_without_its_values():
    told = exported(row("350 K in water"), COLUMNS, RUNS)
    assert (told["setting"], told["temperature"], told["value"]) == ("350 K in water", None, 0.1 + 0.2)


def test_the_columns_of_molecules_are_those_they_have_always_been():
    molecules = build("space", {"kind": "molecules"})
    assert columns_of(COLUMNS, molecules) == COLUMNS
    assert exported(row("CCO", compound="LFQSCWFLJHTTHZ-UHFFFAOYSA-N"), COLUMNS, molecules)["inchikey"].startswith(
        "LFQ"
    )


def test_what_is_one_compound_is_for_the_space_to_say():
    texts = {"a": TEXT, "b": TEXT.replace("350", "20"), "c": TEXT.replace("light", "heavy")}
    rows = [CandidateRow(name, text) for name, text in texts.items()]
    assert [one.same_compound for one in with_compounds(rows, RUNS)] == ["c", "", "a"]
    assert [one.same_compound for one in with_compounds(rows[:1], RUNS, rows)] == ["c"]


def test_a_space_is_written_in_its_own_formats_and_no_others():
    assert formats(RUNS) == ("csv", "json", "log")
    assert format_of(None, "best.LOG", RUNS) == "log"
    assert written([exported(row(), COLUMNS, RUNS)], "log", RUNS) == f"m1: {TEXT}\n"
    with pytest.raises(ConfigError, match="There is no --format sdf for runs; expected table, csv, json, log"):
        format_of("sdf", None, RUNS)
    with pytest.raises(ConfigError, match=r"'\.sdf' names no format in which runs are written"):
        format_of(None, "best.sdf", RUNS)


@pytest.mark.parametrize(
    ("config", "format", "text", "told"),
    [
        ({"kind": "sequences", "alphabet": "DNA", "max_length": 8}, "fasta", "ACGT", ">m1 value=1.5\nACGT\n"),
        ({"kind": "molecules"}, "smi", "CCO", "CCO\tm1\n"),
    ],
)
def test_exported_rows_are_what_the_formats_of_a_shipped_space_read(config, format, text, told):
    space = build("space", config)
    assert written([exported(row(text, value=1.5), COLUMNS, space)], format, space) == told
