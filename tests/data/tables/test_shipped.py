"""The labelled library that is shipped: whole, sorted, and refused when it was altered."""

import gzip
import json

import numpy as np
import pytest
from rdkit import Chem

from data.chemistry.molecules import canonical, compound, identity
from data.chemistry.standardise import standardise
from data.chemistry.vocabulary import default_vocabulary
from data.tables import shipped
from data.tables.readers import SourceError
from data.tables.shipped import labelled_library, provenance, shipped_file
from models.sources.base import read_source
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=14, min_heavy_atoms=4, elements=("H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Br"))


@pytest.fixture(scope="module")
def frame():
    return labelled_library()


def test_every_row_has_an_inchikey_a_canonical_smiles_and_a_finite_value(frame):
    assert list(frame.columns) == ["id", "smiles", "value"]
    assert len(frame) == provenance("electron_affinities")["table"]["rows"] > 5000
    assert frame["id"].is_unique
    assert frame["id"].is_monotonic_increasing
    assert np.isfinite(frame["value"]).all()
    for row in frame.iloc[::50].itertuples():
        assert compound(row.smiles) == row.id
        assert canonical(row.smiles) == row.smiles


def test_the_provenance_counts_every_line_of_the_source(frame):
    counts = provenance("electron_affinities")["counts"]
    refused = sum(counts["refused in standardisation"].values())
    merged = counts["same molecule as an earlier line"]
    assert counts["lines"] == counts["larger than the space"] + refused + merged + counts["members of the space"]
    asked = counts["members of the space"] - sum(counts["refused by screens"].values())
    assert asked == counts["asked of the oracle"]
    assert asked == len(frame) + sum(counts["failed"].values())


@pytest.mark.slow
def test_values_are_those_of_the_oracle_that_is_named(frame):
    from models.registry import build

    oracle = build("oracle", provenance("electron_affinities")["settings"]["oracle"])
    rows = frame.iloc[:: len(frame) // 10]
    measured = [m.value for m in oracle.evaluate(rows["smiles"].tolist(), keys=rows["id"].tolist())]
    np.testing.assert_allclose(measured, rows["value"], atol=2e-3)


def test_an_altered_table_is_refused(tmp_path, monkeypatch):
    name = "electron_affinities"
    content = gzip.decompress(shipped_file(name).read_bytes())
    (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress(content.replace(b"0.", b"1.", 1)))
    (tmp_path / f"{name}.json").write_text(json.dumps(provenance(name)))
    monkeypatch.setattr(shipped, "_folder", lambda: tmp_path)
    with pytest.raises(SourceError, match="is not the table that was shipped"):
        labelled_library(name)
    (tmp_path / f"{name}.csv.gz").write_bytes(b"cut short")
    with pytest.raises(SourceError, match="cannot be read"):
        labelled_library(name)
    (tmp_path / f"{name}.json").unlink()
    with pytest.raises(SourceError, match="is missing"):
        labelled_library(name)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(SourceError, match="Did you mean 'electron_affinities'"):
        labelled_library("electron_affinity")


def test_it_is_a_data_source_whose_values_are_hidden_unless_asked_for(tmp_path, monkeypatch, frame):
    name = "electron_affinities"
    few = "\n".join(gzip.decompress(shipped_file(name).read_bytes()).decode().splitlines()[:31]) + "\n"
    (tmp_path / "few.csv.gz").write_bytes(gzip.compress(few.encode()))
    monkeypatch.setattr("models.sources.shipped.shipped_file", lambda _: tmp_path / "few.csv.gz")
    hidden = read_source({"kind": "shipped"}, base=tmp_path, space=SPACE).frame
    assert hidden["value"].isna().all()
    assert hidden["id"].tolist() == [identity(smiles) for smiles in frame["smiles"].iloc[:30]]
    assert hidden["object"].tolist() == frame["smiles"].iloc[:30].tolist()
    known = read_source({"kind": "shipped", "labelled": True}, base=tmp_path, space=SPACE).frame
    assert known["value"].tolist() == frame["value"].iloc[:30].tolist()


def test_what_is_shipped_is_in_standard_form(frame):
    charged = frame["smiles"][frame["smiles"].str.contains(r"[+]|S|P")]
    for smiles in [*charged.iloc[::5], *charged[charged.str.contains(r"\[S|S\(=O|\[P")].iloc[::3]]:
        assert Chem.MolToSmiles(standardise(smiles)) == smiles
    assert not charged.str.contains(r"\[S@?@?\+\]\(\[O-\]\)").any()
    for fragment in default_vocabulary().fragments:
        assert Chem.MolToSmiles(standardise(fragment.smiles)) == fragment.smiles
