import shutil

import pytest

from data.config import parse_config
from data.ledger.campaigns import LedgerError
from tasks.stages import CampaignContext, folder_sha256, run_stage
from tasks.workspace import Workspace, WorkspaceError

MINIMAL = {"name": "x", "objectives": [{"name": "affinity", "oracle": {"kind": "xtb"}}]}


@pytest.fixture
def context(tmp_path):
    workspace = Workspace.open(tmp_path / "home")
    ledger = workspace.ledger()
    with CampaignContext(workspace, ledger, ledger.begin_campaign(parse_config(MINIMAL), tmp_path)) as context:
        yield context


class Writer:
    """Counts how often it computes; writes what it is told."""

    def __init__(self, text="results"):
        self.text, self.calls = text, 0

    def __call__(self, folder):
        self.calls += 1
        (folder / "file.txt").write_text(self.text)
        return {"figure": 1}


def staged(context, compute, inputs=None, settings=None):
    return run_stage(context, 1, "work", inputs=inputs or {}, settings=settings or {}, compute=compute)


def test_a_finished_stage_is_not_run_again(context):
    writer = Writer()
    first, second = staged(context, writer), staged(context, writer)
    assert writer.calls == 1
    assert first == second
    assert second.path(context, "file.txt").read_text() == "results"


def test_a_stage_that_died_is_run_again_and_leaves_nothing_behind(context):
    def dying(folder):
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        staged(context, dying)
    stage = staged(context, Writer())
    assert sorted(path.name for path in stage.path(context, "").iterdir()) == ["file.txt"]


def test_results_that_were_lost_are_made_again(context):
    writer = Writer()
    stage = staged(context, writer)
    stage.path(context, "file.txt").unlink()
    again = staged(context, writer)
    assert again.sha256 == stage.sha256
    assert writer.calls == 2


def test_results_that_cannot_be_made_again_are_refused(context):
    stage = staged(context, Writer())
    stage.path(context, "file.txt").write_text("altered")
    with pytest.raises(LedgerError, match="altered or lost"):
        staged(context, Writer("different"))


@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_the_place_of_results_is_removed_and_not_followed(context, tmp_path, there, caplog):
    stage = staged(context, Writer())
    elsewhere = tmp_path / "elsewhere"
    if there:
        elsewhere.mkdir()
        (elsewhere / "mine.txt").write_text("mine")
    folder = stage.path(context, "")
    shutil.rmtree(folder)
    folder.symlink_to(elsewhere)
    assert staged(context, Writer()) == stage
    assert not folder.is_symlink()
    assert stage.path(context, "file.txt").read_text() == "results"
    assert [file.read_text() for file in elsewhere.glob("*")] == ["mine"] * there
    assert "link" in caplog.text


@pytest.mark.parametrize("change", [{"inputs": {"file": "other"}}, {"settings": {"option": 2}}])
def test_a_finished_stage_with_other_inputs_is_refused(context, change):
    staged(context, Writer(), inputs={"file": "sha"}, settings={"option": 1})
    with pytest.raises(LedgerError, match="finished with other inputs"):
        staged(context, Writer(), **({"inputs": {"file": "sha"}, "settings": {"option": 1}} | change))


def test_the_digest_of_a_folder_sees_names_and_contents(tmp_path):
    seen = set()
    for name, text in (("a", "1"), ("b", "1"), ("a", "2")):
        folder = tmp_path / f"{name}{text}"
        folder.mkdir()
        (folder / name).write_text(text)
        seen.add(folder_sha256(folder))
    assert len(seen) == 3


def test_a_workspace_that_cannot_be_written_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match=r"not writable.*DISCOVER_HOME"):
        Workspace.open(tmp_path / "file" / "home")
