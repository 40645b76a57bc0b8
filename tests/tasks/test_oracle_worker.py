"""The worker's guard: an oracle that does not keep its promise still gives one usable measurement per molecule."""

import json
import subprocess
import sys

import pytest

from data.records import Measurement
from tasks.oracle_worker import usable_measurements


class Scripted:
    """Yields what it is given; an exception among it is raised."""

    def __init__(self, *answers):
        self.answers = answers

    def evaluate(self, molecules, *, keys):
        for smiles, answer in zip(["C", "CC", "CCC", "CCCC"], self.answers, strict=False):
            if isinstance(answer, Exception):
                raise answer
            yield Measurement(smiles, answer)


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
    assert [measurement.smiles for measurement in measurements] == ["C", "CC", "CCC"]
    assert [measurement.value for measurement in measurements] == values
    assert [measurement.error for measurement in measurements] == errors


def worker(parent, text=""):
    command = [sys.executable, "-P", "-m", "tasks.oracle_worker", str(parent)]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)


def test_the_end_of_input_ends_the_process():
    import os

    start = json.dumps({"oracle": {"kind": "rdkit", "property": "logp"}, "search_path": []})
    call = json.dumps({"call": 1, "keys": ["k"], "molecules": ["c1ccccc1"]})
    done = worker(os.getpid(), f"{start}\n{call}\n")
    ready, answer = [json.loads(line) for line in done.stdout.splitlines()]
    assert ready == {"ready": True}
    assert (answer["call"], round(answer["value"], 2)) == (1, 1.69)
    assert done.returncode == 0
    assert worker(os.getpid()).returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the parent is watched on Linux")
def test_a_process_whose_parent_is_gone_does_not_start():
    assert worker(parent=1_000_000_000).returncode == 1
