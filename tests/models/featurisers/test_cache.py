from __future__ import annotations

import numpy as np
import pytest

import models.featurisers.cache
from data.chemistry.descriptors import descriptors
from data.chemistry.fingerprints import FINGERPRINTS
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
    two = FeatureCache()
    two.features(["CCO", "CCN"])
    cache = FeatureCache(capacity=two.bytes)
    cache.features(["CCO", "CCN"])
    assert len(cache) == 2
    cache.features(["CCO"])
    cache.features(["CCC"])
    assert len(cache) == 2
    assert "CCO" in cache
    assert "CCC" in cache


def test_the_cache_stays_below_its_bytes_whatever_is_asked_for() -> None:
    cache = FeatureCache(capacity=20_000)
    chains = ["C" * n + "O" for n in range(1, 40)]
    for fingerprints in (("morgan",), tuple(FINGERPRINTS)):
        for smiles in (*chains, *reversed(chains)):
            cache.features([smiles], descriptors=False, fingerprints=fingerprints)
            assert cache.bytes <= 20_000
    assert 5 < len(cache) < len(chains)
    everything = FeatureCache()
    for smiles in chains:
        np.testing.assert_array_equal(cache.features([smiles]).counts, everything.features([smiles]).counts)


def test_features_that_are_added_to_a_molecule_count_once() -> None:
    little_by_little, at_once = FeatureCache(), FeatureCache()
    little_by_little.features(["CCO"], descriptors=False)
    little_by_little.features(["CCO"], fingerprints=tuple(FINGERPRINTS))
    at_once.features(["CCO"], fingerprints=tuple(FINGERPRINTS))
    assert little_by_little.bytes == at_once.bytes


def test_one_molecule_is_remembered_however_little_there_is_room_for() -> None:
    cache = FeatureCache(capacity=1)
    cache.features(MOLECULES)
    assert len(cache) == 1


def test_a_text_that_is_no_molecule_is_named() -> None:
    with pytest.raises(ValueError, match="'not a molecule' is no valid SMILES"):
        FeatureCache().features(["CCO", "not a molecule"])
