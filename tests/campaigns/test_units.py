"""Whole campaigns in other units, through the command line: the unit of a value decides nothing."""

import pytest

from tests.conftest import Bench, use

FOREST = {"proxy": {"kind": "random_forest", "members": 30}}
UNITS = {"tiny": (1e-15, 0.0), "binary": (2.0**-40, 0.0), "huge": (1e15, 2.0), "far": (1.0, 1e3)}
"""Factor and shift of the values."""


def bought(tmp_path, name, tracking, monkeypatch, answer, goal="maximise", column="value", **changes):
    """The molecules that a campaign buys, in order, and what is recorded of each: the value, or another column."""
    bench = Bench((tmp_path / name).absolute())
    use(bench, tracking, monkeypatch)
    monkeypatch.setattr("tasks.reporting.report.round_figures", lambda *_: {})
    objective = {**bench.config["objectives"][0], "goal": goal}
    bench.write_config(name=name, objectives=[objective], rounds=2, **changes)
    bench.write_oracle(answer)
    told = bench.run()
    assert told.exit == 0, told.message
    return bench.calls(), {row["smiles"]: row[column] for row in bench.candidates()}


@pytest.fixture
def course(tmp_path, tracking, monkeypatch):
    def run(name, answer="value(smiles)", goal="maximise", **changes):
        (tmp_path / name).mkdir()
        return bought(tmp_path, name, tracking, monkeypatch, answer, goal, **changes)

    return run


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("changes", "units"), [({}, list(UNITS)), (FOREST, ["tiny"])], ids=["gaussian process", "random forest"]
)
def test_a_campaign_buys_the_same_molecules_in_every_unit(course, changes, units):
    molecules, values = course("plain", **changes)
    assert len(molecules) == 16
    for name in units:
        factor, shift = UNITS[name]
        others, theirs = course(name, f"{factor!r} * (value(smiles) + {shift!r})", **changes)
        assert others == molecules
        assert theirs == {smiles: factor * (value + shift) for smiles, value in values.items()}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("acquisition", ["upper_confidence_bound", "expected_improvement"])
@pytest.mark.parametrize("column", ["value", "predicted_mean"])
def test_minimising_the_negative_buys_what_maximising_buys(course, acquisition, column):
    spec = {"kind": acquisition}
    molecules, told = course("up", column=column, acquisition=spec)
    others, negatives = course("down", "-value(smiles)", "minimise", column=column, acquisition=spec)
    assert others == molecules
    assert any(told.values())
    assert negatives == {smiles: None if one is None else -one for smiles, one in told.items()}  # in its own unit
