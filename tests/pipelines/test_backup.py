"""`discover backup` and `discover restore`: what is inside, what is refused, and that damage never gets in."""

import io
import json
import shutil
import tarfile

import pytest

from tests.conftest import use


@pytest.fixture
def copy(finished, tmp_path, tracking, monkeypatch):
    """A copy of a finished campaign's workspace with secrets in it, and where its backup goes."""
    home = tmp_path / "home"
    shutil.copytree(finished.home, home)
    (home / "services").mkdir(exist_ok=True)
    (home / "services" / "token").write_text("the-servers-secret-token-32-chars")
    use(finished, tracking, monkeypatch)
    monkeypatch.setenv("DISCOVER_HOME", str(home))
    return home


def backed_up(finished, tmp_path):
    file = tmp_path / "backup.tar.gz"
    told = finished.discover("backup", "--out", str(file))
    assert told.exit == 0, told.message
    return file, told


def test_a_backup_counts_the_campaigns_of_others_that_its_shared_ledger_has(finished, copy, tmp_path, monkeypatch):
    monkeypatch.setenv("DISCOVER_LEDGER", f"sqlite:///{copy / 'ledger.db'}")
    folder = next(copy.glob("campaigns/finished*"))
    _file, told = backed_up(finished, tmp_path)
    assert "1 campaign and" in told.message
    assert "other workspaces" not in told.message
    folder.rename(tmp_path / "of another workspace")
    told = finished.discover("backup", "--out", str(tmp_path / "other.tar.gz"))
    assert "0 campaigns and" in told.message, told.message
    assert "1 campaign of other workspaces is in it too" in " ".join(told.message.split())


def changed(file, change):
    """Rewrite an archive, each entry being what `change` makes of name and content; None leaves it out."""
    with tarfile.open(file) as old:
        entries = [(one.name, old.extractfile(one).read()) for one in old]
    with tarfile.open(file, "w:gz") as new:
        for name, content in entries:
            made = change(name, content)
            if made is not None:
                entry = tarfile.TarInfo(made[0])
                entry.size = len(made[1])
                new.addfile(entry, io.BytesIO(made[1]))


def test_a_restored_workspace_has_the_same_candidates_and_no_secret(finished, copy, tmp_path, monkeypatch):
    before = finished.candidates()
    file, told = backed_up(finished, tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    assert str(finished.folder) in told.message  # where the campaign file is
    with tarfile.open(file) as archive:
        assert not [name for name in archive.getnames() if name.startswith(("services", "logs", "cache"))]
        assert not any(b"the-servers-secret" in archive.extractfile(name).read() for name in archive.getnames())
    shutil.rmtree(copy)
    to = tmp_path / "restored here"
    told = finished.discover("restore", str(file), "--to", str(to))
    assert told.exit == 0, told.message
    assert "Restored finished (done)" in told.message
    assert f"export DISCOVER_HOME='{to}'" in told.message
    monkeypatch.setenv("DISCOVER_HOME", str(to))
    assert finished.candidates() == before
    calls = len(finished.calls())
    assert finished.run().exit == 0
    assert len(finished.calls()) == calls
    assert to.stat().st_mode & 0o777 == 0o700


def test_the_lock_of_the_process_that_ran_a_campaign_is_not_restored(finished, copy, tmp_path, monkeypatch):
    from data.ledger.lock import campaign_lock
    from tasks.workspace import Workspace

    ledger = Workspace(copy).ledger()
    with campaign_lock(ledger, ledger.campaign("finished")):
        file, _ = backed_up(finished, tmp_path)
    ledger.close()
    assert finished.discover("restore", str(file), "--to", str(tmp_path / "restored")).exit == 0
    restored = Workspace(tmp_path / "restored").ledger()
    assert restored.owner(restored.campaign("finished").id) is None
    restored.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("backup.zip", "expected a file that ends in .tar.gz"),
        ("home/x.tar.gz", "in the workspace"),
        ("no/x.tgz", "cannot be written"),
    ],
)
def test_a_backup_goes_into_no_wrong_file(finished, copy, tmp_path, name, said):
    told = finished.discover("backup", "--out", str(tmp_path / name))
    assert (told.exit, said in told.message) == (2, True), told.message


def test_a_backup_takes_no_files_place(finished, copy, tmp_path):
    file, _ = backed_up(finished, tmp_path)
    before = file.read_bytes()
    assert "there already" in finished.discover("backup", "--out", str(file)).message
    assert file.read_bytes() == before


def test_a_workspace_whose_results_are_not_those_of_its_ledger_is_not_backed_up_as_if_it_were_sound(
    finished, copy, tmp_path
):
    next(copy.glob("campaigns/*/round-001/measure/dataset.parquet")).write_bytes(b"other")
    told = finished.discover("backup", "--out", str(tmp_path / "x.tar.gz"))
    assert (told.exit, "round-001/measure" in told.message) == (2, True)
    assert list(tmp_path.glob("*x.tar.gz*")) == []


def _flipped(name, content):
    return (name, content[:-1] + bytes([content[-1] ^ 1])) if name.endswith("dataset.parquet") else (name, content)


@pytest.mark.parametrize(
    "change",
    [
        _flipped,
        lambda name, content: None if name.endswith("dataset.parquet") else (name, content),
        lambda name, content: None if name == "MANIFEST.json" else (name, content),
        lambda name, content: ("../escaped", content) if name == "workspace.json" else (name, content),
        lambda name, content: (
            (name, json.dumps(json.loads(content) | {"format": 9}).encode())
            if name == "MANIFEST.json"
            else (name, content)
        ),
    ],
    ids=["a bit", "a file", "the manifest", "a path", "the format"],
)
def test_what_is_damaged_is_restored_nowhere(finished, copy, tmp_path, change):
    file, _ = backed_up(finished, tmp_path)
    changed(file, change)
    told = finished.discover("restore", str(file), "--to", str(tmp_path / "restored"))
    assert told.exit == 2
    assert "Nothing was restored" in told.message or "this program reads" in told.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar.gz", "home"]


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_file_that_lost_its_end_is_restored_nowhere(finished, copy, tmp_path, kept):
    file, _ = backed_up(finished, tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    told = finished.discover("restore", str(file), "--to", str(tmp_path / "restored"))
    assert (told.exit, "is no whole backup" in told.message) == (2, True), told.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar.gz", "home"]


def test_a_folder_with_files_is_not_restored_into(finished, copy, tmp_path):
    file, _ = backed_up(finished, tmp_path)
    told = finished.discover("restore", str(file), "--to", str(copy))
    assert (told.exit, "there and not empty" in told.message) == (2, True)
    assert "There is no file" in finished.discover("restore", "none.tar.gz", "--to", str(tmp_path / "r")).message
