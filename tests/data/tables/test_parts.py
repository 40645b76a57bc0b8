"""A part of a library: below a quantile, or a sample; what is left out is counted and said."""

import pytest

from models.registry import ComponentError, build
from models.sources.base import read_source
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=12)
ROWS = [("C" * n, value) for n, value in zip(range(3, 12), (5, 1, 4, 2, 3, 9, 8, 7, 6), strict=True)]


@pytest.fixture
def folder(tmp_path):
    lines = "".join(f"{smiles},{value}\n" for smiles, value in ROWS)
    (tmp_path / "a.csv").write_text(f"smiles,value\n{lines}CCO,\n")
    return tmp_path


def read(folder, seed=0, maximise=True, **options):
    spec = {"kind": "csv", "path": "a.csv", "value": "value", **options}
    return read_source(spec, base=folder, space=SPACE, seed=seed, maximise=maximise)


def test_values_above_the_quantile_are_left_out_and_unmeasured_objects_stay(folder):
    library = read(folder, below_quantile=0.5)
    assert sorted(library.frame["value"].dropna()) == [1, 2, 3, 4, 5]
    assert library.frame["value"].isna().sum() == 1
    assert library.left_out == {"a value above the quantile 0.5": 4}
    assert library.reasons == {}  # nothing is wrong with them


def test_where_small_values_are_better_the_large_ones_are_taken(folder):
    library = read(folder, below_quantile=0.25, maximise=False)
    assert sorted(library.frame["value"].dropna()) == [7, 8, 9]
    assert library.left_out == {"a value below the quantile 0.75": 6}


def test_a_sample_is_drawn_by_the_seed_and_keeps_the_order_of_the_file(folder):
    library = read(folder, sample=4)
    assert len(library.frame) == 4
    assert library.frame["line"].is_monotonic_increasing
    assert library.left_out == {"not in the sample": 6}
    assert read(folder, sample=4).frame.equals(library.frame)
    assert {tuple(read(folder, seed, sample=4).frame["object"]) for seed in range(5)} != {
        tuple(library.frame["object"])
    }
    assert len(read(folder, sample=100).frame) == 10


def test_a_sample_is_of_what_the_quantile_leaves(folder):
    library = read(folder, below_quantile=0.5, sample=3)
    assert library.frame["value"].max() <= 5 or library.frame["value"].isna().any()
    assert library.left_out == {"a value above the quantile 0.5": 4, "not in the sample": 3}


@pytest.mark.parametrize(
    ("options", "told"),
    [({"below_quantile": 0.5, "value": None}, "give `value` too"), ({"sample": 0}, "greater than or equal to 1")],
)
def test_options_that_mean_nothing_are_refused(options, told):
    with pytest.raises(ComponentError, match=told):
        build("source", {"kind": "csv", "path": "a.csv", "value": "value", **options})
