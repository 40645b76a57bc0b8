"""A posterior over graphs as the proxies of a campaign that observes."""

from __future__ import annotations

import random
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from models.acquisition.base import about_round, built
from models.proxies.calibration import calibrated
from models.proxies.causal_graphs import CausalGraphs
from models.registry import ComponentError, build
from models.row_protocols import InformingProxy, RowProxy
from models.spaces.interventions import Interventions

FOLDER = Path(__file__).resolve().parents[3] / "campaigns" / "interventions"
_SPEC = spec_from_file_location("simulated_plant", FOLDER / "simulated_plant.py")
plant = module_from_spec(_SPEC)
_SPEC.loader.exec_module(plant)
OBSERVED = FOLDER / "observed.csv"
SPACE = Interventions(data=OBSERVED)
NAMES = SPACE.variables
EXPERIMENTS = list(SPACE.random(24, 0))


def answers(objects: list[str]) -> np.ndarray:
    rows = plant.measure([SPACE.value(obj) for obj in objects])
    return np.array([[row[name] for name in NAMES] for row in rows])


def fitted(target: str = "rate", rows: np.ndarray | None = None) -> CausalGraphs:
    proxy = build("proxy", {"kind": "causal_graphs", "features": SPACE.features})
    proxy.fit_rows(EXPERIMENTS, answers(EXPERIMENTS) if rows is None else rows, NAMES, target, seed=1)
    return proxy


def test_it_finds_the_graph_of_the_plant_after_some_experiments() -> None:
    belief = fitted().belief()
    truth = {(cause, target) for cause, target in plant.ACTS}
    assert {(a, b) for a, b, p, _ in belief.edges() if p > 0.9} == truth
    assert belief.metrics["likely_edges"] == len(truth)
    assert belief.metrics["drawn_edges_error"] < 0.02
    assert belief.entropy > 0


def test_it_predicts_what_a_setting_does_downstream_and_not_upstream() -> None:
    low, high = fitted("rate").predict(["temperature=74", "temperature=86"]).mean
    assert high > low
    np.testing.assert_allclose(fitted("feed").predict(["temperature=74", "temperature=86"]).mean, 12.0, atol=0.5)
    held = fitted("temperature").predict(["temperature=74"])
    assert held.mean[0] == pytest.approx(74.0)
    assert 0 < held.std[0] < 0.1


def test_rows_with_a_gap_are_left_out_and_the_order_of_columns_does_not_matter() -> None:
    rows = answers(EXPERIMENTS)
    gaps = rows.copy()
    gaps[3:, 0] = np.nan
    assert fitted(rows=gaps).belief().entropy > fitted(rows=rows).belief().entropy
    turned = build("proxy", {"kind": "causal_graphs", "features": SPACE.features})
    turned.fit_rows(EXPERIMENTS, rows[:, ::-1], NAMES[::-1], "rate", seed=1)
    np.testing.assert_array_equal(turned.predict(["feed=10"]).mean, fitted().predict(["feed=10"]).mean)


def test_state_and_configuration_restore_predictions_and_information() -> None:
    proxy = fitted()
    again = build("proxy", proxy.config())
    again.load_state(proxy.state())
    np.testing.assert_array_equal(again.predict(EXPERIMENTS).mean, proxy.predict(EXPERIMENTS).mean)
    np.testing.assert_array_equal(again.information(EXPERIMENTS), proxy.information(EXPERIMENTS))
    with pytest.raises(ValueError, match="state of a causal_graphs lacks"):
        again.load_state({})


def test_the_acquisition_asks_the_proxy_within_what_wraps_it() -> None:
    proxy = fitted()
    assert isinstance(proxy, RowProxy)
    assert isinstance(proxy, InformingProxy)
    acquisition = built({"kind": "expected_information_gain"})
    about = about_round(
        acquisition, (calibrated(proxy),), EXPERIMENTS, answers(EXPERIMENTS)[:, :1], seed=0, space=SPACE
    )
    scores = acquisition.score((proxy.predict(EXPERIMENTS),), about)
    np.testing.assert_array_equal(scores, proxy.information(EXPERIMENTS))
    forest = build("proxy", {"kind": "random_forest", "features": SPACE.features})
    forest.fit(EXPERIMENTS, answers(EXPERIMENTS)[:, 0], seed=0)
    blind = about_round(acquisition, (forest,), EXPERIMENTS, answers(EXPERIMENTS)[:, :1], seed=0, space=SPACE)
    with pytest.raises(ValueError, match="needs a proxy that knows what an answer would tell"):
        acquisition.score((), blind)


def test_what_it_cannot_learn_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="goal observe"):
        fitted().fit(EXPERIMENTS, np.zeros(24), seed=0)
    with pytest.raises(ComponentError, match=r"to be the variables of observed\.csv"):
        fitted().fit_rows(EXPERIMENTS, np.zeros((24, 2)), ["feed", "flow"], "feed", seed=0)
    with pytest.raises(ComponentError, match="learns of experiments on a system"):
        CausalGraphs().fit_rows(EXPERIMENTS, np.zeros((24, 2)), ["feed", "flow"], "feed", seed=0)
    wide = tmp_path / "wide.csv"
    chance = random.Random(0)
    wide.write_text(
        "\n".join([",".join("abcdefghij"), *(",".join(str(chance.random()) for _ in range(10)) for _ in "12")])
    )
    many = Interventions(data=wide)
    with pytest.raises(ComponentError, match=r"up to 9 variables; wide\.csv has 10"):
        build("proxy", {"kind": "causal_graphs", "features": many.features}).check_space(many)
