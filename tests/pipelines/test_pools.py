"""What the command line says of a library that is bought from: its rows, what is left of it, and its end."""

import pytest

NAMES = ["CCO", "CCN", "CCC", "CCF", "CCCl", "CCCC"]
POOL = [f"CCC{tail}" for tail in ("CO", "CN", "CF", "CCl", "CS", "CC", "C=O", "C#N", "CCO", "CCN", "CCF", "CCCl")]


@pytest.fixture
def screening(bench):
    """A campaign that buys from the members of a file, six of which are asked for in its initial design."""
    bench.write_library(*[f"OC{name}" for name in NAMES])
    bench.write_config(
        space={"max_heavy_atoms": 9, "min_heavy_atoms": 3, "elements": ["H", "C", "N", "O", "F", "S", "Cl"]},
        data={"kind": "csv", "path": "library.csv", "initial": 6},
        generator={"kind": "pool", "path": "pool.csv", "proposals": 40},
        control={"fraction": 0},
        screens=[],
        rounds=2,
        batch_size=4,
        budget={"calls": 100},
    )
    write_pool(bench, *POOL)
    return bench


def write_pool(bench, *rows, header="smiles"):
    (bench.folder / "pool.csv").write_text("\n".join([header, *rows]) + "\n")


def test_a_campaign_goes_on_where_nothing_can_be_cached(screening, caplog):
    screening.home.mkdir()
    (screening.home / "cache").write_text("in the way")
    told = screening.run()
    assert told.exit == 0, told.message
    assert len(screening.calls()) == 6 + 2 * 4
    assert caplog.text.count("The library in standard form cannot be kept") == 1
