"""`discover export`: one file with everything of a campaign, the same bytes each time, without passwords."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from data.config import parse_config
from data.ledger.lock import campaign_lock
from data.ledger.schema import oracle_calls
from tasks.workspace import Workspace


@pytest.fixture
def archive(finished, tmp_path):
    told = finished.discover("export", "finished", "--out", str(tmp_path / "a.zip"))
    assert told.exit == 0, told.message
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        yield opened


def lines(archive, table, name="finished"):
    return [json.loads(line) for line in archive.read(f"{name}/ledger/{table}.jsonl").decode().splitlines()]


def test_all_measurements_are_in_it_with_what_measured_them(finished, archive):
    calls = {row["object_id"]: row for row in lines(archive, "calls")}
    rows = finished.candidates()
    assert {row["id"]: row["value"] for row in rows} == {key: call["value"] for key, call in calls.items()}
    assert {call["object"] for call in calls.values()} == set(finished.calls())
    (identity,) = {call["identity"] for call in calls.values()}
    from data.config import digest

    (oracle,) = json.loads(archive.read("finished/settings.json"))["oracles"]
    assert digest(oracle) == identity


def test_every_file_of_the_stages_is_in_it_and_their_sha256_can_be_checked(finished, archive):
    folder = finished.home / "campaigns" / "finished"
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    inside = {name.removeprefix("finished/stages/"): archive.read(name) for name in archive.namelist()
              if name.startswith("finished/stages/")}  # fmt: skip
    assert inside == files
    for stage in lines(archive, "stages"):
        prefix = stage["uri"].removeprefix("campaigns/finished/") + "/"
        total = hashlib.sha256()
        for name in sorted(name for name in inside if name.startswith(prefix)):
            total.update(f"{name.removeprefix(prefix)}\0{hashlib.sha256(inside[name]).hexdigest()}\n".encode())
        assert total.hexdigest() == stage["sha256"]


def test_the_campaign_file_in_it_begins_the_same_campaign(finished, archive):
    given = parse_config(yaml.safe_load(archive.read("finished/campaign.yaml")))
    assert given.to_json() == parse_config(finished.config).to_json()


def test_a_text_inside_says_what_is_what(archive):
    text = archive.read("finished/README.txt").decode()
    for name in ("campaign.yaml", "settings.json", "stages/", *(f"ledger/{table}.jsonl" for table in
                 ("campaign", "calls", "candidates", "stages", "revisions"))):  # fmt: skip
        assert name in text
    assert "Nothing was left out." in text
    assert "(16 rows)" in text


def test_the_same_campaign_gives_the_same_bytes(finished, archive, tmp_path):
    assert finished.discover("export", "finished", "--out", str(tmp_path / "b.zip")).exit == 0
    assert (tmp_path / "b.zip").read_bytes() == (tmp_path / "a.zip").read_bytes()
    assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert archive.namelist() == sorted(archive.namelist())


def test_no_place_of_this_machine_is_in_it(finished, archive):
    for name in archive.namelist():
        assert str(finished.folder).encode() not in archive.read(name), name


def test_passwords_are_masked_in_rows_and_files_with_one_are_left_out_and_said(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "discover:sesame-open-123")
    bench.write_config(rounds=0)
    assert bench.run().exit == 0
    folder = bench.home / "campaigns" / "tiny"
    (folder / "report" / "notes.txt").write_text("see postgresql://me:hunter2hunter@host/db")
    (folder / "report" / "other.bin").write_bytes(b"\xff\0sesame-open-123\0")
    (folder / "report" / "link").symlink_to(bench.file)
    (folder / "round-001" / "propose.partial").mkdir(parents=True)
    (folder / "round-001" / "propose.partial" / "x").write_text("half")
    ledger = Workspace(bench.home).ledger()
    with ledger.write() as connection:
        first = sa.select(sa.func.min(oracle_calls.c.id)).scalar_subquery()
        connection.execute(
            sa.update(oracle_calls).where(oracle_calls.c.id == first).values(message="https://me:hunter2hunter@lab/x")
        )
    ledger.close()
    told = bench.discover("export", "tiny", "--out", str(tmp_path / "a.zip"))
    assert told.exit == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        for name in archive.namelist():
            for secret in (b"hunter2hunter", b"sesame-open-123"):
                assert secret not in archive.read(name), name
        readme = archive.read("tiny/README.txt").decode()
        assert "https://me:***@lab/x" in {row["message"] for row in lines(archive, "calls", "tiny")}
    for said in (
        "stages/report/notes.txt is left out: it holds what looks like a password.",
        "stages/report/other.bin is left out: it holds what looks like a password.",
        "stages/report/link is left out: it is a link.",
        "stages/round-001/propose.partial/x is left out: it was not finished.",
        "1 row of the ledger held what looks like a password; *** stands for it.",
    ):
        assert said in readme
        assert said in told.message


@pytest.mark.parametrize(
    ("name", "told"), [("a.tar", "ends in .zip"), ("there.zip", "is there already"), ("no/a.zip", "cannot be written")]
)
def test_a_file_that_cannot_be_the_archive_is_refused(finished, tmp_path, name, told):
    (tmp_path / "there.zip").write_text("mine")
    refused = finished.discover("export", "finished", "--out", str(tmp_path / name))
    assert refused.exit == 2
    assert told in refused.message
    assert [path.name for path in tmp_path.iterdir()] == ["there.zip"]
    assert (tmp_path / "there.zip").read_text() == "mine"


def test_a_campaign_that_is_run_and_one_that_is_not_there_are_refused(finished, tmp_path):
    ledger = Workspace(finished.home).ledger()
    with campaign_lock(ledger, ledger.campaign("finished")):
        assert "is being run by process" in finished.discover(
            "export", "finished", "--out", str(tmp_path / "a.zip")
        ).message  # fmt: skip
    ledger.close()
    assert "no campaign 'other'" in finished.discover("export", "other", "--out", str(tmp_path / "a.zip")).message
    assert not list(Path(tmp_path).iterdir())


def test_each_generation_is_exported_by_itself_and_the_others_are_named(bench, tmp_path):
    bench.write_config(rounds=0)
    assert bench.run().exit == 0
    assert bench.run("--fresh").exit == 0
    told = bench.discover("export", "tiny", "--out", str(tmp_path / "second.zip"))
    assert "The other generations of the name are not inside: tiny." in told.message
    assert bench.discover("export", "tiny~1", "--out", str(tmp_path / "first.zip")).exit == 0
    with zipfile.ZipFile(tmp_path / "first.zip") as first, zipfile.ZipFile(tmp_path / "second.zip") as second:
        assert {row["origin"] for row in lines(first, "calls", "tiny")} == {"called"}
        assert {row["origin"] for row in lines(second, "calls", "tiny~2")} == {"reused"}
