"""What every registered selector must do, whatever distances are taken in."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.records import Prediction
from models.protocols import Pool, Selector
from models.registry import ComponentError, build, kinds
from tests.models.selectors.pools import complete, from_matrix, permuted, with_another

KINDS = [kind for kind, cls in kinds("selector").items() if not cls.__module__.startswith("tests")]


def variants():
    """Every kind with its default options, and once for each sort of coordinates that it takes."""
    for kind in KINDS:
        yield {"kind": kind}
        for features in ("descriptors", "posterior"):
            try:
                build("selector", {"kind": kind, "features": features})
            except ComponentError:
                continue
            yield {"kind": kind, "features": features}


VARIANTS = list(variants())
every = pytest.mark.parametrize("config", VARIANTS, ids=lambda config: "-".join(config.values()))
seeds = st.integers(0, 2**32 - 1)


def pool_for(config, seed, m, **options):
    return complete(seed, m, features=config.get("features", "fingerprints"), **options)


OF_SEVERAL = [one for one in VARIANTS if not build("selector", one).of_one_objective]


def several(pool, seed):
    """Return the pool with a second objective to improve and a third that has limits only, after two measurements."""
    pool = with_another(with_another(pool, seed), seed + 1)
    measured = np.random.default_rng(seed).normal(size=(2, 3))
    limits = ((-np.inf, np.inf), (-np.inf, np.inf), (-0.5, 1.0))
    return replace(
        pool, about=replace(pool.about, predicted_best=None, measured=measured, limits=limits, improved=(0, 1))
    )


def select(config, pool, n):
    return build("selector", config).select(pool, n)


@every
@given(
    seed=seeds,
    m=st.integers(0, 12),
    n=st.integers(-1, 15),
    measured=st.integers(0, 4),
    ties=st.booleans(),
    forbidden=st.sets(st.integers(0, 11)),
    best=st.none() | st.floats(-2, 2),
)
@settings(max_examples=15, deadline=None)
def test_a_batch_has_distinct_members_none_of_them_forbidden_and_as_many_as_there_are(
    config, seed, m, n, measured, ties, forbidden, best
):
    pool = pool_for(config, seed, m, measured=measured, ties=ties, best=best)
    pool.scores[[i for i in forbidden if i < m]] = -np.inf
    allowed = set(range(m)) - forbidden
    chosen = select(config, pool, n)
    assert len(chosen) == len(set(chosen)) == max(0, min(n, len(allowed)))
    assert set(chosen) <= allowed
    assert all(type(i) is int for i in chosen)


@every
def test_it_is_a_selector_and_keeps_its_configuration(config):
    selector = build("selector", config)
    assert isinstance(selector, Selector)
    again = build("selector", json.loads(json.dumps(selector.config())))
    assert again.config() == selector.config()
    pool = pool_for(config, 3, 15)
    assert again.select(pool, 6) == selector.select(pool, 6)


@every
def test_a_score_that_is_no_number_is_refused(config):
    pool = pool_for(config, 0, 4)
    pool.scores[[1, 3]] = np.nan
    with pytest.raises(ValueError, match=r"2 of 4 are NaN or infinite, the first at index 1\. Look at"):
        select(config, pool, 1)


@every
@given(seed=seeds)
@settings(max_examples=3, deadline=None)
def test_the_same_pool_gives_the_same_batch_and_stays_as_it_was(config, seed):
    selector, pool = build("selector", config), pool_for(config, seed, 12)
    before = [part.copy() for part in (pool.scores, pool.features, pool.fingerprints, pool.train_features)]
    np.random.seed(5)  # noqa: NPY002  # a selector that draws must not draw from here
    first = selector.select(pool, 5)
    np.random.seed(6)  # noqa: NPY002
    assert selector.select(pool, 5) == select(config, pool, 5) == first
    for part, old in zip((pool.scores, pool.features, pool.fingerprints, pool.train_features), before, strict=True):
        np.testing.assert_array_equal(part, old)


@pytest.mark.parametrize("config", OF_SEVERAL, ids=lambda config: "-".join(config.values()))
@given(seed=seeds, m=st.integers(0, 12), n=st.integers(0, 14))
@settings(max_examples=10, deadline=None)
def test_of_several_objectives_and_under_limits_it_chooses_too_in_any_order(config, seed, m, n):
    pool = several(pool_for(config, seed, m), seed)
    chosen = select(config, pool, n)
    assert len(chosen) == len(set(chosen)) == min(n, m)
    order = np.random.default_rng(seed + 1).permutation(m)
    assert [int(order[i]) for i in select(config, permuted(pool, order), n)] == chosen


@every
@given(seed=seeds, measured=st.sampled_from([0, 3]))
@settings(max_examples=6, deadline=None)
def test_the_order_of_the_pool_does_not_matter(config, seed, measured):
    """Also for those that draw: the draw is over the members in order of score, so the seed gives the same ones."""
    pool = pool_for(config, seed, 12, measured=measured)
    order = np.random.default_rng(seed + 1).permutation(len(pool))
    chosen = select(config, permuted(pool, order), 5)
    assert [int(order[i]) for i in chosen] == select(config, pool, 5)


@every
def test_no_batch_no_pool_and_no_allowed_candidate_give_nothing(config):
    assert select(config, pool_for(config, 1, 6), 0) == []
    assert select(config, pool_for(config, 1, 0), 3) == []
    nobody = pool_for(config, 1, 6)
    nobody.scores[:] = -np.inf
    assert select(config, nobody, 3) == []


@every
@pytest.mark.parametrize("measured", [0, 3])
def test_copies_of_one_molecule_are_chosen_without_a_stumble(config, measured):
    pool = permuted(pool_for(config, 2, 2, measured=measured), [0, 1, 0, 0, 1, 0])
    assert sorted(select(config, pool, 6)) == list(range(6))
    assert len(set(select(config, pool, 4))) == 4


@every
def test_a_copy_of_what_was_measured_is_chosen_without_a_stumble(config):
    pool = pool_for(config, 2, 5)
    known = pool.fingerprints if config.get("features", "fingerprints") == "fingerprints" else pool.features
    assert sorted(select(config, replace(pool, train_features=known), 5)) == list(range(5))


@pytest.mark.parametrize("config", [one for one in VARIANTS if "pool" in build("selector", one).config()], ids=str)
def test_only_the_best_scores_are_chosen_from(config):
    pool = pool_for(config, 4, 30)
    best = set(np.argsort(-pool.scores)[:8].tolist())
    small = {**config, "pool": 8}
    assert set(select(small, pool, 3)) < best
    assert set(select(small, pool, 8)) == best
    # A batch as large as that is never cut short by it.
    assert len(select(small, pool, 12)) == 12
    assert len(select({**config, "pool": None}, pool, 30)) == 30


@every
def test_a_pool_that_lacks_what_is_needed_is_refused_with_a_sentence(config):
    bare = Pool(scores=np.array([1.0, 3.0, 2.0]))
    if config == {"kind": "top_k"}:
        assert select(config, bare, 2) == [1, 2]
        return
    with pytest.raises(
        ValueError, match=rf"The selector '{config['kind']}' needs a pool with .*; this pool has none\."
    ):
        select(config, bare, 2)


def those_in_coordinates():
    """Every kind that takes distances in coordinates, with each part that it reads them from."""
    for kind in [one["kind"] for one in VARIANTS if one.get("features") == "descriptors"]:
        config = {"kind": kind, "features": "descriptors"}
        yield config, "features"
        if "train" in build("selector", config).config():
            config["train"] = True
        if build("selector", config).wants_train:
            yield config, "train_features"


COORDINATES = list(those_in_coordinates())


@pytest.mark.parametrize(("config", "part"), COORDINATES, ids=str)
def test_coordinates_that_are_not_finite_are_refused(config, part):
    pool = pool_for(config, 0, 5)
    getattr(pool, part)[2, 1] = np.inf
    with pytest.raises(ValueError, match="must be finite"):
        select(config, pool, 2)


@pytest.mark.parametrize("config", [one for one, part in COORDINATES if part == "train_features"], ids=str)
def test_coordinates_of_two_widths_are_refused(config):
    pool = pool_for(config, 0, 5)
    with pytest.raises(ValueError, match="features of one width; got 3 and 2"):
        select(config, replace(pool, train_features=pool.train_features[:, :2]), 2)


@pytest.mark.parametrize("config", [one for one in VARIANTS if build("selector", one).wants_joint], ids=str)
@pytest.mark.parametrize("part", ["mean", "covariance"])
def test_a_joint_posterior_that_is_not_finite_is_refused(config, part):
    mean, covariance = np.zeros(3), np.eye(3)
    (mean if part == "mean" else covariance)[1] = np.nan
    pool = replace(pool_for(config, 0, 3), joints=(from_matrix(mean, covariance),))
    with pytest.raises(ValueError, match="joint posterior of 3 candidates is not finite"):
        select(config, pool, 2)


def test_a_pool_has_one_of_each_per_score():
    with pytest.raises(ValueError, match="2 fingerprints and 3 scores"):
        Pool(scores=np.zeros(3), fingerprints=np.zeros((2, 4), dtype=np.int32))
    with pytest.raises(ValueError, match="4 predictions of objective 1 and 3 scores"):
        Pool(scores=np.zeros(3), predictions=(Prediction(np.zeros(3), np.ones(3)), Prediction(np.zeros(4), np.ones(4))))
