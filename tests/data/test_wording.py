"""Numbers of any size with four digits, and texts that cannot steer a terminal."""

import pytest

from data.wording import figure, harmless, shown_unit


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3.2e-11, "3.200e-11"), (1.23456e-8, "1.235e-08"), (4.37, "4.370"), (-0.799, "-0.7990"), (12345.6, "12350"),
        (9.99996, "10.00"), (0.0, "0"), (1e15, "1.000e+15"), (None, "-"), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_a_number_of_any_size_has_four_digits(value, shown):
    assert figure(value) == shown


def test_what_steers_a_terminal_is_written_as_its_escape_and_letters_stay():
    assert harmless("a\x1b[31mred\r\x9b\u202e\udcff") == "a\\x1b[31mred\\r\\x9b\\u202e\\udcff"
    assert harmless("Å ± 分子 [nH]\n") == "Å ± 分子 [nH]\n"


def test_the_unit_of_a_pure_number_is_not_shown():
    assert (shown_unit("1"), shown_unit("eV"), shown_unit(None)) == ("", "eV", "")
