"""Campaigns whose measurements have noise: what is measured again, how often, and what is said of it."""

import json

import pandas as pd
import pytest

pytestmark = pytest.mark.slow  # whole campaigns: `make test` has to stay under 12 minutes

NOISE = """

def noisy(smiles):
    import random
    number = LOG.read_text().splitlines().count(smiles)
    return value(smiles) + random.Random(f"{smiles} {number}").gauss(0, 0.5)
"""
"""A measurement of the same molecule gives another value each time."""


@pytest.fixture
def noisy(bench):
    """A campaign that may measure two of a batch of eight again in each of three rounds."""
    bench.write_oracle("noisy(smiles)")
    with (bench.folder / "tiny_oracle.py").open("a") as file:
        file.write(NOISE)
    bench.config["objectives"][0]["oracle"] |= {"chunk": 1}
    bench.write_config(name="tiny", remeasure=2, batch_size=8, rounds=3, budget={"calls": 60})
    return bench


def stage(bench, round, name):
    return bench.home / "campaigns" / "tiny" / f"round-{round:03d}" / name


def again(bench, round):
    file = stage(bench, round, "select_batch") / "remeasured.parquet"
    return pd.read_parquet(file) if file.exists() else pd.DataFrame(columns=["id", "object"])


def test_the_best_is_measured_again_and_its_value_is_the_mean(noisy):
    told = noisy.run()
    assert told.exit == 0, told.message
    first = again(noisy, 1)
    start = pd.read_parquet(stage(noisy, 0, "measure") / "dataset.parquet")
    assert start.loc[start["value"].idxmax(), "id"] == first["id"].iloc[0]
    assert "so far is one measurement" in first["why"].iloc[0]
    repeats = pd.read_parquet(stage(noisy, 1, "measure") / "repeats.parquet")
    own = repeats[repeats["id"] == first["id"].iloc[0]]
    assert len(own) == 2
    after = pd.read_parquet(stage(noisy, 1, "measure") / "dataset.parquet").set_index("id")
    assert after.loc[first["id"].iloc[0], "value"] == pytest.approx(own["value"].mean())


def test_what_is_measured_again_takes_the_place_of_something_new_and_is_a_call(noisy):
    noisy.run()
    repeated = {round: len(again(noisy, round)) for round in (1, 2, 3)}
    assert sum(repeated.values()) > 0
    for round, count in repeated.items():
        assert len(pd.read_parquet(stage(noisy, round, "select_batch") / "batch.parquet")) == 8 - count
    assert len(noisy.calls()) == 8 + 3 * 8
    twice = {smiles for smiles in noisy.calls() if noisy.calls().count(smiles) > 1}
    assert twice == {smiles for round in (1, 2, 3) for smiles in again(noisy, round)["object"]}


def test_it_is_said_what_was_measured_again_and_why(noisy):
    noisy.run()
    told = noisy.discover("status", "tiny").message
    for round in (1, 2, 3):
        for key in again(noisy, round)["id"]:
            assert f"Round {round}: measured again instead of something new: " in told
            assert key in told
    assert "measured repeatedly, standard deviation of a measurement" in told
    page = (stage(noisy, 1, "report") / "candidates.html").read_text()
    assert "measured again instead of something new" in page


def test_a_campaign_that_is_cut_short_goes_on_to_the_same_bytes(noisy):
    noisy.run()
    whole = (stage(noisy, 3, "measure") / "dataset.parquet").read_bytes()
    asked = noisy.calls()
    for round in (1, 2, 3):
        for name in ("select_batch", "measure"):
            for file in stage(noisy, round, name).iterdir():
                file.unlink()
            stage(noisy, round, name).rmdir()
    told = noisy.run()
    assert told.exit == 0, told.message
    assert noisy.calls() == asked
    assert (stage(noisy, 3, "measure") / "dataset.parquet").read_bytes() == whole


def test_measurements_that_repeat_exactly_are_not_made_for_ever(bench):
    bench.write_config(remeasure=2, batch_size=8, rounds=4, budget={"calls": 60})
    told = bench.run()
    assert told.exit == 0, told.message
    assert len(again(bench, 4)) == 0
    assert sum(len(again(bench, round)) for round in (1, 2, 3)) <= 4


def test_a_repetition_that_fails_loses_nothing(noisy):
    noisy.write_oracle("noisy(smiles) if LOG.read_text().splitlines().count(smiles) == 1 else float('nan')")
    with (noisy.folder / "tiny_oracle.py").open("a") as file:
        file.write(NOISE)
    told = noisy.run()
    assert told.exit == 0, told.message
    (key,) = set(again(noisy, 1)["id"][:1])
    row = next(row for row in noisy.candidates() if row["id"] == key)
    assert row["value"] is not None
    assert row["state"] == "done"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"remeasure": 6, "batch_size": 8}, "leaves nothing new in a batch of 8"),
        ({"remeasure": -1}, "remeasure"),
    ],
)
def test_what_leaves_nothing_new_is_refused(bench, changes, words):
    bench.write_config(**changes)
    told = bench.run()
    assert told.exit == 2
    assert words in told.message


def test_levels_are_not_measured_again(bench):
    oracle = {"kind": "python", "function": "tiny_oracle:measure"}
    bench.write_config(
        remeasure=1, objectives=[{"name": "a", "oracle": [{**oracle, "cost": 0.1}, {**oracle, "cost": 1.0}]}]
    )
    told = bench.run()
    assert told.exit == 2
    assert "nothing is measured again" in told.message


def test_a_kept_answer_of_a_repetition_is_that_repetition(bench):
    """What the ledger did not take goes back to the call that was made, not to another one of the same molecule."""
    from tasks.oracles.undelivered import KeptAnswer

    bench.config["objectives"][0] |= {"replicates": 2}
    bench.write_config(rounds=0, budget={"calls": 40})
    bench.run()
    import sqlite3

    with sqlite3.connect(bench.home / "ledger.db") as ledger:
        ledger.row_factory = sqlite3.Row
        call = dict(ledger.execute("SELECT * FROM oracle_calls WHERE replicate = 1 ORDER BY id").fetchone())
        campaign = dict(ledger.execute("SELECT * FROM campaigns").fetchone())
        ledger.execute(
            "UPDATE oracle_calls SET state = 'submitted', value = NULL WHERE object_id = ?", [call["object_id"]]
        )
        ledger.execute("DELETE FROM stages")
    kept = KeptAnswer(
        campaign["name"], campaign["generation"], campaign["created_at"], call["identity"], call["oracle"],
        call["object_id"], call["object"], 99.0, None, "", 0.0, None, 1,
    )  # fmt: skip
    folder = bench.home / "undelivered"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "tiny-1.jsonl").write_text(
        json.dumps({field: getattr(kept, field) for field in kept.__dataclass_fields__}) + "\n"
    )
    bench.run()
    with sqlite3.connect(bench.home / "ledger.db") as ledger:
        values = dict(
            ledger.execute("SELECT replicate, value FROM oracle_calls WHERE object_id = ?", [call["object_id"]])
        )
    assert values[1] == 99.0
    assert values[0] != 99.0


def test_the_table_of_a_resumed_run_is_that_of_status(noisy):
    noisy.write_config(budget={"calls": 18})
    noisy.run()
    noisy.write_config(budget={"calls": 60})
    told = noisy.run().out
    rows = [line.split() for line in told.splitlines() if line.split()[:1] in (["0"], ["1"], ["2"], ["3"])]
    shown = [line.split() for line in noisy.discover("status", "tiny").out.splitlines()]
    for row in rows[:4]:
        assert row in shown
