"""Library files: format by name, compressed or not, streamed; the same rows whatever the format."""

import gzip
import itertools
import tracemalloc

import pandas as pd
import pytest
from rdkit import Chem

from data.chemistry.files.readers import FORMATS
from data.objects import NotStandardError
from data.tables.library_file import LibraryFile, standard_object
from data.tables.readers import Row, SourceError
from models.sources.base import read_source
from models.spaces.molecules import Molecules

MOLECULES = ["CCO", "c1ccccc1", "CC(=O)O"]
SPACE = Molecules(max_heavy_atoms=8, min_heavy_atoms=1, elements=("H", "C", "N", "O"))


def written(folder, ending):
    path = folder / f"library{ending}"
    if ending.startswith(".sdf"):
        blocks = []
        for smiles in MOLECULES:
            blocks.append(Chem.MolToMolBlock(Chem.MolFromSmiles(smiles)) + ">  <energy>  (1) \n1.5\n\n$$$$\n")
        content = "".join(blocks).encode()
    elif ending.startswith((".csv", ".tsv")):
        mark = "\t" if ".tsv" in ending else ","
        content = "\n".join([f"smiles{mark}energy", *(f"{smiles}{mark}1.5" for smiles in MOLECULES)]).encode()
    elif ending == ".parquet":
        pd.DataFrame({"smiles": MOLECULES, "energy": 1.5, "other": "x"}).to_parquet(path)
        return path
    else:
        content = "\n".join(["# a list", "", *(f"{smiles} a name" for smiles in MOLECULES)]).encode()
    path.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
    return path


@pytest.mark.parametrize(
    "ending",
    [".smi", ".smi.gz", ".txt", ".csv", ".CSV.gz", ".csv.gz", ".tsv", ".tsv.gz", ".sdf", ".sdf.gz", ".parquet"],
)
def test_every_format_gives_the_same_molecules(tmp_path, ending):
    path = written(tmp_path, ending.lower())
    rows = list(LibraryFile(path, more=FORMATS).rows())
    assert [standard_object(row, SPACE.admit) for row in rows] == MOLECULES


@pytest.mark.parametrize("ending", [".csv.gz", ".tsv", ".sdf.gz", ".parquet"])
def test_values_come_along_where_they_are_asked_for(tmp_path, ending):
    path = written(tmp_path, ending)
    assert [float(row.value) for row in LibraryFile(path, value="energy", more=FORMATS).rows()] == [1.5] * 3
    with pytest.raises(SourceError, match=r"'enrgy'; it has .* Did you mean 'energy'"):
        list(LibraryFile(path, value="enrgy", more=FORMATS).rows())


def test_lines_are_those_of_the_file(tmp_path):
    assert [row.line for row in LibraryFile(written(tmp_path, ".smi"), more=FORMATS).rows()] == [3, 4, 5]


def test_a_long_file_needs_no_more_memory_than_a_short_one(tmp_path):
    path = tmp_path / "long.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("smiles\n")
        file.writelines(f"{'C' * (1 + i % 40)}\n" for i in range(200_000))
    tracemalloc.start()
    count = sum(1 for _ in itertools.islice(LibraryFile(path, more=FORMATS).rows(), 100_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 100_000
    assert peak < 2**20


@pytest.mark.parametrize("ending", [".csv.gz", ".sdf.gz", ".smi.gz"])
def test_a_file_that_is_cut_short_is_refused(tmp_path, ending):
    path = written(tmp_path, ending)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(SourceError, match="cannot be unpacked"):
        list(LibraryFile(path, more=FORMATS).rows())


def test_text_that_is_called_compressed_is_refused(tmp_path):
    path = tmp_path / "plain.csv.gz"
    path.write_text("smiles\nCCO\n")
    with pytest.raises(SourceError, match=r"take `\.gz` off its name"):
        list(LibraryFile(path, more=FORMATS).rows())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (Row(1, "", ""), "no SMILES in this row"),
        (Row(1, "", "", "2 cells where the header has 3"), "2 cells where the header has 3"),
        (Row(1, "C" * 9, ""), "more than 8 heavy atoms"),
        (Row(1, "C1CC", ""), "no valid SMILES"),
        (Row(1, "CBr", ""), "element Br outside the space"),
    ],
)
def test_a_row_that_is_refused_says_why(row, reason):
    with pytest.raises(NotStandardError, match=reason):
        standard_object(row, SPACE.admit)


def test_a_smiles_file_is_a_data_source(tmp_path):
    written(tmp_path, ".smi")
    library = read_source({"kind": "smiles", "path": "library.smi"}, base=tmp_path, space=SPACE)
    assert library.frame["object"].tolist() == MOLECULES
    assert library.frame["value"].isna().all()
    with pytest.raises(SourceError, match=r"Did you mean 'library\.smi'"):
        read_source({"kind": "smiles", "path": "libary.smi"}, base=tmp_path, space=SPACE)


def test_a_changed_file_has_another_checksum(tmp_path):
    path = written(tmp_path, ".smi")
    before = LibraryFile(path, more=FORMATS).sha256()
    path.write_text("CC\n")
    assert LibraryFile(path, more=FORMATS).sha256() != before
