"""The generator `pool`: members of a library, by reward, resumable, deterministic."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from data.chemistry.molecules import identity
from data.tables.readers import SourceError
from models.protocols import Checked, GenerationContext, Generator
from models.registry import ComponentError, build
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=12, min_heavy_atoms=2, elements=("H", "C", "N", "O"))
ALKANES = ["C" * n for n in range(2, 13)]


def length(molecules):
    return np.array([float(len(smiles)) for smiles in molecules])


def context(**changes):
    return replace(GenerationContext(space=SPACE, log_reward=length, seed=0), **changes)


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "library.smi"
    path.write_text("\n".join([*ALKANES, "OCC ethanol", "C(O)C again", "CCS", "rubbish", "C" * 40]) + "\n")
    return path


def pool(path, **options):
    return build("generator", {"kind": "pool", "path": str(path), **options})


def fitted(path, given=None, **options):
    generator = pool(path, **options)
    generator.fit(given or context())
    return generator


def proposed(generator, n=100):
    return [candidate.smiles for candidate in generator.sample(n, seed=0)]


def test_the_best_members_come_first_and_no_more_than_asked(library):
    generator = fitted(library)
    assert isinstance(generator, Generator)
    assert isinstance(generator, Checked)
    assert proposed(generator, 3) == ["C" * 12, "C" * 11, "C" * 10]
    candidates = generator.sample(100, seed=0)
    assert {c.smiles for c in candidates} == {*ALKANES, "CCO"}
    assert all(c.id == identity(c.smiles) and c.source == "pool" for c in candidates)


def test_measured_molecules_are_not_proposed_in_any_form(tmp_path):
    path = tmp_path / "forms.csv"
    path.write_text("smiles\nC1=CC=CC=C1O\n[Na+].[O-]c1ccccc1\nc1(O)ccccc1\nCC\n")
    assert proposed(fitted(path, context(known=("Oc1ccccc1",)))) == ["CC"]


def test_the_tautomer_of_a_measured_molecule_is_another_molecule(tmp_path):
    path = tmp_path / "tautomers.csv"
    path.write_text("smiles\nCC=CO\nCCC=O\nOc1ccccn1\nO=c1cccc[nH]1\nCC\n")
    rest = proposed(fitted(path, context(known=("O=c1cccc[nH]1",))))
    assert set(rest) == {"CC=CO", "CCC=O", "CC", "Oc1ccccn1"}


def test_only_the_top_part_is_kept(library):
    assert proposed(fitted(library, keep=2)) == ["C" * 12, "C" * 11]


def test_refused_rows_are_counted_with_the_first_reasons(library, caplog):
    with caplog.at_level(logging.INFO):
        generator = fitted(library)
    assert generator.refused == {"element S outside the space": 1, "no valid SMILES": 1, "more than 12 heavy atoms": 1}
    last = generator.history()[-1]
    assert (last["rows"], last["refused"], last["scored"]) == (16, 3, 12)
    assert "3 of 16 rows of library.smi were refused" in caplog.text
    assert "line 15: 'rubbish', no valid SMILES" in caplog.text


def test_a_pool_without_a_usable_row_is_refused_before_anything_is_bought(tmp_path):
    path = tmp_path / "salts.smi"
    path.write_text("[Na+].[Cl-]\nCCS\nwhat is this\n")
    with pytest.raises(SourceError, match=r"None of the 3 rows .* line 2: 'CCS', element S outside the space"):
        pool(path).check(SPACE)
    with pytest.raises(SourceError, match="None of the 3 rows"):
        fitted(path)
    path.write_text("")
    with pytest.raises(SourceError, match="has no rows"):
        pool(path).check(SPACE)
    with pytest.raises(SourceError, match="There is no file"):
        pool(tmp_path / "nowhere.smi").check(SPACE)
    (tmp_path / "library.xyz").write_text("C")
    with pytest.raises(SourceError, match="does not tell its format"):
        pool(tmp_path / "library.xyz").check(SPACE)


def test_a_uniform_draw_computes_no_reward(library):
    def refuse(molecules):
        raise AssertionError("asked for a reward")

    generator = fitted(library, context(log_reward=refuse), draw="uniform")
    assert set(proposed(generator)) == {*ALKANES, "CCO"}
    assert proposed(generator) != proposed(fitted(library, context(seed=1), draw="uniform"))


def test_a_proportional_draw_follows_the_rewards(tmp_path):
    path = tmp_path / "three.smi"
    path.write_text("CC\nCCC\nCCC\nCCCC\n")  # one twice: it must not count double
    rewards = {"CC": 1.0, "CCC": 2.0, "CCCC": 5.0}

    def log_reward(molecules):
        return np.log([rewards[smiles] for smiles in molecules])

    first = [
        proposed(fitted(path, context(log_reward=log_reward, seed=seed), draw="proportional"), 1)[0]
        for seed in range(1500)
    ]
    for smiles, reward in rewards.items():
        share = reward / 8
        assert abs(first.count(smiles) / 1500 - share) < 4 * np.sqrt(share * (1 - share) / 1500)


def test_the_order_of_the_file_does_not_matter(library, tmp_path):
    turned = tmp_path / "turned.smi"
    turned.write_text("\n".join(reversed(library.read_text().splitlines())))
    for draw in ("best", "proportional", "uniform"):
        assert proposed(fitted(library, draw=draw)) == proposed(fitted(turned, draw=draw))


def test_formats_and_columns(tmp_path):
    import gzip

    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"name\tstructure\nx\tCCO\n"))
    assert proposed(fitted(tmp_path / "a.tsv.gz", smiles="structure")) == ["CCO"]
    (tmp_path / "b.txt").write_text("structure;name\nCCO;x\n")
    assert proposed(fitted(tmp_path / "b.txt", format="csv", delimiter=";", smiles="structure")) == ["CCO"]


def test_a_restored_generator_proposes_the_same_without_its_library(library):
    generator = fitted(library, draw="proportional")
    expected, state = generator.sample(100, seed=0), generator.state()
    library.unlink()
    again = pool(library, draw="proportional")
    again.load_state(state, context())
    assert again.sample(100, seed=0) == expected
    assert again.history() == generator.history()
    assert again.refused == generator.refused


class Killed(BaseException):
    pass


@pytest.fixture
def several_parts(library, monkeypatch):
    monkeypatch.setattr("data.tables.prepared.PART_ROWS", 4)
    return library


@pytest.mark.parametrize("cached", [True, False])
def test_a_killed_fit_goes_on_and_ends_with_the_same_state(several_parts, tmp_path, cached):
    place = context(checkpoint=tmp_path / "checkpoint.pt", cache=tmp_path / "cache" if cached else None)
    expected = fitted(several_parts).state()
    scored = []

    def dies(done, total, metrics):
        if done == 2:
            raise Killed

    def log_reward(molecules):
        scored.extend(molecules)
        return length(molecules)

    with pytest.raises(Killed):
        fitted(several_parts, replace(place, progress=dies, log_reward=log_reward))
    resumed = fitted(several_parts, replace(place, log_reward=log_reward)).state()
    assert len(scored) == len(set(scored)) == 12
    assert resumed["log_reward"].equal(expected["log_reward"])
    assert {k: v for k, v in resumed.items() if k != "log_reward"} == {
        k: v for k, v in expected.items() if k != "log_reward"
    }


def test_a_checkpoint_of_other_measurements_is_not_gone_on_from(several_parts, tmp_path, caplog):
    place = context(checkpoint=tmp_path / "checkpoint.pt")
    fitted(several_parts, place)
    assert "CC" not in proposed(fitted(several_parts, replace(place, known=("CC",))))
    assert "begun anew" in caplog.text


def test_standard_forms_are_kept_in_the_workspace(several_parts, tmp_path, monkeypatch):
    place = context(cache=tmp_path / "cache")
    first = proposed(fitted(several_parts, place))

    def forbidden(*_):
        raise AssertionError("standardised again")

    monkeypatch.setattr("data.tables.prepared.standard_object", forbidden)
    assert proposed(fitted(several_parts, place)) == first
    with pytest.raises(AssertionError, match="standardised again"):
        fitted(
            several_parts,
            replace(place, space=Molecules(max_heavy_atoms=11, min_heavy_atoms=2, elements=SPACE.elements)),
        )


def test_one_library_is_named():
    with pytest.raises(ComponentError, match="give either `source`"):
        build("generator", {"kind": "pool"})


def test_sampling_before_fitting_is_refused(library):
    with pytest.raises(RuntimeError, match="call `fit`"):
        pool(library).sample(1, seed=0)


def test_config_round_trip(library):
    generator = pool(library, draw="proportional", keep=7)
    assert build("generator", generator.config()).config() == generator.config()
