"""Sequences: alphabets, lengths, patterns, draws, edits, FASTA."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.objects import NotStandardError
from data.tables.library_file import LibraryFile
from data.tables.rows import SourceError
from models.registry import ComponentError, build
from models.sources.base import read_source
from models.spaces.sequences import AMINO_ACIDS, Sequences


def space_of(**options: Any) -> Sequences:
    space: Sequences = build("space", {"kind": "sequences", **options})
    return space


DNA = {"alphabet": "dna", "min_length": 2, "max_length": 6}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"alphabet": "A", "length": 4}, "an alphabet has two letters or more"),
        ({"alphabet": "", "length": 4}, "an alphabet has two letters or more"),
        ({"alphabet": "ABCA", "length": 4}, "the letter 'A' stands twice"),
        ({"alphabet": "A C", "length": 4}, "the alphabet has ' '"),
        ({"alphabet": "A\tC", "length": 4}, r"the alphabet has '\t'"),
        ({"alphabet": "protien", "length": 4}, "Did you mean 'protein'?"),
        ({"alphabet": "petides", "length": 4}, "Did you mean 'peptides'?"),
        ({"alphabet": "dna"}, "give `length`, or `max_length`"),
        ({"alphabet": "dna", "min_length": 3}, "give `length`, or `max_length`"),
        ({"alphabet": "dna", "length": 0}, "greater than or equal to 1"),
        ({"alphabet": "dna", "length": 3, "max_length": 4}, "not both"),
        ({"alphabet": "dna", "min_length": 5, "max_length": 4}, "min_length (5) is above max_length (4)"),
        ({**DNA, "pattern": "A[C"}, "the pattern is no regular expression"),
        ({**DNA, "pattern": "A{2"}, None),
        ({**DNA, "patern": "A"}, "Did you mean 'pattern'?"),
    ],
)
def test_options_that_make_no_space_are_refused_in_a_sentence(options: dict[str, Any], told: str | None) -> None:
    if told is None:  # an unclosed brace is a letter to Python's expressions
        assert space_of(**options).options.pattern == options["pattern"]
        return
    with pytest.raises(ComponentError, match=re.escape(told)):
        space_of(**options)


def test_alphabets_have_names() -> None:
    assert {name: space_of(alphabet=name, length=3).letters for name in ("dna", "RNA", "peptides", "protein")} == {
        "dna": "ACGT",
        "RNA": "ACGU",
        "peptides": "ACDEFGHIKLMNPQRSTVWY",
        "protein": "ACDEFGHIKLMNPQRSTVWY",
    }


@pytest.mark.parametrize(
    ("alphabet", "text", "standard"),
    [
        ("dna", " acGT\n", "ACGT"),
        ("xyz", "XyZ", "xyz"),
        ("aAbB", "aAbb", "aAbb"),
        ("HP-", "hp-", "HP-"),
        ("αβ", "ΑΒ", "αβ"),
    ],
)
def test_case_is_passed_over_where_the_alphabet_has_one(alphabet: str, text: str, standard: str) -> None:
    assert space_of(alphabet=alphabet, max_length=9).standard(text) == standard


@pytest.mark.parametrize("text", ["ſ", "ı", "ﬁ", "ß"])
def test_a_letter_that_upper_case_would_make_another_is_foreign(text: str) -> None:
    with pytest.raises(NotStandardError, match=f"the letter '{text}' at place 1"):
        space_of(alphabet="peptides", max_length=9).admit(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ACGNT", "the letter 'N' at place 4, none of ACGT"),
        ("A CG", "the letter ' ' at place 2, none of ACGT"),
        ("A", "1 letter, fewer than 2"),
        ("ACGTACGT", "8 letters, more than 6"),
        ("CCGG", r"no match of the pattern '[ACGT]*A[ACGT]*'"),
        ("", "no sequence in this row"),
    ],
)
def test_the_reason_names_the_letter_and_its_place_the_length_or_the_pattern(text: str, reason: str) -> None:
    space = space_of(**DNA, pattern="[ACGT]*A[ACGT]*")
    with pytest.raises(NotStandardError) as refused:
        space.admit(text)
    assert str(refused.value) == reason
    if text:
        assert space.outside(text) == reason


def test_a_whole_sequence_matches_the_pattern_not_a_part_of_it() -> None:
    space = space_of(**DNA, pattern="A|AC|GT+")
    assert [text for text in ("AC", "GT", "GTTT", "ACA", "TGT") if space.outside(text) is None] == ["AC", "GT", "GTTT"]


def test_all_of_a_small_space_are_drawn_each_once() -> None:
    space = space_of(alphabet="ab", min_length=1, max_length=3)
    drawn = space.random(100, 0)
    assert sorted(drawn) == sorted(["a", "b", *(x + y for x in "ab" for y in "ab"), *(x + y + z for x in "ab" for y in "ab" for z in "ab")])  # fmt: skip
    assert sorted(space_of(alphabet="ab", length=3, pattern="a.*b").random(9, 0)) == ["aab", "abb"]
    assert sorted(space.design(100, 0)) == sorted(drawn)


def test_random_sequences_are_uniform_over_all_of_the_space() -> None:
    space = space_of(alphabet="peptides", min_length=5, max_length=6)  # 3.2 and 64 million sequences
    drawn = space.random(4000, 1)
    long = sum(len(one) == 6 for one in drawn)
    share = 20 / 21
    assert abs(long - 4000 * share) < 4 * (4000 * share * (1 - share)) ** 0.5
    letters = Counter("".join(drawn))
    n, p = sum(letters.values()), 1 / 20
    assert all(abs(letters[letter] - n * p) < 5 * (n * p * (1 - p)) ** 0.5 for letter in AMINO_ACIDS)


def test_a_design_has_short_and_long_sequences_alike() -> None:
    lengths = Counter(map(len, space_of(alphabet="peptides", min_length=4, max_length=8).design(1000, 0)))
    assert set(lengths) == {4, 5, 6, 7, 8}
    assert all(abs(count - 200) < 5 * (1000 * 0.2 * 0.8) ** 0.5 for count in lengths.values())


def test_a_rare_pattern_is_filled_up_by_mutation() -> None:
    # 6 of 12 places are fixed: one in 4096 of random sequences matches; some 100 of 400,000 are found, the rest bred.
    space = space_of(alphabet="dna", length=12, pattern="ATG[ACGT]{6}TAA")
    drawn = space.random(1000, 0)
    assert len(set(drawn)) == len(drawn) == 1000
    assert all(re.fullmatch("ATG.{6}TAA", one) for one in drawn)


def test_a_pattern_that_nothing_matches_is_told() -> None:
    with pytest.raises(ComponentError, match=r"none matches the space's pattern 'X\+'"):
        space_of(alphabet="dna", length=4, pattern="X+").random(5, 0)
    with pytest.raises(ComponentError, match=r"400\d+ random sequences .* Loosen the pattern"):
        space_of(alphabet="dna", length=20, pattern="A{20}").random(5, 0)


def test_mutants_differ_by_one_letter_and_children_by_none_that_no_parent_has() -> None:
    rng = np.random.default_rng(0)
    edits = space_of(alphabet="dna", length=9).variation(())
    for _ in range(200):
        mutant = edits.mutate("ACGTACGTA", rng)
        assert mutant is not None
        assert sum(a != b for a, b in zip("ACGTACGTA", mutant, strict=True)) == 1
        child = edits.crossover("AAAAAAAAA", "CCCCCCCCC", rng)
        assert child is not None
        assert re.fullmatch("A*C+A*", child)
        assert len(child) == 9


def test_letters_are_put_in_and_taken_out_within_the_lengths() -> None:
    rng = np.random.default_rng(1)
    edits = space_of(**DNA).variation(())
    found = Counter(len(str(edits.mutate("ACG", rng))) for _ in range(400))
    assert set(found) == {2, 3, 4}
    assert min(found.values()) > 60
    assert {len(str(edits.mutate("ACGTAC", rng))) for _ in range(100)} == {5, 6}
    assert {len(str(edits.mutate("AC", rng))) for _ in range(100)} == {2, 3}
    assert {len(str(edits.crossover("AAAAAA", "CCC", rng))) for _ in range(50)} == {3}


def test_edits_give_up_where_nothing_else_is_inside() -> None:
    edits = space_of(alphabet="dna", length=3, pattern="AAA").variation(())
    rng = np.random.default_rng(0)
    assert edits.mutate("AAA", rng) is None
    assert edits.crossover("AAA", "AAA", rng) is None


def test_nearness_of_one_length_is_by_place() -> None:
    near = space_of(alphabet="dna", length=8).nearness(["ACGTACGT"], ["ACGTACGT", "ACGTACGA", "CGTACGTA"])
    # m equal places of 8: m / (16 - m).
    np.testing.assert_allclose(near, [[1.0, 7 / 9, 0.0]])


def test_nearness_of_several_lengths_forgives_an_insertion() -> None:
    space = space_of(alphabet="peptides", min_length=2, max_length=8)
    # Words of one and two letters: ACDE has 7, GACDE 9, 7 of them common.
    np.testing.assert_allclose(space.nearness(["ACDE"], ["GACDE", "EDCA"]), [[7 / 9, 4 / 10]])


def test_facts_are_length_and_share_of_g_and_c() -> None:
    assert space_of(**DNA).facts_of("GGCA") == {"length": 4.0, "gc": 0.75}
    assert space_of(alphabet="UGCA", length=4).facts_of("UUGA") == {"gc": 0.25}
    assert space_of(alphabet="peptides", max_length=9).facts_of("GCG") == {"length": 3.0}


def test_a_drawing_has_each_letter_and_a_long_sequence_none() -> None:
    space = space_of(alphabet="<&>", max_length=500)
    drawn = space.draw("<&><" * 10)
    assert drawn is not None
    assert drawn.count("<rect") == drawn.count("<text") == 40
    assert drawn.count("&lt;</text>") == 20
    assert space.draw("<" * 500) is None


def test_fasta_reads_back() -> None:
    space = space_of(alphabet="dna", max_length=200)
    rows = [
        {"id": "m1", "sequence": "ACGT" * 40, "value": -1.5, "unit": "kcal/mol"},
        {"id": "m2", "sequence": "GATTACA", "value": None, "unit": ""},
    ]
    lines = space.exports["fasta"](rows).splitlines()
    records: dict[str, str] = {}
    for line in lines:
        if line.startswith(">"):
            header = line
            records[header] = ""
        else:
            assert 0 < len(line) <= 60
            records[header] += line
    assert records == {">m1 value=-1.5 unit=kcal/mol": "ACGT" * 40, ">m2": "GATTACA"}


def test_a_fasta_file_is_a_source(tmp_path: Path) -> None:
    text = (
        b"\xef\xbb\xbf>one the first\r\nACGT\r\nacgt\r\n\r\n>empty\r\n>two\r\nGAT TACA\r\n; a remark\r\n>again\r\n"
        b"gattaca\r\n>protein\r\nMKV*\r\n"
    )
    (tmp_path / "s.fasta").write_bytes(text)
    space = space_of(alphabet="dna", max_length=20)
    library = read_source({"kind": "fasta", "path": "s.fasta"}, base=tmp_path, space=space)
    assert library.frame["object"].tolist() == ["ACGTACGT", "GATTACA"]
    assert library.frame["line"].tolist() == [1, 6]
    assert library.frame["value"].isna().all()
    assert (library.rows, library.merged) == (5, 1)
    assert [(one.line, one.reason) for one in library.refused] == [
        (5, "a record without letters"),
        (11, "the letter 'M' at place 1, none of ACGT"),
    ]


def test_exported_fasta_is_read_as_a_source_and_as_a_library(tmp_path: Path) -> None:
    space = space_of(alphabet="dna", max_length=200)
    sequences = ["ACGT" * 40, "GATTACA"]
    rows = [{"id": f"m{i}", "sequence": one, "value": 1.5} for i, one in enumerate(sequences)]
    path = tmp_path / "best.fasta"
    path.write_text(space.exports["fasta"](rows))
    library = read_source({"kind": "fasta", "path": str(path)}, base=tmp_path, space=space)
    assert library.frame["object"].tolist() == sequences
    file = LibraryFile(path, usual=space.column, more=space.files)
    assert [row.text for row in file.rows()] == sequences


@pytest.mark.parametrize(
    ("text", "told"), [("ACGT\n", "Line 1 of"), ("\n\nsequence\nACGT\n", "Line 3 of"), ("", "has no rows")]
)
def test_what_is_no_fasta_file_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "s.fa").write_text(text)
    with pytest.raises(SourceError, match=told):
        read_source({"kind": "fasta", "path": "s.fa"}, base=tmp_path, space=space_of(alphabet="dna", max_length=20))


def test_a_hundred_thousand_sequences_are_admitted_in_a_second_of_cpu() -> None:
    space = space_of(alphabet="peptides", min_length=8, max_length=15, pattern="[^C]*")
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ADEFGHIKLM"), 12)) for _ in range(2000)] * 10
    started = time.process_time()
    assert [space.admit(one) for one in sequences] == sequences
    assert len(sequences) / (time.process_time() - started) > 100_000  # some 800,000 on a quiet machine
