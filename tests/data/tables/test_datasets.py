"""Data preparation: what is kept, what is refused and with which line and reason."""

import math
from pathlib import Path

import pandas as pd
import pytest
from rdkit import Chem

from data.chemistry.molecules import canonical, identity
from data.tables.datasets import COLUMNS
from data.tables.readers import SourceError
from models.registry import ComponentError
from models.sources.base import read_source
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=14, min_heavy_atoms=2, elements=("H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Br"))


def read_csv(tmp_path, text, space=SPACE, **options):
    (tmp_path / "molecules.csv").write_text(text, encoding="utf-8")
    return read_source({"kind": "csv", "path": "molecules.csv", **options}, base=tmp_path, space=space)


def reasons(library):
    return {refusal.line: refusal.reason for refusal in library.refused}


def test_a_csv_becomes_a_table_with_identity_family_value_and_line(tmp_path):
    library = read_csv(tmp_path, "name,smiles,ea\nbenzoquinone,C1=CC(=O)C=CC1=O,1.91\nethanol,OCC,-2\n", value="ea")
    assert tuple(library.frame.columns) == COLUMNS
    first, second = library.frame.to_dict("records")
    assert first == {
        "id": identity("O=C1C=CC(=O)C=C1"),
        "object": "O=C1C=CC(=O)C=C1",
        "value": 1.91,
        "family": "O=C1C=CC(=O)C=C1",
        "line": 2,
    }
    assert (second["object"], second["family"], second["line"]) == ("CCO", "", 3)
    assert (library.refused, library.notes) == ([], [])


def test_bad_rows_are_refused_with_their_line_and_the_others_kept(tmp_path):
    rows = [
        "smiles,y",
        "CCO,1",
        "C1CC,2",  # line 3
        ",3",
        "CCN,much",
        "CCC,inf",
        "CCCCCCCCCCCCCCC,7",
        "C,8",
        "CC[Si](C)C,9",
        "C[N+](C)(C)C,10",
        "C[CH2],11",
        "[2H]CC,12",
        "CCO.CCN,13",
        "CCS,14,extra",
        "CCF,15",
    ]
    library = read_csv(tmp_path, "\n".join(rows) + "\n", value="y")
    assert list(library.frame["object"]) == ["CCO", "CCF"]
    assert reasons(library) == {
        3: "no valid SMILES",
        4: "no SMILES in this row",
        5: "the value 'much' is not a finite number",
        6: "the value 'inf' is not a finite number",
        7: "more than 14 heavy atoms",
        8: "fewer than 2 heavy atoms",
        9: "element Si outside the space",
        10: "a net charge",
        11: "an unpaired electron",
        12: "an isotope label",
        13: "more than one fragment, and not a salt of a simple counter-ion",
        14: "3 cells where the header has 2",
    }


def test_line_numbers_count_the_lines_of_quoted_cells_and_blank_ones(tmp_path):
    library = read_csv(tmp_path, 'note,smiles\n"two\nlines",CCO\n\n"x",C1CC\n')
    assert list(library.frame["line"]) == [2]
    assert list(reasons(library)) == [5]


def test_an_empty_value_is_an_unmeasured_molecule(tmp_path):
    library = read_csv(tmp_path, "smiles,y\nCCO,\nCCN,2\n", value="y")
    assert math.isnan(library.frame["value"][0])
    assert library.frame["value"][1] == 2


@pytest.mark.parametrize(
    ("written", "standard"),
    [
        ("CC(=O)[O-].[Na+]", "CC(=O)O"),
        ("CC[NH3+].[Cl-]", "CCN"),
        ("CCN.Cl", "CCN"),
        ("CC(=O)O.O", "CC(=O)O"),
        ("CN(=O)=O", "C[N+](=O)[O-]"),
        ("[NH3+]CC(=O)[O-]", "NCC(=O)O"),
        ("[O-][n+]1ccccc1", "[O-][n+]1ccccc1"),
        ("C/C=C/C", "C/C=C/C"),
    ],
)
def test_salts_and_charges_are_settled_to_the_standard_form(tmp_path, written, standard):
    assert list(read_csv(tmp_path, f"smiles\n{written}\n").frame["object"]) == [standard]


def test_replicates_become_their_mean_and_a_note(tmp_path):
    library = read_csv(tmp_path, "smiles,y\nCCO,1\nCCN,7\nOCC,2\nC(C)O,\n", value="y")
    assert list(library.frame["object"]) == ["CCO", "CCN"]
    assert list(library.frame["value"]) == [1.5, 7]
    assert len(library.notes) == 2
    assert "Furthest apart: lines 2 and 4, CCO (1 to 2, kept 1.5)" in library.notes[0]
    assert "Lines 2, 4, 5 are one molecule, CCO: kept the mean of 2 values, from 1.0 to 2.0." in library.notes


def test_a_source_of_which_all_is_refused_names_the_commonest_reasons(tmp_path):
    with pytest.raises(SourceError) as error:
        read_csv(tmp_path, "smiles,y\nxx,1\nyy,2\nCCO,a\nCCN,b\nCCC,c\nC,4\n", value="y")
    message = str(error.value)
    assert "All 6 rows" in message
    assert "the value is not a finite number (3); no valid SMILES (2); fewer than 2 heavy atoms (1)" in message
    assert "line 2: 'xx'" in message


def test_a_table_without_rows_says_so(tmp_path):
    with pytest.raises(SourceError, match="has no rows"):
        read_csv(tmp_path, "smiles\n")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"kind": "csv", "path": "molecules.csv", "smiles": "Smile"},
            r"no column 'Smile'; it has 'smiles', 'y'.*'smiles'",
        ),
        ({"kind": "csv", "path": "molecules.csv", "value": "z"}, "no column 'z'; it has 'smiles', 'y'"),
        ({"kind": "csv", "path": "molecule.csv"}, r"There is no file .*Did you mean 'molecules.csv'"),
        ({"kind": "csv", "path": "x", "valu": "y"}, "no option 'valu'.*Did you mean 'value'"),
        ({"kind": "csv"}, "Option 'path'"),
        ({"kind": "cvs", "path": "x"}, "Did you mean 'csv'"),
        ({"path": "x"}, "A source needs a `kind`"),
        ({"kind": "parquet", "path": "molecules.csv"}, "cannot be read as a parquet table"),
    ],
)
def test_a_source_that_cannot_be_read_says_what_to_change(tmp_path, config, words):
    (tmp_path / "molecules.csv").write_text("smiles,y\nCCO,1\n")
    with pytest.raises((SourceError, ComponentError), match=words):
        read_source(config, base=tmp_path, space=SPACE)


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "molecules.csv").write_bytes("smiles,name\nCCO,\u00e9thanol\n".encode("latin-1"))
    with pytest.raises(SourceError, match="not UTF-8"):
        read_source({"kind": "csv", "path": "molecules.csv"}, base=tmp_path, space=SPACE)


def test_a_byte_order_mark_and_semicolons_are_read(tmp_path):
    (tmp_path / "excel.csv").write_text("smiles;y\nCCO;1\n", encoding="utf-8-sig")
    config = {"kind": "csv", "path": "excel.csv", "delimiter": ";", "value": "y"}
    assert list(read_source(config, base=tmp_path, space=SPACE).frame["value"]) == [1]


def test_a_parquet_table_gives_what_the_same_csv_gives(tmp_path):
    text = "smiles,y\nCCO,1.25\nC1CC,2\nCCN,\nCCS,inf\n"
    from_csv = read_csv(tmp_path, text, value="y")
    table = pd.DataFrame({"smiles": ["CCO", "C1CC", "CCN", "CCS"], "y": [1.25, 2, math.nan, math.inf]})
    table.to_parquet(tmp_path / "molecules.parquet")
    config = {"kind": "parquet", "path": "molecules.parquet", "value": "y"}
    from_parquet = read_source(config, base=tmp_path, space=SPACE)
    pd.testing.assert_frame_equal(from_parquet.frame, from_csv.frame)
    assert reasons(from_parquet) == reasons(from_csv)


def sd_file(path, molecules):
    with Chem.SDWriter(str(path)) as writer:
        for smiles, properties in molecules:
            mol = Chem.MolFromSmiles(smiles)
            for name, text in properties.items():
                mol.SetProp(name, text)
            writer.write(mol)


def test_an_sd_file_gives_structures_values_and_the_line_of_each_record(tmp_path):
    path = tmp_path / "molecules.sdf"
    sd_file(path, [("CCO", {"EA": "-1.5"}), ("C1=CC(=O)C=CC1=O", {"EA": "1.91"}), ("CC#N", {})])
    config = {"kind": "sdf", "path": "molecules.sdf", "value": "EA"}
    frame = read_source(config, base=tmp_path, space=SPACE).frame
    assert list(frame["object"]) == ["CCO", "O=C1C=CC(=O)C=C1", "CC#N"]
    assert list(frame["value"][:2]) == [-1.5, 1.91]
    assert math.isnan(frame["value"][2])
    ends = [number for number, line in enumerate(path.read_text().splitlines(), 1) if line == "$$$$"]
    assert list(frame["line"]) == [1, ends[0] + 1, ends[1] + 1]


def test_a_broken_record_is_refused_and_the_others_kept(tmp_path):
    path = tmp_path / "molecules.sdf"
    sd_file(path, [("CCO", {}), ("CCN", {})])
    path.write_text("broken\n\n\n  garbage\nM  END\n$$$$\n" + path.read_text())
    library = read_source({"kind": "sdf", "path": "molecules.sdf"}, base=tmp_path, space=SPACE)
    assert list(library.frame["object"]) == ["CCO", "CCN"]
    assert reasons(library) == {1: "RDKit cannot read the structure of this record"}


def test_a_missing_property_of_an_sd_file_is_named(tmp_path):
    sd_file(tmp_path / "molecules.sdf", [("CCO", {"affinity": "1"})])
    config = {"kind": "sdf", "path": "molecules.sdf", "value": "afinity"}
    with pytest.raises(SourceError, match=r"no property 'afinity'; it has 'affinity'.*Did you mean 'affinity'"):
        read_source(config, base=tmp_path, space=SPACE)


def test_an_absolute_path_ignores_the_base(tmp_path):
    (tmp_path / "m.csv").write_text("smiles\nCCO\n")
    config = {"kind": "csv", "path": str(tmp_path / "m.csv")}
    assert len(read_source(config, base=Path("/nowhere"), space=SPACE).frame) == 1


def test_zinc_in_the_space_of_the_quickstart_is_neutral_small_and_of_known_size():
    small = Molecules(max_heavy_atoms=11, min_heavy_atoms=2, elements=SPACE.elements)
    library = read_source({"kind": "zinc250k"}, base=Path(), space=small)
    assert len(library.frame) > 300
    assert library.frame["id"].is_unique
    for smiles in library.frame["object"][:200]:
        mol = Chem.MolFromSmiles(smiles)
        assert mol.GetNumHeavyAtoms() <= 11
        assert Chem.GetFormalCharge(mol) == 0
        assert canonical(smiles) == smiles
    assert "of 249456 lines have more than 11 heavy atoms" in library.notes[0]
    assert len(library.refused) < 100


def test_a_sample_of_zinc_is_drawn_by_the_seed_before_it_is_read():
    wide = Molecules(max_heavy_atoms=60, min_heavy_atoms=1, elements=SPACE.elements)

    def drawn(seed):
        return read_source({"kind": "zinc250k", "sample": 60}, base=Path(), space=wide, seed=seed)

    assert drawn(1).rows == 60
    assert 50 < len(drawn(1).frame) <= 60
    assert drawn(1).frame.equals(drawn(1).frame)
    assert len(set(drawn(1).frame["id"]) & set(drawn(2).frame["id"])) < 3


@pytest.mark.slow
def test_zinc_of_at_most_14_heavy_atoms_loses_37_ions_only_to_their_charge():
    library = read_source({"kind": "zinc250k"}, base=Path(), space=SPACE)
    assert library.notes[0].startswith("242665 of 249456 lines")
    assert sum(refusal.reason == "a net charge" for refusal in library.refused) == 37
    assert len(library.frame) > 6500
