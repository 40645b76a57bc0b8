"""What oracles may answer, kind by kind: a value is read, or refused with a sentence that says what came instead."""

import textwrap

import pytest

from data.records import Measurement
from models.oracles.base import usable
from models.registry import build

A, B, C = "C", "CCO", "CCN"
VALUES = [1.5, 2.0, -3.0]

RIGHT = {
    "list": "[1.5, 2, -3.0]",
    "tuple": "(1.5, 2, -3)",
    "generator": "(x for x in (1.5, 2, -3))",
    "map": "map(float, ['1.5', '2', '-3'])",
    "dict_values": "{'a': 1.5, 'b': 2, 'c': -3}.values()",
    "deque": "__import__('collections').deque([1.5, 2, -3])",
    "array_array": "__import__('array').array('d', [1.5, 2, -3])",
    "decimal_and_fraction": "[decimal.Decimal('1.5'), fractions.Fraction(2), -3]",
    "numpy_vector": "np.array([1.5, 2, -3])",
    "numpy_float32": "np.array([1.5, 2, -3], dtype='float32')",
    "numpy_scalars": "[np.float16(1.5), np.int8(2), np.float64(-3)]",
    "numpy_of_objects": "np.array([1.5, 2, decimal.Decimal(-3)], dtype=object)",
    "arrays_of_no_dimension": "[np.array(1.5), np.array(2), np.array(-3)]",
    "not_contiguous": "np.array([1.5, 9, 2, 9, -3])[::2]",
    "masked_array_without_mask": "np.ma.array([1.5, 2, -3])",
    "series": "pd.Series([1.5, 2, -3])",
    "series_of_molecules": "pd.Series([1.5, 2, -3], index=molecules)",
    "nullable_series": "pd.Series([1.5, 2, -3], dtype='Float64')",
    "column_of_a_frame": "pd.DataFrame({'x': [1.5, 2, -3]})['x']",
    "tensor": "torch.tensor([1.5, 2, -3])",
    "tensor_with_gradient": "torch.tensor([1.5, 2, -3], requires_grad=True) * 1",
    "half_tensor": "torch.tensor([1.5, 2, -3], dtype=torch.bfloat16)",
    "tensors_of_no_dimension": "[t for t in torch.tensor([1.5, 2, -3], requires_grad=True)]",
}

WRONG = {
    "frame_of_the_right_length": ("pd.DataFrame({1: [1], 2: [2], 3: [3]})", "a DataFrame of shape (1, 3)"),
    "frame_of_three_rows_and_labels": (
        "pd.DataFrame([[1, 2, 3]] * 3, columns=[7, 8, 9])",
        "a DataFrame of shape (3, 3)",
    ),
    "frame_of_one_column": ("pd.DataFrame({'x': [1.5, 2, -3]})", "Return one column, as in `list(frame['score'])`"),
    "sorted_series": ("pd.Series([1.5, 2, -3]).sort_values()", "with the index [2, 0, 1]"),
    "series_of_another_frame": ("pd.Series([1.5, 2, -3], index=[4, 5, 6])", "with the index [4, 5, 6]"),
    "short_series": ("pd.Series([1.5, 2])", "2 values for 3 molecules"),
    "set": ("{1.0, 2.0, 3.0}", "a set, which has no order"),
    "frozenset": ("frozenset({1.0, 2.0, 3.0})", "a frozenset, which has no order"),
    "dict": ("dict.fromkeys(molecules, 1.0)", "a dict for 3 molecules"),
    "dict_keys": ("{1: 0, 2: 0, 3: 0}.keys()", "a dict_keys, which has no order"),
    "counter": ("__import__('collections').Counter('abc')", "a Counter for 3 molecules"),
    "text": ("'123'", "a str for 3 molecules"),
    "bytes": ("b'123'", "a bytes for 3 molecules"),
    "bytearray": ("bytearray(b'123')", "a bytearray for 3 molecules"),
    "memoryview": ("memoryview(b'123')", "a memoryview for 3 molecules"),
    "number": ("3.0", "a float for 3 molecules"),
    "complex_number": ("1j", "a complex for 3 molecules"),
    "nothing": ("None", "Does it lack a `return`?"),
    "class": ("list", "a type for 3 molecules"),
    "two_dimensions": ("np.ones((3, 1))", "a ndarray of shape (3, 1)"),
    "row": ("np.ones((1, 3))", "a ndarray of shape (1, 3)"),
    "no_dimension": ("np.array(3.0)", "a ndarray of shape ()"),
    "two_dimensions_of_torch": ("torch.ones(3, 1)", "a Tensor of shape (3, 1)"),
    "complex_array": ("np.array([1 + 0j, 2, 3])", "a ndarray of complex128"),
    "text_array": ("np.array(['1', '2', '3'])", "a ndarray of <U1"),
    "dates": ("np.array(['2020', '2021', '2022'], dtype='datetime64[ns]')", "a ndarray of datetime64[ns]"),
    "too_few": ("(x for x in (1.0, 2.0))", "2 values for 3 molecules"),
    "too_many": ("[1.0] * 4", "4 values for 3 molecules"),
    "endless": ("__import__('itertools').count()", "4 or more values for 3 molecules"),
    "coroutine": ("later()", "a coroutine, which nobody awaits"),
    "async_generator": ("much_later()", "a async_generator, which nobody awaits"),
    "quantity": ("Quantity([1.0, 2.0, 3.0])", "a Quantity with a unit"),
}

ELEMENTS = {
    "none": ("None", "not_finite", "no value"),
    "na": ("pd.NA", "not_finite", "no value"),
    "masked": ("np.ma.masked", "not_finite", "no value"),
    "nan": ("float('nan')", "not_finite", "nan"),
    "nan_of_numpy": ("np.float32('nan')", "not_finite", "nan"),
    "nan_of_decimal": ("decimal.Decimal('nan')", "not_finite", "nan"),
    "infinite": ("-np.inf", "not_finite", "-inf"),
    "beyond_floats": ("-10**400", "not_finite", "-inf"),
    "too_large": ("1e101", "not_finite", "at most 1e+100"),
    "too_small": ("decimal.Decimal('-1E-400')", "wrong_answer", "too small to be told from zero"),
    "too_small_fraction": ("fractions.Fraction(1, 10**400)", "wrong_answer", "too small to be told from zero"),
    "true": ("True", "wrong_answer", "True, a bool"),
    "true_of_numpy": ("np.True_", "wrong_answer", "True, a bool"),
    "number_in_text": ("'1.5'", "wrong_answer", "'1.5', a str"),
    "grouped_number_in_text": ("'5_1'", "wrong_answer", "'5_1', a str"),
    "bytes": ("b'1'", "wrong_answer", "b'1', a bytes"),
    "complex": ("1 + 0j", "wrong_answer", "a complex"),
    "complex_of_numpy": ("np.complex64(1)", "wrong_answer", "a complex"),
    "nested": ("[1.0]", "wrong_answer", "[1.0], a list"),
    "nested_array": ("np.array([1.0])", "wrong_answer", "a ndarray"),
    "nested_tensor": ("torch.tensor([1.0])", "wrong_answer", "a Tensor"),
    "pair": ("(1.0, 0.1)", "wrong_answer", "a tuple"),
    "dict": ("{'value': 1.0}", "wrong_answer", "a dict"),
    "date": ("__import__('datetime').date(2020, 1, 1)", "wrong_answer", "a date"),
    "signalling_nan": ("decimal.Decimal('snan')", "wrong_answer", "a Decimal"),
    "quantity": ("Quantity(1.0)", "wrong_answer", "a Quantity with a unit"),
    "odd": ("Odd()", "wrong_answer", "<Odd instance>, a Odd"),
}

HELP = """
import decimal, fractions
import numpy as np, pandas as pd, torch

async def later(): ...
async def much_later(): yield 1.0
class Quantity(float if {scalar} else list): unit = "eV"
class Odd:
    def __repr__(self): raise RuntimeError
    __str__ = __float__ = __repr__

def measure(molecules):
    return {answer}
"""


@pytest.fixture
def answered(tmp_path, monkeypatch):
    """Measurements of three molecules by a function that answers an expression."""
    import sys

    def answered(expression, scalar=False):
        (tmp_path / "answering.py").write_text(HELP.format(answer=expression, scalar=scalar))
        made = build("oracle", {"kind": "python", "function": "answering:measure"})
        return list(made.evaluate([A, B, C], keys=["a", "b", "c"]))

    monkeypatch.syspath_prepend(tmp_path)
    yield answered
    sys.modules.pop("answering", None)


@pytest.mark.parametrize("name", RIGHT)
def test_numbers_by_position_are_read(answered, name):
    assert [m.value for m in answered(RIGHT[name])] == VALUES


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_one_number_per_molecule_is_refused_as_a_whole(answered, name):
    expression, words = WRONG[name]
    for measurement in answered(expression):
        assert (measurement.value, measurement.error) == (None, "wrong_answer")
        assert words in measurement.message
        assert "expected" in measurement.message


@pytest.mark.parametrize("name", ELEMENTS)
def test_an_element_that_is_no_number_costs_its_molecule(answered, name):
    expression, error, words = ELEMENTS[name]
    first, second, third = answered(f"[1.5, {expression}, -3]", scalar=True)
    assert (first.value, third.value) == (1.5, -3.0)
    assert (second.value, second.error) == (None, error)
    assert words in second.message


def test_zero_and_whole_numbers_beyond_the_digits_of_floats_are_values(answered):
    zero, large, small = answered("[decimal.Decimal('0E-400'), 2**53 + 1, 5e-324]")
    assert (zero.value, large.value, small.value) == (0.0, 2.0**53, 5e-324)


def test_masked_and_missing_elements_of_arrays_have_no_value(answered):
    for expression in ("np.ma.array([1.5, 2, -3], mask=[0, 1, 0])", "pd.Series([1.5, None, -3], dtype='Float64')"):
        assert [m.value for m in answered(expression)] == [1.5, None, -3.0]


def test_elements_of_a_bool_array_are_no_numbers(answered):
    assert {m.error for m in answered("np.array([1.0, 2.0, 3.0]) > 1")} == {"wrong_answer"}


# -- A table of a command ----------------------------------------------------------------------------------------------

TABLES = {
    "plain": (b"smiles,value\nC,1\nCCO,2\nCCN,3\n", [1, 2, 3]),
    "byte_order_mark": (b"\xef\xbb\xbfsmiles,value\nC,1\nCCO,2\nCCN,3\n", [1, 2, 3]),
    "carriage_returns": (b"smiles,value\r\nC,1\r\nCCO,2\r\nCCN,3", [1, 2, 3]),
    "blank_lines": (b"smiles,value\n\nC,1\n\nCCO,2\nCCN,3\n\n", [1, 2, 3]),
    "other_order": (b"smiles,value\nCCN,3\nC,1\nCCO,2\n", [1, 2, 3]),
    "more_columns": (b"id,value,smiles,note\n7,1,C,x\n8,2,CCO,\n9,3,CCN,z\n", [1, 2, 3]),
    "other_molecules": (b"smiles,value\nC,1\nCCCCC,9\nCCO,2\nCCN,3\nO,8\n", [1, 2, 3]),
    "repeated_header": (b"smiles,value\nC,1\nsmiles,value\nCCO,2\nCCN,3\n", [1, 2, 3]),
    "same_row_twice": (b"smiles,value\nC,1\nC,1.0\nCCO,2\nCCN,3\n", [1, 2, 3]),
    "quotes": (b'"smiles","value"\n"C","1"\n"CCO", "2"\nCCN,3\n', [1, 2, 3]),
    "forms_of_numbers": (b"smiles,value\nC,+1.\nCCO,20e-1\nCCN, .3E1 \n", [1, 2, 3]),
    "no_row": (b"smiles,value\nC,1\nCCN,3\n", [1, None, 3]),
    "two_values": (b"smiles,value\nC,1\nCCO,2\nCCO,2.5\nCCN,3\n", [1, None, 3]),
    "one_value_in_two_forms": (b"smiles,value\nOCC,2\nCCO,2.5\nC,1\nCCN,3\n", [1, None, 3]),
    "too_small": (b"smiles,value\nC,1\nCCO,-1e-400\nCCN,3\n", [1, None, 3]),
    "zeros": (b"smiles,value\nC,0\nCCO,-0.0\nCCN,0e-400\n", [0, 0, 0]),
    "names_behind": (b"smiles,value\nC k1,1\nCCO,2\nCCN,3\n", [None] * 3),
    "names_behind_another_writing": (b"smiles,value\nC,1\nOCC\tk2,2\nCCN,3\n", [None] * 3),
    "words_and_other_molecules": (b"smiles,value\nC,1\nCCO,2\nall done,0\nCCCCC k9,9\nCCN,3\n", [1, 2, 3]),
    "grouped": (b"smiles,value\nC,1\nCCO,5_1\nCCN,3\n", [1, None, 3]),
    "unit": (b"smiles,value\nC,1\nCCO,2 eV\nCCN,3\n", [1, None, 3]),
    "percent": (b"smiles,value\nC,1\nCCO,2%\nCCN,3\n", [1, None, 3]),
    "greater": (b"smiles,value\nC,1\nCCO,>2\nCCN,3\n", [1, None, 3]),
    "fortran": (b"smiles,value\nC,1\nCCO,2.0D+00\nCCN,3\n", [1, None, 3]),
    "other_digits": ("smiles,value\nC,1\nCCO,２\nCCN,3\n".encode(), [1, None, 3]),
    "long_minus": ("smiles,value\nC,1\nCCO,−2\nCCN,3\n".encode(), [1, None, 3]),
    "quoted_decimal_comma": (b'smiles,value\nC,1\nCCO,"2,5"\nCCN,3\n', [1, None, 3]),
    "true": (b"smiles,value\nC,1\nCCO,True\nCCN,3\n", [1, None, 3]),
    "broken_bytes": (b"smiles,value\nC,1\nCCO,2\xff\nCCN,3\n", [1, None, 3]),
    "short_row": (b"smiles,value\nC,1\nCCO\nCCN,3\n", [1, None, 3]),
    "decimal_comma": (b"smiles,value\nC,1,5\nCCO,2,5\nCCN,3,5\n", [None] * 3),
    "one_decimal_comma": (b"smiles,value\nC,1\nCCO,2,5\nCCN,3\n", [None] * 3),
    "column_twice": (b"smiles,value,value\nC,1,2\nCCO,2,3\nCCN,3,4\n", [None] * 3),
    "lone_quote": (b'smiles,value\n"C,1\nCCO,2\nCCN,3\n', [None] * 3),
    "no_header": (b"C,1\nCCO,2\nCCN,3\n", [None] * 3),
    "tabs": (b"smiles\tvalue\nC\t1\nCCO\t2\nCCN\t3\n", [None] * 3),
    "two_byte_characters": ("smiles,value\nC,1\nCCO,2\nCCN,3\n".encode("utf-16"), [None] * 3),
    "nothing": (b"", [None] * 3),
}


def command(folder, table, **options):
    (folder / "table").write_bytes(table)
    (folder / "program.py").write_text(
        textwrap.dedent(
            """
            import sys
            sys.stdout.buffer.write(open("table", "rb").read())
            """
        )
    )
    made = build(
        "oracle",
        {
            "kind": "command",
            "command": ["{python}", "-S", "program.py"],
            "folder": str(folder),
            "semantics": "idempotent",
            **options,
        },
    )
    return list(made.evaluate([A, B, C], keys=["k1", "k2", "k3"]))


@pytest.mark.parametrize("name", TABLES)
def test_each_cell_of_a_table_is_a_number_of_its_molecule_or_refused(tmp_path, name):
    table, expected = TABLES[name]
    measurements = command(tmp_path, table)
    assert [m.value for m in measurements] == expected
    assert {m.error for m in measurements if m.value is None} <= {"wrong_answer"}
    assert all(m.message for m in measurements if m.value is None)


def test_the_sentences_name_line_and_cell(tmp_path):
    told = command(tmp_path, TABLES["grouped"][0])[1].message
    assert "'5_1' in line 3" in told
    told = command(tmp_path, TABLES["one_decimal_comma"][0])[0].message
    assert "3 cells in line 3, 'CCO,2,5', under a header of 2" in told
    told = command(tmp_path, TABLES["too_small"][0])[1].message
    assert "In line 3 of the command's table, the value '-1e-400' is too small to be told from zero" in told
    told = command(tmp_path, TABLES["names_behind"][0])[0].message
    assert "'C k1' as a SMILES in line 2 of its table; expected 'C' alone" in told
    told = command(tmp_path, TABLES["two_values"][0])[1].message
    assert "different values of CCO in lines 3, 4" in told


@pytest.mark.parametrize(
    "table",
    [
        b"value\n1\nvalue\n2\n",
        b"value\n1\nvalue\n2\n3\n",
        b"value\n1\n2\n",
        b"value\n1\n2\n3\n4\n",
        b"value\n1\n\n\n2\n",
    ],
)
def test_rows_in_order_are_as_many_as_the_molecules(tmp_path, table):
    assert [m.error for m in command(tmp_path, table, match="order")] == ["wrong_answer"] * 3


@pytest.mark.parametrize(
    "table",
    [
        b"smiles,value\nCCO,2\nC,1\nCCN,3\n",
        b"value,SMILES\n1,C\n3,NCC\n2,CCO\n",
        b"key,value\nk1,1\nk3,3\nk2,2\n",
    ],
)
def test_rows_in_order_that_name_other_molecules_are_nobodys(tmp_path, table):
    measurements = command(tmp_path, table, match="order")
    assert [(m.value, m.error) for m in measurements] == [(None, "wrong_answer")] * 3
    assert "where with `match: order` that of" in measurements[0].message


@pytest.mark.parametrize(
    "table",
    [
        b"smiles,value\nC,1\nOCC,2\nNCC,3\n",
        b"smiles,value\n,1\nfailed,2\n,3\n",
        b"key,value\n1,1\n2,2\n3,3\n",
        b"key,value\nk1,1\nk2,2\nk3,3\n",
    ],
)
def test_rows_in_order_may_name_their_molecules_in_any_way(tmp_path, table):
    assert [m.value for m in command(tmp_path, table, match="order")] == [1, 2, 3]


def test_rows_by_key_ignore_what_the_molecules_are_called(tmp_path):
    table = b"key,smiles,value\nk3,CCN,3\nk1,x,1\nk2,,2\n"
    assert [m.value for m in command(tmp_path, table, match="key")] == [1, 2, 3]


# -- An answer of a process --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_seconds_that_no_clock_gives_do_not_cost_the_value(seconds):
    answer = {"value": 1, "error": None, "message": "", "seconds": seconds}
    assert usable("C", answer) == Measurement("C", 1.0, seconds=0.0)


def test_texts_of_a_process_fit_every_database():
    answer = {"value": None, "error": "no\0beam " * 50, "message": "x\0" * 5000, "seconds": 1}
    found = usable("C", answer)
    assert len(found.error) <= 32
    assert len(found.message) <= 2000
    assert "\0" not in found.error + found.message
