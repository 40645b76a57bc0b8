"""Numbers of any size with four digits, and texts that cannot steer a terminal."""

import pytest

from data.wording import figure, harmless, interval, shown_unit


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3.2e-11, "3.200e-11"), (1.23456e-8, "1.235e-08"), (4.37, "4.370"), (-0.799, "-0.7990"), (12345.6, "12350"),
        (9.99996, "10.00"), (0.0, "0"), (1e15, "1.000e+15"), (None, "-"), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_a_number_of_any_size_has_four_digits(value, shown):
    assert figure(value) == shown


@pytest.mark.parametrize(
    ("mean", "half", "shown"),
    [
        (1.25, 0.82, "1.25 (0.43 to 2.07)"), (65.2, 13.4, "65 (52 to 79)"), (-0.4, 0.1645, "-0.40 (-0.56 to -0.24)"),
        (0.001, 0.82, "0 (-0.82 to 0.82)"), (-7.1e-13, 2.8e-12, "-7e-13 (-3.5e-12 to 2.1e-12)"), (5.0, None, "5.000"),
        (1234.5, 820, "1230 (410 to 2050)"), (5.0, 0.0, "5.000"), (float("nan"), 1.0, "nan"),
    ],
)  # fmt: skip
def test_an_interval_is_as_exact_as_two_digits_of_its_half(mean, half, shown):
    assert interval(mean, half) == shown


def test_what_steers_a_terminal_is_written_as_its_escape_and_letters_stay():
    assert harmless("a\x1b[31mred\r\x9b\u202e\udcff") == "a\\x1b[31mred\\r\\x9b\\u202e\\udcff"
    assert harmless("Å ± 分子 [nH]\n") == "Å ± 分子 [nH]\n"


def test_the_unit_of_a_pure_number_is_not_shown():
    assert (shown_unit("1"), shown_unit("eV"), shown_unit(None)) == ("", "eV", "")
