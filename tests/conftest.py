"""A tiny campaign that any test may run or break, through the command line and in this process."""

import io
import json
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.warm_commands import Warm, warm_process

CAMPAIGN: dict[str, Any] = {
    "name": "tiny",
    "seed": 7,
    "space": {"max_heavy_atoms": 9, "min_heavy_atoms": 3, "elements": ["H", "C", "N", "O", "F", "S", "Cl"]},
    "objectives": [{"name": "score", "oracle": {"kind": "python", "function": "tiny_oracle:measure", "unit": "a.u."}}],
    "data": {"kind": "csv", "path": "library.csv", "initial": 8},
    "screens": [{"kind": "synthetic_accessibility", "max": 6.0}],
    "generator": {"kind": "genetic", "generations": 2, "offspring": 20, "proposals": 40},
    "control": {"kind": "random", "fraction": 0.25},
    "rounds": 1,
    "batch_size": 4,
    "budget": {"calls": 20},
}
"""8 calls in the initial design, 4 in each round."""

ORACLE = """
from pathlib import Path
from rdkit import Chem
from rdkit.Chem import Crippen

LOG = Path(__file__).with_name("calls.log")

def value(smiles):
    return Crippen.MolLogP(Chem.MolFromSmiles(smiles))

def calls():
    return len(LOG.read_text().splitlines()) if LOG.exists() else 0

def measure(molecules):
    with LOG.open("a") as file:
        file.writelines(f"{smiles}\\n" for smiles in molecules)
    return [{answer} for smiles in molecules]
"""
"""Logs what it was asked, then answers with `{answer}`."""

LIBRARY = (Path(__file__).parent / "chaos" / "library.csv").read_text().splitlines()[1:]


LONGEST_FIRST = (
    "tests/campaigns/test_campaigns.py",
    "tests/e2e/test_schedules.py",
    "tests/postgres/test_team.py",
    "tests/models/gflownet/test_gates.py",
    "tests/models/gflownet/conditioning/test_trade_offs.py",
    "tests/tasks/engines/test_dask.py",
    "tests/models/generators/test_flow_matching.py",
    "tests/pipelines/rest/test_telling.py",
    "tests/pipelines/test_backup.py",
    "tests/e2e/test_dead_server.py",
    "tests/e2e/test_flow.py",
    "tests/chaos/test_kill.py",
    "tests/campaigns/test_virtual_screening.py",
    "tests/packaging/test_installed.py",
    "tests/e2e/test_ui.py",
    "tests/e2e/test_other_machine.py",
    "tests/models/gflownet/training/test_densities.py",
    "tests/models/gflownet/conditioning/test_training.py",
    "tests/models/gflownet/policies/test_graph.py",
    "tests/models/generators/test_gflownet.py",
    "tests/tasks/test_remeasuring.py",
    "tests/tasks/test_locations.py",
    "tests/pipelines/test_delete.py",
    "tests/tasks/test_library_cache.py",
    "tests/tasks/test_several_laboratories.py",
    "tests/tasks/reporting/test_rounds.py",
    "tests/tasks/test_laboratory.py",
    "tests/chaos/test_laboratory_kill.py",
    "tests/campaigns/test_units.py",
    "tests/tasks/test_levels.py",
    "tests/tasks/test_several_objectives.py",
    "tests/pipelines/test_refusals.py",
    "tests/pipelines/test_sampler.py",
)
"""Files that take half a minute or more: if one of them came last, one process would be left alone with it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; `--no-loadscope-reorder` keeps this order when files are shared out."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With one marker alone, pass over the files that do not have the word: importing all takes half a minute."""
    marker = config.option.markexpr
    if marker not in ("slow", "sweep", "ray", "trial") or not collection_path.match("test_*.py"):
        return None
    return True if re.search(rf"\b{marker}\b", collection_path.read_text()) is None else None


@dataclass(frozen=True)
class Told:
    """What a command answered."""

    exit: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """Everything printed, on one line."""
        return " ".join((self.out + self.err).split())


@dataclass
class Bench:
    """A folder with a campaign file, its library, its oracle and its workspace."""

    folder: Path
    config: dict[str, Any] = field(default_factory=lambda: deepcopy(CAMPAIGN))

    def __post_init__(self) -> None:
        self.write_config()
        self.write_library(*LIBRARY)
        self.write_oracle()

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def file(self) -> Path:
        return self.folder / "campaign.yaml"

    def write_config(self, **changes: Any) -> None:
        self.config |= changes
        self.file.write_text(yaml.safe_dump(self.config))

    def write_library(self, *rows: str, header: str = "smiles") -> None:
        (self.folder / "library.csv").write_text("\n".join([header, *rows]) + "\n")

    def write_oracle(self, answer: str = "value(smiles)") -> None:
        (self.folder / "tiny_oracle.py").write_text(ORACLE.replace("{answer}", answer))

    def discover(self, *arguments: str) -> Told:
        from pipelines.cli import guarded

        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            code = guarded(list(arguments))
        assert "Traceback" not in out.getvalue() + err.getvalue()
        return Told(code, out.getvalue(), err.getvalue())

    def run(self, *arguments: str) -> Told:
        return self.discover("run", str(self.file), "--plain", *arguments)

    def state(self) -> str:
        from tasks.workspace import Workspace

        ledger = Workspace(self.home).ledger()
        state = str(ledger.campaign(self.config["name"]).state)
        ledger.close()
        return state

    def candidates(self) -> list[dict[str, Any]]:
        told = self.discover("candidates", self.config["name"], "--format", "json")
        assert told.exit == 0, told.err
        rows: list[dict[str, Any]] = json.loads(told.out)
        return rows

    def calls(self) -> list[str]:
        """The molecules that the oracle was asked for, in order."""
        log = self.folder / "calls.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Undo for all tests, and the processes that they start, that a shell ignores SIGINT for its background jobs."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow database for all tests that need none of their own: making one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}"


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Starts `discover` in processes of their own that need not import anything first."""
    with warm_process(tmp_path_factory.mktemp("commands")) as warm:
        yield warm


@pytest.fixture
def bench(tmp_path: Path, tracking: str, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A campaign of one's own, which draws no plots: they take half of its time, and have tests of their own."""
    bench = Bench(tmp_path)
    use(bench, tracking, monkeypatch)
    monkeypatch.setattr("tasks.reporting.report.round_figures", lambda *_: {})
    return bench


@pytest.fixture(scope="session")
def finished_bench(tmp_path_factory: pytest.TempPathFactory, tracking: str) -> Bench:
    """A campaign of two rounds that is done, for tests that only look at it."""
    bench = Bench(tmp_path_factory.mktemp("finished"))
    bench.write_config(name="finished", rounds=2)
    with pytest.MonkeyPatch.context() as patch:
        use(bench, tracking, patch)
        told = bench.run()
    assert told.exit == 0, told.message
    return bench


@pytest.fixture
def finished(finished_bench: Bench, tracking: str, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The same, with its workspace as the current one."""
    use(finished_bench, tracking, monkeypatch)
    return finished_bench


def use(bench: Bench, tracking: str, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("DISCOVER_HOME", str(bench.home))
    patch.setenv("MLFLOW_TRACKING_URI", tracking)
    patch.setenv("DISCOVER_WORKERS", "1")
    patch.delenv("DISCOVER_LEDGER", raising=False)
    if "mlflow" in sys.modules:  # whose process-wide address another test's campaign may have left elsewhere
        sys.modules["mlflow"].set_tracking_uri(tracking)
