"""What a campaign is told about its course: evidence and a remedy where something is amiss, nothing where it is not."""

from typing import Any

import pytest

from data.goals import Goal, Goals
from data.ledger.campaigns import StageRow
from data.ledger.course_health import Plan, campaign_findings, rounds_without_gain
from data.ledger.health import Level
from data.records import Arm, CallState, CandidateRow

UP, DOWN = Goals([Goal("value")]), Goals([Goal("value", -1)])
PLAN = Plan(rounds=20, batch=10)


def stage(round: int, name: str = "train_proxy", seconds: float = 1.0, **metrics: float) -> StageRow:
    return StageRow(round, name, "key", "uri", "0" * 64, metrics, seconds)


def bought(round: int, values: list[float | None], arm: Arm = Arm.ACQUISITION, **more: Any) -> list[CandidateRow]:
    """Candidates of a round, one call each; None: it failed."""
    return [
        CandidateRow(
            f"m{round}{arm}{i}",
            value=value,
            round=round,
            position=i,
            arm=str(arm),
            state=CallState.FAILED if value is None else CallState.DONE,
            origin="called",
        )._replace(**more)
        for i, value in enumerate(values)
    ]


def kinds(rows, stages, goals=UP, plan=PLAN, *, only=None, **more) -> dict[str, str]:
    """Finding -> its sentence, of the warnings on a campaign's course."""
    found = campaign_findings(rows, stages, goals, plan, only=only, **more)
    return {one.kind: one.message for one in found if one.level is Level.WARNING}


def test_a_campaign_in_order_is_told_nothing():
    rows = [*bought(0, [1.0, 2.0, 3.0]), *bought(1, [3.0, 4.0, 5.0]), *bought(1, [1.0, 2.0], Arm.CONTROL)]
    stages = [
        stage(1, heldout_r2=0.6, heldout_n=30.0),
        stage(1, "select_batch", candidates=600, different_scores=580, selected=22, families=15, largest_family=3),
        stage(1, "measure", 2.0),
    ]
    assert kinds(rows, stages) == {}


@pytest.mark.parametrize(("r2", "n", "accused"), [(-0.1, 30, True), (0.0, 8, True), (0.1, 30, False), (-0.5, 7, False)])
def test_a_proxy_that_explains_less_than_the_mean_is_accused_once_there_is_enough_to_tell(r2, n, accused):
    told = kinds(bought(1, [1.0, 2.0]), [stage(1, heldout_r2=r2, heldout_n=float(n))])
    assert ("proxy_worse_than_mean" in told) is accused


@pytest.mark.parametrize(
    ("control", "told"), [(0.0, "better than the control arm"), (9.0, "hardly better than chance")]
)
def test_choices_that_beat_the_control_arm_are_not_called_chance(control, told):
    rows = [*bought(1, [9.0, 9.5, 10.0, 9.8]), *bought(1, [control, control + 0.5, control + 1.0], Arm.CONTROL)]
    assert told in kinds(rows, [stage(1, heldout_r2=-3.75, heldout_n=11.0)])["proxy_worse_than_mean"]


def test_of_several_objectives_the_accused_proxy_is_named():
    two = Goals([Goal("yield"), Goal("cost", -1)])
    metrics = {"yield/heldout_r2": 0.5, "yield/heldout_n": 30.0, "cost/heldout_r2": -0.2, "cost/heldout_n": 30.0}
    found = campaign_findings([], [stage(1, **metrics)], two, PLAN)
    accused = [one for one in found if one.kind == "proxy_worse_than_mean"]
    assert [one.objective for one in accused] == ["cost"]
    assert "the proxy of cost explains nothing" in accused[0].message


@pytest.mark.parametrize(
    ("candidates", "scores", "accused"), [(600, 1, True), (600, 30, True), (600, 31, False), (12, 1, False)]
)
def test_an_acquisition_that_tells_few_candidates_apart_is_flat(candidates, scores, accused):
    stages = [stage(1), stage(1, "select_batch", candidates=candidates, different_scores=scores)]
    told = kinds(bought(1, [1.0]), stages)
    assert ("acquisition_flat" in told) is accused
    if scores == 1 and accused:
        assert "one and the same score" in told["acquisition_flat"]


@pytest.mark.parametrize(("selected", "largest", "accused"), [(22, 12, True), (22, 11, False), (7, 7, False)])
def test_a_batch_of_which_most_share_a_family_lacks_breadth(selected, largest, accused):
    chosen = stage(1, "select_batch", selected=selected, families=4, largest_family=largest)
    told = kinds(bought(1, [1.0]), [stage(1), chosen])
    assert ("narrow_batch" in told) is accused


def test_a_batch_without_families_is_not_accused_of_having_one():
    assert kinds(bought(1, [1.0]), [stage(1), stage(1, "select_batch", selected=22)]) == {}


@pytest.mark.parametrize(("calls", "failed", "accused"), [(10, 3, True), (10, 2, False), (40, 8, True), (40, 7, False)])
def test_an_oracle_that_fails_often_is_told_with_the_counts(calls, failed, accused):
    told = kinds(bought(1, [None] * failed + [1.0] * (calls - failed)), [stage(1)])
    assert ("oracle_failing" in told) is accused
    if accused:
        assert f"{failed} of {calls} calls failed" in told["oracle_failing"]


def test_an_oracle_that_fails_more_than_before_is_told_below_the_usual_share_too():
    rows = [*bought(0, [1.0] * 100), *bought(1, [None] * 6 + [1.0] * 44)]
    assert "and 0 of 100 before it" in kinds(rows, [stage(1)])["oracle_failing"]
    used_to = [*bought(0, [None] * 12 + [1.0] * 88), *bought(1, [None] * 6 + [1.0] * 44)]
    assert "oracle_failing" not in kinds(used_to, [stage(1)])


@pytest.mark.parametrize(("seconds", "accused"), [(90.0, True), (89.0, False)])
def test_an_oracle_that_takes_three_times_as_long_as_in_the_median_round_is_slow(seconds, accused):
    rows = [row for round in range(4) for row in bought(round, [1.0 + round] * 10)]
    stages = [*(stage(round, "measure", 30.0) for round in range(3)), stage(3, "measure", seconds), stage(3)]
    told = kinds(rows, stages)
    assert ("oracle_slowing" in told) is accused
    if accused:
        assert "a call took 9" in told["oracle_slowing"]


def test_seconds_that_nobody_waits_for_are_not_told_and_neither_is_a_second_round():
    rows = [row for round in range(4) for row in bought(round, [1.0 + round] * 10)]
    quick = [*(stage(round, "measure", 0.1) for round in range(3)), stage(3, "measure", 3.0), stage(3)]
    assert "oracle_slowing" not in kinds(rows, quick)
    second = [stage(0, "measure", 30.0), stage(1, "measure", 300.0), stage(1)]
    assert "oracle_slowing" not in kinds(rows[:20], second)


@pytest.mark.parametrize(("goals", "accused"), [(UP, True), (DOWN, False)])
def test_a_control_arm_that_is_better_is_told_in_the_direction_of_the_goal(goals, accused):
    rows = [*bought(1, [1.0, 1.1, 0.9, 1.0]), *bought(1, [3.0, 3.1, 2.9], Arm.CONTROL)]
    told = kinds(rows, [stage(1)], goals)
    assert ("control_winning" in told) is accused
    if accused:
        assert "by 2.00" in told["control_winning"] or "by 2 " in told["control_winning"]


def test_a_control_arm_within_chance_is_no_finding():
    rows = [*bought(1, [1.0, 2.0, 0.5, 1.5]), *bought(1, [1.4, 2.1], Arm.CONTROL)]
    assert "control_winning" not in kinds(rows, [stage(1)])


def test_three_rounds_without_anything_better_are_told_with_the_round_of_the_best():
    rows = [*bought(0, [5.0]), *(row for round in (1, 2, 3) for row in bought(round, [4.0, 5.0]))]
    stages = [stage(round) for round in (1, 2, 3)]
    assert "stalled" not in kinds(rows, stages, only=2)
    told = kinds(rows, stages, only=3)["stalled"]
    assert told.startswith("Rounds 1 to 3: nothing better than the value 5")
    assert "of round 0" in told
    assert "`budget.stalled: 3`" in told


@pytest.mark.parametrize(("goals", "values", "expected"), [
    (UP, [1.0, 2.0, 2.0, 1.0], (2, 1, 2.0)),
    (DOWN, [1.0, 2.0, 2.0, 0.5], (0, 3, 0.5)),
    (Goals([Goal("value", 1, target=2.0)]), [1.0, 1.9, 2.3, 2.0], (0, 3, 2.0)),
    (Goals([Goal("value", 0)]), [1.0, 1.0, 1.0, 1.0], (0, 0, None)),
])  # fmt: skip
def test_what_counts_as_better_follows_the_goal(goals, values, expected):
    rows = [row for round, value in enumerate(values) for row in bought(round, [value])]
    assert rounds_without_gain(rows, goals, 3) == expected


def test_rounds_that_measured_nothing_do_not_count_as_without_gain():
    rows = [*bought(0, [5.0]), *bought(1, [None]), *bought(2, [4.0]), *bought(3, [4.5], Arm.CONTROL)]
    assert rounds_without_gain(rows, UP, 3) == (1, 0, 5.0)


def test_of_several_objectives_the_hypervolume_counts():
    two = Goals([Goal("a"), Goal("b")])

    def both(round, *pairs):
        return [
            CandidateRow(f"m{round}{i}", round=round, position=i, state=CallState.DONE, origin="called", value=a,
                         values={"a": a, "b": b})
            for i, (a, b) in enumerate(pairs)
        ]  # fmt: skip

    rows = [*both(0, (0.0, 0.0), (1.0, 1.0)), *both(1, (2.0, 0.5)), *both(2, (0.5, 0.5)), *both(3, (1.0, 0.2))]
    without, since, volume = rounds_without_gain(rows, two, 3)
    assert (without, since) == (2, 1)
    assert volume > 0


@pytest.mark.parametrize(("calls", "accused"), [(39, True), (40, False)])
def test_a_budget_of_calls_that_is_no_longer_enough_for_a_batch_is_told(calls, accused):
    rows = [*bought(0, [1.0] * 20), *bought(1, [2.0] * 10)]
    told = kinds(rows, [stage(1)], plan=Plan(5, 10, calls=calls))
    assert ("budget_nearly_spent" in told) is accused
    if accused:
        assert "30 of 39 calls are spent, so round 2 of 5 will not be whole" in told["budget_nearly_spent"]
    assert "budget_nearly_spent" not in kinds(rows, [stage(1)], plan=Plan(1, 10, calls=calls))


def test_cost_and_running_time_are_measured_against_what_a_round_took():
    rows = [*bought(0, [1.0] * 20), *bought(1, [2.0] * 10)]
    costs = [{"round": 0, "part": "", "calls": 20, "cost": 20.0}, {"round": 1, "part": "", "calls": 10, "cost": 50.0}]
    assert "`budget.cost`" in kinds(rows, [stage(1)], plan=Plan(5, 10, cost=119.0), bought=costs)["budget_nearly_spent"]
    assert kinds(rows, [stage(1)], plan=Plan(5, 10, cost=120.0), bought=costs) == {}
    stages = [stage(0, "measure", 100.0), stage(1, "measure", 60.0), stage(1)]
    assert "`budget.wall_time`" in kinds(rows, stages, plan=Plan(5, 10, seconds=221.0))["budget_nearly_spent"]
    assert "budget_nearly_spent" not in kinds(rows, stages, plan=Plan(5, 10, seconds=223.0))


def test_the_findings_of_one_round_are_those_of_the_whole_course():
    rows = [*bought(0, [5.0] * 8), *(row for round in (1, 2, 3, 4) for row in bought(round, [None] * 3 + [4.0] * 5))]
    stages = [stage(round, heldout_r2=-0.1, heldout_n=20.0) for round in (1, 2, 3, 4)]
    every = campaign_findings(rows, stages, UP, PLAN)
    for round in (1, 2, 3, 4):
        assert campaign_findings(rows, stages, UP, PLAN, only=round) == [one for one in every if one.round == round]
