"""A user's function as an oracle: what it may answer, and what happens when it does not."""

import pytest

from models.registry import ComponentError, build

FUNCTIONS = """
def length(molecules):
    return [len(smiles) for smiles in molecules]

def fails_on_nitrogen(molecules):
    if any("N" in smiles for smiles in molecules):
        raise RuntimeError("nitrogen broke the instrument")
    return length(molecules)

def no_value_for_methane(molecules):
    return [None if smiles == "C" else float("nan") if smiles == "CC" else 1.0 for smiles in molecules]

def one_too_many(molecules):
    return [1.0] * (len(molecules) + 1)

def a_single_number(molecules):
    return 3.0

def words(molecules):
    return ["high" for _ in molecules]

def echoes_keys(molecules, keys):
    return [float(key) for key in keys]

def yields(molecules):
    for smiles in molecules:
        if smiles == "N":
            raise TypeError("nitrogen again")
        yield float(len(smiles))

def maps(molecules):
    return {smiles: 1.0 for smiles in molecules}

def sorts_a_copy(molecules):
    values = {smiles: len(smiles) for smiles in sorted(molecules)}
    return [values[smiles] for smiles in molecules]

calls = []

def counts_calls(molecules):
    calls.append(list(molecules))
    raise RuntimeError("no")
"""


CHANGES = {
    "sorts": "molecules.sort(key=len); return length(molecules)",
    "reverses": "molecules.reverse(); return length(molecules)",
    "takes_from_the_end": "return [len(molecules.pop()) for _ in list(molecules)]",
    "adds": "values = length(molecules); molecules.append('C'); return values",
    "replaces": "molecules[:] = [len(s) for s in molecules]; return molecules",
    "replaces_by_what_is_never_equal": "molecules[0] = float('nan'); return [1.0, 2.0, 3.0]",
    "sorts_as_it_yields": "yield from (molecules.sort(), length(molecules))[1]",
    "sorts_keys": "keys.sort(); return [float(key) for key in keys]",
}


@pytest.fixture(autouse=True)
def user_module(tmp_path, monkeypatch):
    (tmp_path / "user_functions.py").write_text(
        FUNCTIONS + "".join(f"\ndef {name}(molecules, keys): {body}\n" for name, body in CHANGES.items())
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    import sys

    sys.modules.pop("user_functions", None)


def oracle(function, **options):
    return build("oracle", {"kind": "python", "function": f"user_functions:{function}", **options})


def errors(function, molecules, **options):
    measurements = list(oracle(function, **options).evaluate(molecules, keys=molecules))
    assert [measurement.smiles for measurement in measurements] == molecules
    return [measurement.error for measurement in measurements]


def test_values_come_back_in_order():
    assert [m.value for m in oracle("length").evaluate(["C", "CCC"], keys=["a", "b"])] == [1.0, 3.0]


def test_a_pure_function_that_raises_is_asked_molecule_by_molecule():
    assert errors("fails_on_nitrogen", ["C", "N", "CC"]) == [None, "raised", None]


def test_a_function_that_must_not_be_called_twice_is_not():
    assert errors("counts_calls", ["C", "CC"], semantics="unsafe") == ["raised", "raised"]
    import user_functions

    assert user_functions.calls == [["C", "CC"]]


def test_no_value_and_nan_are_failures_of_their_molecules():
    assert errors("no_value_for_methane", ["C", "CC", "CCC"]) == ["not_finite", "not_finite", None]


@pytest.mark.parametrize("function", ["one_too_many", "a_single_number", "words"])
def test_an_answer_that_is_not_one_number_per_molecule_fails_them_all(function):
    assert errors(function, ["C", "CC"]) == ["wrong_answer", "wrong_answer"]


def test_the_message_says_what_was_answered():
    (measurement,) = oracle("one_too_many").evaluate(["C"], keys=["k"])
    assert "2 values for 1 molecules" in measurement.message


@pytest.mark.parametrize("function", CHANGES)
def test_a_function_that_changes_its_list_in_place_has_no_values(function):
    measurements = list(oracle(function).evaluate(["CCC", "C", "CC"], keys=["3", "1", "2"]))
    assert [(m.value, m.error) for m in measurements] == [(None, "wrong_answer")] * 3
    name = "keys" if "keys" in function else "molecules"
    assert f"changing its list of {name} in place" in measurements[0].message
    assert f"`sorted({name})`" in measurements[0].message


def test_a_function_may_sort_a_copy():
    assert [m.value for m in oracle("sorts_a_copy").evaluate(["CCC", "C", "CC"], keys=list("abc"))] == [3.0, 1.0, 2.0]


def test_a_function_with_a_parameter_keys_gets_them():
    assert [m.value for m in oracle("echoes_keys").evaluate(["C", "N"], keys=["4", "5"])] == [4.0, 5.0]


def test_naming_the_oracle_does_not_import_the_user_module():
    known = build("oracle", {"kind": "python", "function": "nowhere:measure", "unit": "K", "cost": 2.5})
    assert (known.unit, known.cost, known.semantics) == ("K", 2.5, "pure")


def test_the_function_and_its_version_are_of_its_identity(tmp_path):
    (tmp_path / "mine.py").write_text("")
    options = [{"function": f"mine:{name}", "version": v} for name in ("length", "words") for v in ("1", "2")]
    made = [build("oracle", {"kind": "python", **more}) for more in options]
    assert len({one.identity(tmp_path) for one in made}) == 4


@pytest.mark.parametrize("text", ["module.function", "my_module:", ":f", "my-module:f", "m:f()"])
def test_a_function_is_module_colon_function(text):
    with pytest.raises(ComponentError, match="expected `module:function`"):
        build("oracle", {"kind": "python", "function": text})


def test_a_configuration_makes_an_equal_oracle():
    first = oracle("length", unit="eV", chunk=3)
    assert build("oracle", first.config()).config() == first.config()


def test_a_generator_function_that_raises_half_way_is_asked_molecule_by_molecule():
    assert errors("yields", ["C", "N", "CC"]) == [None, "raised", None]


def test_a_mapping_is_no_list_of_values():
    (measurement,) = oracle("maps").evaluate(["C"], keys=["a"])
    assert measurement.error == "wrong_answer"
    assert "answered a dict for 1 molecules" in measurement.message


SEVERAL = """
import pandas as pd

def dicts(molecules):
    return [{"a": float(len(smiles)), "b": 1.0, "smiles": smiles} for smiles in molecules]

def dicts_in_another_order(molecules):
    return dicts(sorted(molecules))

def table(molecules):
    return pd.DataFrame({"smiles": molecules, "a": [len(smiles) for smiles in molecules], "b": 1.0})

def table_in_another_order(molecules):
    return table(molecules).sort_values("smiles").reset_index(drop=True)

def columns(molecules):
    return {"a": [len(smiles) for smiles in molecules], "b": [None for _ in molecules]}

def lacks_one(molecules):
    return [{"a": 1.0} for _ in molecules]
"""


@pytest.fixture
def several(tmp_path, monkeypatch):
    (tmp_path / "several_values.py").write_text(SEVERAL)
    monkeypatch.syspath_prepend(tmp_path)

    def answers(function):
        oracle = build(
            "oracle", {"kind": "python", "function": f"several_values:{function}", "outputs": ["a", "b"], "chunk": 3}
        )
        return list(oracle.evaluate(["CCO", "C", "CC"], keys=["1", "2", "3"]))

    return answers


@pytest.mark.parametrize("function", ["dicts", "table"])
def test_several_values_are_answered_by_name(several, function):
    assert [one.outputs for one in several(function)] == [{"a": float(n), "b": 1.0} for n in (3, 1, 2)]


def test_a_value_that_an_object_does_not_have_is_none_beside_the_others(several):
    assert several("columns")[0].outputs == {"a": 3.0, "b": None}


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("table_in_another_order", "whose column 'smiles' has the molecules in another order"),
        ("dicts_in_another_order", "the values of 'C' where those of 'CCO' were expected"),
        ("lacks_one", "without 'b'"),
    ],
)
def test_values_that_may_be_of_another_molecule_are_refused(several, function, told):
    measurements = several(function)
    assert measurements[0].error == "wrong_answer"
    assert told in measurements[0].message
