"""Campaigns of several objectives: who is asked, what is bought, and what the data set has."""

import pandas as pd
import pytest

DONE, BAD_INPUT, STOPPED = 0, 2, 3

TWO = """
from pathlib import Path
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors

LOG = Path(__file__).with_name("calls.log")

def both(molecules):
    with LOG.open("a") as file:
        file.writelines(f"{smiles}\\n" for smiles in molecules)
    return [answer(Chem.MolFromSmiles(smiles)) for smiles in molecules]

def answer(molecule):
    return ANSWER

def heavy(molecules):
    with LOG.with_name("heavy.log").open("a") as file:
        file.writelines(f"{smiles}\\n" for smiles in molecules)
    return [Chem.MolFromSmiles(smiles).GetNumHeavyAtoms() for smiles in molecules]
"""
BOTH = '{"logp": Crippen.MolLogP(molecule), "mass": Descriptors.MolWt(molecule)}'
ORACLE = {"kind": "python", "function": "two:both", "outputs": {"logp": "", "mass": "Da"}}
HEAVY = {"kind": "python", "function": "two:heavy", "unit": "atoms", "cost": 3.0}
ONE_CALL = [
    {"name": "logp", "oracle": ORACLE, "output": "logp"},
    {"name": "mass", "goal": "minimise", "oracle": ORACLE, "output": "mass"},
]
TWO_CALLS = [*ONE_CALL[:1], {"name": "size", "goal": "satisfy", "at_most": 8, "oracle": HEAVY}]


@pytest.fixture
def two(bench):
    """A campaign of the initial design only, with a function that answers two values."""

    def write(objectives, answer=BOTH, **changes):
        (bench.folder / "two.py").write_text(TWO.replace("ANSWER", answer))
        bench.write_config(objectives=objectives, rounds=0, **changes)
        return bench

    return write


def dataset(bench, round=0):
    return pd.read_parquet(bench.home / "campaigns" / "tiny" / f"round-{round:03d}" / "measure" / "dataset.parquet")


def heavy_calls(bench):
    return (bench.folder / "heavy.log").read_text().splitlines()


def test_objectives_that_read_one_oracle_cost_one_call_for_a_molecule(two):
    bench = two(ONE_CALL)
    assert bench.run().exit == DONE
    assert len(bench.calls()) == 8
    data = dataset(bench)
    assert list(data["value"]) == list(data["value[logp]"])
    assert (data["value[mass]"] > 40).all()
    assert bench.run().exit == DONE  # again: nothing more is bought
    assert len(bench.calls()) == 8


def test_objectives_of_two_oracles_ask_each_and_count_each(two):
    bench = two(TWO_CALLS)
    assert bench.run().exit == DONE
    assert sorted(bench.calls()) == sorted(heavy_calls(bench))
    assert "16 of 20" in bench.discover("status").message
    assert (dataset(bench)["value[size]"] >= 3).all()


def test_a_budget_that_ends_leaves_no_molecule_half_measured(two):
    bench = two(TWO_CALLS, budget={"cost": 14.0}, data={"kind": "csv", "path": "library.csv", "initial": 3})
    bench.write_config(data={"kind": "csv", "path": "library.csv", "initial": 3})
    assert bench.run().exit == DONE
    bench = two(TWO_CALLS, budget={"cost": 14.0}, data={"kind": "csv", "path": "library.csv", "initial": 4})
    told = bench.run()
    assert told.exit == BAD_INPUT
    assert "4 molecules at 4 each costs 16" in told.message


def test_a_value_that_an_object_does_not_have_is_missing_and_the_others_count(two):
    bench = two(
        [{**one, "tolerated_failure_rate": 1} for one in ONE_CALL],
        answer='{"logp": 1.0, "mass": None if molecule.GetNumHeavyAtoms() % 2 else 2.0}',
    )
    assert bench.run().exit == DONE
    data = dataset(bench)
    assert len(data) == 8
    assert 0 < data["value[mass]"].isna().sum() < 8
    assert data["value[logp]"].notna().all()


def test_values_that_are_mostly_missing_stop_the_campaign(two):
    told = two(ONE_CALL, answer='{"logp": 1.0, "mass": None}').run()
    assert told.exit == STOPPED
    assert "x a value missing" in told.message


def test_another_campaign_takes_over_every_value_of_a_call(two):
    bench = two(ONE_CALL)
    assert bench.run().exit == DONE
    bought = bench.calls()
    bench = two([{**ONE_CALL[1], "name": "weight"}], name="other")
    assert bench.run().exit == DONE
    assert bench.calls() == bought
    folder = bench.home / "campaigns" / "other" / "round-000" / "measure"
    assert (pd.read_parquet(folder / "dataset.parquet")["value"] > 40).all()


@pytest.mark.parametrize(
    ("objectives", "told"),
    [
        (
            [{"name": "a", "oracle": ORACLE, "output": "logP"}],
            "reads the output 'logP'; its oracle 'python' answers logp",
        ),
        ([{"name": "a", "oracle": ORACLE}], "Give `output`, one of logp, mass"),
        ([{"name": "a", "oracle": HEAVY, "output": "logp"}], "answers with one value, which has no name"),
        (
            [{"name": "a", "oracle": HEAVY}, {"name": "b", "oracle": {**HEAVY, "cost": 2.0}}],
            "'a' and 'b' are one measurement, written in two ways",
        ),
    ],
)
def test_objectives_that_read_what_nobody_answers_are_refused_before_anything_is_bought(two, objectives, told):
    bench = two(objectives)
    refused = bench.run()
    assert refused.exit == BAD_INPUT
    assert told in refused.message
    assert bench.calls() == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("1.0", "expected a dict with logp, mass"),
        ('{"logp": 1.0}', "without 'mass'"),
        ('{"logp": "high", "mass": 1.0}', "expected a number or None"),
    ],
)
def test_an_answer_without_the_named_values_is_a_failure_that_says_so(two, answer, told):
    bench = two(ONE_CALL, answer=answer)
    stopped = bench.run()
    assert stopped.exit == STOPPED
    assert told in stopped.message


def test_a_program_answers_a_column_for_each_output(bench):
    script = "import sys; print('smiles,a,b'); [print(f'{s.strip()},{len(s)},-1.5') for s in sys.stdin]"
    oracle = {"kind": "command", "command": ["{python}", "-c", script], "outputs": ["a", "b"]}
    objectives = [{"name": name, "oracle": oracle, "output": name} for name in ("a", "b")]
    bench.write_config(objectives=objectives, rounds=0)
    told = bench.run()
    assert told.exit == DONE, told.message
    assert (dataset(bench)["value[b]"] == -1.5).all()


def test_calls_in_doubt_are_settled_oracle_by_oracle_with_every_value(two):
    hangs = "__import__('os').kill(__import__('os').getpid(), 9) if len(LOG.read_text().split()) == 3 else " + BOTH
    objectives = [{**one, "oracle": {**one["oracle"], "semantics": "unsafe"}} for one in TWO_CALLS]
    bench = two(objectives, answer=hangs)
    told = bench.run()
    assert "1 call was sent and never answered" in told.message
    object_id = next(row["id"] for row in bench.candidates() if row["smiles"] == bench.calls()[2])
    assert "Say whose answer it is" in bench.discover("settle", "tiny", object_id, "--value", "1").message
    told = bench.discover("settle", "tiny", object_id, "--value", "1", "--objective", "logp")
    assert "give --value logp=X and --value mass=X" in told.message
    values = ("--value", "logp=1.5", "--value", "mass=60")
    assert bench.discover("settle", "tiny", object_id, *values, "--objective", "logp").exit == DONE
    assert bench.run().exit == DONE
    row = dataset(bench).set_index("id").loc[object_id]
    assert row["value[logp]"] == 1.5
    assert row["value[size]"] >= 3
