"""The worker's guard: an oracle that does not keep its promise still gives one usable measurement per molecule."""

import json
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest

from data.records import Measurement
from models.registry import build
from tasks.oracles.worker import usable_measurements as checked


def usable_measurements(oracle, molecules, keys):
    return checked(oracle, molecules, keys, build("space", {"kind": "molecules"}))


class Scripted:
    """Yields what it is given; an exception among it is raised."""

    def __init__(self, *answers):
        self.answers = answers

    def evaluate(self, molecules, *, keys):
        for obj, answer in zip(["C", "CC", "CCC", "CCCC"], self.answers, strict=False):
            if isinstance(answer, Exception):
                raise answer
            yield Measurement(obj, answer)


@pytest.mark.parametrize(
    ("answers", "values", "errors"),
    [
        ((1.0, 2.0, 3.0), [1.0, 2.0, 3.0], [None, None, None]),
        ((1.0, 2.0), [1.0, 2.0, None], [None, None, "wrong_answer"]),
        ((1.0, 2.0, 3.0, 4.0), [1.0, 2.0, 3.0], [None, None, None]),
        ((1.0, float("nan"), float("inf")), [1.0, None, None], [None, "not_finite", "not_finite"]),
        ((1.0, RuntimeError("no beam"), 3.0), [1.0, None, None], [None, "raised", "raised"]),
        ((), [None, None, None], ["wrong_answer"] * 3),
    ],
)
def test_one_usable_measurement_per_molecule(answers, values, errors):
    measurements = list(usable_measurements(Scripted(*answers), ["C", "CC", "CCC"], ["1", "2", "3"]))
    assert [measurement.object for measurement in measurements] == ["C", "CC", "CCC"]
    assert [measurement.value for measurement in measurements] == values
    assert [measurement.error for measurement in measurements] == errors


def test_a_list_that_an_oracle_sorts_in_place_gives_no_molecule_the_value_of_another():
    class Sorts:
        def evaluate(self, molecules, *, keys):
            molecules.sort(key=len)
            for obj in molecules:
                yield Measurement(obj, float(len(obj)))

    measurements = list(usable_measurements(Sorts(), ["CCC", "CC", "C"], ["1", "2", "3"]))
    assert [(m.object, m.value, m.error) for m in measurements] == [
        ("CCC", None, "wrong_answer"),
        ("CC", 2.0, None),
        ("C", None, "wrong_answer"),
    ]
    assert "answered for 'C' where 'CCC' was asked" in measurements[0].message


def test_what_an_oracle_yields_is_a_measurement_of_a_number():
    class Odd:
        def evaluate(self, molecules, *, keys):
            yield Measurement("OCC", np.float32(1.5), seconds=np.float32(2))  # its own way to write CCO
            yield 1.0
            yield Measurement("C", "1.5")
            yield Measurement("N", Decimal("1E-400"))

    measurements = list(usable_measurements(Odd(), ["CCO", "O", "C", "N"], list("1234")))
    assert [m.object for m in measurements] == ["CCO", "O", "C", "N"]
    assert [m.value for m in measurements] == [1.5, None, None, None]
    assert {m.error for m in measurements[1:]} == {"wrong_answer"}
    assert json.dumps([measurements[0].value, measurements[0].seconds]) == "[1.5, 2.0]"


def worker(parent, text=""):
    command = [sys.executable, "-P", "-m", "tasks.oracles.worker", str(parent)]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)


def test_the_end_of_input_ends_the_process():
    import os

    start = json.dumps({"oracle": {"kind": "rdkit", "property": "logp"}, "search_path": []})
    call = json.dumps({"call": 1, "keys": ["k"], "objects": ["c1ccccc1"]})
    done = worker(os.getpid(), f"{start}\n{call}\n")
    ready, answer = [json.loads(line) for line in done.stdout.splitlines()]
    assert ready == {"ready": True}
    assert (answer["call"], round(answer["value"], 2)) == (1, 1.69)
    assert done.returncode == 0
    assert worker(os.getpid()).returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the parent is watched on Linux")
def test_a_process_whose_parent_is_gone_does_not_start():
    assert worker(parent=1_000_000_000).returncode == 1
