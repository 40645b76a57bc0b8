"""The file of references: a narrow dialect that every program reads, entries that are whole, each cited once named."""

import re
import unicodedata
from pathlib import Path

import pytest

from data.references import FILE, ReferencesError, parsed, plain, references, told

ROOT = Path(__file__).resolve().parent.parent.parent
PATH = ROOT / "data" / "resources" / FILE
TEXT = PATH.read_text(encoding="ascii")
ENTRIES = references()
WHOLE = {
    "article": {"author", "title", "journal", "year"},
    "inproceedings": {"author", "title", "booktitle", "year"},
    "incollection": {"author", "title", "booktitle", "publisher", "year"},
    "book": {"author", "title", "publisher", "year"},
    "misc": {"author", "title", "year", "eprint"},
    "techreport": {"author", "title", "institution", "year"},
    "software": {"title"},
}
CODES = {"doi", "eprint", "url", "archiveprefix"}


def depths(value):
    """Depth of the braces after each character; a backslash before one takes its meaning away."""
    depth = 0
    for mark in re.sub(r"\\[{}]", "", value):
        depth += {"{": 1, "}": -1}.get(mark, 0)
        yield depth


def test_the_file_is_what_its_entries_write_in_the_order_of_the_keys():
    comments = "".join(line for line in TEXT.splitlines(keepends=True) if line.startswith("%"))
    assert comments + "\n" + "\n".join(entry.bibtex() for entry in ENTRIES.values()) == TEXT
    assert list(ENTRIES) == sorted(ENTRIES)


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_is_whole_and_its_key_says_who_and_when(key):
    entry = ENTRIES[key]
    assert WHOLE[entry.kind] <= set(entry.fields)
    if "year" in entry.fields:
        letters = unicodedata.normalize("NFKD", entry.surnames[0].lower().partition("-")[0])
        name = re.sub(r"[^a-z]", "", letters)
        assert re.fullmatch(rf"{name}{entry.fields['year']}[a-z0-9]+", key)
    for name, value in entry.fields.items():
        found = [*depths(value)]
        assert min(found) >= 0, name
        assert found[-1] == 0, name
        if name not in CODES:
            assert not re.search(r"(?<!\\)[&%$#_]", value), "a special character of TeX is to be escaped"
            assert '"' not in re.sub(r'\{\\"', "", value)
    for author in entry.fields.get("author", "").split(" and "):
        assert not author or author == "others" or ", " in author or author.startswith("{")
    assert re.fullmatch(r"(?:\d{4}\.\d{4,5})?", entry.fields.get("eprint", ""))
    assert ("eprint" in entry.fields) == (entry.fields.get("archiveprefix") == "arXiv")
    assert re.fullmatch(r"(?:10\.\d{4,}/\S+)?", entry.fields.get("doi", ""))
    assert re.fullmatch(r"(?:\d+(?:--\d+)?)?", entry.fields.get("pages", ""))


@pytest.mark.parametrize("field", ["title", "doi", "eprint"])
def test_no_work_stands_twice(field):
    values = [plain(entry.fields[field]).lower() for entry in ENTRIES.values() if field in entry.fields]
    assert len(set(values)) == len(values)


def test_every_entry_is_cited_by_something():
    sources = [
        path.read_text(encoding="utf-8")
        for package in ("data", "models", "pipelines")
        for ending in ("py", "json")
        for path in (ROOT / package).rglob(f"*.{ending}")
    ]
    assert [key for key in ENTRIES if not any(f'"{key}"' in text for text in sources)] == []


def test_references_are_told_in_words():
    assert ENTRIES["madan2023subtb"].told() == (
        "Madan et al., Learning GFlowNets from partial episodes for improved convergence and stability, ICML 2023, "
        "arXiv:2209.12782"
    )
    assert ENTRIES["wildman1999crippen"].told(title=False) == (
        "Wildman and Crippen, Journal of Chemical Information and Computer Sciences 39, 868 (1999)"
    )
    assert ENTRIES["asgeirsson2017ipea1"].surnames == ("Ásgeirsson", "Bauer", "Grimme")
    assert ENTRIES["prefect"].surnames == ("Prefect Technologies, Inc.",)
    assert (
        told(["rasmussen2006gp", "rdkit"])
        == "Rasmussen and Williams, Gaussian processes for machine learning, MIT Press 2006"
    )
    assert (
        told(["breiman2001forests", "oza2001online"])
        == "Breiman, Machine Learning 45, 5 (2001); Oza and Russell, AISTATS 2001"
    )
    assert told(["rdkit"]).startswith("Landrum et al., RDKit")
    assert told([]) == ""
    assert told(["nobody2020nothing"]) == "nobody2020nothing"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (r"N{\"u}sken", "Nüsken"),
        (r"Hern{\'a}ndez-Garc{\'\i}a", "Hernández-García"),
        (r"{\L}ukasz", "Łukasz"),
        (r"Qui{\~n}onero", "Quiñonero"),
        (r"A \& B", "A & B"),
        ("{GFN2-xTB}, 1--86", "GFN2-xTB, 1–86"),
    ],
)
def test_codes_of_tex_are_told_as_letters(code, text):
    assert plain(code) == text


@pytest.mark.parametrize(
    "text",
    [
        "@misc{a2020b,\n  title = {A}\n}\n",
        "@misc{a2020b,\n  title = {A},\n",
        "@misc{a2020b,\n  title = {A},\n  title = {B},\n}\n",
        "@misc{a2020b,\n  title = {A},\n}\n\n@misc{a2020b,\n  title = {A},\n}\n",
        "words\n",
    ],
)
def test_what_is_not_in_the_dialect_is_refused(text):
    with pytest.raises(ReferencesError):
        parsed(text)
