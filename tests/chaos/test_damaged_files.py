"""Each file that a campaign left in its workspace is damaged, then the same command again: as before, or a sentence.

The workspace is that of a campaign which was killed while it trained the generators of its last round: it has finished
stages, checkpoints, caches, trained proxies, MLflow's database and its artifacts.
"""

import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos.conftest import HERE, copied, results
from tests.warm_commands import Warm

pytestmark = [pytest.mark.sweep, pytest.mark.timeout(3600)]

POOL = "    - {share: 0.5, generator: {kind: genetic, generations: 2, offspring: 20}}"
PATIENCE = 240.0
"""Seconds after which a run counts as stuck: it takes about five."""


def garbled(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(byte ^ 0xA5 for byte in content[middle : middle + 64]) + content[middle + 64 :]


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "garbled": garbled,
    "emptied": lambda content: b"",
}


def run(warm: Warm, home: Path, *arguments: str) -> tuple[int | None, str]:
    """Exit code (None: stuck) and what was printed."""
    environment = {"DISCOVER_HOME": str(home), "CALL_LOG": str(home / "calls.log"), "DISCOVER_WORKERS": "1"}
    command = warm.start(arguments, environment)
    with suppress(TimeoutError):
        command.ended(PATIENCE)
    command.kill()
    return command.code, command.log.read_text()


@pytest.fixture(scope="module")
def left(tmp_path_factory, arena):
    """The campaign file, and the workspace that the killed campaign left."""
    folder, home = tmp_path_factory.mktemp("campaign"), tmp_path_factory.mktemp("left") / "home"
    shutil.copy(HERE / "library.csv", folder / "pool.csv")
    pool = f"    - {{share: 0.2, generator: {{kind: pool, path: {folder / 'pool.csv'}}}}}"
    config = copied(HERE / "campaign.yaml", folder, **{POOL: f"{POOL.replace('0.5', '0.3')}\n{pool}"})
    own = {"MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}"}
    killed = arena.run(home, config, kill_at="before 2/train_generator", environment=own)
    assert killed["signal"] == signal.SIGKILL
    return config, home


@pytest.fixture(scope="module")
def undamaged(left, warm, tmp_path_factory):
    """What the campaign ends with if nothing is damaged."""
    config, home = left
    again = tmp_path_factory.mktemp("undamaged") / "home"
    shutil.copytree(home, again)
    code, told = run(warm, again, "run", str(config), "--plain")
    assert code == 0, told
    return results(again)


def files_of(home: Path) -> list[Path]:
    """Every file but the ledger and the oracle's log, relative to the workspace."""
    found = [path.relative_to(home) for path in home.rglob("*") if path.is_file()]
    return sorted(path for path in found if not path.name.startswith("ledger.db") and path.name != "calls.log")


def groups_of(files: list[Path]) -> list[list[Path]]:
    """What is damaged together: each file alone; what is only looked at (reports, MLflow's artifacts) at once."""
    groups: dict[Path, list[Path]] = {}
    for file in files:
        if file.parts[0] == "artifacts":
            together = Path(*file.parts[:3])
        elif "report" in file.parts[:-1]:
            together = Path(*file.parts[: file.parts.index("report") + 1])
        else:
            together = file
        groups.setdefault(together, []).append(file)
    return list(groups.values())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_campaign_with_a_damaged_file_ends_as_before_or_with_a_sentence_that_names_it(
    left, undamaged, warm, tmp_path, damage
):
    config, workspace = left
    files = files_of(workspace)
    names = {path.as_posix() for path in files}
    for pattern in (
        "checkpoint/*.pt",
        "cache/**/*",
        "proxies/**/proxy.pt",
        "mlflow.db",
        "artifacts/**/*",
        "batch.parquet",
    ):
        assert any(Path(name).match(pattern) or name.startswith(pattern.partition("/")[0]) for name in names), pattern
    wrong = {}
    for group in groups_of(files):
        home = tmp_path / "home"
        shutil.copytree(workspace, home)
        for file in group:
            make_damage(home / file, damage)
        code, told = run(warm, home, "run", str(config), "--plain")
        problem = judged(code, told, home, group[0], undamaged)
        if problem:
            wrong[str(group[0])] = f"{problem}\n{told[-1500:]}"
        shutil.rmtree(home)
    assert not wrong, "\n\n".join(f"{file}: {problem}" for file, problem in wrong.items())


def make_damage(file: Path, damage: str) -> None:
    file.write_bytes(DAMAGES[damage](file.read_bytes()))


def judged(code: int | None, told: str, home: Path, file: Path, expected: dict[str, bytes]) -> str:
    """What is wrong about how a command ended."""
    if code is None:
        return "stuck"
    if "Traceback" in told:
        return f"a traceback, exit {code}"
    if code == 0:
        found = results(home)
        other = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        return f"other results: {other}" if other else ""
    if code not in (2, 3):
        return f"exit {code}"
    flat = "".join(told.split())
    named = [home / file, *list((home / file).parents)[: len(file.parts) - 1]]
    return "" if any(str(path) in flat for path in named[:-1] or named) else f"exit {code}, and the file is not named"
