"""A workspace's own servers: their ports, whose they are, who shares them, and what they are told."""

import shutil
import socket

import psutil
import pytest

from pipelines import server_settings, services
from pipelines.services import ServiceError, own_server, prefect_server
from tasks.workspace import Workspace

pytestmark = pytest.mark.timeout(240)  # a server that makes its database takes ten seconds


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return Workspace.open(tmp_path / "home")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prefect", "mlflow"])
def test_a_taken_port_is_left_alone_and_the_server_is_shared_until_the_last_has_gone(
    workspace, monkeypatch, tmp_path, name
):
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setitem(services.PORTS, name, other.getsockname()[1])
        with own_server(workspace, name) as server:
            assert server.url != f"http://127.0.0.1:{other.getsockname()[1]}"
            server.wait(workspace)
            with own_server(workspace, name) as second:
                assert second == server
            assert server.alive()
            told = " ".join(psutil.Process(server.pid).cmdline())
            assert workspace.token() not in told

            copied = Workspace.open(tmp_path / "copied")
            shutil.copytree(workspace.services, copied.services, dirs_exist_ok=True)
            assert server.answers(workspace)
            assert not server.answers(Workspace.open(tmp_path / "another"))
            with own_server(copied, name) as own:
                assert (own.pid, own.home) != (server.pid, server.home)
            assert server.alive()
    assert not server.alive()
    assert not own.alive()


@pytest.mark.parametrize("name", ["prefect", "mlflow"])
def test_a_database_that_is_none_is_named_with_the_log_before_anything_is_started(workspace, name):
    database = workspace.mlflow_file if name == "mlflow" else workspace.prefect_home / "prefect.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    database.write_bytes(b"garbage" * 100)
    with pytest.raises(ServiceError) as refused, own_server(workspace, name):
        pass
    assert str(database) in str(refused.value)
    assert str(workspace.log(name)) in str(refused.value)
    assert database.read_bytes() == b"garbage" * 100


def test_a_run_with_a_garbage_prefect_database_is_refused_before_it_spends_anything(bench):
    database = Workspace.open(bench.home).prefect_home / "prefect.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    database.write_bytes(b"garbage" * 100)
    told = bench.discover("run", str(bench.file))
    assert told.exit == 2, told.message
    assert str(database) in "".join((told.out + told.err).split())
    assert bench.calls() == []


def test_settings_of_the_users_reach_neither_server(workspace, monkeypatch):
    settings = {
        "PREFECT_API_KEY": "pnu_secret",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql://me:secret@db/prefect",
        "MLFLOW_TRACKING_PASSWORD": "secret",
        "MLFLOW_S3_ENDPOINT_URL": "http://store",
        "DISCOVER_LEDGER": "postgresql://me:secret@db/ledger",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for name in ("prefect", "mlflow"):
        told = server_settings.environment(workspace, name, "http://127.0.0.1:1")
        assert not set(settings) & set(told)
        assert "secret" not in " ".join(told.values()).replace(workspace.token(), "")


def test_settings_of_the_users_are_put_aside_for_a_run_said_and_given_back(workspace, monkeypatch):
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_secret")
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "ERROR")
    import os

    said = []
    with server_settings.client_settings(workspace, "http://127.0.0.1:1", said.append):
        assert "PREFECT_API_KEY" not in os.environ
        assert os.environ["PREFECT_LOGGING_LEVEL"] == "ERROR"
        assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:1/api"
    assert os.environ["PREFECT_API_KEY"] == "pnu_secret"
    assert "PREFECT_API_URL" not in os.environ
    (sentence,) = said
    assert "PREFECT_API_KEY" in sentence
    assert "pnu_secret" not in sentence
    assert "PREFECT_LOGGING_LEVEL" not in sentence


def test_prefect_reads_the_settings_of_the_workspace_also_if_it_was_imported_before(workspace):
    from prefect.settings import get_current_settings

    with server_settings.client_settings(workspace, "http://127.0.0.1:1", lambda _: None):
        assert get_current_settings().api.url == "http://127.0.0.1:1/api"
        assert not get_current_settings().server.ephemeral.enabled
    assert get_current_settings().api.url is None


def test_an_address_of_prefect_with_a_password_is_told_without_it(workspace, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://me:secret@127.0.0.1:1/api")
    with pytest.raises(ServiceError) as refused, prefect_server(workspace):
        pass
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("uri", ["http://me:secret@127.0.0.1:9", "postgresql://me:secret@127.0.0.1:9/x"])
@pytest.mark.slow
def test_a_tracker_that_cannot_be_reached_costs_a_campaign_its_pages_only(bench, warm, tmp_path, uri):
    environment = {
        "DISCOVER_HOME": str(bench.home),
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "DISCOVER_WORKERS": "1",
    }
    command = warm.start(("run", str(bench.file), "--plain"), environment)
    told = command.ended()
    assert command.code == 0, told
    assert "MLflow" in told
    assert "secret" not in told
    assert "Traceback" not in told
    assert len(bench.calls()) == 12


@pytest.mark.slow
def test_first_opens_of_a_workspace_at_once_have_one_winner_and_no_traceback(bench, warm):
    environment = {"DISCOVER_HOME": str(bench.home), "DISCOVER_WORKERS": "1"}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{bench.folder / 'mlflow.db'}"
    commands = [warm.start(("run", str(bench.file), "--plain"), environment) for _ in range(4)]
    told = [command.ended() for command in commands]
    assert not [text for text in told if "Traceback" in text]
    assert {command.code for command in commands} <= {0, 2}
    assert 0 in {command.code for command in commands}
    for command, text in zip(commands, told, strict=True):
        assert command.code == 0 or "is being run by process" in text, text
    assert len(bench.calls()) == len(set(bench.calls())) == 12
