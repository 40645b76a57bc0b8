"""Values over many decades are said to be so; others are not."""

import pytest

from data.tables.decades import decades, wide_span


def test_an_ic50_over_decades_is_warned_of_with_its_count_and_the_way_out():
    told = wide_span([6.3e-05, 1e-06, 6.3e-08, 5.0e-10])
    assert told is not None
    assert "The 4 measured values span 5.1 decades, from 5e-10 to 6.3e-05" in told
    assert "pIC50 = -log10(IC50 in mol/l)" in told


@pytest.mark.parametrize("values", [[], [4.2, 9.3], [1.0, 999.0], [-1e-9, 1e3], [0.0, 1e6], [1e-19, 3e-19]])
def test_other_values_are_not(values):
    assert wide_span(values) is None


def test_decades_do_not_depend_on_the_unit():
    assert decades([1e-12, 1e-3]) == pytest.approx(9.0)
    assert decades([1e-90, 1e100]) == pytest.approx(190.0)
