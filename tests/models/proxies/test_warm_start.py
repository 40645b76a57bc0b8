"""Models that go on from the last round: which of them do, and what they are told is new."""

import numpy as np
import torch

from models.proxies.evaluation import stable_folds
from models.proxies.mlp_ensemble import MlpEnsemble
from models.proxies.warm_start import Fitter, refits

MOLECULES = ["CCO", "CCN", "CCC", "CCCl", "CCF", "CCS", "CCBr", "CCCO"]
VALUES = np.array([0.1, 0.4, -0.3, 0.8, 0.5, 0.2, 0.9, -0.1])


def small(**options):
    return MlpEnsemble(members=2, width=8, depth=1, steps=60, refit_steps=20, batch=4, **options)


def predictions(fitter, n, name="all"):
    return fitter.fit(name, MOLECULES[:n], MOLECULES[:n], VALUES[:n]).predict(MOLECULES).mean


def through_a_file(state, path):
    torch.save(state, path)
    return torch.load(path, weights_only=True)


def replaying():
    return small(refit="replay")


def test_only_a_proxy_that_is_set_to_replay_goes_on():
    assert refits(small(refit="replay"))
    assert not refits(small(refit="scratch"))
    assert not refits(small())


def test_the_model_of_a_name_goes_on_from_its_last_round(tmp_path):
    first = Fitter(replaying, seed=3)
    predictions(first, 6)
    kept = through_a_file(first.state(), tmp_path / "models.pt")
    went_on = predictions(Fitter(replaying, seed=3, previous=kept), 8)
    by_hand = replaying()
    by_hand.refit(kept["models"]["all"]["state"], MOLECULES, VALUES, np.arange(8) >= 6, seed=3)
    np.testing.assert_array_equal(went_on, by_hand.predict(MOLECULES).mean)
    assert not np.allclose(went_on, predictions(Fitter(replaying, seed=3), 8))


def test_a_model_without_a_name_has_no_forerunner_and_no_successor():
    first = Fitter(replaying, seed=3)
    predictions(first, 6, name=None)
    assert first.state() == {"models": {}}
    second = Fitter(replaying, seed=3, previous=first.state())
    np.testing.assert_array_equal(predictions(second, 8, name=None), predictions(Fitter(replaying, seed=3), 8))


def test_a_model_of_another_name_starts_from_nothing():
    first = Fitter(replaying, seed=3)
    predictions(first, 6, name="scaffold 1")
    second = Fitter(replaying, seed=3, previous=first.state())
    np.testing.assert_array_equal(predictions(second, 8), predictions(Fitter(replaying, seed=3), 8))


def test_a_proxy_that_does_not_refit_is_trained_from_nothing_and_keeps_nothing():
    fitter = Fitter(small, seed=3)
    predictions(fitter, 6)
    assert fitter.state() == {"models": {}}


def test_a_label_that_was_corrected_counts_as_new():
    told = []

    class Spy(MlpEnsemble):
        kind = ""

        def refit(self, previous_state, molecules, values, new_mask, *, seed):
            told.append(new_mask.tolist())
            super().refit(previous_state, molecules, values, new_mask, seed=seed)

    def make():
        return Spy(members=2, width=8, depth=1, steps=10, refit_steps=5, batch=4, refit="replay")

    first = Fitter(make, seed=0)
    first.fit("all", MOLECULES[:7], MOLECULES[:7], VALUES[:7])
    corrected = VALUES.copy()
    corrected[2] = 0.0
    Fitter(make, seed=0, previous=first.state()).fit("all", MOLECULES, MOLECULES, corrected)
    assert told == [[False, False, True, False, False, False, False, True]]


def test_stable_folds_do_not_change_when_others_come_and_keep_groups_together():
    groups = [f"group {i % 40}" for i in range(100)]
    before, after = stable_folds(groups[:60], 5), stable_folds(groups, 5)
    assert after[:60] == before
    assert all(after[i] == after[i + 40] for i in range(60))
    assert set(after) == set(range(5))
