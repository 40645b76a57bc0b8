"""`discover validate` and `run` warn of what an own oracle reads beside what counts for its identity."""

import pytest

from pipelines.api import run, validate

READING = """
import json
import os
from glob import glob

def measure(molecules):
    newest = sorted(glob("params/*.json"))[-1]
    with open(newest) as file:
        scale = json.load(file)["scale"] * float(os.environ.get("CALIBRATION", "1"))
    return [len(one) * scale for one in molecules]
"""


@pytest.fixture
def reading(bench):
    """A campaign of an oracle that reads the newest of several files, and a variable."""
    (bench.folder / "tiny_oracle.py").write_text(READING)
    (bench.folder / "params").mkdir()
    (bench.folder / "params" / "a.json").write_text('{"scale": 1}')
    bench.write_config(rounds=0)
    return bench


def test_what_does_not_count_is_warned_of_until_it_is_listed_and_then_its_change_is_another_oracle(
    reading, monkeypatch
):
    for told in (reading.discover("validate", str(reading.file)), reading.run()):
        assert told.exit == 0, told.message
        assert "CALIBRATION in line 9 of tiny_oracle.py" in told.message
        assert "glob in line 7 of tiny_oracle.py, open in line 8 of tiny_oracle.py" in told.message
    oracle = {**reading.config["objectives"][0]["oracle"], "files": ["params"], "environment": ["CALIBRATION"]}
    reading.write_config(name="listed", objectives=[{"name": "score", "oracle": oracle}])
    before = reading.run()
    assert (before.exit, "not part of its identity" in before.message) == (0, False), before.message
    values = [one["value"] for one in reading.candidates()]
    monkeypatch.setenv("CALIBRATION", "5")
    assert "variable CALIBRATION of the environment has another value" in reading.run().message
    reading.write_config(name="afterwards")
    (reading.folder / "params" / "b.json").write_text('{"scale": 10}')
    assert reading.run().exit == 0
    assert [one["value"] for one in reading.candidates()] == [50 * value for value in values]


def test_a_program_is_warned_as_the_command_line_is(reading, caplog):
    told = " ".join(validate(reading.file).said)
    assert "CALIBRATION in line 9" in told
    assert "glob in line 7" in told
    run(reading.file)
    assert "CALIBRATION in line 9" in caplog.text


def test_an_oracle_that_reads_nothing_else_is_not_warned_of(bench):
    told = bench.discover("validate", str(bench.file))
    assert (told.exit, "not part of its identity" in told.message) == (0, False), told.message
