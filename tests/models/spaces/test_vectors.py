"""Vectors of named variables: ranges, whole numbers, choices, and fractions that sum to one."""

import time

import numpy as np
import pytest

from data.objects import NotStandardError
from data.tables.readers import SourceError
from models.oracles.base import bound
from models.registry import ComponentError, build
from models.sources.base import read_source, source_of


def vectors(variables=None, **options):
    return build("space", {"kind": "vectors", "variables": variables or {}, **options})


@pytest.fixture
def process():
    return vectors(
        {
            "temperature": [20, 120],
            "ratio": [0, 1],
            "cycles": {"integer": [1, 10]},
            "solvent": ["water", "ethanol", "dmf"],
        }
    )


@pytest.fixture
def blend():
    return vectors(fractions={"resin": [0.2, 0.8], "filler": [0, 0.5], "oil": [0, 0.6]})


@pytest.mark.parametrize(
    ("text", "standard"),
    [
        ("temperature=80.0, ratio=0.350, cycles=3, solvent=dmf", "temperature=80, ratio=0.35, cycles=3, solvent=dmf"),
        ("solvent=DMF,cycles=3.0,ratio=.35,temperature=8e1", "temperature=80, ratio=0.35, cycles=3, solvent=dmf"),
        ("temperature=80.04, ratio=-0.0001, cycles=3, solvent=dmf", "temperature=80, ratio=0, cycles=3, solvent=dmf"),
    ],
)
def test_one_vector_has_one_text(process, text, standard):
    assert process.admit(text) == standard


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("temperature=130, ratio=0, cycles=3, solvent=dmf", "temperature=130 is outside 20 to 120"),
        ("temperature=80, ratio=0, cycles=2.5, solvent=dmf", "cycles=2.5 is no whole number"),
        ("temperature=80, ratio=0, cycles=3, solvent=acetone", "solvent=acetone is none of water, ethanol, dmf"),
        ('temperature="80,5", ratio=0, cycles=3, solvent=dmf', "temperature=80,5 is no number (decimals have a point)"),
        ("temperature=80, ratio=0, cycles=3", "no value of solvent"),
        ("temperature=80, ratio=0, cycles=3, solvent=dmf, pH=7", "pH is none of the variables"),
        ("temperature=, ratio=0, cycles=3, solvent=dmf", "no value of temperature"),
    ],
)
def test_what_is_no_vector_of_the_space_is_refused_by_name_value_and_range(process, text, told):
    with pytest.raises(NotStandardError) as refused:
        process.admit(text)
    assert told in str(refused.value)


def test_a_step_and_digits_and_a_logarithm_decide_which_numbers_there_are():
    stepped = vectors({"x": {"low": 0, "high": 1, "step": 0.25}})
    assert sorted(stepped.random(99, 0)) == ["x=0", "x=0.25", "x=0.5", "x=0.75", "x=1"]
    with pytest.raises(NotStandardError, match=r"x=0\.3 is no step of 0\.25 from 0"):
        stepped.admit("x=0.3")
    assert vectors({"x": {"low": 0, "high": 1000, "digits": -2}}).admit("x=449") == "x=400"
    assert vectors({"x": {"low": 1e-6, "high": 1, "log": True}}).admit("x=1.23456e-5") == "x=1.235e-05"


def test_fractions_sum_to_one_exactly(blend):
    assert blend.admit("resin=0.33, filler=0.33, oil=0.33") == "resin=0.333, filler=0.334, oil=0.333"
    for obj in [*blend.random(200, 0), *blend.design(200, 0)]:
        told = blend.value(obj)
        assert round(1000 * sum(told.values())) == 1000
        assert 0.2 <= told["resin"] <= 0.8
    with pytest.raises(NotStandardError, match=r"sum to 0\.9 instead of 1"):
        blend.admit("resin=0.4, filler=0.3, oil=0.2")
    with pytest.raises(NotStandardError, match=r"sum to 100 instead of 1 \(write 0\.2 for 20 %\)"):
        blend.admit("resin=40, filler=30, oil=30")


def test_edits_keep_the_sum_of_fractions(blend):
    variation, rng = blend.variation([]), np.random.default_rng(0)
    parents = blend.random(20, 1)
    made = [variation.mutate(one, rng) for one in parents] + [variation.crossover(*parents[:2], rng) for _ in range(20)]
    assert {round(1000 * sum(blend.value(obj).values())) for obj in made} == {1000}
    assert [obj for obj in made if blend.outside(obj)] == []


def test_a_function_gets_numbers_and_words_by_name_in_order(process):
    obj = process.admit("solvent=water, temperature=20, ratio=0.5, cycles=2")
    assert list(process.value(obj).items()) == [
        ("temperature", 20.0),
        ("ratio", 0.5),
        ("cycles", 2),
        ("solvent", "water"),
    ]
    assert process.text(process.value(obj)) == obj


def test_ranges_are_features_between_zero_and_one_and_two_words_are_one_apart(process):
    ends = ["temperature=20, ratio=0, cycles=1, solvent=water", "temperature=120, ratio=1, cycles=10, solvent=water"]
    other = "temperature=20, ratio=0, cycles=1, solvent=dmf"
    dense = process.nearness.features([*ends, other]).dense
    assert np.linalg.norm(dense[0] - dense[1]) == pytest.approx(3**0.5)
    assert np.linalg.norm(dense[0] - dense[2]) == pytest.approx(1)
    assert process.nearness(ends[:1], [other])[0, 0] == pytest.approx(0.5)


def test_the_design_is_spread_evenly_and_follows_its_seed(process):
    design = process.design(64, 3)
    assert design == process.design(64, 3) != process.design(64, 4)
    assert len(set(design)) == 64
    cold = [process.value(obj)["temperature"] for obj in design]
    # Of 64 points of a Sobol sequence each eighth of every range has eight, up to the last one that is left out.
    assert set(np.histogram(cold, bins=8, range=(20, 120))[0]) <= {7, 8, 9}
    assert {process.value(obj)["solvent"] for obj in design} == {"water", "ethanol", "dmf"}


def test_a_small_space_is_drawn_whole():
    space = vectors({"cycles": {"integer": [1, 3]}, "solvent": ["water", "dmf"], "load": {"choices": [5, 10]}})
    assert len(space.random(100, 0)) == len(space.design(100, 0)) == 3 * 2 * 2


def test_the_order_of_declaration_is_that_of_the_text_and_changes_no_identity():
    one, other = vectors({"a": [0, 1], "b": [0, 1]}), vectors({"b": [0, 1], "a": [0, 1]})
    assert other.admit("a=0.1, b=0.2") == "b=0.2, a=0.1"
    assert one.identity("a=0.1, b=0.2") == other.identity("b=0.2, a=0.1") != one.identity("a=0.2, b=0.1")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"variables": {"x": [5, 5]}}, "the range of 'x' goes from 5 to 5, which leaves nothing to vary"),
        ({"variables": {"x": [9, 1]}}, "the range of 'x' goes from 9 to 1"),
        ({"variables": {"x": ["water"]}}, "'x' has one choice only"),
        ({"variables": {"x": ["water", "water"]}}, "the choice 'water' twice"),
        ({"variables": {"x": [True, False]}}, "put the words in quotation marks"),
        ({"variables": {"x": {"low": 1}}}, "expected a range [low, high], a list of words"),
        ({"variables": {"x": {"low": 0, "high": 1, "steps": 3}}}, "the variable 'x' has no 'steps'"),
        ({"variables": {"x": {"low": 0, "high": 1, "step": 0.3}}}, "set high to 0.9 or 1.2"),
        ({"variables": {"x": {"low": 0, "high": 1, "log": True}}}, "its low must be above 0"),
        ({"variables": {"x": {"low": 0.55, "high": 1, "digits": 1}}}, "give more digits or rounder bounds"),
        ({}, "has variables or fractions"),
        ({"fractions": {"a": [0, 1]}}, "one alone ('a') cannot vary"),
        ({"fractions": {"a": [0, 0.3], "b": [0, 0.4]}}, "their largest shares sum to 0.7"),
        ({"fractions": {"a": [0.5, 1], "b": [0.6, 0.7]}}, "their least shares sum to 1.1"),
        (
            {"variables": {"a": [0, 1]}, "fractions": {"a": [0, 1], "b": [0, 1]}},
            "the name 'a' stands for two variables",
        ),
    ],
)
def test_a_space_in_which_nothing_can_vary_is_refused_with_a_sentence(options, told):
    with pytest.raises(ComponentError) as refused:
        build("space", {"kind": "vectors", **options})
    assert told in str(refused.value)


def test_vectors_are_admitted_fast(process):
    objects = process.random(10_000, 0)
    begin = time.process_time()
    assert [process.admit(obj) for obj in objects] == objects
    assert time.process_time() - begin < 0.5  # 0.06 s on an idle core


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        (["1e-12", "1e-9"], "the text '1e-12' where a number may be meant"),
        ({"low": "1e-12", "high": 1}, "write numbers without quotation marks"),
        (["20 C", "80 C"], "goes from '20 C' to '80 C', which are texts: write the numbers alone"),
        (["1", "2", "3"], "words that only look like numbers need a letter in front"),
    ],
)
def test_numbers_that_are_texts_are_not_taken_for_words(variable, told):
    with pytest.raises(ComponentError, match=told):
        vectors({"x": variable})
    assert vectors({"x": ["2-butanol", "3-hexanone"]}).admit("x=2-butanol") == "x=2-butanol"


def test_what_is_told_of_the_space_has_the_range_of_each_variable(process, blend):
    assert process.told() == (
        "vectors of temperature (20 to 120), ratio (0 to 1), cycles (whole numbers 1 to 10), solvent (water or ethanol "
        "or dmf)"
    )
    assert blend.told() == "vectors of resin (fraction), filler (fraction), oil (fraction)"


def test_variables_are_read_with_the_decimal_mark_of_the_file_and_own_exports_are_read_back(tmp_path, process):
    (tmp_path / "a.csv").write_text("temperature;ratio;cycles;solvent;yield\n41,12;0,5;3;dmf;12,5\n80;0,25;1;water;7\n")
    spec = {"kind": "csv", "path": "a.csv", "delimiter": ";", "decimal": ",", "value": "yield"}
    library = read_source(spec, base=tmp_path, space=process)
    assert list(library.frame["object"]) == [
        "temperature=41.1, ratio=0.5, cycles=3, solvent=dmf",
        "temperature=80, ratio=0.25, cycles=1, solvent=water",
    ]
    assert list(library.frame["value"]) == [12.5, 7.0]


def test_measured_values_among_the_variables_are_refused(process):
    with pytest.raises(ComponentError, match="models would see what they are to predict"):
        source_of({"kind": "csv", "path": "a.csv", "value": "ratio"}, process)


HEADERS = {
    "temperature": {"low": 20, "high": 120, "column": "Temperature (°C)"},
    "cycles": {"integer": [1, 10], "column": "n"},
    "solvent": {"choices": ["water", "dmf"], "column": "Solvent"},
}


def test_a_variable_may_have_a_column_of_another_name_in_the_users_files(tmp_path):
    (tmp_path / "runs.csv").write_text("Temperature (°C),n,Solvent,y\n80,3,DMF,1.5\n20,1,water,2\n")
    space = vectors(HEADERS)
    data = {"kind": "csv", "path": "runs.csv", "value": "y"}
    frame = read_source(data, base=tmp_path, space=space).frame
    assert frame["object"].tolist() == [
        "temperature=80, cycles=3, solvent=dmf",
        "temperature=20, cycles=1, solvent=water",
    ]
    table = bound(build("oracle", {"kind": "table", "path": str(tmp_path / "runs.csv"), "value": "y"}), space)
    assert table.measure("temperature=80, cycles=3, solvent=dmf") == 1.5
    again = build("space", space.config())
    assert again.headers == {"temperature": "Temperature (°C)", "cycles": "n", "solvent": "Solvent"}
    assert space.fields == ("temperature", "cycles", "solvent")  # exports keep the names
    with pytest.raises(ComponentError, match="models would see what they are to predict"):
        source_of({**data, "value": "n"}, space)


def test_a_fraction_may_have_a_column_of_another_name(tmp_path):
    (tmp_path / "blends.csv").write_text("Resin [kg/kg],oil\n0.3,0.7\n")
    space = vectors(fractions={"resin": {"low": 0, "high": 1, "column": "Resin [kg/kg]"}, "oil": [0, 1]})
    frame = read_source({"kind": "csv", "path": "blends.csv"}, base=tmp_path, space=space).frame
    assert frame["object"].tolist() == ["resin=0.3, oil=0.7"]


def test_columns_do_not_change_what_a_space_without_them_is():
    assert "column" not in str(vectors({"t": [0, 1]}, fractions={"a": [0, 1], "b": [0, 1]}).config())


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (
            "Temperature (°C),Solvent,y",
            'temperature: {..., column: "Temperature (°C)"}, solvent: {..., column: "Solvent"}.',
        ),
        ("temperature [K],solvent,y", 'temperature: {..., column: "temperature [K]"}.'),
        ("temperature / K,solvent,y", 'temperature: {..., column: "temperature / K"}.'),
        ("Temperature (°C);Solvent;y", 'Give the option `delimiter: ";"`'),
        ("Temperature (°C)\tSolvent\ty", 'Give the option `delimiter: "\\t"`'),
        ("temperature;solvent;y", 'Give the option `delimiter: ";"`'),
    ],
)
def test_a_header_that_nearly_names_a_variable_is_suggested_as_its_column(tmp_path, header, told):
    (tmp_path / "runs.csv").write_text(f"{header}\n80,dmf,1\n")
    space = vectors({"temperature": [20, 120], "solvent": ["water", "dmf"]})
    with pytest.raises(SourceError) as refused:
        read_source({"kind": "csv", "path": "runs.csv", "value": "y"}, base=tmp_path, space=space)
    assert told in str(refused.value)


def test_a_file_with_the_names_of_variables_is_told_from_one_with_their_columns(tmp_path):
    (tmp_path / "best.csv").write_text("temperature,cycles,solvent,value\n80,3,dmf,1\n")  # as exports have them
    with pytest.raises(SourceError, match="the variable itself, 'temperature': leave its option `column` out"):
        read_source({"kind": "csv", "path": "best.csv"}, base=tmp_path, space=vectors(HEADERS))


def test_two_variables_with_one_column_are_refused():
    with pytest.raises(ComponentError, match="the column 'b' is that of two variables"):
        vectors({"a": {"low": 0, "high": 1, "column": "b"}, "b": [0, 1]})
