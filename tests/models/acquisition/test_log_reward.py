"""The log-reward: the acquisition in standard deviations of what was measured, a floor for what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from rdkit import Chem
from scipy.stats import norm

from data.records import FloatArray, Prediction
from models.acquisition.base import about_round, fewest_objectives, within_a_pool
from models.acquisition.log_reward import LIMIT, AcquisitionReward, first_refusal
from models.protocols import Scoring
from models.registry import build, kinds

MEASURED = np.array([1.0, 2.0, 3.0, 6.0])
CENTRE, SPREAD = MEASURED.mean(), MEASURED.std()
CHAINS = ["C" * n for n in range(1, 13)]


class ByLength:
    """Predicts a multiple of the number of atoms, and remembers who was asked for."""

    def __init__(self, slope: float = 1.0, std: float = 0.5) -> None:
        self.slope, self.std = slope, std
        self.asked: list[list[str]] = []

    def fit(self, molecules: Sequence[str], values: FloatArray, *, seed: int) -> None:
        raise NotImplementedError

    def predict(self, molecules: Sequence[str]) -> Prediction:
        self.asked.append(list(molecules))
        mean = [self.slope * Chem.MolFromSmiles(smiles).GetNumAtoms() for smiles in molecules]
        return Prediction(np.array(mean, dtype=np.float64), np.full(len(mean), self.std))

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: Any) -> None:
        pass


WIDE = ByLength(1.0, 2.0)
"""So unsure that no improvement is out of reach and no reward is clipped."""


class NotLonger:
    """Refuses chains of more than n atoms."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.asked: list[str] = []

    def refuse(self, molecules: Sequence[str]) -> list[str | None]:
        self.asked += molecules
        return [f"longer than {self.n}" if len(smiles) > self.n else None for smiles in molecules]


def reward(
    acquisition: dict[str, Any] | None = None,
    *,
    proxy: Any = None,
    screens: Sequence[Any] = (),
    measured: FloatArray = MEASURED,
    b: float = 1.0,
    **options: Any,
) -> AcquisitionReward:
    return AcquisitionReward(
        (proxy or ByLength(),),
        build("acquisition", acquisition or {"kind": "mean"}),
        screens,
        measured[:, None],
        inverse_temperature=b,
        **options,
    )


# Scale


@pytest.mark.parametrize("b", [0.5, 1.0, 4.0])
def test_it_is_the_score_in_deviations_of_what_was_measured_times_the_inverse_temperature(b: float) -> None:
    found = reward(b=b)(CHAINS[:6])
    np.testing.assert_allclose(found, b * (np.arange(1.0, 7.0) - CENTRE) / SPREAD, atol=1e-6)


def test_the_average_measured_molecule_has_zero() -> None:
    assert reward()(["CCC"])[0] == pytest.approx(0.0, abs=1e-6)
    assert reward().of_values(np.array([[CENTRE]]))[0] == pytest.approx(0.0)


@pytest.mark.parametrize("acquisition", ["mean", "upper_confidence_bound", "expected_improvement"])
def test_the_unit_of_the_target_does_not_matter(acquisition: str) -> None:
    plain = reward({"kind": acquisition}, b=2.0)
    other = reward({"kind": acquisition}, proxy=ByLength(250.0, 125.0), measured=250.0 * MEASURED, b=2.0)
    np.testing.assert_allclose(other(CHAINS), plain(CHAINS), atol=1e-5)


def test_measured_values_are_rewarded_by_themselves_whatever_the_acquisition() -> None:
    for acquisition in ("mean", "upper_confidence_bound", "expected_improvement"):
        found = reward({"kind": acquisition}, b=3.0).of_values(MEASURED[:, None])
        np.testing.assert_allclose(found, 3.0 * (MEASURED - CENTRE) / SPREAD)
        assert found.mean() == pytest.approx(0.0)
        assert found.std() == pytest.approx(3.0)


def test_no_prediction_is_rewarded_without_bound() -> None:
    wild = reward(proxy=ByLength(1e9))
    assert wild(CHAINS).max() == LIMIT
    assert wild.of_values(np.array([[1e12]]))[0] == LIMIT
    bad = reward(proxy=ByLength(-1e9), b=2.0)
    np.testing.assert_array_equal(bad(CHAINS), -8.0)
    assert bad.of_values(np.array([[-1e12]]))[0] == bad.floor == -8.0


@pytest.mark.parametrize("measured", [np.array([2.0]), np.array([2.0, 2.0, 2.0])])
def test_measurements_that_do_not_differ_give_finite_rewards(measured: FloatArray) -> None:
    for acquisition in ("mean", "expected_improvement"):
        found = reward({"kind": acquisition}, measured=measured)
        assert np.isfinite(found(CHAINS)).all()
        assert np.isfinite(found.of_values(measured[:, None])).all()
        assert found(["CCC"])[0] > found(["C"])[0]


# Logarithmic acquisitions


@pytest.mark.parametrize("b", [1.0, 3.0])
def test_a_logarithm_is_taken_as_it_is_above_that_of_an_average_molecule(b: float) -> None:
    acquisition = build("acquisition", {"kind": "expected_improvement"})
    score, average = (
        acquisition.score((prediction,), Scoring(measured=MEASURED[:, None]))
        for prediction in (WIDE.predict(CHAINS[:8]), Prediction(np.array([CENTRE]), np.array([SPREAD])))
    )
    found = reward({"kind": "expected_improvement"}, proxy=WIDE, b=b)
    np.testing.assert_allclose(found(CHAINS[:8]), np.clip(b * (score - average), found.floor, LIMIT), atol=1e-6)
    assert (found(CHAINS[:8]) > found.floor).sum() > 3


def test_a_logarithm_and_its_plain_form_order_molecules_alike() -> None:
    logarithm, plain = (
        reward({"kind": "expected_improvement", "scale": scale}, proxy=WIDE)(CHAINS[2:9]) for scale in ("log", "plain")
    )
    np.testing.assert_array_equal(np.argsort(logarithm), np.argsort(plain))
    assert (np.diff(logarithm) > 0).all()


def test_a_molecule_predicted_as_the_average_of_the_measured_has_zero_under_a_logarithm() -> None:
    proxy = ByLength(1.0, float(SPREAD))
    assert reward({"kind": "expected_improvement"}, proxy=proxy)(["CCC"])[0] == pytest.approx(0.0, abs=1e-6)


def test_a_logarithm_that_reads_the_molecules_is_centred_on_the_measured_ones() -> None:
    measured = ["CC", "CCCC", "CCCCCC", "CCCCCCCC"]
    about = Scoring(tuple(measured), measured=MEASURED[:, None])
    found = reward({"kind": "cost_aware"}, proxy=WIDE, about=about)
    plain = reward({"kind": "expected_improvement"}, proxy=WIDE, about=about)
    # log cost is 3 log(atoms / 10); what is common to the measured molecules is taken off.
    atoms = np.arange(4.0, 9.0)
    expected = -3.0 * np.log(atoms / 10.0) + 3.0 * np.log(np.array([2.0, 4.0, 6.0, 8.0]) / 10.0).mean()
    molecules = CHAINS[3:8]
    np.testing.assert_allclose(found(molecules) - plain(molecules), expected, atol=1e-5)


# Acquisitions that need to know more, or a pool


def test_what_the_round_knows_is_given_with_the_molecules_asked_for() -> None:
    about = Scoring(("CC", "CCC"), 5, MEASURED[:2, None])
    found = reward({"kind": "thompson_sampling"}, about=about)
    one_by_one = np.array([reward({"kind": "thompson_sampling"}, about=about)([smiles])[0] for smiles in CHAINS])
    np.testing.assert_allclose(found(CHAINS), one_by_one, atol=1e-6)
    other = reward({"kind": "thompson_sampling"}, about=Scoring(("CC",), 6, MEASURED[:1, None]))
    assert np.abs(other(CHAINS) - found(CHAINS)).max() > 0.01


@pytest.mark.parametrize(
    "kind", [kind for kind, cls in kinds("acquisition").items() if cls.__module__.startswith("models.")]
)
def test_every_acquisition_of_one_target_rewards_or_is_refused(kind: str) -> None:
    acquisition = build("acquisition", {"kind": kind})
    if fewest_objectives(acquisition) != 1:
        return
    about = about_round(acquisition, (ByLength(),), CHAINS[:4], MEASURED[:, None], seed=0)
    found = reward({"kind": kind}, about=about)(CHAINS)
    assert found.shape == (12,)
    assert np.isfinite(found).all()
    assert np.ptp(found) > 0
    assert ((found >= -6.0) & (found <= LIMIT)).all()


def test_an_acquisition_that_ranks_a_pool_is_refused_by_name() -> None:
    relative = [kind for kind in kinds("acquisition") if within_a_pool(build("acquisition", {"kind": kind}))]
    assert "pareto_rank" in relative
    for kind in relative:
        with pytest.raises(ValueError, match=f"acquisition '{kind}' ranks the members of a pool.*Use another one"):
            reward({"kind": kind})


def test_its_variant_that_compares_with_what_was_measured_is_not_refused() -> None:
    assert reward({"kind": "pareto_rank", "among": "measured"}).floor == -6.0


def test_a_strangers_acquisition_that_ranks_a_pool_is_refused_by_its_class() -> None:
    class Strange:
        relative = True

        def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
            return predicted[0].mean

    with pytest.raises(ValueError, match="acquisition 'Strange' ranks"):
        AcquisitionReward((ByLength(),), Strange(), [], MEASURED[:, None], inverse_temperature=1.0)


# Several objectives and limits

INF = float("inf")
FREE = (-INF, INF)


class ByOrder(ByLength):
    """Predicts a number less the number of atoms."""

    def predict(self, molecules: Sequence[str]) -> Prediction:
        return Prediction(10.0 - super().predict(molecules).mean, np.full(len(molecules), self.std))


def reward_of_two(acquisition: dict[str, Any], measured: FloatArray, b: float = 1.0, **about: Any) -> AcquisitionReward:
    return AcquisitionReward(
        (WIDE, ByOrder(1.0, 1.0)),
        build("acquisition", acquisition),
        [],
        measured,
        inverse_temperature=b,
        about=Scoring(measured=measured, **about),
    )


TWO = np.column_stack([MEASURED, [9.0, 3.0, 7.0, 4.0]])


def test_scores_of_several_objectives_in_a_unit_are_scaled_by_those_of_what_was_measured() -> None:
    acquisition = build("acquisition", {"kind": "weighted_sum"})
    certain = ((TWO - TWO.min(0)) / np.ptp(TWO, axis=0)).mean(1)
    predicted = WIDE.predict(CHAINS), ByOrder(1.0, 1.0).predict(CHAINS)
    score = acquisition.score(predicted, Scoring(measured=TWO))
    found = reward_of_two({"kind": "weighted_sum"}, TWO, 2.0)(CHAINS)
    np.testing.assert_allclose(found, 2.0 * (score - certain.mean()) / certain.std(), atol=1e-6)


def test_a_logarithm_of_several_is_above_that_of_an_average_molecule() -> None:
    acquisition = build("acquisition", {"kind": "expected_hypervolume_improvement"})
    average = tuple(Prediction(np.array([column.mean()]), np.array([column.std()])) for column in TWO.T)
    predicted = WIDE.predict(CHAINS), ByOrder(1.0, 1.0).predict(CHAINS)
    score, centre = (acquisition.score(one, Scoring(measured=TWO)) for one in (predicted, average))
    found = reward_of_two({"kind": "expected_hypervolume_improvement"}, TWO, 1.5)(CHAINS)
    np.testing.assert_allclose(found, np.clip(1.5 * (score - centre), -7.0, LIMIT), atol=1e-6)
    assert (found > -7.0).sum() > 5


@pytest.mark.parametrize("inner", ["upper_confidence_bound", "expected_improvement"])
def test_under_a_limit_the_reward_falls_by_the_inverse_temperature_for_each_factor_of_e(inner: str) -> None:
    limits = (FREE, (4.0, INF))
    found = reward_of_two({"kind": "constrained", "inner": {"kind": inner}}, TWO, 1.5, limits=limits, improved=(0,))
    free = AcquisitionReward(
        (WIDE,),
        build("acquisition", {"kind": inner}),
        [],
        TWO[[0, 2, 3], :1] if inner == "expected_improvement" else MEASURED[:, None],
        inverse_temperature=1.5,
    )
    chance = np.array([norm.logcdf(6.0 - n) for n in range(1, 8)])
    difference = found(CHAINS[:7]) - free(CHAINS[:7])
    if inner == "expected_improvement":  # the averages differ by one number, since what breaks the limit counts there
        difference, chance = difference - difference[0], chance - chance[0]
    np.testing.assert_allclose(difference, 1.5 * chance, atol=3e-6)


def test_a_limit_far_from_what_was_measured_leaves_an_order_among_what_keeps_to_it() -> None:
    measured = np.column_stack([MEASURED, [-90.0, -91.0, -92.0, 6.0]])
    spec = {"kind": "constrained", "inner": {"kind": "expected_improvement"}}
    found = reward_of_two(spec, measured, 3.0, limits=(FREE, (0.0, INF)), improved=(0,))(CHAINS[:7])
    assert (np.diff(found) > 0).all()
    assert found.max() < LIMIT


@pytest.mark.parametrize("inner", ["upper_confidence_bound", "expected_improvement"])
def test_before_anything_is_feasible_the_chance_of_it_is_rewarded(inner: str) -> None:
    limits = (FREE, (9.5, INF))
    spec = {"kind": "constrained", "inner": {"kind": inner}}
    found = reward_of_two(spec, TWO[1:], 1.0, limits=limits, improved=(0,))(CHAINS[:4])
    assert (np.diff(found) < 0).all()  # the shorter the better: nothing else counts
    assert found[0] > 0


def test_measured_molecules_are_rewarded_by_their_standing() -> None:
    limits = (FREE, (4.0, INF))
    found = reward_of_two({"kind": "constrained"}, TWO, 2.0, limits=limits, improved=(0,))
    known = found.of_values(TWO)
    np.testing.assert_allclose(known[[0, 2, 3]], 2.0 * (MEASURED[[0, 2, 3]] - CENTRE) / SPREAD)
    assert known[1] < known[[0, 2, 3]].min()
    assert np.argsort(-found.standing(TWO)).tolist() == [3, 2, 0, 1]


# Utilities of several objectives


def test_objects_are_predicted_and_counted_once_for_reward_and_utilities() -> None:
    first, second = ByLength(1.0, 2.0), ByOrder(1.0, 1.0)
    acquisition = build("acquisition", {"kind": "expected_hypervolume_improvement"})
    found = AcquisitionReward((first, second), acquisition, [NotLonger(4)], TWO, inverse_temperature=2.0)
    utilities = found.utilities(TWO)
    logs = utilities.of(CHAINS)
    plain = reward_of_two({"kind": "expected_hypervolume_improvement"}, TWO, 2.0)
    np.testing.assert_array_equal(found(CHAINS)[:4], plain(CHAINS[:4]))
    np.testing.assert_array_equal(found(CHAINS)[4:], found.floor)
    np.testing.assert_array_equal(utilities.of(CHAINS[::-1]), logs[::-1])
    assert first.asked == second.asked == [CHAINS[:4]]
    assert (found.met, sum(found.refused_by.values())) == (12, 8)
    np.testing.assert_allclose(logs[4:], np.log(0.1), atol=1e-6)  # refused: as bad as can be in each objective


def test_utilities_of_known_objects_come_from_what_was_measured() -> None:
    found = reward_of_two({"kind": "weighted_sum"}, TWO, 2.0)
    utilities = found.utilities(TWO[[3, 0]])
    assert utilities.objectives == 2
    np.testing.assert_allclose(utilities.known[:, 0], np.log([1.0, 0.1]), atol=1e-6)


# Screens


@pytest.mark.parametrize("b", [1.0, 5.0])
def test_what_a_screen_refuses_has_the_floor_and_is_not_predicted(b: float) -> None:
    proxy = ByLength()
    found = reward(proxy=proxy, screens=[NotLonger(4)], b=b)(CHAINS)
    np.testing.assert_array_equal(found[4:], -2.0 * b - 4.0)
    assert proxy.asked == [CHAINS[:4]]
    assert (found[:4] > found[4:].max()).all()


def test_a_proxy_is_not_asked_where_everything_is_refused() -> None:
    proxy = ByLength()
    np.testing.assert_array_equal(reward(proxy=proxy, screens=[NotLonger(0)])(CHAINS), -6.0)
    assert proxy.asked == []


def test_the_first_screen_that_refuses_gives_the_reason_and_spares_the_others() -> None:
    first, second = NotLonger(5), NotLonger(3)
    assert first_refusal([first, second], CHAINS[:7]) == [None] * 3 + ["longer than 3"] * 2 + ["longer than 5"] * 2
    assert second.asked == CHAINS[:5]
    assert first_refusal([], CHAINS[:2]) == [None, None]
    assert first_refusal([first], []) == []


# Repeats


def test_a_molecule_is_predicted_once_and_keeps_its_reward() -> None:
    proxy = ByLength()
    found = reward(proxy=proxy)
    np.testing.assert_array_equal(found(["CC", "CCC", "CC"]), found(["CC", "CCC"])[[0, 1, 0]])
    found(["CCC", "CCCC"])
    assert proxy.asked == [["CC", "CCC"], ["CCCC"]]


def test_the_cache_is_bounded_and_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.acquisition.log_reward.CACHE_SIZE", 4)
    proxy = ByLength()
    found = reward(proxy=proxy)
    first = found(CHAINS[:4])
    mixed = found([CHAINS[0], *CHAINS[4:7]])
    assert mixed[0] == first[0]
    np.testing.assert_array_equal(found(CHAINS), reward()(CHAINS))
    assert len(proxy.asked) > 2


def test_no_molecule_has_no_reward() -> None:
    assert reward()([]).shape == (0,)
