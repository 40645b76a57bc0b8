"""Campaigns whose values people bring: asked, waited for, told in any order and corrected."""

import csv
import json
import re
import shutil

import pandas as pd
import pytest

from pipelines import asking
from tests.pipelines.rest.conftest import serving

pytestmark = pytest.mark.slow  # whole campaigns: `make test` has to stay under 12 minutes

DONE, BAD_INPUT, STOPPED = 0, 2, 3
OBJECTIVES = [{"name": "yield", "oracle": {"kind": "laboratory", "outputs": {"yield": "%"}, "cost": 120}}]


@pytest.fixture
def lab(bench):
    """A campaign that asks for eight molecules, and then four in each round."""
    bench.write_config(name="lab", objectives=OBJECTIVES, budget={"cost": 2400.0})
    return bench


def asked(bench, name="lab"):
    """Return the rows of what is asked for."""
    told = bench.discover("ask", name)
    assert told.exit == DONE, told.message
    return list(csv.DictReader(told.out.splitlines())) if told.out.startswith("id,") else []


def value(smiles):
    return round(len(smiles) + smiles.count("C") / 3, 3)


def results(bench, rows, name="results.csv", **columns):
    """Write a file of results."""
    file = bench.folder / name
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, ["id", "yield", *columns])
        writer.writeheader()
        for row in rows:
            writer.writerow({"id": row["id"], "yield": row.get("yield", value(row["smiles"]))} | columns)
    return str(file)


def tell(bench, rows, *options, **columns):
    return bench.discover("tell", "lab", results(bench, rows, **columns), *options)


def dataset(bench, round):
    return pd.read_parquet(bench.home / "campaigns" / "lab" / f"round-{round:03d}" / "measure" / "dataset.parquet")


def test_a_campaign_writes_what_is_to_be_measured_waits_and_says_what_to_do(lab):
    told = lab.run()
    assert told.exit == STOPPED
    assert "0 of 8 results are there" in told.message
    assert "discover tell lab FILE" in told.message
    assert lab.state() == "waiting"
    file = lab.home / "campaigns" / "lab" / "round-000" / "asked.csv"
    assert len(asked(lab)) == 8
    assert list(csv.DictReader(file.read_text().splitlines())) == asked(lab)
    assert list(asked(lab)[0])[:2] == ["id", "smiles"]
    assert list(asked(lab)[0])[-2:] == ["yield [%]", "failed"]


def test_partial_answers_are_waited_for_and_the_next_round_begins_with_all(lab):
    lab.run()
    rows = asked(lab)
    assert "3 answers taken. 5 left to measure" in tell(lab, rows[:3]).message
    assert "3 of 8 results are there" in lab.discover("status", "lab").message
    assert lab.run().exit == STOPPED
    assert [row["id"] for row in asked(lab)] == [row["id"] for row in rows[3:]]
    assert "5 answers taken; 3 known already" in tell(lab, rows[::-1]).message
    told = lab.run()
    assert told.exit == STOPPED
    assert "Round 1: 0 of 4" in told.message
    assert len(dataset(lab, 0)) == 8
    tell(lab, asked(lab))
    assert lab.run().exit == DONE
    assert len(dataset(lab, 1)) == 12


def test_a_share_of_the_answers_is_enough_where_the_campaign_says_so(lab):
    lab.run()
    rows = asked(lab)
    tell(lab, rows[:6])
    assert "8 results are there" in lab.run().message
    told = lab.run("--set", "wait_for=0.7")
    assert "Round 1: 0 of 4" in told.message
    assert len(dataset(lab, 0)) == 6
    assert len(asked(lab)) == 2 + 4  # what is late is still asked for, and nothing is asked twice
    assert len({row["id"] for row in asked(lab)} | {row["id"] for row in rows}) == 12


def test_what_is_shown_as_enough_is_what_a_run_goes_on_with(lab):
    lab.run("--set", "wait_for=0.6")
    rows = asked(lab)
    tell(lab, rows[:5])
    short = "5 of 8 results are there (it goes on with 60%); 5 are measured so far and a proxy needs at least 6"
    with serving(lab.home) as served:
        shown = served.get("/lab/pending").body
        assert (shown["enough"], short in shown["message"]) == (False, True), shown
        assert short in " ".join(lab.run("--set", "wait_for=0.6").message.split())
        tell(lab, rows[:6])
        shown = served.get("/lab/pending").body
        assert (shown["enough"], "goes on without the others" in shown["message"]) == (True, True), shown
    assert "Round 1: 0 of 4" in lab.run("--set", "wait_for=0.6").message


def test_a_late_answer_enters_the_data_of_the_round_in_which_it_came(lab):
    lab.run()
    rows = asked(lab)
    tell(lab, rows[:6])
    lab.run("--set", "wait_for=0.7")
    tell(lab, asked(lab))
    assert lab.run("--set", "wait_for=0.7").exit == DONE
    assert len(dataset(lab, 0)) == 6
    assert len(dataset(lab, 1)) == 12


def test_the_next_round_begins_at_a_deadline_with_what_is_there(lab):
    lab.run()
    tell(lab, asked(lab)[:6])
    assert "or until" in lab.run("--set", "deadline=30 d").message
    assert "Round 1: 0 of 4" in lab.run("--set", "deadline=0 h").message
    assert len(dataset(lab, 0)) == 6


def test_a_deadline_in_the_past_is_refused_before_anybody_is_asked(lab):
    told = lab.run("--set", "deadline=2001-01-01")
    assert told.exit == BAD_INPUT
    assert "deadline is 2001-01-01" in told.message


def test_an_answer_is_corrected_and_what_it_was_stays_visible(lab):
    lab.run()
    rows = asked(lab)
    tell(lab, rows)
    lab.run()
    wrong = {**rows[0], "yield": 99}
    refused = tell(lab, [wrong])
    assert refused.exit == BAD_INPUT
    assert "it is known already" in refused.message
    assert "--correct" in refused.message
    assert "1 corrected" in tell(lab, [wrong], "--correct", "--by", "Ada").message
    assert "Ada" in lab.discover("status", "lab").message
    tell(lab, asked(lab))
    assert lab.run().exit == DONE
    before, after = (dataset(lab, round).set_index("id")["value"][rows[0]["id"]] for round in (0, 1))
    assert (before, after) == (value(rows[0]["smiles"]), 99)


@pytest.mark.parametrize(("before", "said"), [(True, "corrected to"), (False, "told as")])
def test_an_answer_that_somebody_else_tells_meanwhile_is_not_replaced_unremarked(lab, monkeypatch, before, said):
    lab.run()
    first, *others = asked(lab)
    if before:
        tell(lab, [first])
    does = asking.tell

    def after_another(*args, **options):
        monkeypatch.setattr(asking, "tell", does)
        other = results(lab, [{**first, "yield": 51}], name="other.csv")
        assert lab.discover("tell", "lab", other, "--correct").exit == DONE
        return does(*args, **options)

    monkeypatch.setattr(asking, "tell", after_another)
    told = tell(lab, [{**first, "yield": 52}, *others], "--correct")
    assert told.exit == BAD_INPUT
    assert f"Nothing was taken: {first['smiles']} was {said} yield 51.00 meanwhile" in told.message
    (kept,) = [row for row in lab.candidates() if row["id"] == first["id"]]
    assert kept["value"] == 51
    assert len(asked(lab)) == 7
    assert "1 corrected" in tell(lab, [{**first, "yield": 52}], "--correct").message


def test_a_deletion_is_refused_with_each_id_once_where_two_generations_wait_for_it(lab):
    lab.run()
    assert lab.run("--fresh").exit == STOPPED
    told = lab.discover("delete", "lab", "--yes")
    assert told.exit == BAD_INPUT
    ids = re.findall(r"(\S+?),", told.message.partition("stays: ")[2].partition(" and ")[0] + ",")
    assert len(ids) == len(set(ids)) == 5
    assert "and 3 more were asked of a laboratory" in told.message


def test_data_sets_that_are_lost_are_made_again_as_they_were_before_a_correction(lab):
    lab.run()
    rows = asked(lab)
    tell(lab, rows)
    lab.run()
    folder = lab.home / "campaigns" / "lab" / "round-000" / "measure"
    before = (folder / "dataset.parquet").read_bytes()
    tell(lab, [{**rows[0], "yield": 99}], "--correct")
    shutil.rmtree(folder)
    assert lab.run().exit == STOPPED
    assert (folder / "dataset.parquet").read_bytes() == before


def test_the_order_of_answers_and_interruptions_change_no_byte_of_a_course(lab, tmp_path_factory):
    lab.write_config(rounds=2)

    def course(*parts):
        for _ in range(3):
            lab.run()
            for take in parts:
                tell(lab, take(asked(lab)))
                lab.run()  # too early: it waits, whatever is there
        assert lab.run().exit == DONE
        kept = {
            file.name + str(round): file.read_bytes()
            for round in range(3)
            for file in (lab.home / "campaigns" / "lab" / f"round-{round:03d}").glob("*/*.parquet")
        }
        shutil.rmtree(lab.home)
        return kept

    whole = course(lambda rows: rows)
    assert whole == course(lambda rows: rows[::-2], lambda rows: rows[:1], lambda rows: rows)
    assert len(whole) > 10


def test_a_failure_is_told_with_its_reason(lab):
    lab.run()
    rows = asked(lab)
    tell(lab, rows[1:])
    assert "1 answer taken, a failure" in tell(lab, [{**rows[0], "yield": ""}], failed="exploded").message
    lab.run()
    failed = [row for row in lab_candidates(lab) if row["state"] == "failed"]
    assert [row["message"] for row in failed] == ["exploded"]
    assert len(dataset(lab, 0)) == 7


def lab_candidates(bench):
    return json.loads(bench.discover("candidates", "lab", "--format", "json").out)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda row: {**row, "id": "mabc"}, "nobody asked for the id 'mabc'"),
        (lambda row: {**row, "id": row["id"].upper()}, "differs from it in upper and lower case"),
        (lambda row: {**row, "yield": "3-May"}, "looks like a date"),
        (lambda row: {**row, "yield": "1.000.000"}, "not a finite number"),
    ],
)
def test_a_line_that_is_refused_leaves_nothing_half_applied(lab, change, told):
    lab.run()
    rows = asked(lab)
    refused = tell(lab, [*rows[:3], change(rows[3])])
    assert refused.exit == BAD_INPUT
    assert "Nothing was taken: 1 of 4 lines" in refused.message
    assert "line 5" in refused.message
    assert told in refused.message
    assert len(asked(lab)) == 8


def test_one_molecule_with_two_values_in_a_file_is_refused_or_a_repeated_measurement(lab):
    lab.run()
    rows = asked(lab)
    twice = [rows[0], {**rows[0], "yield": 1.5}]
    refused = tell(lab, twice)
    assert refused.exit == BAD_INPUT
    assert "line 2 has another result" in refused.message
    assert "1 repeated measurement added" in tell(lab, twice, "--replicate").message
    assert "known already" in tell(lab, twice, "--replicate").message  # the same file again adds nothing
    tell(lab, rows[1:])
    lab.run()
    mean = dataset(lab, 0).set_index("id")["value"][rows[0]["id"]]
    assert mean == pytest.approx((value(rows[0]["smiles"]) + 1.5) / 2)


def test_what_nobody_asked_for_is_taken_where_that_is_said(lab):
    lab.run()
    rows = asked(lab)
    tell(lab, rows)
    extra = lab.folder / "extra.csv"
    extra.write_text("smiles,yield\nOCCCCO,12\n")
    assert "nobody asked for it" in lab.discover("tell", "lab", str(extra)).message
    assert "1 that nobody had asked for" in lab.discover("tell", "lab", str(extra), "--unasked").message
    lab.run()
    tell(lab, asked(lab))
    assert lab.run().exit == DONE
    assert "OCCCCO" in set(dataset(lab, 0)["object"])
    assert dataset(lab, 0).set_index("object")["arm"]["OCCCCO"] == "told"


def test_what_nobody_asked_for_and_no_model_can_learn_from_is_refused(lab):
    lab.run()
    extra = lab.folder / "extra.csv"
    extra.write_text(f"smiles,yield\n{'C' * 40},12\n")
    told = lab.discover("tell", "lab", str(extra), "--unasked")
    assert told.exit == BAD_INPUT
    assert "outside the campaign's space" in told.message
    assert len(asked(lab)) == 8


def test_objects_are_matched_by_their_structure_where_ids_are_missing(lab):
    lab.run()
    rows = asked(lab)
    file = lab.folder / "by_structure.csv"
    file.write_text("SMILES;Yield (%)\n" + "".join(f"{row['smiles']};{value(row['smiles'])}\n" for row in rows))
    assert "8 answers taken" in lab.discover("tell", "lab", str(file)).message


def test_a_workspace_that_is_copied_between_two_tells_goes_on(lab, tmp_path_factory, monkeypatch):
    lab.run()
    rows = asked(lab)
    tell(lab, rows[:3])
    moved = tmp_path_factory.mktemp("moved") / "home"
    shutil.move(lab.home, moved)
    monkeypatch.setenv("DISCOVER_HOME", str(moved))
    assert "5 answers taken" in tell(lab, rows[3:]).message
    assert "Round 1: 0 of 4" in lab.run().message


def test_another_campaign_of_the_same_protocol_does_not_ask_again_and_takes_the_answers_over(lab):
    shared = [{"name": "yield", "oracle": {**OBJECTIVES[0]["oracle"], "protocol": "coupling at 80 C"}}]
    lab.write_config(objectives=shared, rounds=0)
    lab.run()
    rows = asked(lab)
    lab.write_config(name="twin")
    assert "8 of them are asked for by campaign lab: told there" in lab.run().message
    assert "8 of them are asked for by campaign lab" in lab.discover("ask", "twin").message
    tell(lab, rows)
    assert lab.run().exit == DONE
    assert len(pd.read_parquet(lab.home / "campaigns" / "twin" / "round-000" / "measure" / "dataset.parquet")) == 8


def test_a_correction_reaches_the_campaigns_that_took_the_answer_over(lab):
    shared = [{"name": "yield", "oracle": {**OBJECTIVES[0]["oracle"], "protocol": "coupling at 80 C"}}]
    lab.write_config(objectives=shared, rounds=0)
    lab.run()
    rows = asked(lab)
    tell(lab, rows)
    lab.run()
    lab.write_config(name="twin", rounds=1)
    lab.run()
    tell(lab, [{**rows[0], "yield": 99}], "--correct")
    told = {row["id"]: row["value"] for row in json.loads(lab.discover("candidates", "twin", "--format", "json").out)}
    assert told[rows[0]["id"]] == 99
    assert "Corrected answers" in lab.discover("status", "twin").out


def test_a_campaign_that_is_begun_anew_while_it_waits_asks_itself(lab):
    lab.run()
    rows = asked(lab)
    assert lab.run("--fresh").exit == STOPPED
    assert asked(lab) == rows
    assert "8 answers taken" in tell(lab, rows).message


def test_what_was_not_asked_for_is_no_answer_to_the_round(lab):
    lab.run()
    rows = asked(lab)
    extra = lab.folder / "extra.csv"
    extra.write_text(f"smiles,yield\nOCCCCO,12\n{rows[0]['smiles']},3\n{rows[0]['smiles']},4\n")
    lab.discover("tell", "lab", str(extra), "--unasked", "--replicate")
    assert "1 of 8 results are there" in lab.run().message


def test_values_without_a_protocol_are_the_campaigns_own(lab):
    lab.write_config(rounds=0)
    lab.run()
    tell(lab, asked(lab))
    assert lab.run().exit == DONE
    lab.write_config(name="other")
    assert lab.run().exit == STOPPED
    assert len(asked(lab, "other")) == 8


def test_a_computed_goal_beside_one_of_a_laboratory_is_computed_at_once(lab):
    size = {"name": "size", "goal": "minimise", "oracle": {"kind": "python", "function": "tiny_oracle:measure"}}
    lab.write_config(objectives=[*OBJECTIVES, size], rounds=0)
    told = lab.run()
    assert told.exit == STOPPED
    assert len(lab.calls()) == 8
    tell(lab, asked(lab))
    assert lab.run().exit == DONE
    assert len(lab.calls()) == 8
    assert dataset(lab, 0)["value[size]"].notna().all()


def test_a_campaign_that_asks_no_laboratory_says_so(bench):
    bench.write_config(rounds=0)
    bench.run()
    assert "asks no laboratory" in bench.discover("ask", "tiny").message


def test_each_replicate_that_is_asked_for_is_a_line(lab):
    lab.write_config(objectives=[{**OBJECTIVES[0], "replicates": 2}], rounds=0)
    lab.run()
    rows = asked(lab)
    assert len(rows) == 16
    assert [row["replicate"] for row in rows[:2]] == ["1", "2"]
    first = [{**row, "yield": 10.0 + number} for number, row in enumerate(rows[::2])]
    assert "8 answers taken" in tell(lab, first).message
    assert "8 known already" in tell(lab, first).message  # the same file again is no second measurement
    second = [{**row, "yield": row["yield"] + 2} for row in first]
    assert "8 answers taken" in tell(lab, second).message
    assert lab.run().exit == DONE
    assert sorted(dataset(lab, 0)["value"]) == [11.0 + number for number in range(8)]
    assert "8 measured repeatedly, standard deviation of a measurement 1.4 %" in lab.discover("status", "lab").message


def test_python_asks_and_tells_with_tables(lab):
    from pipelines.asking import ask, tell_results

    lab.run()
    table = ask("lab")
    table["yield [%]"] = [value(smiles) for smiles in table["smiles"]]
    assert tell_results("lab", table).new == 8
    assert ask("lab").empty


TWO_VALUES = {"kind": "laboratory", "outputs": {"yield": "%", "purity": "%"}}


@pytest.fixture
def two_values(lab):
    """A laboratory that measures two values of each molecule."""
    objectives = [{"name": name, "oracle": TWO_VALUES, "output": name} for name in ("yield", "purity")]
    lab.write_config(objectives=objectives, rounds=0)
    lab.run()
    return lab


def told(bench, text, *options):
    file = bench.folder / "part.csv"
    file.write_text(text)
    return bench.discover("tell", "lab", str(file), *options)


def test_the_yield_today_and_the_purity_tomorrow_are_one_answer(two_values):
    rows = asked(two_values)
    first = told(two_values, "id,yield\n" + "".join(f"{row['id']},{i}\n" for i, row in enumerate(rows)))
    assert "8 in part, of which other values are waited for" in first.message
    assert "no column for 'purity'" in first.message
    assert two_values.run().exit == STOPPED
    assert [row["yield [%]"] for row in asked(two_values)] == [f"{i}.0" for i in range(8)]
    second = told(two_values, "id,purity\n" + "".join(f"{row['id']},{90 + i}\n" for i, row in enumerate(rows)))
    assert "8 answers taken" in second.message
    assert two_values.run().exit == DONE
    table = dataset(two_values, 0).set_index("id").loc[[row["id"] for row in rows]]
    assert list(table["value[yield]"]) == list(range(8))
    assert list(table["value[purity]"]) == list(range(90, 98))


def test_a_value_that_was_told_stays_visible_where_the_measurement_failed_after_all(two_values):
    rows = asked(two_values)
    told(two_values, f"id,yield\n{rows[0]['id']},5\n")
    told(two_values, f"id,failed\n{rows[0]['id']},spilled\n")
    status = two_values.discover("status", "lab").out
    assert "Corrected answers" in status
    assert "yield 5.000" in status
    assert "spilled" in status


def test_a_correction_of_one_value_leaves_the_other(two_values):
    rows = asked(two_values)
    lines = "".join(f"{row['id']},{i},{90 + i}\n" for i, row in enumerate(rows))
    assert "8 answers taken" in told(two_values, f"id,yield,purity\n{lines}").message
    assert "1 corrected" in told(two_values, f"id,purity\n{rows[0]['id']},99\n", "--correct").message
    assert two_values.run().exit == DONE
    row = dataset(two_values, 0).set_index("id").loc[rows[0]["id"]]
    assert (row["value[yield]"], row["value[purity]"]) == (0, 99)


def test_a_value_that_was_withdrawn_does_not_come_back_as_a_repetition(lab):
    lab.run()
    rows = asked(lab)
    tell(lab, rows)
    tell(lab, [{**rows[0], "yield": 72}], "--correct")
    refused = tell(lab, rows[:1], "--replicate")
    assert refused.exit == BAD_INPUT
    assert "was told before and corrected since" in refused.message


def test_values_that_come_with_the_data_are_known_and_not_asked_for(lab):
    rows = [f"{smiles},{number}" for number, smiles in enumerate(("CCOCCO", "CCCCN", "CCSCC", "CC(C)Cl", "CC1CC1C"))]
    lab.write_library(*rows, "CCCO,", "CCOC,", header="smiles,value")
    lab.write_config(data={"kind": "csv", "path": "library.csv", "value": "value", "initial": 1}, rounds=0)
    lab.run()
    (row,) = asked(lab)
    tell(lab, [row])
    assert lab.run().exit == DONE
    assert sorted(dataset(lab, 0)["value"])[:4] == [0, 1, 2, 3]
    assert len(dataset(lab, 0)) == 6


def test_values_of_one_objective_are_refused_where_there_are_several(lab):
    lab.write_library("CCOCCO,1", "CCCCN,2", "CCCO,", header="smiles,value")
    objectives = [{"name": name, "oracle": TWO_VALUES, "output": name} for name in ("yield", "purity")]
    lab.write_config(data={"kind": "csv", "path": "library.csv", "value": "value", "initial": 1}, objectives=objectives)
    told = lab.run()
    assert told.exit == BAD_INPUT
    assert "taken for campaigns of one objective only" in told.message
