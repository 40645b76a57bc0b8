"""Campaigns of one objective that is measured at several levels, from cheap to true."""

import json
from collections import Counter

import pandas as pd
import pytest

pytestmark = pytest.mark.slow  # whole campaigns: `make test` has to stay under 12 minutes

DONE, BAD_INPUT, STOPPED = 0, 2, 3

FUNCTIONS = """
from pathlib import Path

LOG = Path(__file__).with_name("calls.log")

def asked(points, level):
    with LOG.open("a") as file:
        file.writelines(f"{level} {one['x']:.3f} {one['y']:.3f}\\n" for one in points)

def true(one):
    return -((one["x"] - 0.7) ** 2 + (one["y"] - 0.3) ** 2)

def cheap(points):
    asked(points, 0)
    return [0.8 * true(one) + 0.1 * one["x"] for one in points]

def exact(points):
    asked(points, 1)
    return [true(one) for one in points]

def failing(points):
    asked(points, 0)
    return [float("nan") if one["x"] > 0.75 else true(one) for one in points]
"""
CHEAP = {"kind": "python", "function": "levels:cheap", "cost": 0.1}
EXACT = {"kind": "python", "function": "levels:exact", "cost": 1.0}
LADDER = [{"name": "height", "oracle": [CHEAP, EXACT]}]


@pytest.fixture
def ladder(bench):
    """A campaign over two variables whose value is to be had cheaply or truly."""
    (bench.folder / "levels.py").write_text(FUNCTIONS)
    bench.config.pop("screens")
    bench.write_config(
        name="ladder",
        space={"kind": "vectors", "variables": {"x": [0, 1], "y": [0, 1]}},
        objectives=LADDER,
        data={"kind": "random", "initial": 20},
        generator={"kind": "random", "proposals": 60},
        control={"kind": "random", "fraction": 0},
        batch_size=5,
        rounds=2,
        budget={"cost": 30.0},
    )
    return bench


def calls(bench):
    """How often each level was asked."""
    return Counter(line.split()[0] for line in bench.calls())


def table(bench, round, name="levels"):
    stage = "select_batch" if name == "purchases" else "measure"
    return pd.read_parquet(bench.home / "campaigns" / "ladder" / f"round-{round:03d}" / stage / f"{name}.parquet")


def told(bench, round):
    file = bench.home / "campaigns" / "ladder" / f"round-{round:03d}" / "select_batch" / "purchases.json"
    return json.loads(file.read_text())["told"]


def test_a_funnel_begins_with_all_cheaply_and_a_fifth_truly_and_promotes_the_best(ladder):
    ran = ladder.run()
    assert ran.exit == DONE, ran.message
    # 20 objects at first, of which six are true: no proxy learns from fewer; then five cheaply in each round.
    assert calls(ladder) == {"0": 30, "1": 6}
    ladder.write_config(rounds=4)
    assert ladder.run().exit == DONE
    assert calls(ladder) == {"0": 40, "1": 7}
    assert "promoted 1 to level 1" in told(ladder, 4)
    purchases = table(ladder, 4, "purchases")
    assert list(purchases["level"]) == [1, 0, 0, 0, 0, 0]
    known = table(ladder, 3)
    cheap = known[(known["level"] == 0) & ~known["id"].isin(known[known["level"] == 1]["id"])].set_index("id")
    assert purchases["id"][0] == cheap["value"].idxmax()


def test_the_value_of_a_candidate_is_the_true_one_and_cheap_values_stand_beside_it(ladder):
    assert ladder.run().exit == DONE
    data, known = table(ladder, 2, "dataset"), table(ladder, 2)
    assert len(data) == 6
    assert sorted(data["id"]) == sorted(known[known["level"] == 1]["id"])
    assert (data["value"] <= 0).all()
    from tasks.workspace import Workspace

    ledger = Workspace(ladder.home).ledger()
    rows = ledger.candidates(ledger.campaign("ladder").id)
    ledger.close()
    assert len(rows) == 30
    assert sum(row.value is not None for row in rows) == 6
    assert all(row.levels["height"][0].value is not None for row in rows)
    assert {row.state for row in rows} == {"done"}
    exported = ladder.candidates()
    assert [one["value"] is not None for one in exported] == [True] * 6 + [False] * 24
    assert all(one["height.level_0"] is not None for one in exported)


def test_the_same_command_again_and_results_that_were_lost_change_nothing(ladder):
    import shutil

    ladder.write_config(rounds=4)
    assert ladder.run().exit == DONE
    bought = ladder.calls()
    for round in (0, 2):
        shutil.rmtree(ladder.home / "campaigns" / "ladder" / f"round-{round:03d}" / "measure")
    again = ladder.run()
    assert again.exit == DONE, again.message
    assert ladder.calls() == bought


def test_one_level_buys_the_truth_and_nothing_else(ladder):
    ladder.write_config(buying={"kind": "one_level"}, rounds=1)
    assert ladder.run().exit == DONE
    assert calls(ladder) == {"1": 25}


@pytest.mark.parametrize("kind", ["information", "random_level"])
def test_what_is_bought_at_a_level_is_bought_at_all_below_it(ladder, kind):
    ladder.write_config(buying={"kind": kind}, proxy={"kind": "autoregressive"})
    ran = ladder.run()
    assert ran.exit == DONE, ran.message
    known = table(ladder, 2)
    assert set(known[known["level"] == 1]["id"]) <= set(known[known["level"] == 0]["id"])
    assert known["value"].notna().all()


def test_the_control_arm_is_measured_truly_and_its_cost_is_said(ladder):
    ladder.write_config(control={"kind": "random", "fraction": 0.2}, proxy={"kind": "autoregressive"})
    assert ladder.run().exit == DONE
    known = table(ladder, 2)
    control = known[known["arm"] == "control"]
    assert control.groupby("id")["level"].agg(list).tolist() == [[0, 1], [0, 1]]
    assert "the control arm's 1 at the true level, which cost 1.1" in told(ladder, 1)


def test_a_budget_in_cost_is_never_overspent(ladder):
    ladder.write_config(budget={"cost": 9.15}, buying={"kind": "random_level", "promote": 0.3}, rounds=9)
    ran = ladder.run()
    assert ran.exit == STOPPED
    assert "the budget is spent" in ran.message
    assert "purchases were not bought" in ran.message
    n = calls(ladder)
    assert n["0"] * 0.1 + n["1"] * 1.0 <= 9.15 + 1e-9


def test_what_fails_cheaply_is_never_bought_truly(ladder):
    failing = {**CHEAP, "function": "levels:failing"}
    objective = {"name": "height", "oracle": [failing, EXACT], "tolerated_failure_rate": 1.0}
    ladder.write_config(objectives=[objective], data={"kind": "random", "initial": 40}, rounds=3, batch_size=10)
    ran = ladder.run()
    assert ran.exit == DONE, ran.message
    known = table(ladder, 3)
    lost = set(known[(known["level"] == 0) & known["value"].isna()]["id"])
    promoted = set(known[(known["level"] == 1) & (known["round"] > 0)]["id"])
    assert promoted
    assert not lost & promoted


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"objectives": [{"name": "a", "oracle": [CHEAP, CHEAP]}]}, "twice; a list goes from cheap to true"),
        (
            {"objectives": [{"name": "a", "oracle": [CHEAP, {**CHEAP, "cost": 2.0}]}]},
            "Two oracles in the list of 'a' are one measurement",
        ),
        ({"objectives": [{"name": "a", "oracle": [EXACT, CHEAP]}]}, "costs are 1, 0.1: they must rise from above 0"),
        ({"objectives": [{"name": "a", "oracle": []}]}, "`oracle` is an empty list"),
        ({"budget": {"cost": 0.5}, "data": {"kind": "random", "initial": 0}}, "one purchase at the true level"),
        ({"buying": {"kind": "information"}}, "needs a proxy with a posterior at all levels"),
        ({"buying": {"kind": "funel"}}, "Did you mean 'funnel'?"),
        ({"objectives": [{"name": "a", "oracle": EXACT}], "buying": {"kind": "funnel"}}, "none lists several oracles"),
        (
            {"objectives": [{"name": "a", "oracle": [{**CHEAP, "unit": "m"}, {**EXACT, "unit": "K"}]}]},
            "measure in m, K; levels are of one quantity",
        ),
    ],
)
@pytest.mark.parametrize("command", ["validate", "run"])
def test_levels_that_make_no_sense_are_refused_in_a_sentence(ladder, changes, sentence, command):
    ladder.write_config(**changes)
    refused = ladder.discover(command, str(ladder.file))
    assert refused.exit == BAD_INPUT
    assert sentence in refused.message
    assert ladder.calls() == []


def test_a_list_of_one_oracle_is_that_oracle(ladder):
    from data.config import load_config

    ladder.write_config(objectives=[{"name": "height", "oracle": [EXACT]}])
    listed = load_config(ladder.file)
    ladder.write_config(objectives=[{"name": "height", "oracle": EXACT}])
    assert load_config(ladder.file).identity() == listed.identity()


def test_status_and_summary_say_what_was_bought_at_each_level_and_why(ladder):
    ladder.write_config(rounds=4)
    assert ladder.run().exit == DONE
    status = ladder.discover("status", "ladder").message
    assert "40 calls at level 0, cost 4; 7 calls at the true level, cost 7" in status
    assert "Round 4: new 5 up to level 0; promoted 1 to level 1: of what is measured at a level the best 20%" in status
    file = ladder.home / "campaigns" / "ladder" / "report" / "summary.json"
    levels = json.loads(file.read_text())["levels"]
    assert [(one["calls"], round(one["cost"], 6)) for one in levels] == [(40, 4.0), (7, 7.0)]
    assert json.loads(file.read_text())["calls"] == 47
    assert "of cost 0.1, 1, bought by funnel" in ladder.discover("validate", str(ladder.file)).message


DYING = (
    FUNCTIONS
    + """

def dying(points):
    if len(LOG.read_text().split()) > 9 if LOG.exists() else False:
        __import__("os").kill(__import__("os").getpid(), 9)
    return cheap(points)
"""
)


def test_a_doubtful_call_at_a_cheap_level_is_settled_there(ladder):
    (ladder.folder / "levels.py").write_text(DYING)
    unsafe = {"semantics": "unsafe", "chunk": 1}
    cheap = {**CHEAP, "function": "levels:dying", **unsafe}
    ladder.write_config(objectives=[{"name": "height", "oracle": [cheap, {**EXACT, **unsafe}]}], rounds=0)
    ran = ladder.run()
    assert "were sent and never answered" in ran.message
    doubtful = [row["id"] for row in ladder.candidates() if row["state"] == "in_doubt"]
    assert doubtful
    assert (
        "has levels 0 to 1" in ladder.discover("settle", "ladder", doubtful[0], "--value", "1", "--level", "4").message
    )
    for key in doubtful:
        settled = ladder.discover("settle", "ladder", key, "--value", "0.25")
        assert settled.exit == DONE, settled.message
    from tasks.workspace import Workspace

    ledger = Workspace(ladder.home).ledger()
    rows = {row.id: row for row in ledger.candidates(ledger.campaign("ladder").id)}
    ledger.close()
    assert {rows[key].levels["height"][0].value for key in doubtful} == {0.25}
    assert {rows[key].value for key in doubtful} == {None}


def test_where_the_cheap_level_fails_the_dear_one_is_not_asked(ladder):
    cheap = {**CHEAP, "function": "levels:failing"}
    ladder.write_config(objectives=[{"name": "height", "oracle": [cheap, EXACT], "tolerated_failure_rate": 0.1}])
    assert ladder.run().exit == STOPPED
    assert calls(ladder)["1"] == 0
    assert "calls that are booked, and not made yet" in ladder.discover("status", "ladder").message


def test_what_failed_cheaply_is_counted_and_said(ladder):
    cheap = {**CHEAP, "function": "levels:failing"}
    ladder.write_config(objectives=[{"name": "height", "oracle": [cheap, EXACT]}], buying={"kind": "random_level"})
    assert ladder.run().exit == DONE
    from tasks.workspace import Workspace

    ledger = Workspace(ladder.home).ledger()
    campaign = ledger.campaign("ladder")
    with ledger.read() as connection:
        import sqlalchemy as sa

        failed = connection.scalar(sa.text("SELECT COUNT(*) FROM oracle_calls WHERE state = 'failed'"))
    rows = ledger.candidates(campaign.id)
    ledger.close()
    assert failed
    from data.ledger.summary import summaries

    told = summaries(rows, campaign.goals)
    assert told[-1].failed == failed
    assert sum(row.state == "failed" or "Level 0 failed" in row.message for row in rows) == failed
    summary = json.loads((ladder.home / "campaigns" / "ladder" / "report" / "summary.json").read_text())
    assert summary["failed"] == failed
