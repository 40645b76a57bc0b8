from __future__ import annotations

import numpy as np
import pytest

import models.featurisers.cache
from data.chemistry.descriptors import descriptors
from data.chemistry.molecules import morgan_counts
from models.featurisers.cache import FeatureCache

MOLECULES = ["CCO", "c1ccccc1", "N#Cc1ccc(C#N)cc1", "CC(=O)Nc1ccccc1"]


def test_features_are_the_descriptors_and_the_counts_of_the_data_layer() -> None:
    found = FeatureCache().features(MOLECULES)
    np.testing.assert_allclose(found.dense, descriptors(MOLECULES), rtol=1e-6)
    np.testing.assert_array_equal(found.counts, morgan_counts(MOLECULES))


def test_a_molecule_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    monkeypatch.setattr(models.featurisers.cache, "shared", lambda smiles: parsed.append(smiles) or _parse(smiles))
    cache = FeatureCache()
    cache.features(["CCO", "CCN", "CCO"])
    cache.features(["CCN", "CCO"])
    assert parsed == ["CCO", "CCN"]


_parse = models.featurisers.cache.shared


def test_what_is_remembered_equals_what_is_calculated_anew() -> None:
    cache = FeatureCache()
    first, again, fresh = cache.features(MOLECULES), cache.features(MOLECULES), FeatureCache().features(MOLECULES)
    for other in (again, fresh):
        np.testing.assert_array_equal(first.dense, other.dense)
        np.testing.assert_array_equal(first.counts, other.counts)


def test_the_cache_forgets_the_least_recently_used() -> None:
    cache = FeatureCache(capacity=2)
    cache.features(["CCO", "CCN"])
    cache.features(["CCO"])
    cache.features(["CCC"])
    assert len(cache) == 2
    assert set(cache._known) == {"CCO", "CCC"}


def test_a_text_that_is_no_molecule_is_named() -> None:
    with pytest.raises(ValueError, match="'not a molecule' is no valid SMILES"):
        FeatureCache().features(["CCO", "not a molecule"])
