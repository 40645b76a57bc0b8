"""What is said of a file as a whole: counts that add up, and marks of decimals that do not contradict each other."""

import pytest

from data.objects import NotStandardError
from data.tables.readers import SourceError
from data.tables.remarks import reading_line, reason_kind, reasons_told
from data.tables.values import number
from models.registry import build
from models.sources.base import read_source
from models.spaces.molecules import Molecules


def test_the_counts_of_the_reasons_add_up_to_the_refused_rows():
    reasons = {"a": 10, "b": 4, "c": 2, "d": 1, "e": 1, "f": 1, "g": 1}
    counts = {"rows": 30, "library": 10, "labelled": 3, "merged": 0, "refused": 20}
    told = reading_line(counts, reasons)
    assert told.endswith("20 refused: a (10); b (4); c (2); d (1); e (1); and 2 for other reasons.")
    assert reasons_told({"a": 1}) == "a (1)"


def test_no_reason_is_hidden_where_it_is_the_only_one_left():
    assert reasons_told(dict.fromkeys("abcdef", 1)) == "a (1); b (1); c (1); d (1); e (1); f (1)"


def test_rows_that_an_option_leaves_out_are_told_apart_from_refused_ones():
    counts = {"rows": 9, "library": 3, "labelled": 3, "refused": 2}
    line = reading_line(counts, {"no letters": 2}, ("sequence", "sequences"), {"not in the sample": 4})
    assert line.endswith(" 2 refused: no letters (2); 4 left out: not in the sample (4).")


def test_objects_that_were_drawn_are_no_rows_that_were_read():
    assert (
        reading_line({"rows": 256, "library": 256}, {}, ("vector", "vectors"), drawn=True)
        == "256 vectors drawn from the space."
    )


@pytest.mark.parametrize("text", ["1,5", "it's", 'a "word"', 'it\'s "both"', "back\\'slash"])
def test_a_kind_of_reason_has_no_text_of_a_row_and_no_gap_where_it_was(text):
    with pytest.raises(NotStandardError) as error:
        number(text)
    assert reason_kind(str(error.value)).startswith("the value is not a finite number")


@pytest.mark.parametrize(
    ("space", "texts", "kind"),
    [
        (
            {"kind": "vectors", "variables": {"t": [0, 9]}},
            ("t=10", "t=-3.5"),
            "t is outside 0 to 9",
        ),
        (
            {"kind": "vectors", "variables": {"s": ["dmf", "thf"]}},
            ("s=ethyl acetate", "s=water"),
            "s is none of dmf, thf",
        ),
        ({"kind": "vectors", "variables": {"n": {"integer": [1, 4]}}}, ("n=1.5", "n=2.5"), "n is no whole number"),
        (
            {"kind": "vectors", "fractions": {"a": [0, 1], "b": [0, 1]}},
            ("a=0.5, b=0.6", "a=0.1, b=0.1"),
            "the fractions a, b do not sum to 1",
        ),
        ({"kind": "sequences", "alphabet": "dna", "max_length": 3}, ("ACGT", "ACGTA"), "more than 3 letters"),
        ({"kind": "sequences", "alphabet": "dna", "max_length": 3}, ("AX", "'"), "a letter that is none of ACGT"),
        ({"kind": "subsets", "n": 4, "max_size": 2}, ("0, 1, 2", "0, 1, 2, 3"), "more than 2 members"),
    ],
)
def test_reasons_of_a_space_are_counted_together_where_only_a_value_differs(space, texts, kind):
    made = build("space", space)
    kinds = set()
    for text in texts:
        with pytest.raises(NotStandardError) as error:
            made.admit(text)
        kinds.add(reason_kind(str(error.value)))
    assert kinds == {kind}


def test_a_kind_of_reason_keeps_the_names_of_columns():
    told = "the relation '>' in the column 'sign' says"
    assert reason_kind(told) == "the relation in the column 'sign' says"
    assert reason_kind("no property 'Ki' but one named 'KI'") == "no property 'Ki' but one named 'KI'"
    assert reason_kind("another drawing from line 7 and 9 on") == "another drawing from a line on"


def test_a_table_with_decimal_commas_and_points_of_thousands_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("smiles;y\nCCO;1,5\nCCN;1.234\nCCC;7\n")
    source = {"kind": "csv", "path": "a.csv", "value": "y", "delimiter": ";"}
    space = Molecules(max_heavy_atoms=40, min_heavy_atoms=1, elements=("H", "C", "N", "O"))
    with pytest.raises(SourceError, match=r"Line 2 of a.csv .*line 3 has '1.234'.*`decimal: ','`"):
        read_source(source, base=tmp_path, space=space)
    library = read_source(source | {"decimal": ","}, base=tmp_path, space=space)
    assert list(library.frame["value"]) == [1.5, 7]
