"""Campaigns that ask several laboratories, or one at several levels: no answer is taken for another's."""

import csv

import pytest

pytestmark = pytest.mark.slow  # whole campaigns: `make test` has to stay under 12 minutes

DONE, BAD_INPUT, STOPPED = 0, 2, 3
HOT = {"kind": "laboratory", "outputs": {"hot": "%"}, "protocol": "reactor at 100 C"}
COLD = {"kind": "laboratory", "outputs": {"cold": "%"}, "protocol": "reactor at 0 C"}


@pytest.fixture
def two(bench):
    """A campaign that asks two laboratories for eight molecules."""
    bench.write_config(name="labs", objectives=[{"name": "a", "oracle": HOT}, {"name": "b", "oracle": COLD}], rounds=0)
    assert bench.run().exit == STOPPED
    return bench


def asked(bench, name="labs"):
    return list(csv.DictReader(bench.discover("ask", name).out.splitlines()))


def told(bench, text, *options, name="labs"):
    file = bench.folder / "results.csv"
    file.write_text(text)
    return bench.discover("tell", name, str(file), *options)


@pytest.mark.parametrize(
    "objectives",
    [
        [{"name": "a", "oracle": HOT}, {"name": "b", "oracle": {**COLD, "outputs": {"Hot": "%"}}}],
        [
            {
                "name": "a",
                "oracle": [
                    {"kind": "laboratory", "unit": "uM", "cost": 1, "protocol": "quick"},
                    {"kind": "laboratory", "unit": "uM", "cost": 20, "protocol": "full"},
                ],
            }
        ],
        [{"name": "a", "oracle": {**HOT, "outputs": {"smiles": "%"}}}],
        [{"name": "a", "oracle": {**HOT, "outputs": {"Failed": ""}}}],
    ],
)
def test_values_that_a_table_of_results_cannot_tell_apart_are_refused_before_anything_is_asked(bench, objectives):
    bench.write_config(name="labs", objectives=objectives, rounds=0)
    for command in ("validate", "run"):
        refused = bench.discover(command, str(bench.file), *(["--plain"] if command == "run" else []))
        assert refused.exit == BAD_INPUT
        assert "could be taken for another" in refused.message


def test_a_failure_is_of_the_laboratory_whose_column_the_table_has(two):
    rows = asked(two)
    assert "1 answer taken, a failure" in told(two, f"id,hot,failed\n{rows[0]['id']},,broken\n").message
    assert "1 answer taken" in told(two, f"id,cold\n{rows[0]['id']},77\n").message
    assert "1 answer taken" in told(two, f"id,cold\n{rows[1]['id']},78\n").message
    assert "1 answer taken" in told(two, f"id,hot,failed\n{rows[1]['id']},,broken\n").message
    values = {row["id"]: row["b.value"] for row in two.candidates()}
    assert (values[rows[0]["id"]], values[rows[1]["id"]]) == (77, 78)


def test_a_failure_in_a_table_of_both_is_of_what_is_waited_for(two):
    rows = asked(two)
    told(two, f"id,cold\n{rows[0]['id']},77\n")
    assert "a failure" in told(two, f"id,hot,cold,failed\n{rows[0]['id']},,,broken\n", "--correct").message
    assert {row["id"]: row["b.value"] for row in two.candidates()}[rows[0]["id"]] == 77


def test_a_value_that_nobody_asked_of_one_laboratory_needs_the_option(bench):
    quick = {"kind": "laboratory", "outputs": {"quick": "uM"}, "cost": 1}
    full = {"kind": "laboratory", "outputs": {"full": "uM"}, "cost": 20}
    bench.write_config(
        name="labs", objectives=[{"name": "a", "oracle": [quick, full]}], rounds=0, proxy={"kind": "autoregressive"}
    )
    assert bench.run().exit == STOPPED
    lines = asked(bench)
    cheap = next(row for row in lines if row["full [uM]"] == "-")
    refused = told(bench, f"id,full\n{cheap['id']},99\n")
    assert refused.exit == BAD_INPUT
    assert "nobody asked for 'full'" in refused.message
    assert "that nobody had asked for" in told(bench, f"id,full\n{cheap['id']},99\n", "--unasked").message


def test_the_sheet_that_was_asked_with_is_read_whatever_a_value_is_called(bench):
    bench.write_config(
        name="labs",
        objectives=[{"name": "s", "oracle": {"kind": "laboratory", "outputs": {"signal/noise (raw)": "dB"}}}],
        rounds=0,
    )
    assert bench.run().exit == STOPPED
    (head,) = [head for head in asked(bench)[0] if head.startswith("signal")]
    lines = "".join(f"{row['id']},{place}\n" for place, row in enumerate(asked(bench)))
    assert "8 answers taken" in told(bench, f"id,{head}\n{lines}").message


def test_conditions_that_a_spreadsheet_wrote_with_decimal_commas_are_the_same_object(bench):
    bench.write_config(
        name="labs",
        space={"kind": "vectors", "variables": {"ratio": [1, 5], "time": [1.0, 9.5]}},
        objectives=[{"name": "a", "oracle": HOT}],
        data={"kind": "random", "initial": 8},
        generator={"kind": "random"},
        screens=[],
        rounds=0,
    )
    assert bench.run().exit == STOPPED
    rows = asked(bench)
    lines = "".join(
        f"{row['id']};{row['ratio'].replace('.', ',')};{row['time'].replace('.', ',')};{place},5\n"
        for place, row in enumerate(rows)
    )
    assert "8 answers taken" in told(bench, f"id;ratio;time;hot\n{lines}").message


def test_a_correction_of_one_of_several_measurements_says_which(two):
    rows = asked(two)
    told(two, f"id,hot\n{rows[0]['id']},20\n")
    told(two, f"id,hot\n{rows[0]['id']},91\n", "--replicate")
    refused = told(two, f"id,hot\n{rows[0]['id']},19\n", "--correct")
    assert refused.exit == BAD_INPUT
    assert "it was asked for 2 times (1: hot 20.00; 2: hot 91.00)" in refused.message
    assert "in a column `replicate`" in refused.message
    assert "1 corrected" in told(two, f"id,hot,replicate\n{rows[0]['id']},19,2\n", "--correct").message


@pytest.fixture
def repeated(bench):
    """A campaign of which one object was measured twice and another one was told unasked."""
    bench.write_config(name="labs", objectives=[{"name": "a", "oracle": {**HOT, "protocol": "shared"}}], rounds=0)
    bench.run()
    rows = asked(bench)
    told(bench, "id,hot\n" + "".join(f"{row['id']},{20 + place}\n" for place, row in enumerate(rows)))
    told(bench, f"id,hot\n{rows[0]['id']},80\n", "--replicate")
    told(bench, "smiles,hot\nOCCCCO,99\n", "--unasked")
    assert bench.run().exit == DONE
    return bench


def values(bench):
    return {row["smiles"]: row["value"] for row in bench.candidates()}


def test_what_begins_anew_has_repetitions_and_what_was_told_unasked(repeated):
    before = values(repeated)
    assert before["OCCCCO"] == 99
    assert 50 in before.values()
    assert repeated.run("--fresh").exit == DONE
    assert values(repeated) == before
    assert asked(repeated) == [] or repeated.discover("ask", "labs").message.startswith(
        "Campaign labs asks for nothing"
    )


def test_a_campaign_of_the_same_protocol_has_repetitions_too(repeated):
    before = values(repeated)
    repeated.write_config(name="other")
    assert repeated.run().exit == DONE
    shared = values(repeated)
    assert shared == {smiles: value for smiles, value in before.items() if smiles in shared}
    assert 50 in shared.values()


def test_the_champion_learns_from_every_repetition(bench):
    bench.write_config(
        name="labs", objectives=[{"name": "a", "replicates": 3, "oracle": HOT}], rounds=1, budget={"calls": 60}
    )
    bench.run()
    rows = asked(bench)
    assert len(rows) == 24
    lines = "".join(
        f"{row['id']},{row['replicate']},{10 + place // 3 + 60 * (row['replicate'] == '3')}\n"
        for place, row in enumerate(rows)
    )
    told(bench, f"id,replicate,hot\n{lines}")
    bench.run()
    assert bench.discover("retrain", "labs", "--plain").exit == DONE
    from tasks.retrain import all_measurements
    from tasks.stages import CampaignRef
    from tasks.workspace import Workspace

    ledger = Workspace(bench.home).ledger()
    with CampaignRef(str(bench.home), ledger.campaign("labs").id).open() as context:
        data = all_measurements(context)
    ledger.close()
    assert len(data) == 24
    assert sorted(set(data.values.tolist()))[-1] > 70


def test_a_correction_while_a_repetition_is_waited_for_says_which(bench):
    bench.write_config(
        name="labs", objectives=[{"name": "a", "replicates": 2, "oracle": HOT}], rounds=0, budget={"calls": 40}
    )
    bench.run()
    rows = asked(bench)
    told(bench, f"id,hot,replicate\n{rows[0]['id']},1.25,1\n")
    refused = told(bench, f"id,hot\n{rows[0]['id']},9.9\n", "--correct")
    assert refused.exit == BAD_INPUT
    assert "1: hot 1.250; 2: waited for" in refused.message
    assert "1 answer taken" in told(bench, f"id,hot\n{rows[0]['id']},1.5\n").message  # no correction: its repetition


def test_a_correction_reaches_who_shares_the_answer_also_where_it_was_a_failure(bench):
    shared = [{"name": "a", "oracle": {**HOT, "protocol": "shared"}}]
    bench.write_config(name="labs", objectives=shared, rounds=0)
    bench.run()
    rows = asked(bench)
    told(bench, "id,hot\n" + "".join(f"{row['id']},{20 + place}\n" for place, row in enumerate(rows)))
    assert bench.run().exit == DONE
    bench.write_config(name="other")
    assert bench.run().exit == DONE
    first, second = rows[0]["id"], rows[1]["id"]
    assert "1 corrected" in told(bench, f"id,hot,failed\n{first},,wrong sample\n", "--correct").message
    # Told by one, and then by the other of the two.
    assert "1 corrected" in told(bench, f"id,hot\n{first},2.5\n", "--correct", name="other").message
    assert "1 corrected" in told(bench, f"id,hot,failed\n{second},,wrong\n", "--correct", name="other").message
    assert "1 corrected" in told(bench, f"id,hot\n{second},3.5\n", "--correct").message
    for name in ("labs", "other"):
        bench.write_config(name=name)
        values = {row["id"]: row["value"] for row in bench.candidates()}
        assert (values[first], values[second]) == (2.5, 3.5), name
