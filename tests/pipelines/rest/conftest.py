"""A campaign that asks a laboratory, and the REST interface of its workspace at a port of loopback."""

import json
import shutil
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from pipelines.rest.access import Tokens
from pipelines.rest.app import rest_application
from tasks.workspace import Workspace
from tests.conftest import Bench, use

READER, ROBOT = "r" * 32, "w" * 32
TOKENS = f"reader read {READER}\nrobot tell {ROBOT}\n"
OUTPUTS = {"ee": "%", "yield": "%"}
STOPPED = 3


@dataclass(frozen=True)
class Answer:
    """What the server answered."""

    status: int
    headers: Any
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Served:
    """The interface of a workspace."""

    url: str
    home: Path

    def ask(self, method: str, path: str, body: Any = None, token: str | None = ROBOT, **headers: str) -> Answer:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}) | headers
        request = urllib.request.Request(self.url + path, content, given, method=method)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read().decode())

    def get(self, path: str, token: str | None = ROBOT) -> Answer:
        return self.ask("GET", f"/api/v1/campaigns{path}", token=token)

    def tell(self, *answers: dict[str, Any], token: str = ROBOT, **options: Any) -> Answer:
        return self.ask("POST", "/api/v1/campaigns/lab/answers", {"answers": list(answers), **options}, token)

    def batch(self) -> list[dict[str, Any]]:
        told = self.get("/lab/batch")
        assert told.status == 200, told.text
        found: list[dict[str, Any]] = told.body["batch"]
        return found


@contextmanager
def serving(home: Path) -> Iterator[Served]:
    listener = socket.create_server(("127.0.0.1", 0))
    app = rest_application(Workspace(home), Tokens.parsed(TOKENS, "the tokens"))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", home)  # it listens already
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory, tracking: str) -> Bench:
    """A campaign that waits for eight molecules, each of which has two values."""
    bench = Bench(tmp_path_factory.mktemp("waiting"))
    objectives = [
        {"name": "yield", "oracle": {"kind": "laboratory", "outputs": OUTPUTS, "cost": 120}, "output": "yield"}
    ]
    bench.write_config(name="lab", objectives=objectives, budget={"cost": 2400.0})
    with pytest.MonkeyPatch.context() as patch:
        use(bench, tracking, patch)
        patch.setattr("tasks.reporting.report.round_figures", lambda *_: {})
        told = bench.run()
    assert told.exit == STOPPED, told.message
    return bench


@pytest.fixture
def lab(waiting: Bench, tmp_path: Path, tracking: str, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A copy of it, as the current workspace."""
    shutil.copytree(waiting.folder, tmp_path / "lab")
    bench = Bench(tmp_path / "lab", waiting.config)
    use(bench, tracking, monkeypatch)
    return bench


@pytest.fixture
def served(lab: Bench) -> Iterator[Served]:
    with serving(lab.home) as served:
        yield served


@pytest.fixture(scope="module")
def shown(waiting: Bench) -> Iterator[Served]:
    """The same of the campaign itself, for tests that only look."""
    with serving(waiting.home) as served:
        yield served
