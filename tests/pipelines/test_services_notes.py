"""What the servers of a workspace note in it may be damaged, and what answers at an address may be anything."""

import socket
import threading

import pytest

from pipelines.addresses import address_of
from pipelines.pages import mlflow_page
from pipelines.sampling import show_summary
from pipelines.server_settings import auth_string, healthy
from pipelines.services import ServiceError, prefect_server
from pipelines.terminal import Terminal
from tasks.samplers.summary import Summary
from tasks.workspace import Workspace


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return Workspace.open(tmp_path / "home")


@pytest.mark.parametrize("damage", [b"", b"short", b"\xff\xfe" * 16, b"a b" * 11, b"\n" * 32])
def test_a_damaged_token_is_made_anew_and_lets_nobody_in(workspace, damage):
    before = workspace.token()
    file = workspace.services / "token"
    file.write_bytes(damage)
    after = workspace.token()
    assert after == workspace.token() == file.read_text()
    assert len(after) == len(before) == 32
    assert after != before
    assert auth_string(workspace) == f"discover:{after}"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("note", [b"", b"\xff\xfe no page", b"/#/experiments/1/\xff", b"javascript:x", b"/#/a\nb"])
def test_a_damaged_note_of_a_page_is_left_out(workspace, monkeypatch, note):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    file = workspace.home / "campaigns" / "x" / "report" / "mlflow.txt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"/#/experiments/1\n")
    assert mlflow_page(workspace, file.parent.parent) == "http://127.0.0.1:1/#/experiments/1"
    file.write_bytes(note)
    assert mlflow_page(workspace, file.parent.parent) == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("/#/experiments/7", "MLflow      http://127.0.0.1:1/#/experiments/7\n"),
        (None, "MLflow      could not be reached; the same command tries again\n"),
    ],
)
def test_a_sampler_tells_the_whole_address_of_its_page(workspace, monkeypatch, capsys, page, told):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    summary = Summary("exactly", {}, {}, page, workspace.home)
    show_summary("grid", 1, summary, workspace, Terminal())
    assert told in capsys.readouterr().out


@pytest.fixture
def stranger():
    """A server of something else: it answers, but not in HTTP."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    threading.Thread(target=answer, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_what_speaks_another_language_is_not_healthy_and_not_ours(workspace, stranger, monkeypatch):
    assert not healthy(stranger, own=False)
    assert not address_of(workspace, stranger)
    monkeypatch.setenv("PREFECT_API_URL", f"{stranger}/api")
    with pytest.raises(ServiceError, match="no Prefect server answers there"), prefect_server(workspace):
        pass
