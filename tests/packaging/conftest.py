"""An installation as a user has it: the wheel in an environment of its own, with the dependencies of this one."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Installation:
    """A virtual environment, and a folder from which commands are run."""

    folder: Path
    wheel: Path

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def packages(self) -> Path:
        (packages,) = self.folder.glob("lib/python*/site-packages")
        return packages

    def install(self, source: Path) -> None:
        install(source, self.bin / "python")

    def run(self, cwd: Path, *arguments: str, options: tuple[str, ...] = (), **environment: str | None):
        """Run `discover` in a folder; a variable that is None is unset."""
        return self.python(cwd, *options, str(self.bin / "discover"), *arguments, **environment)

    def python(self, cwd: Path, *arguments: str, **environment: str | None):
        """Run the installation's Python in a folder, with a workspace there."""
        variables = {
            **os.environ,
            "DISCOVER_HOME": str(cwd / "home"),
            "DISCOVER_WORKERS": "1",
            "MLFLOW_TRACKING_URI": f"sqlite:///{cwd / 'mlflow.db'}",
            "PYTHONPATH": None,
            "DISCOVER_LEDGER": None,
            **environment,
        }
        return subprocess.run(
            [str(self.bin / "python"), *arguments],
            cwd=cwd,
            env={name: value for name, value in variables.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=240,
        )


def install(source: Path, python: Path) -> None:
    pip(python, "install", "--no-deps", "--force-reinstall", str(source))


def pip(python: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(python), *arguments[:1]]
    options = ["--quiet", "--no-index", "--no-cache-dir", "--disable-pip-version-check", "--no-build-isolation"]
    ran = subprocess.run([*command, *options, *arguments[1:]], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Build the wheel from the files that git knows, without a network, and install it."""
    folder = tmp_path_factory.mktemp("installation")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    assert listed.returncode == 0, listed.stderr
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name, follow_symlinks=False)
    pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", str(folder), str(folder / "source"))
    (wheel,) = folder.glob("*.whl")
    shutil.rmtree(folder / "source")  # nothing of the installation may come from it
    venv.create(folder / "venv", symlinks=True)
    made = Installation(folder / "venv", wheel)
    shared = [path for path in sys.path if path.endswith("site-packages")] or [sysconfig.get_paths()["purelib"]]
    (made.packages / "shared.pth").write_text("\n".join(shared) + "\n")
    made.install(wheel)
    return made
