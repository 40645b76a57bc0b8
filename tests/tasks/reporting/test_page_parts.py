"""What the page of candidates is put together from: filters, files, the nearest known object, the verdict."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data.chemistry.groups import GROUPS, groups_in
from data.goals import Goal, Goals
from data.ledger.health import Finding, Level
from data.records import CandidateRow
from data.records import Level as LevelOf
from data.tables.spreadsheets import csv_lines, write_csv
from models.spaces.molecules import Molecules
from models.spaces.sequences import Sequences
from tasks.reporting.nearest import nearest_known
from tasks.reporting.page import LISTED
from tasks.reporting.page_cells import level_cell, value_cell
from tasks.reporting.page_exports import file_parts, packed
from tasks.reporting.page_filters import families, motifs, ranges
from tasks.reporting.page_tiles import tiles
from tasks.reporting.page_verdict import verdict_of
from tasks.reporting.templates import resource
from tasks.reporting.verdict import gain_text

MOLECULES = ["c1ccccc1", "Cc1ccccc1", "CCO", "no molecule"]
AFFINITY = Goals([Goal("affinity", unit="eV")])


def candidate(smiles: str, value: float | None, round: int = 0, **more: Any) -> CandidateRow:
    given: dict[str, Any] = {"arm": "initial" if round == 0 else "acquisition", "state": "done", "origin": "called"}
    return CandidateRow(f"ID-{smiles}", smiles, value, round, source="genetic", **(given | more))


@pytest.mark.parametrize(
    ("smiles", "groups"),
    [
        ("CC(=O)N", ("amide",)),
        ("COC(=O)N", ("carbamate",)),
        ("CC(=O)OC", ("ester",)),
        ("COC(=O)OC", ("carbonate",)),
        ("CS(=O)(=O)N", ("sulfonamide",)),
        ("C[N+](=O)[O-]", ("nitro",)),
        ("O=C1C=CC(=O)C=C1", ("ketone", "quinone", "alkene", "Michael acceptor")),
        ("FC(F)(F)c1ccccc1", ("fluorine", "trifluoromethyl", "benzene ring")),
        ("Clc1ccncc1", ("chlorine", "aryl halide", "pyridine ring")),
        ("c1ccc2nsnc2c1", ("benzene ring", "thiadiazole or oxadiazole ring", "fused aromatic rings")),
        ("CN1CCOCC1", ("ether", "amine, tertiary", "saturated N ring")),
        ("no molecule", ()),
    ],
)
def test_groups_are_found_by_plain_names(smiles: str, groups: tuple[str, ...]) -> None:
    assert groups_in(smiles) == groups
    assert len(GROUPS) >= 60


def test_motifs_are_bits_in_the_order_of_their_names() -> None:
    rows = [{"object": smiles} for smiles in MOLECULES]
    found = motifs(rows, Molecules())
    assert found.found == (("alcohol", 1), ("benzene ring", 2))
    assert found.bits == ("2", "2", "1", "0")
    letters = Sequences(Sequences.Options(alphabet="dna", min_length=3, max_length=3))
    assert motifs([{"object": "AAA"}], letters).bits == ()


def test_scaffolds_are_counted_the_largest_first_and_what_has_none_last() -> None:
    rows = [{"object": smiles} for smiles in ["C1CC1", *MOLECULES]]
    choice, own = families(rows, Molecules())
    assert choice is not None
    assert choice.options == (("0", "c1ccccc1 (2)"), ("1", "C1CC1 (1)"), ("none", "none (2)"))
    assert own == ("1", "0", "0", "none", "none")
    assert families([{"object": "CCO"}, {"object": "CCN"}], Molecules()) == (None, ())


def test_numbers_are_compared_as_they_are_shown() -> None:
    rows = [{"value": 3.35974, "novelty": 0.5}, {"value": None, "novelty": 0.5}, {"value": -1.0, "novelty": 0.5}]
    (one,) = ranges(rows, AFFINITY, {})  # novelty is the same in all
    assert (one.label, one.texts) == ("Affinity / eV", ("3.360", "", "-1.000"))
    assert (one.low, one.high) == ("-1.000", "3.360")


def test_lines_of_a_table_are_what_its_file_has(tmp_path: Path) -> None:
    texts = ["=1+1", "a\nb", 'say "c", d', "e\x1e\nf", "-x"]
    frame = pd.DataFrame({"text": texts, "number": [1.5, None, -2.0, 1e-9, 3.0]})
    head, lines = csv_lines(frame)
    write_csv(frame, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        assert head + "".join(lines) == file.read()
    assert len(lines) == len(texts)
    assert csv_lines(frame.iloc[:0]) == (head, [])


def test_files_of_the_page_are_those_of_an_export() -> None:
    space, columns = Molecules(), ("id", "smiles", "value", "source")
    rows = [
        dict(zip(columns, (f"ID{k}", smiles, 1.0 * k, "=a"), strict=True)) for k, smiles in enumerate(MOLECULES[:3])
    ]
    parts = file_parts(rows, space, columns=columns)
    assert list(parts) == ["csv", "sdf", "smi"]
    for ending, write in space.exports.items():
        assert "".join(parts[ending][1]) == write(rows)
    assert parts["csv"][1][1] == "ID1,Cc1ccccc1,1.0,'=a\n"
    read = json.loads(gzip.decompress(base64.b64decode(packed(parts))))
    assert read == {ending: {"head": head, "rows": texts} for ending, (head, texts) in parts.items()}
    assert packed(parts) == packed(parts)


def test_what_cannot_be_written_in_a_format_keeps_its_place() -> None:
    row = {"id": "x", "smiles": "no molecule", "value": None}
    parts = file_parts([row], Molecules(), columns=tuple(row))
    assert parts["sdf"][1] == [""]
    assert parts["csv"][1] == ["x,no molecule,\n"]


def test_the_nearest_is_of_what_was_known_before_the_round() -> None:
    space = Molecules()
    known = [candidate("c1ccccc1", 1.0), candidate("CCO", 2.0), candidate("Cc1ccncc1", None)]
    same_round = candidate("Cc1ccccc1C", 3.0, 1)
    near = float(space.nearness(["Cc1ccccc1"], ["c1ccccc1"])[0, 0])
    asked = candidate("Cc1ccccc1", 2.5, 1, novelty=round(1 - near, 6))
    other = candidate("CCC", 2.5, 1, novelty=0.123)  # of something that has no value any more
    found = nearest_known([asked, other, known[0]], [*known, same_round, asked, other], space)
    assert list(found) == [asked.id]
    assert found[asked.id].row is known[0]
    assert found[asked.id].similarity == pytest.approx(near)
    assert found[asked.id].same_family


def test_the_verdict_says_state_best_gain_cost_and_health() -> None:
    rows = [candidate(f"C{'C' * k}O", 3.0 + k, 1) for k in range(3)]
    rows += [candidate(f"N{'C' * k}O", 0.5 + k, 1, arm="control") for k in range(3)]
    rows = AFFINITY.ranked(rows)
    finding = Finding(1, "calibration", Level.WARNING, "Too narrow.")
    told = verdict_of(rows, AFFINITY, cost=2.5, calls=6, health=[finding], rounds=(1, 4))
    assert (told.state, told.found, told.compared) == (
        "After round 1 of 4.",
        "Best affinity 5.000 eV (round 1, genetic).",
        "",
    )
    gain, cost, health = told.tiles
    assert (gain.text, gain.unit) == ("+2.5", "eV (0.2 to 4.8), 95 % interval; means of 3 chosen, 3 control")
    assert (cost.label, cost.text) == ("Cost", "2.500")
    assert (health.text, health.number) == ("warning", False)
    alone = verdict_of(rows[:1], AFFINITY, cost=1.0, calls=1, health=[], rounds=(0, 4))
    assert alone.tiles == ()
    assert alone.compared == "There is no control arm to compare with."
    assert verdict_of([], AFFINITY, cost=0, calls=0, health=[], rounds=(0, 4)).found == "Nothing was measured."


def test_a_value_at_a_cheaper_level_counts_from_the_round_of_the_true_one() -> None:
    space = Molecules()
    cheap = candidate("c1ccccc1", None)._replace(levels={"affinity": (LevelOf(1.0, 0, 1), LevelOf())})
    late = candidate("Cc1ccccc1", 2.0)._replace(levels={"affinity": (LevelOf(1.0, 0, 1), LevelOf(2.0, 2, 1))})
    true = candidate("CCO", 3.0)._replace(levels={"affinity": (LevelOf(1.0, 0, 1), LevelOf(3.0, 0, 1))})
    novelty = 1 - float(space.nearness(["CCN"], ["CCO"])[0, 0])
    asked = candidate("CCN", None, 1, novelty=novelty)
    assert nearest_known([asked], [cheap, late, true, asked], space)[asked.id].row is true


def test_levels_are_written_with_their_calls_and_answers_that_are_open_with_their_hour() -> None:
    row = {"affinity.level_0": 0.5, "affinity.level_0.calls": 2, "affinity.level_1": None, "affinity.level_1.calls": 1}
    told = [re.sub(r"<[^>]+>", "", level_cell(row, f"affinity.level_{k}").html) for k in range(3)]
    assert told == ["0.5000 of 2 calls", "– (1 call)", "–"]
    asked = {"value": None, "state": "submitted", "since": "2026-01-02 03:04 UTC"}
    assert "no answer yet, asked 2026-01-02 03:04 UTC" in value_cell(asked, "eV", AFFINITY.main).html
    assert "asked" not in value_cell(asked | {"state": "proposed"}, "eV", AFFINITY.main).html


def test_figures_stand_where_their_question_is() -> None:
    figures = {"best": 1.0, "control_mean": 0.5, "held-out RMSE": 0.1, "failed": 2, "rounds": 3, "graph_entropy": 0.7}
    found = tiles(figures, AFFINITY)
    assert {place: [tile.label for tile in one] for place, one in found.items()} == {
        "first": ["Best so far"],
        "graph": ["Entropy of the graph, nats"],
        "control": ["Mean, control arm, all rounds"],
        "trust": ["Held-out RMSE"],
        "origin": ["Failed calls, all rounds", "Rounds"],
    }


def test_a_gain_whose_interval_contains_nothing_is_first_called_not_distinguishable() -> None:
    rows = [candidate(f"C{'C' * k}O", value, 1) for k, value in enumerate((3.0, 1.0, 2.0))]
    rows += [candidate(f"N{'C' * k}O", value, 1, arm="control") for k, value in enumerate((1.0, 2.5))]
    (gain,) = verdict_of(AFFINITY.ranked(rows), AFFINITY, cost=5, calls=5, health=[], rounds=(1, 4)).tiles
    assert gain.text == "not distinguishable"
    assert gain.unit.startswith("+0.2 eV (−")
    assert gain_text(rows, AFFINITY).startswith("Not distinguishable from the control: gain +0.2 eV (-")


def test_the_script_lists_as_many_rows_at_first_as_the_page_says() -> None:
    assert f"const STEP = {LISTED};" in resource("candidates.js")


def test_the_cost_says_what_was_free() -> None:
    rows = [candidate("CCO", 3.0, 1)._replace(origin="reused"), candidate("CCN", 2.0, 1)]
    cost, *_ = verdict_of(rows, AFFINITY, cost=1.0, calls=2, health=[], rounds=(1, 4)).tiles
    assert (cost.text, cost.unit) == (
        "1.000",
        "of all calls; 1 candidate took over values of other campaigns, which cost nothing",
    )
