"""A campaign that chooses experiments by what they tell, answered by a function and by people."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from models.spaces.interventions import Interventions
from tests.conftest import Bench

FOLDER = Path(__file__).resolve().parents[2] / "campaigns" / "interventions"
NAMES = ("feed", "coolant", "temperature", "pressure", "rate", "purity")
LABORATORY = {"kind": "laboratory", "outputs": dict.fromkeys(NAMES, "")}


@pytest.fixture
def plant(bench: Bench) -> Bench:
    for name in ("observed.csv", "simulated_plant.py"):
        shutil.copy(FOLDER / name, bench.folder)
    bench.write_config(
        name="plant",
        space={"kind": "interventions", "data": "observed.csv", "settings": {"feed": [10, 14], "rate": [1.5, 2.5]}},
        objectives=[{"name": "plant", "goal": "observe", "oracle": LABORATORY}],
        data={"kind": "random", "initial": 6, "size": 12},
        screens=[],
        proxy={"kind": "causal_graphs", "calibration": "none", "draws": 50},
        acquisition={"kind": "expected_information_gain"},
        selector={"kind": "most_informative"},
        generator={"kind": "random", "proposals": 12},
        control={"kind": "random", "fraction": 0},
        rounds=1,
        batch_size=2,
    )
    return bench


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"proxy": {"kind": "gaussian_process"}}, "a proxy that knows what an answer would tell"),
        ({"acquisition": {"kind": "expected_improvement"}}, "Use one of expected_information_gain"),
        (
            {"objectives": [{"name": "p", "goal": "observe", "oracle": {**LABORATORY, "outputs": {"feed": ""}}}]},
            "The objectives are to be the variables of observed.csv",
        ),
        (
            {
                "objectives": [
                    {"name": "p", "goal": "observe", "oracle": LABORATORY},
                    {"name": "yield", "oracle": LABORATORY, "output": "feed"},
                ]
            },
            "give all the goal observe, or none",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_spent(
    plant: Bench, changes: dict[str, object], told: str
) -> None:
    plant.write_config(**changes)
    checked = plant.discover("validate", str(plant.file))
    assert checked.exit != 0
    assert told in " ".join(checked.message.split())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: [[*row, "7"] for row in rows], "extra of mine.csv never vary"),
        (lambda rows: [[*row, repr(2 * float(row[0]))] for row in rows], "are the same quantity in two units"),
    ],
    ids=["constant", "copied"],
)
def test_columns_that_tell_nothing_are_refused(plant: Bench, change: Any, told: str) -> None:
    head, *rows = csv.reader((FOLDER / "observed.csv").read_text().splitlines())
    lines = [[*head, "extra"], *change(rows)]
    (plant.folder / "mine.csv").write_text("\n".join(",".join(line) for line in lines) + "\n")
    plant.write_config(space={"kind": "interventions", "data": "mine.csv"})
    assert told in " ".join(plant.discover("validate", str(plant.file)).message.split())


def test_a_table_with_semicolons_is_read_and_a_column_of_times_is_named(plant: Bench) -> None:
    text = (FOLDER / "observed.csv").read_text()
    (plant.folder / "mine.csv").write_text(text.replace(",", ";").replace(".", ","))
    plant.write_config(space={"kind": "interventions", "data": "mine.csv"})
    told = plant.discover("validate", str(plant.file))
    assert told.exit == 0, told.message
    head, *rows = text.splitlines()
    (plant.folder / "mine.csv").write_text(
        "\n".join(["time," + head, *(f"00:{k:02},{one}" for k, one in enumerate(rows))])
    )
    told = plant.discover("validate", str(plant.file))
    assert told.exit == 2
    assert "The column 'time' of" in told.message
    assert "holds no numbers: line 2 has '00:00'. Leave the column out." in " ".join(told.message.split())


def test_an_answer_that_is_not_what_was_set_is_remarked_on() -> None:
    space = Interventions(data=FOLDER / "observed.csv", settings={"feed": [10.0, 14.0]})
    assert "not what was set, 10" in space.contradiction("feed=10, run=2", "feed", 12.0)
    assert not space.contradiction("feed=10", "feed", 10.01)
    assert not space.contradiction("feed=10", "rate", 12.0)
    assert not space.contradiction("watch", "feed", 12.0)


@pytest.mark.slow
def test_people_answer_with_rows_and_the_report_says_what_acts_on_what(plant: Bench, tmp_path: Path) -> None:
    """Rows of people are told back in two rounds; the edges are in the report, and running again changes nothing."""
    for round in range(2):
        file = tmp_path / f"asked_{round}.csv"
        assert plant.run().exit == 3
        asked = plant.discover("ask", "plant", "--out", str(file))
        assert asked.exit == 0, asked.message
        _answer(file)
        told = plant.discover("tell", "plant", str(file))
        assert told.exit == 0, told.message
        assert "is not what was set" in " ".join(told.message.split()), "the answers are made up"
    done = plant.run()
    assert done.exit == 0, done.message
    (report,) = plant.folder.rglob("campaigns/plant/report")
    edges = list(csv.DictReader((report / "edges.csv").read_text().splitlines()))
    assert len(edges) == 30
    assert {edge["from"] for edge in edges[:3]} <= set(NAMES)
    assert "What acts on what?" in (report / "candidates.html").read_text()
    assert json.loads((report / "summary.json").read_text())["graph_entropy"] > 0
    assert plant.run().exit == 0


def _answer(file: Path) -> None:
    rows = list(csv.DictReader(file.read_text().splitlines()))
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        for number, row in enumerate(rows):
            row |= {name: f"{10 + place + 0.1 * number:.2f}" for place, name in enumerate(NAMES)}
            writer.writerow(row)
