"""What a round buys: imported labels, values that are known, and calls of which nobody knows what became."""

import pandas as pd
import pytest

DONE, BAD_INPUT, STOPPED = 0, 2, 3
LABELLED = ("CCOCCO", "CCCCN", "CCSCC", "CC(C)Cl", "CCC(=O)OC", "CC1CC1C", "OCCCl", "CNCCS")
HANGS = "__import__('time').sleep(600) if calls() == 3 else value(smiles)"


def dataset(bench, round):
    return pd.read_parquet(bench.home / "campaigns" / "tiny" / f"round-{round:03d}" / "measure" / "dataset.parquet")


def test_values_that_came_with_the_data_are_training_data_and_cost_nothing(bench):
    bench.write_library(*(f"{smiles},{number}" for number, smiles in enumerate(LABELLED)), header="smiles,value")
    bench.write_config(data={"kind": "csv", "path": "library.csv", "value": "value", "initial": 0}, budget={"calls": 4})
    assert bench.run().exit == DONE
    assert len(bench.calls()) == 4
    assert sorted(dataset(bench, 0)["value"]) == list(range(8))
    assert len(dataset(bench, 1)) == 12
    assert "4 of 4" in bench.discover("status").message


def test_labelled_and_unlabelled_rows_make_one_design(bench):
    rows = [f"{smiles},{number}" for number, smiles in enumerate(LABELLED)]
    bench.write_library(*rows, "CCOCC,", "CCNCC,", "CCCO,", header="smiles,value")
    data = {"kind": "csv", "path": "library.csv", "value": "value", "initial": 2}
    bench.write_config(data=data, rounds=0, budget={"calls": 2})
    assert bench.run().exit == DONE
    assert len(bench.calls()) == 2
    assert set(bench.calls()) < {"CCOCC", "CCNCC", "CCCO"}
    assert len(dataset(bench, 0)) == 10


def test_another_campaign_takes_over_what_this_oracle_measured(bench):
    bench.write_config(rounds=0)
    assert bench.run().exit == DONE
    bought = bench.calls()
    bench.write_config(name="other")
    assert bench.run().exit == DONE
    assert bench.calls() == bought
    bench.config["objectives"][0]["oracle"]["version"] = "2"
    bench.write_config(name="third")
    assert bench.run().exit == DONE
    assert bench.calls() == bought * 2  # another version measures anew


def test_an_oracle_whose_process_dies_costs_the_molecule_it_died_on(bench):
    bench.write_oracle("__import__('os')._exit(3) if calls() == 3 else value(smiles)")
    assert bench.run("--set", "rounds=0").exit == DONE
    failed = [row for row in bench.candidates() if row["state"] == "failed"]
    assert [row["error"] for row in failed] == ["crashed"]
    assert [row["smiles"] for row in failed] == [bench.calls()[2]]
    assert len(bench.calls()) == 8


@pytest.fixture
def unsafe(bench):
    """A campaign whose oracle must not be called twice, stopped by a call that was sent and never answered."""
    bench.config["objectives"][0]["oracle"] |= {"semantics": "unsafe", "timeout": 0.5}
    bench.write_config(rounds=0)
    bench.write_oracle(HANGS)
    told = bench.run()
    assert told.exit == STOPPED
    assert "1 call was sent and never answered" in told.message
    return bench


def doubtful(bench):
    (row,) = [row for row in bench.candidates() if row["state"] == "in_doubt"]
    return row


def test_a_call_that_must_not_be_repeated_stays_in_doubt_until_it_is_settled(unsafe):
    assert unsafe.state() == "in_doubt"
    asked = unsafe.calls()
    assert len(asked) == 8
    assert doubtful(unsafe)["smiles"] == asked[2]
    assert unsafe.run().exit == STOPPED
    assert unsafe.run("--retry-failed").exit == STOPPED
    assert unsafe.discover("settle", "tiny", doubtful(unsafe)["id"], "--value", "0.5").exit == DONE
    assert unsafe.run().exit == DONE
    assert unsafe.calls() == asked
    (settled,) = [row for row in unsafe.candidates() if row["smiles"] == asked[2]]
    assert (settled["state"], settled["value"]) == ("done", 0.5)
    assert 0.5 in set(dataset(unsafe, 0)["value"])


def test_a_call_that_is_given_up_is_not_made_again(unsafe):
    asked = unsafe.calls()
    assert unsafe.discover("settle", "tiny", doubtful(unsafe)["id"], "--abandon").exit == DONE
    assert unsafe.run("--retry-failed").exit == DONE
    assert unsafe.calls() == asked
    assert len(dataset(unsafe, 0)) == 7
    assert [row["state"] for row in unsafe.candidates()].count("abandoned") == 1


def test_a_call_is_settled_with_a_number_or_given_up(unsafe):
    key = doubtful(unsafe)["id"]
    for arguments, told in (
        ((), "--value X"),
        (("--value", "1", "--abandon"), "Not both"),
        (("--value", "nan"), "finite"),
        (("--value", "inf"), "finite"),
        (("--value", "high"), "high"),
    ):
        answer = unsafe.discover("settle", "tiny", key, *arguments)
        assert answer.exit == BAD_INPUT
        assert told in answer.message
        assert doubtful(unsafe)["id"] == key


def test_only_a_call_in_doubt_can_be_settled(unsafe):
    measured = next(row for row in unsafe.candidates() if row["state"] == "done")
    answer = unsafe.discover("settle", "tiny", measured["id"], "--value", "9")
    assert answer.exit == BAD_INPUT
    assert f"No call for '{measured['id']}' is in doubt" in answer.message
    assert measured in unsafe.candidates()


def test_the_tolerated_rate_counts_what_the_oracle_answered_before(bench):
    answered = ["CCCO", "CCCN", "CCCS", "CCCCC", "CCCCl", "CCC(=O)O"]
    bench.write_oracle("float('nan') if 'F' in smiles else value(smiles)")
    for name, molecules in (("first", answered), ("second", [*answered, "CCCF", "CCCCF"])):
        bench.write_library(*molecules)
        data = {"kind": "csv", "path": "library.csv", "initial": len(molecules)}
        bench.write_config(name=name, rounds=0, data=data)
        told = bench.run()
        assert told.exit == 0, told.message
    assert [row["state"] for row in bench.candidates()].count("failed") == 2
    assert len(bench.calls()) == 8


def test_the_counts_of_a_failing_oracle_are_those_of_the_ledger(bench, monkeypatch):
    """Five molecules in the first call: the campaign has heard enough at the fourth, the fifth is answered as well."""
    monkeypatch.setenv("DISCOVER_WORKERS", "1")
    (bench.folder / "dock.py").write_text("import sys; print('cannot open :', file=sys.stderr); print('smiles,score')")
    oracle = {"kind": "command", "command": "{python} dock.py", "chunk": 5, "semantics": "idempotent"}
    objective = bench.config["objectives"][0] | {"oracle": oracle, "tolerated_failure_rate": 0.5}
    data = {"kind": "csv", "path": "library.csv", "initial": 6}
    bench.write_config(objectives=[objective], data=data, rounds=0)
    told = bench.run()
    assert told.exit == STOPPED
    assert sorted(row["state"] for row in bench.candidates()) == ["failed"] * 5 + ["reserved"]
    for message in (told.message, bench.discover("status", "tiny").message):
        assert "5 of 6 oracle calls failed (5 x wrong_answer)" in " ".join(message.split())
        assert "of 0.5; 1 was not made." in " ".join(message.split())
    assert "cannot open :. Mend what it needs" in " ".join(told.message.split())


def test_one_failed_call_of_a_round_of_one_does_not_end_a_campaign(bench):
    """A share of one call says nothing; the calls before it are looked at too."""
    bench.write_oracle("float('nan') if calls() == 9 else value(smiles)")
    bench.config["objectives"][0]["oracle"] |= {"chunk": 1}
    bench.write_config(batch_size=1, rounds=3, control={"kind": "random", "fraction": 0})
    told = bench.run()
    assert told.exit == 0, told.message
    assert sum(row["state"] == "failed" for row in bench.candidates()) == 1


def test_rounds_of_one_that_fail_again_and_again_end_a_campaign(bench):
    bench.write_oracle("float('nan') if calls() > 8 else value(smiles)")
    bench.config["objectives"][0]["oracle"] |= {"chunk": 1}
    bench.write_config(batch_size=1, rounds=9, control={"kind": "random", "fraction": 0})
    told = bench.run()
    assert told.exit == 3
    assert "3 of 5 oracle calls of this round and the last ones failed" in told.message
