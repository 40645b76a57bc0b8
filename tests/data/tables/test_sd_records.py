"""Records of SD files that were put together by hand: none takes another's value, and none vanishes."""

import math

import pytest

from models.sources.base import read_source
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=40, min_heavy_atoms=1, elements=("H", "C", "N", "O", "F", "Cl", "Br"))
ITEM = ">  <y>\n{}\n\n"


def drawing(symbol, name="name", comment="", version="V2000"):
    atoms = "".join(f"    {i}.0000    0.0000    0.0000 {s}   0  0\n" for i, s in enumerate(("C", "C", symbol)))
    counts = f"  3  2  0  0  0  0            999 {version}".rstrip()
    return f"{name}\n  x\n{comment}\n{counts}\n{atoms}  1  2  1  0\n  2  3  1  0\nM  END\n"


def read(folder, text, **options):
    (folder / "a.sdf").write_text(text)
    return read_source({"kind": "sdf", "path": "a.sdf", "value": "y", **options}, base=folder, space=SPACE)


def values(library):
    return {
        smiles: None if math.isnan(value) else value
        for smiles, value in zip(library.frame["object"], library.frame["value"], strict=True)
    }


LAST = f"{drawing('N')}{ITEM.format(100)}$$$$\n"


@pytest.mark.parametrize("version", ["V2000", ""])
@pytest.mark.parametrize("name", ["name", ""])
@pytest.mark.parametrize(
    ("items", "ethanol"),
    [("", None), (ITEM.format(1), 1), (ITEM.format(1) + "\n", 1), (">  <other>\n7\n\n", None), (ITEM.format(">1"), "")],
)
def test_records_between_which_the_delimiter_is_missing_keep_their_own_values(tmp_path, version, name, items, ethanol):
    text = f"{drawing('O', version=version)}{items}{drawing('N', name, version=version)}{ITEM.format(100)}$$$$\n"
    library = read(tmp_path, text)
    assert values(library) == ({"CCO": ethanol} if ethanol != "" else {}) | {"CCN": 100}
    assert library.rows == 2


@pytest.mark.parametrize(
    "between",
    [
        ">  <y>\n1\n",  # no empty line: is the second name a part of the value?
        ">  <y>\n\n",  # an empty value, or one that begins further down
        ">  <other>\n",
    ],
)
def test_records_that_cannot_be_parted_with_certainty_are_refused_each_with_its_line(tmp_path, between):
    library = read(tmp_path, f"{drawing('O')}{between}{LAST}{drawing('F')}{ITEM.format(5)}$$$$\n")
    assert values(library) == {"CCF": 5}
    assert all("without a line $$$$" in refusal.reason for refusal in library.refused)
    assert library.refused[0].line == 1
    assert library.rows == 3


def test_a_record_cut_short_within_its_drawing_takes_nothing_from_the_next(tmp_path):
    head = "\n".join(drawing("O").splitlines()[:7]) + "\n"
    library = read(tmp_path, f"{head}{LAST}{drawing('F')}{ITEM.format(5)}$$$$\n")
    assert values(library) == {"CCF": 5}
    assert [refusal.line for refusal in library.refused] == [1, 8]


@pytest.mark.parametrize(
    "text", ["read until\nM  END", drawing("N", comment="by hand").rstrip(), "written as V2000\nor as V3000"]
)
def test_a_drawing_or_its_words_that_are_the_text_of_an_item_begin_no_record(tmp_path, text):
    library = read(tmp_path, f"{drawing('O')}>  <source>\n{text}\n\n{ITEM.format(1)}$$$$\n{LAST}")
    assert values(library) == {"CCO": 1, "CCN": 100}


def test_a_value_behind_the_empty_line_that_ends_its_item_is_refused_with_its_line(tmp_path):
    library = read(tmp_path, f"{drawing('O')}>  <y>\n\n7\n\n$$$$\n{LAST}{drawing('F')}>  <y>\n\n\n$$$$\n")
    assert values(library) == {"CCN": 100, "CCF": None}
    (refusal,) = library.refused
    assert (refusal.line, refusal.reason) == (1, f"a text in line {drawing('O').count(chr(10)) + 3}, " + BEHIND)


BEHIND = "behind the empty line that ends the property 'y'"


def test_a_note_of_several_paragraphs_costs_no_value(tmp_path):
    library = read(tmp_path, f"{drawing('O')}>  <note>\n\nfirst\n\nsecond\n\n{ITEM.format(1)}$$$$\n")
    assert values(library) == {"CCO": 1}
