"""Whole courses of tiny campaigns, to the last purchase: a change that should change nothing is held against them.

Where a change is meant to alter what a campaign buys, `python -m tests.golden.test_courses` writes the courses anew; the
difference of `courses.json` then belongs to that change and is read with it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from data.chemistry.molecules import identity
from tests.conftest import Bench, use

COURSES = Path(__file__).with_name("courses.json")

GENERATORS: dict[str, dict[str, Any]] = {
    "genetic": {"kind": "genetic", "generations": 3, "offspring": 20, "proposals": 40},
    "gflownet": {
        "kind": "gflownet",
        "proposals": 40,
        "steps": 6,
        "batch_size": 8,
        "dim": 16,
        "layers": 1,
        "heads": 2,
        "library_molecules": 10,
        "warm_up_steps": 2,
    },
}
"""Both choose their batches by the kriging believer."""

GOALS = ("maximise", "minimise")

ONE_ARITHMETIC = {
    "ATEN_CPU_CAPABILITY": "default",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
"""Sums in one order, and one exponential function, on every x86 processor: a trained network amplifies the last bit until
other molecules are bought. Where a processor lacks a feature that is disabled, numpy warns and goes on."""


def course(bench: Bench, generator: str, goal: str) -> list[list[Any]]:
    """Run a campaign and return what it bought in order: round, arm, canonical SMILES, value."""
    objective = {**bench.config["objectives"][0], "goal": goal}
    bench.write_config(
        name=f"golden-{generator}-{goal}",
        objectives=[objective],
        generator=GENERATORS[generator],
        selector={"kind": "kriging_believer"},
        rounds=3,
    )
    told = bench.run()
    assert told.exit == 0, told.message
    rows = {row["smiles"]: row for row in bench.candidates()}
    bought = [rows.pop(smiles) for smiles in bench.calls()]
    assert not rows
    assert [row["id"] for row in bought] == [identity(row["smiles"]) for row in bought]
    return [[row["round"], row["arm"], row["smiles"], row["value"]] for row in bought]


@pytest.fixture(scope="module")
def courses() -> dict[str, list[list[Any]]]:
    """The courses as the code takes them now, in a process of their own: libraries read their settings at import."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.golden.test_courses", "--print"],
        cwd=Path(__file__).parents[2],
        env=os.environ | ONE_ARITHMETIC,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    answer: dict[str, list[list[Any]]] = json.loads(told.stdout)
    return answer


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", [f"{generator}, {goal}" for generator in GENERATORS for goal in GOALS])
def test_a_campaign_buys_what_it_always_bought(courses, name):
    expected = json.loads(COURSES.read_text(encoding="utf-8"))[name]
    assert [row[:3] for row in courses[name]] == [row[:3] for row in expected]
    assert [row[3] for row in courses[name]] == pytest.approx([row[3] for row in expected], abs=1e-6)


def taken() -> dict[str, list[list[Any]]]:
    """Take all courses."""
    courses = {}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.reporting.report.round_figures", lambda *_: {})
        for generator in GENERATORS:
            for goal in GOALS:
                bench = Bench(Path(tempfile.mkdtemp(dir=folder)))
                use(bench, f"sqlite:///{folder}/mlflow.db", patch)
                courses[f"{generator}, {goal}"] = course(bench, generator, goal)
    return courses


def main(arguments: list[str]) -> None:
    """Write all courses as the code takes them now, or print them."""
    if any(os.environ.get(name) != value for name, value in ONE_ARITHMETIC.items()):
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.golden.test_courses", *arguments], os.environ | ONE_ARITHMETIC
        )
    if arguments == ["--print"]:
        print(json.dumps(taken()))
        return
    rows = (f"{json.dumps(name)}: [\n  " + ",\n  ".join(map(json.dumps, r)) + "]" for name, r in taken().items())
    COURSES.write_text("{\n" + ",\n".join(rows) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
