"""Oracles of objects that are no molecules: what they are asked, whose an answer is, and what tells purchases apart."""

import os
import textwrap

import pytest
from pydantic import Field

from data.objects import NotStandardError, joined, split
from data.records import Measurement
from models.oracles.base import MoleculeOracle, ObjectOracle
from models.registry import ComponentError, Options, build
from models.spaces.base import BaseSpace, require_space
from models.spaces.molecules import Molecules
from tasks.oracles.pool import OraclePool
from tasks.oracles.worker import usable_measurements

SPACE = """
from data.objects import NotStandardError
from models.spaces.molecules import Molecules
from models.spaces.base import BaseSpace

class Words(BaseSpace):
    kind = "words_of_a_plugin"
    nouns = ("word", "words")
    column = "word"
    text_name = "Word"
    def told(self): return "words"
    def standard(self, text):
        if not text.isalpha(): raise NotStandardError("no letters")
        return text.upper()
    def outside(self, obj): return None
"""


class Words(BaseSpace):
    """Words in upper case."""

    kind = "words_of_the_oracle_tests"
    nouns = ("word", "words")
    column = "word"
    text_name = "Word"

    def told(self):
        return "words"

    def standard(self, text):
        if not text.isalpha():
            raise NotStandardError("no letters")
        return text.upper()

    def outside(self, obj):
        return None


class Mixtures(BaseSpace["Mixtures.Options"]):
    """A temperature, to one degree, and a solvent."""

    kind = "mixtures_of_the_oracle_tests"
    nouns = ("mixture", "mixtures")
    fields = ("temperature", "solvent")

    class Options(Options):
        hottest: float = Field(default=400.0)

    def told(self):
        return "mixtures"

    def standard(self, text):
        cells = split(text)
        try:
            return joined(self.fields, [str(round(float(cells["temperature"]))), cells["solvent"]])
        except (KeyError, ValueError) as error:
            raise NotStandardError("no mixture") from error

    def outside(self, obj):
        return None

    def value(self, obj):
        cells = split(obj)
        return {"temperature": float(cells["temperature"]), "solvent": cells["solvent"]}


def oracle(space, kind, **options):
    return build("oracle", {"kind": kind, **options}).bind(space)


def ask(made, *objects):
    return list(made.evaluate(objects, keys=[f"key-{number}" for number in range(len(objects))]))


def answers(made, *objects):
    return [measurement.value for measurement in ask(made, *objects)]


# -- A table ----------------------------------------------------------------------------------------------------------


def test_a_table_finds_a_word_by_its_standard_form_in_the_column_of_the_space(tmp_path):
    (tmp_path / "table.csv").write_text("word,value\nabc,1.5\nABC,2.5\nB,4\nB2,9\n")
    table = oracle(Words(), "table", path=str(tmp_path / "table.csv"))
    assert answers(table, "ABC", "B") == [2.0, 4.0]
    (absent,) = ask(table, "BB")
    assert (absent.error, absent.message) == ("missing", "table.csv has no row of BB among its 2 words.")


def test_a_table_finds_what_several_columns_tell(tmp_path):
    (tmp_path / "table.csv").write_text('solvent,value,temperature\nwater,1.5,350\n"oil, light",2.5,351\n')
    table = oracle(Mixtures(), "table", path=str(tmp_path / "table.csv"))
    assert answers(table, "temperature=350, solvent=water", 'temperature=351, solvent="oil, light"') == [1.5, 2.5]
    assert answers(table, "temperature=350, solvent=benzene") == [None]


def test_a_table_without_objects_of_the_space_says_which_columns_it_read(tmp_path):
    (tmp_path / "table.csv").write_text("solvent,temperature,value\nwater,hot,1\n")
    table = oracle(Mixtures(), "table", path=str(tmp_path / "table.csv"))
    with pytest.raises(ValueError, match=r"no mixture with a value in its 1 row.* columns of temperature, solvent and"):
        table.prepare()


def test_a_shipped_table_of_molecules_is_refused_to_words():
    with pytest.raises(
        ComponentError, match="'electron_affinities' is for molecules; this campaign's space is 'words_"
    ):
        oracle(Words(), "table", source="electron_affinities").check()


# -- A function -------------------------------------------------------------------------------------------------------

FUNCTION = """
def letters(words): return [len(word) for word in words]
def heat(points): return [point["temperature"] * (2 if point["solvent"] == "water" else 1) for point in points]
def takes_out(points):
    if len(points) > 1: points[0].pop("temperature"); raise ValueError("one at a time")
    return [points[0]["temperature"]]
def sorts(points):
    points.sort(key=lambda point: point["temperature"])
    return [point["temperature"] for point in points]
def nothing(points): pass
"""
MIXTURES = ["temperature=350, solvent=water", "temperature=20, solvent=oil"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "words_and_points.py").write_text(FUNCTION)
    return tmp_path


def measured(folder, space, name, objects, **options):
    config = {"kind": "python", "function": f"words_and_points:{name}", "chunk": 8, **options}
    results = {}
    with OraclePool(config, space, workers=1, search_path=[folder]) as pool:
        pool.run([(obj, obj) for obj in objects], lambda keys: None, results.__setitem__)
    return [results[obj] for obj in objects]


def test_a_function_gets_the_text_of_a_word_and_the_numbers_of_a_mixture_by_name(folder):
    words = measured(folder, Words(), "letters", ["ABC", "B"])
    assert [(m.smiles, m.value) for m in words] == [("ABC", 3.0), ("B", 1.0)]
    mixtures = measured(folder, Mixtures(), "heat", MIXTURES)
    assert [(m.smiles, m.value) for m in mixtures] == [(MIXTURES[0], 700.0), (MIXTURES[1], 20.0)]


def test_what_a_function_does_to_a_dictionary_reaches_no_other_call(folder):
    assert [m.value for m in measured(folder, Mixtures(), "takes_out", MIXTURES)] == [350.0, 20.0]


def test_a_function_that_sorts_its_dictionaries_is_refused_in_words_of_the_space(folder):
    both = measured(folder, Mixtures(), "sorts", MIXTURES)
    assert [m.error for m in both] == ["wrong_answer"] * 2
    assert "after changing its list of mixtures in place" in both[0].message
    (none,) = measured(folder, Words(), "nothing", ["ABC"])
    assert "None for 1 words; expected a list of 1 number, one per word" in none.message


# -- A program --------------------------------------------------------------------------------------------------------


def command(folder, space, code, **options):
    (folder / "program.py").write_text(textwrap.dedent(code))
    return oracle(space, "command", command=["{python}", "program.py"], folder=str(folder), wait=0, **options)


def test_a_program_reads_texts_and_answers_by_text_however_it_writes_them(tmp_path):
    code = """
        import sys
        print("word,value")
        for line in reversed(sys.stdin.read().split()): print(f"{line.lower()},{len(line)}")
        """
    assert answers(command(tmp_path, Words(), code), "ABC", "B") == [3.0, 1.0]
    assert answers(command(tmp_path, Words(), code, match="object"), "ABC", "B") == [3.0, 1.0]


def test_a_program_may_answer_in_the_columns_that_tell_an_object(tmp_path):
    code = """
        print("solvent,temperature,value")
        print("oil,20.2,5")
        print("water,350,7")
        """
    assert answers(command(tmp_path, Mixtures(), code), *MIXTURES) == [7.0, 5.0]
    texts = """
        import csv, sys
        table = csv.writer(sys.stdout)
        table.writerow(["object", "value"])
        for line in sys.stdin.read().splitlines(): table.writerow([line, len(line)])
        """
    assert answers(command(tmp_path, Mixtures(), texts), *MIXTURES) == [float(len(text)) for text in MIXTURES]


@pytest.mark.parametrize(
    ("space", "column", "asked"),
    [(Words(), "word", "ABC"), (Mixtures(), "object", MIXTURES[0]), (Molecules(), "smiles", "CCO")],
)
def test_an_answer_without_the_column_of_objects_says_which_is_missing(tmp_path, space, column, asked):
    (answer,) = ask(command(tmp_path, space, "print('name,value')\nprint('x,1')"), asked)
    assert answer.error == "wrong_answer"
    assert f"no column {column!r}" in answer.message
    assert "Expected a CSV with a header" in answer.message


def test_a_program_that_took_the_key_for_a_part_of_the_object_is_not_believed(tmp_path):
    code = """
        import csv, sys
        table = csv.writer(sys.stdout)
        table.writerow(["object", "value"])
        for line in sys.stdin.read().splitlines(): table.writerow([line, len(line)])
        """
    made = command(tmp_path, Mixtures(), code, input="object_key")
    both = ask(made, *MIXTURES)
    assert [(m.value, m.error) for m in both] == [(None, "wrong_answer")] * 2


def test_rows_in_another_order_than_that_of_the_words_are_refused(tmp_path):
    code = "import sys\nprint('word,value')\nfor line in reversed(sys.stdin.read().split()): print(f'{line},1')"
    (first, _) = ask(command(tmp_path, Words(), code, match="order", semantics="idempotent", input="object"), "A", "B")
    assert first.error == "wrong_answer"
    assert "the value of B in line 2 of its table" in first.message


# -- Every oracle -----------------------------------------------------------------------------------------------------


def test_an_answer_for_another_word_is_refused_and_one_for_the_same_is_not():
    class Swaps:
        def evaluate(self, words, *, keys):
            yield Measurement("abc", 1.0)
            yield Measurement("A", 2.0)

    same, other = usable_measurements(Swaps(), ["ABC", "B"], ["1", "2"], Words())
    assert (same.smiles, same.value) == ("ABC", 1.0)
    assert (other.smiles, other.error) == ("B", "wrong_answer")
    assert "answered for 'A' where 'B' was asked" in other.message


def test_an_oracle_in_a_process_of_its_own_knows_the_space_of_a_plugin(tmp_path, monkeypatch):
    site = tmp_path / "site"
    (site / "words-1.dist-info").mkdir(parents=True)
    (site / "words-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: words\nVersion: 1\n")
    (site / "words-1.dist-info" / "entry_points.txt").write_text(
        "[discovery_flows.components]\nwords = plugged_words\n"
    )
    (site / "plugged_words.py").write_text(SPACE)
    (tmp_path / "table.csv").write_text("word,value\nabc,1.5\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.syspath_prepend(str(site))
    import plugged_words

    results = {}
    config = {"kind": "table", "path": str(tmp_path / "table.csv")}
    with OraclePool(config, plugged_words.Words(), workers=1) as pool:
        pool.run([("1", "ABC"), ("2", "AB")], lambda keys: None, results.__setitem__)
    assert results["1"].value == 1.5
    assert results["2"].message == "table.csv has no row of AB among its 1 words."


def test_objects_of_two_kinds_with_one_text_are_two_purchases_and_bounds_are_none(folder, tmp_path):
    (tmp_path / "table.csv").write_text("word,value\nabc,1.5\n")
    for config in (
        {"kind": "python", "function": "words_and_points:letters"},
        {"kind": "table", "path": str(tmp_path / "table.csv")},
        {"kind": "command", "command": "cat", "folder": str(folder)},
    ):
        unbound = build("oracle", config).identity(folder)
        molecules = build("oracle", config).bind(build("space", {"kind": "molecules", "max_heavy_atoms": 5}))
        assert molecules.identity(folder) == unbound
        others = {build("oracle", config).bind(space).identity(folder) for space in (Words(), Mixtures())}
        assert len(others | {unbound}) == 3
    function = {"kind": "python", "function": "words_and_points:heat"}
    narrow, wide = (build("oracle", function).bind(Mixtures(hottest=hottest)) for hottest in (300.0, 500.0))
    assert narrow.identity(folder) == wide.identity(folder)


def test_an_oracle_written_for_molecules_is_for_molecules_only():
    class Old(MoleculeOracle):
        kind = "old_of_the_oracle_tests"

        def measure(self, smiles):
            return 1.0

    class Open(ObjectOracle):
        kind = "open_of_the_oracle_tests"

        def measure(self, obj):
            return float(len(self.space.standard(obj)))

    with pytest.raises(ComponentError, match="The oracle 'old_of_the_oracle_tests' is for molecules"):
        require_space(Old(), Words())
    require_space(Open(), Words())
    assert answers(Open().bind(Words()), "abc", "1") == [3.0, None]
