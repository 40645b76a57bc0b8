"""What a campaign is told about its predictions: the finding, the sentence, and what to do."""

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from scipy import stats

from data.goals import Goal, Goals
from data.ledger.campaigns import StageRow
from data.ledger.health import (
    FEWEST,
    Finding,
    Level,
    binomial_tail,
    calibration_drift,
    chi_square_sigmas,
    drift_figures,
    findings,
    idle_sources,
    of_round,
    whole,
    worst,
)
from data.records import CallState, CandidateRow

HIGH, LOW = Goal("value"), Goal("value", -1)
UP = Goals([HIGH])


def quantiles(n: int) -> list[float]:
    """n numbers that look more like standard normals than any drawn ones."""
    return [NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]


def rows(z: list[float], *, round: int = 1, std: float = 0.5, **changes: Any) -> list[CandidateRow]:
    """Candidates whose measured values are z predicted deviations above their predictions."""
    return [
        CandidateRow(
            "m",
            round=round,
            state=CallState.DONE,
            value=float(i) + std * one,
            predicted_mean=float(i),
            predicted_std=std,
        )._replace(**changes)
        for i, one in enumerate(z)
    ]


def drift(z: list[float], promised: dict[str, float] | None = None, goal: Goal = HIGH) -> Finding:
    return calibration_drift(rows(z), 1, promised or {}, goal)


def stage(round: int, name: str = "train_proxy", **metrics: float) -> StageRow:
    return StageRow(round, name, f"key{round}", f"uri{round}", "0" * 64, metrics, 1.0)


# One round


def test_predictions_that_hold_are_good():
    found = drift(quantiles(24), {"coverage_90": 0.88, "nll": 0.41})
    assert found.level is Level.GOOD
    assert found.kind == "calibration_drift"
    assert found.round == 1
    assert found.message == (
        f"Acquisition arm, round 1: as promised: 92 % of 24 inside the 90 % interval (expected 19 to 24, were 22); "
        f"held out 88 %; NLL {found.figures['nll']:.2f}, 0.41 held out. The predictions hold."
    )


@pytest.mark.parametrize("n", [FEWEST, 24, 100])
def test_calibrated_predictions_are_seldom_accused(n):
    draws = np.random.default_rng(n).normal(size=(1000, n))
    assert sum(drift(z).level is Level.WARNING for z in draws.tolist()) < 50


def test_held_out_figures_are_told_only_where_there_are_any():
    assert "held out" not in drift(quantiles(24)).message
    assert "NLL" in drift(quantiles(24)).message


def test_errors_larger_than_predicted_are_a_proxy_too_sure_of_itself():
    found = drift([2.5 * z for z in quantiles(24)])
    assert found.level is Level.WARNING
    assert f"Errors are {found.figures['rms_z']:.1f} times as large as predicted" in found.message
    assert "too sure of what is unlike its training data" in found.message
    assert "`proxy.domain.min_similarity`" in found.message
    assert "Later rounds are calibrated on these purchases too" in found.message


def test_errors_a_third_as_large_as_predicted_are_a_proxy_too_cautious():
    found = drift([0.33 * z for z in quantiles(24)])
    assert found.level is Level.WARNING
    assert "Errors are only 0.3 times as large as predicted: the proxy is too cautious" in found.message
    assert "if `proxy.calibration` is none, set it to variance" in found.message


@pytest.mark.parametrize(
    ("shift", "goal", "side", "what", "do"),
    [
        (-1.5, HIGH, "below", "promises too much", "`proxy.domain.min_similarity`"),
        (1.5, LOW, "above", "promises too much", "`proxy.domain.min_similarity`"),
        (1.5, HIGH, "above", "underrates what it chooses", "raise `generator.inverse_temperature`"),
        (-1.5, LOW, "below", "underrates what it chooses", "raise `generator.inverse_temperature`"),
    ],
)
def test_values_all_to_one_side_are_told_by_what_they_mean_for_the_goal(shift, goal, side, what, do):
    found = drift([0.8 * z + shift for z in quantiles(24)], goal=goal)
    assert found.level is Level.WARNING
    assert f"on average 1.5 predicted deviations {side} the predictions: the proxy {what}" in found.message
    assert do in found.message
    assert "too sure" not in found.message


def test_a_small_bias_is_no_finding_however_certain():
    assert drift([z + 0.3 for z in quantiles(400)]).level is Level.GOOD


def test_a_large_bias_of_few_measurements_is_no_finding():
    assert drift([0.5 * z + 0.8 for z in quantiles(8)]).level is Level.GOOD
    assert drift([0.5 * z + 0.8 for z in quantiles(40)]).level is Level.WARNING


@pytest.mark.parametrize("n", [0, 1, FEWEST - 1])
def test_of_too_few_measurements_nothing_is_said(n):
    found = drift([9.0] * n)
    assert found.level is Level.UNKNOWN
    assert found.message == (
        f"Round 1: {n} predictions of the acquisition arm were measured; below {FEWEST} nothing can be said "
        "about their calibration."
    )
    assert found.figures == {"n": float(n)}


def test_eight_measurements_are_enough():
    assert drift([9.0] * FEWEST).level is Level.WARNING


def test_only_what_was_predicted_and_measured_counts():
    unmeasured = rows([9.0] * 30, state=CallState.FAILED, value=None)
    unpredicted = rows([9.0] * 30, predicted_mean=None, predicted_std=None)
    doubtful = rows([9.0] * 30, state=CallState.IN_DOUBT)
    found = calibration_drift(rows(quantiles(24)) + unmeasured + unpredicted + doubtful, 1, {}, HIGH)
    assert found.figures["n"] == 24
    assert found.level is Level.GOOD


def test_intervals_that_are_too_narrow_are_told_whatever_the_held_out_ones_were():
    z = [1.7 * one for one in quantiles(40)]
    assert drift(z, {"coverage_90": 0.9, "rms_z": 1.0}).level is Level.WARNING
    assert drift(z, {"coverage_90": 0.68, "rms_z": 1.7}).level is Level.WARNING


def test_what_was_promised_does_not_excuse_everything():
    assert drift([5.0 * one for one in quantiles(40)], {"coverage_90": 0.1, "rms_z": 1.7}).level is Level.WARNING


def test_the_unit_of_the_target_does_not_matter():
    z = [2.5 * one for one in quantiles(24)]
    small, large = (calibration_drift(rows(z, std=s), 1, {}, HIGH) for s in (1e-6, 1e6))
    for name in ("mean_z", "rms_z", "coverage_90"):
        assert small.figures[name] == pytest.approx(large.figures[name], rel=1e-6, abs=1e-6)


def test_the_figures_are_the_textbook_ones():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=50), rng.uniform(0.2, 2.0, 50)
    value = mean + 1.3 * std * rng.normal(size=50)
    found = drift_figures(list(zip(value.tolist(), mean.tolist(), std.tolist(), strict=True)))
    z = (value - mean) / std
    assert found["n"] == 50
    assert found["mean_z"] == pytest.approx(z.mean())
    assert found["rms_z"] == pytest.approx(np.sqrt((z**2).mean()))
    assert found["nll"] == pytest.approx(-stats.norm(mean, std).logpdf(value).mean())
    for p in (50, 80, 90, 95):
        assert found[f"coverage_{p}"] == (np.abs(z) <= stats.norm.ppf(0.5 + p / 200)).mean()


# A campaign

GOOD, SURE, SHY = quantiles(24), [3.0 * z for z in quantiles(24)], [0.3 * z for z in quantiles(24)]


def campaign(*rounds: list[float], **metrics: float) -> list[Finding]:
    stages = [stage(i + 1, **metrics) for i in range(len(rounds))]
    return findings([row for i, z in enumerate(rounds) for row in rows(z, round=i + 1)], stages, UP)


def test_every_round_that_trained_a_proxy_has_its_finding_in_order():
    mixed = rows(SURE, round=3) + rows(GOOD, round=2) + rows([], round=1)
    stages = [stage(3), stage(1), stage(2), stage(2, "report"), stage(4, "measure")]
    found = findings(mixed, stages, UP)
    assert [(f.round, f.level) for f in found] == [(1, Level.UNKNOWN), (2, Level.GOOD), (3, Level.WARNING)]
    assert [f.round for f in of_round(found, 2)] == [2]
    assert of_round(found, 7) == []


def test_measurements_count_in_the_round_that_predicted_them():
    good = findings(rows(GOOD, round=1) + rows(SURE, round=2), [stage(1)], UP)
    assert [f.level for f in good] == [Level.GOOD]


def test_a_drift_that_comes_again_is_told_as_such():
    first, second, third = campaign(SURE, SURE, SHY)
    assert "had this finding too" not in first.message
    assert second.message.endswith(
        " Round 1 had this finding too, so new data alone do not mend it: choose another `proxy.kind`, its features or "
        "its `calibration`, and begin anew with --fresh (measurements are kept)."
    )
    assert "had this finding too" not in third.message  # alone it is not too narrow


@pytest.mark.parametrize("between", [GOOD, GOOD[:3]])
def test_a_drift_after_a_round_without_is_a_first_one(between):
    assert "had this finding too" not in campaign(SURE, between, SURE)[2].message


def test_a_good_round_after_a_drift_is_told_beside_all_rounds_which_stay_too_narrow():
    second = campaign(SURE, GOOD)[1]
    assert second.level is Level.WARNING
    assert "rounds 1 to 2: too narrow" in second.message
    assert "had this finding too" not in second.message


def test_three_rounds_of_which_three_quarters_lie_inside_are_too_narrow_and_not_said_to_hold():
    """54 of 72, the last round 19 of 24, which alone would pass."""
    rounds = [[0.5] * 17 + [1.9, -1.9] * 3 + [1.9], [0.5] * 18 + [1.9, -1.9] * 3, [0.5] * 19 + [1.9, -1.9] * 2 + [1.9]]
    all_rows = [row for k, z in enumerate(rounds, start=1) for row in rows(z, round=k, arm="acquisition")]
    control = rows([9.0] * 3, round=3, arm="control")
    found = calibration_drift(all_rows + control, 3, {}, HIGH)
    assert found.level is Level.WARNING
    assert (
        "rounds 1 to 3: too narrow: 75 % of 72 inside the 90 % interval (expected 60 to 70, were 54)" in found.message
    )
    assert "round 3 alone 19 of 24; control arm 0 of 3" in found.message
    assert "hold" not in found.message


def test_promises_are_the_held_out_figures_of_the_stage():
    (found,) = campaign(GOOD, heldout_coverage_90=0.87, heldout_nll=1.234, rmse=0.1)
    assert "held out 87 %" in found.message
    assert "1.23 held out" in found.message


def test_a_proxy_surer_than_its_held_out_errors_is_told_so_before_anything_is_bought():
    first, second = campaign(GOOD, heldout_coverage_90=0.6, heldout_n=60.0)
    assert (first.kind, first.level) == ("calibration", Level.WARNING)
    assert "60 % of 60 held-out values lie inside their 90 % intervals" in first.message
    assert "set `proxy.calibration` to variance or isotonic, or enlarge the initial design" in first.message
    assert second.kind == "calibration_drift"


@pytest.mark.parametrize(("coverage", "n"), [(0.85, 60.0), (0.9, 5000.0), (1.0, 60.0), (0.2, 5.0)])
def test_held_out_coverage_that_chance_explains_is_no_finding(coverage, n):
    assert [f.kind for f in campaign(GOOD, heldout_coverage_90=coverage, heldout_n=n)] == ["calibration_drift"]


def test_no_stage_has_no_finding():
    assert findings(rows(SURE), [], UP) == []


def test_the_gravest_finding_counts():
    by_level = {f.level: f for f in [*campaign([]), *campaign(GOOD, SURE)]}
    assert set(by_level) == set(Level)
    assert worst(by_level.values()) is Level.WARNING
    assert worst([by_level[Level.UNKNOWN], by_level[Level.GOOD]]) is Level.GOOD
    assert worst([by_level[Level.UNKNOWN]]) is Level.UNKNOWN
    assert worst([]) is Level.UNKNOWN


# Arithmetic without numpy


@pytest.mark.parametrize("n", [1, 8, 24, 300, 5000])
@pytest.mark.parametrize("p", [0.01, 0.5, 0.9, 0.999])
def test_the_binomial_tail_is_scipys(n, p):
    for k in {0, 1, n // 3, n // 2, int(0.8 * n), n - 1, n}:
        assert binomial_tail(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-9, abs=1e-290)


def test_the_binomial_tail_has_its_ends():
    assert binomial_tail(-1, 10, 0.5) == 0.0
    assert binomial_tail(10, 10, 0.3) == pytest.approx(1.0)
    assert binomial_tail(10, 10, 0.3) <= 1.0


@pytest.mark.parametrize("n", [8, 24, 100, 2000])
def test_sigmas_of_a_root_mean_square_have_the_chi_square_tail(n):
    for tail, off in ((0.5, 0.05), (0.1, 0.05), (1e-2, 0.1), (1e-3, 0.2)):
        for quantile in (stats.chi2.isf(tail, n), stats.chi2.ppf(tail, n)):
            sigmas = chi_square_sigmas(n, np.sqrt(quantile / n))
            exact = stats.norm.isf(stats.chi2.sf(quantile, n))
            assert sigmas == pytest.approx(exact, abs=off)


def test_a_root_mean_square_of_nothing_has_no_sigma_above():
    assert chi_square_sigmas(20, 0.0) < -5.0
    assert abs(chi_square_sigmas(10**6, 1.0)) < 0.01


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0), (2.4999, 2), (2.5, 3), (3.5, 4), (-0.5, 0), (-0.6, -1)])
def test_halves_are_rounded_up(value, expected):
    assert whole(value) == expected


def test_the_findings_of_one_round_are_those_among_all():
    bought = [
        row for round in (1, 2, 3) for row in rows([3 * z for z in quantiles(24)], round=round, arm="acquisition")
    ]
    stages = [stage(round, coverage_90=0.9) for round in (1, 2, 3)]
    every = findings(bought, stages, UP)
    assert "had this finding too" in every[-1].message
    for round in (0, 1, 2, 3, 4):
        assert findings(bought, stages, UP, only=round) == of_round(every, round)


# Generators that nothing is bought of


def proposing(*counts: dict[str, float]) -> list[StageRow]:
    told = [{f"source/{source}": count for source, count in one.items()} for one in counts]
    made = [stage(round, "propose", **metrics) for round, metrics in enumerate(told, start=1)]
    return [*made, *[stage(round, "train_generator") for round in range(1, len(counts) + 1)]]


def bought(round: int, *sources: str) -> list[CandidateRow]:
    return [CandidateRow(f"m{round}{place}", round=round, source=source) for place, source in enumerate(sources)]


def test_a_generator_of_which_nothing_was_bought_in_two_rounds_is_told_with_its_cost():
    stages = proposing({"gflownet": 600, "genetic": 600}, {"gflownet": 500, "genetic": 700})
    (found,) = idle_sources([*bought(1, *["genetic"] * 4), *bought(2, "genetic")], stages, 2)
    assert (found.kind, found.level, found.round) == ("idle_source", Level.WARNING, 2)
    assert "Rounds 1 and 2: the generator 'gflownet' proposed 1100 candidates and none of the 5 chosen" in found.message
    assert "would do 3.6 % of the time" in found.message
    assert "all generators together took 4 s in these rounds" in found.message
    assert found.figures == {"proposed": 1100.0, "seconds": 4.0}


def test_a_generator_that_few_purchases_may_have_missed_by_chance_is_not_accused():
    stages = proposing({"flow_matching": 37, "genetic": 80}, {"flow_matching": 37, "genetic": 80})
    assert idle_sources([*bought(1, *["genetic"] * 3), *bought(2, *["genetic"] * 3)], stages, 2) == []


@pytest.mark.parametrize("round", [1, 2])
def test_a_purchase_in_either_round_is_enough(round):
    stages = proposing({"gflownet": 600, "genetic": 600}, {"gflownet": 600, "genetic": 600})
    rows = [*bought(1, *["genetic"] * 5), *bought(2, *["genetic"] * 5), *bought(round, "gflownet")]
    assert idle_sources(rows, stages, 2) == []


def test_one_round_is_too_little_and_so_is_a_generator_that_was_not_asked_twice():
    stages = proposing({"gflownet": 600, "genetic": 600}, {"genetic": 600})
    assert idle_sources(bought(1, *["genetic"] * 9), stages, 1) == []
    assert idle_sources([*bought(1, *["genetic"] * 5), *bought(2, *["genetic"] * 5)], stages, 2) == []


def test_the_only_generator_is_not_told_that_a_budget_was_spent():
    assert idle_sources([], proposing({"genetic": 600}, {"genetic": 600}), 2) == []


def test_it_stands_among_the_findings_of_its_round():
    stages = [stage(1), stage(2), *proposing({"gflownet": 9, "genetic": 9}, {"gflownet": 9, "genetic": 9})]
    rows_of_two = [*bought(1, *["genetic"] * 3), *bought(2, *["genetic"] * 3)]
    for found in (findings(rows_of_two, stages, UP), findings(rows_of_two, stages, UP, only=2)):
        assert [one.round for one in found if one.kind == "idle_source"] == [2]


# Several objectives


TWO = Goals([Goal("affinity"), Goal("toxicity", 0, at_most=0.8)])


def of_two(affinity: list[float], toxicity: list[float], round: int = 1) -> list[CandidateRow]:
    """Candidates whose measured values are so many predicted deviations above their predictions."""
    both = zip(rows(affinity, round=round), rows(toxicity, round=round), strict=True)
    return [
        one._replace(
            values={"affinity": one.value, "toxicity": other.value},
            predicted={
                "affinity": (one.predicted_mean, one.predicted_std),
                "toxicity": (other.predicted_mean, other.predicted_std),
            },
        )
        for one, other in both
    ]


def test_each_of_several_objectives_has_findings_that_name_it():
    shifted = [0.8 * z + 1.5 for z in quantiles(24)]
    promised = {"affinity/heldout_coverage_90": 0.9, "toxicity/heldout_coverage_90": 0.5, "toxicity/heldout_n": 40.0}
    found = findings(of_two(GOOD, shifted), [stage(1, **promised)], TWO)
    assert [(one.objective, one.kind, one.level) for one in found] == [
        ("affinity", "calibration_drift", Level.GOOD),
        ("toxicity", "calibration", Level.WARNING),
        ("toxicity", "calibration_drift", Level.WARNING),
    ]
    assert found[0].message.startswith("Objective affinity: acquisition arm, round 1: as promised")
    assert "held out 90 %" in found[0].message
    assert "Objective toxicity: round 1: 50 % of 40 held-out values" in found[1].message
    assert "promises too much" in found[2].message  # of what must not be large, more was measured than predicted


def test_a_finding_of_one_objective_is_no_second_of_another():
    both = of_two(SURE, GOOD, round=1) + of_two(GOOD, SURE, round=2)
    found = findings(both, [stage(1), stage(2)], TWO)
    assert not [one for one in found if "had this finding too" in one.message]
    again = findings(of_two(SURE, GOOD, round=1) + of_two(SURE, GOOD, round=2), [stage(1), stage(2)], TWO)
    assert [one.objective for one in again if "had this finding too" in one.message] == ["affinity"]


def test_where_neither_side_is_better_a_bias_is_told_as_one():
    found = drift([0.8 * z + 1.5 for z in quantiles(24)], goal=Goal("gap", target=2.0))
    assert "the proxy is off to one side for what it chooses" in found.message
