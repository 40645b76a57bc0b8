"""IPEA1-xTB: rank against measured electron affinities, signs, units, failures, identity of the values."""

import sys

import numpy as np
import pytest
from scipy.stats import spearmanr

from models.oracles.xtb import _load
from models.registry import ComponentError, build

# Measured electron affinities in eV, from the literature; adiabatic and vertical mixed, hence for their rank only.
AFFINITIES = {
    "C=C": -1.78,
    "c1ccccc1": -1.12,
    "c1ccncc1": -0.62,
    "c1ccc2ccccc2c1": -0.20,
    "O=Cc1ccccc1": 0.35,
    "c1ccc2cc3ccccc3cc2c1": 0.53,
    "O=[N+]([O-])c1ccccc1": 1.00,
    "N#C/C=C/C#N": 1.25,
    "c1ccc2nc3ccccc3nc2c1": 1.3,
    "O=C1C=CC(=O)O1": 1.44,
    "O=C1c2ccccc2C(=O)c2ccccc21": 1.59,
    "O=C1C=CC(=O)C=C1": 1.91,
    "O=[N+]([O-])c1ccc([N+](=O)[O-])cc1": 2.00,
    "N#CC(C#N)=C(C#N)C#N": 3.17,
}


def measure(molecules, **options):
    oracle = build("oracle", {"kind": "xtb", **options})
    return list(oracle.evaluate(molecules, keys=molecules))


def value(smiles, **options):
    (measurement,) = measure([smiles], **options)
    assert measurement.error is None, measurement.message
    return measurement.value


def test_electron_affinities_rank_as_measured_ones_do():
    computed = [measurement.value for measurement in measure(list(AFFINITIES))]
    assert spearmanr(computed, list(AFFINITIES.values())).statistic >= 0.95
    assert np.argmax(computed) == list(AFFINITIES).index("N#CC(C#N)=C(C#N)C#N")


def test_the_scale_is_that_of_experiment():
    computed = np.array([measurement.value for measurement in measure(list(AFFINITIES))])
    assert np.abs(computed - list(AFFINITIES.values())).mean() < 0.5  # without the shift it would be near 4.8 eV


def test_ionization_potentials_are_near_experiment():
    # Photoelectron spectra: benzene 9.24 eV, naphthalene 8.14 eV, water 12.6 eV.
    for smiles, measured in [("c1ccccc1", 9.24), ("c1ccc2ccccc2c1", 8.14), ("O", 12.6)]:
        assert value(smiles, property="ionization_potential") == pytest.approx(measured, abs=1.3)


def test_the_gap_shrinks_along_the_acenes():
    gaps = [value(smiles, property="gap") for smiles in ("c1ccccc1", "c1ccc2ccccc2c1", "c1ccc2cc3ccccc3cc2c1")]
    assert gaps[0] > gaps[1] > gaps[2] > 0


def test_dipoles_are_in_debye():
    assert value("O", property="dipole") == pytest.approx(1.85, abs=0.4)
    assert value("c1ccccc1", property="dipole") == pytest.approx(0.0, abs=0.01)


def test_the_unit_follows_the_property():
    assert build("oracle", {"kind": "xtb"}).unit == "eV"
    assert build("oracle", {"kind": "xtb", "property": "dipole"}).unit == "D"


def test_one_bad_molecule_fails_with_its_class_and_the_others_are_measured():
    measurements = measure(["C1CC2CC1C=2", "no molecule", "[Na+].[Cl-]", "[CH3]", "OB(O)c1ccccc1", "C=C"])
    assert [m.error for m in measurements] == ["embedding", "invalid", "invalid", "invalid", None, None]
    assert [m.smiles for m in measurements][-1] == "C=C"


def test_the_same_molecule_has_the_same_value_again_and_in_any_company():
    alone = value("O=C1C=CC(=O)C=C1")
    assert value("O=C1C=CC(=O)C=C1") == alone
    assert measure(["CCCCO", "O=C1C=CC(=O)C=C1"])[1].value == alone


def test_the_version_tells_apart_whatever_changes_a_value():
    variants = [
        {},
        {"property": "gap"},
        {"property": "ionization_potential"},
        {"method": "GFN2-xTB"},
        {"seed": 7},
    ]
    versions = [build("oracle", {"kind": "xtb", **options}).version for options in variants]
    assert len(set(versions)) == len(variants)
    assert all("tblite-" in version and "mmff94" in version for version in versions)


def test_the_version_does_not_change_with_cost_or_timeout():
    assert build("oracle", {"kind": "xtb"}).version == build("oracle", {"kind": "xtb", "cost": 3, "timeout": 9}).version


def test_an_unknown_property_is_refused():
    with pytest.raises(ComponentError, match="electron_affinity"):
        build("oracle", {"kind": "xtb", "property": "electron_afinity"})


def test_adiabatic_affinities_rank_as_measured_ones_do():
    computed = [measurement.value for measurement in measure(list(AFFINITIES), geometry="adiabatic")]
    assert spearmanr(computed, list(AFFINITIES.values())).statistic >= 0.95


@pytest.mark.parametrize("smiles", ["O=C1C=CC(=O)C=C1", "N#CC(C#N)=C(C#N)C#N", "O=[N+]([O-])c1ccccc1"])
def test_relaxing_lowers_the_energy_of_each_charge_state(smiles):
    """By one method an anion that relaxes binds its electron more firmly, and a cation is made more easily."""
    method = "GFN2-xTB"
    for charged, sign in (("electron_affinity", 1), ("ionization_potential", -1)):
        vertical, adiabatic = (
            value(smiles, property=charged, method=method, geometry=geometry) for geometry in ("xtb", "adiabatic")
        )
        assert 0 < sign * (adiabatic - vertical) < 1.0


def test_a_relaxed_geometry_is_a_minimum_and_the_same_each_time():
    relaxed = [value("O=C1C=CC(=O)C=C1", geometry="xtb") for _ in range(2)]
    assert relaxed[0] == relaxed[1]
    assert relaxed[0] != value("O=C1C=CC(=O)C=C1")


def test_the_geometry_is_part_of_what_a_value_is():
    versions = {
        build("oracle", {"kind": "xtb", "geometry": geometry}).version
        for geometry in ("force_field", "xtb", "adiabatic")
    }
    assert len(versions) == 3
    assert (
        build("oracle", {"kind": "xtb"}).version == build("oracle", {"kind": "xtb", "geometry": "force_field"}).version
    )


def test_what_is_of_one_charge_state_is_not_adiabatic():
    with pytest.raises(ComponentError, match="write geometry: xtb"):
        build("oracle", {"kind": "xtb", "property": "gap", "geometry": "adiabatic"})


def test_a_library_that_is_not_there_is_told_before_anything_is_measured(monkeypatch):
    monkeypatch.setitem(sys.modules, "tblite.interface", None)
    monkeypatch.setattr("models.oracles.xtb._load", _load.__wrapped__)  # it remembers what it loaded
    with pytest.raises(ComponentError, match=r"needs the library tblite, which cannot be loaded .* `discover doctor`"):
        build("oracle", {"kind": "xtb"}).check()
