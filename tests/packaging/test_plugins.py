"""A plugin of another distribution: its parts run a campaign; a broken one beside it breaks nothing."""

import json
import signal
import textwrap

import pytest

from pipelines.cli import EXIT_BAD_INPUT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TINY = '''
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rdkit import Chem
from rdkit.Chem import Crippen

from data.records import FloatArray, Prediction
from data.tables.readers import Row
from models.oracles.base import MoleculeOracle, OracleOptions
from models.proxies.gaussian_process import GaussianProcess
from models.registry import Component, Options
from models.screens.base import MoleculeScreen


class ScaledOptions(OracleOptions):
    factor: float = 1.0


class Scaled(MoleculeOracle[ScaledOptions]):
    """Crippen's log P times a factor."""

    kind = "tiny_scaled"

    def measure(self, smiles: str) -> float:
        return self.options.factor * float(Crippen.MolLogP(Chem.MolFromSmiles(smiles)))


class AtMost(MoleculeScreen["AtMost.Options"]):
    """Refuse molecules of more than so many atoms."""

    kind = "tiny_at_most"

    class Options(Options):
        atoms: int = 8

    def reason(self, mol: Chem.Mol) -> str | None:
        return None if mol.GetNumAtoms() <= self.options.atoms else f"more than {self.options.atoms} atoms"


class Process(GaussianProcess):
    """The Gaussian process under another name."""

    kind = "tiny_process"


class LinesOptions(Options):
    lines: tuple[str, ...]


class Lines(Component[LinesOptions]):
    """Molecules that stand in the campaign file."""

    group = "source"
    kind = "tiny_lines"

    def rows(self, base: Path) -> Iterator[Row]:
        return (Row(number, smiles, "") for number, smiles in enumerate(self.options.lines, 1))
'''
WORDS = '''
import numpy as np

from data.objects import NotStandardError
from models.registry import Component
from models.spaces.base import BaseSpace


class Edits:
    def mutate(self, obj, rng):
        place = int(rng.integers(len(obj)))
        return obj[:place] + str(rng.choice(list("AB"))) + obj[place + 1 :]

    def crossover(self, first, second, rng):
        place = int(rng.integers(len(first)))
        return first[:place] + second[place:]


class Words(BaseSpace["Words.Options"]):
    """Words of A and B."""

    kind = "tiny_words"
    nouns = ("word", "words")
    column = "word"
    features = neighbours = {"kind": "one_hot", "alphabet": "AB", "length": 9}
    construction = {"kind": "plain", "environment": {"kind": "sequence", "alphabet": "AB", "max_length": 9}}

    class Options(Component.Options):
        pass

    def told(self):
        return "words of nine letters"

    def standard(self, text):
        if set(text) - set("AB") or not text:
            raise NotStandardError("letters other than A and B")
        return text

    def outside(self, obj):
        return None if len(obj) == 9 else "another length than nine"

    def random(self, n, seed):
        rng = np.random.default_rng(seed)
        return list(dict.fromkeys("".join(rng.choice(list("AB"), 9)) for _ in range(3 * n)))[:n]

    def variation(self, sample):
        return Edits()
'''
CAMPAIGN = {
    "name": "plugged",
    "space": {"max_heavy_atoms": 9},
    "objectives": [{"name": "s", "oracle": {"kind": "tiny_scaled", "factor": 10.0}}],
    "data": {
        "kind": "tiny_lines",
        "lines": ["CCCO", "CCCN", "CCCCO", "c1ccccc1", "CCOCC", "CC(=O)C", "CCC#N", "Cc1ccccc1", "CCCF"],
        "initial": 8,
    },
    "screens": [{"kind": "tiny_at_most", "atoms": 7}],
    "proxy": {"kind": "tiny_process"},
    "generator": {"kind": "genetic", "generations": 2, "offspring": 20, "proposals": 30},
    "rounds": 1,
    "batch_size": 4,
}


def plugin(folder, name, code):
    folder.mkdir()
    (folder / f"{name}.py").write_text(textwrap.dedent(code))
    (folder / "pyproject.toml").write_text(
        f'[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\n[tool.setuptools]\npy-modules = ["{name}"]\n'
        f'[project.entry-points."discovery_flows.components"]\n{name} = "{name}"\n'
    )
    return folder


@pytest.fixture(scope="module")
def plugged(installation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    clash = "from models.oracles.base import MoleculeOracle\nclass Mine(MoleculeOracle):\n    kind = 'xtb'\n"
    clash += "    def measure(self, smiles):\n        return 0.0\n"
    installation.install(plugin(folder / "a", "tiny_plugin", TINY))
    installation.install(plugin(folder / "e", "words_plugin", WORDS))
    installation.install(plugin(folder / "b", "broken_plugin", "print('noise')\nimport a_module_that_is_not_there\n"))
    installation.install(plugin(folder / "c", "quitting_plugin", "raise SystemExit(9)\n"))
    installation.install(plugin(folder / "d", "clashing_plugin", clash))
    yield installation
    for name in ("tiny", "words", "broken", "quitting", "clashing"):
        for path in installation.packages.glob(f"{name}_plugin*"):
            path.rename(folder / path.name)


def test_its_oracle_screen_proxy_and_source_run_a_campaign(plugged, tmp_path):
    (tmp_path / "c.yaml").write_text(json.dumps(CAMPAIGN))
    ran = plugged.run(tmp_path, "run", "c.yaml", "--plain")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = json.loads(plugged.run(tmp_path, "candidates", "plugged", "--format", "json").stdout)
    assert len(rows) == 12
    # Crippen's log P of benzene is 1.6866 (Wildman and Crippen, 1999), that of propanol 0.3887.
    values = {row["smiles"]: row["value"] for row in rows}
    assert {values.get("c1ccccc1", 16.866), values.get("CCCO", 3.887)} == {16.866, 3.887}


def test_plugins_that_fail_or_clash_are_told_and_break_nothing(plugged, tmp_path):
    listed = plugged.run(tmp_path, "components", "oracle", "--format", "json")
    assert {"tiny_scaled", "xtb", "python"} <= {entry["kind"] for entry in json.loads(listed.stdout)}
    assert (
        "broken_plugin 1.0 (broken_plugin) was left out, since it cannot be imported: ModuleNotFoundError"
        in listed.stderr
    )
    assert (
        "quitting_plugin 1.0 (quitting_plugin) was left out, since it cannot be imported: SystemExit: 9"
        in listed.stderr
    )
    assert (
        "Two classes claim oracle 'xtb': Mine of the plugin clashing_plugin 1.0 and models.oracles.xtb.Xtb"
        in listed.stderr
    )
    doctor = plugged.run(tmp_path, "doctor")
    assert doctor.returncode == EXIT_BAD_INPUT
    assert "broken_plugin 1.0" in doctor.stdout


SPELLING = """
import os, signal
from pathlib import Path
HERE = Path(__file__).parent

def measure(words):
    with (HERE / "calls.log").open("a") as file:
        file.writelines(word + "\\n" for word in words)
    if (HERE / "kill").exists() and len((HERE / "calls.log").read_text().split()) > 9:
        (HERE / "kill").unlink()
        os.kill(os.getppid(), signal.SIGKILL)
    return [word.count("A") for word in words]
"""


def test_its_space_runs_a_campaign_that_is_killed_gone_on_with_and_exported(plugged, tmp_path):
    (tmp_path / "spelling.py").write_text(SPELLING)
    campaign = {
        "name": "words",
        "space": {"kind": "tiny_words"},
        "objectives": [{"name": "s", "oracle": {"kind": "python", "function": "spelling:measure"}}],
        "data": {"kind": "random", "initial": 8, "size": 60},
        "generator": {"kind": "gflownet", "steps": 30, "proposals": 60, "max_states": 2000},
        "rounds": 1,
        "batch_size": 4,
    }
    (tmp_path / "c.yaml").write_text(json.dumps(campaign))
    (tmp_path / "kill").touch()
    assert plugged.run(tmp_path, "run", "c.yaml", "--plain").returncode == -signal.SIGKILL
    ran = plugged.run(tmp_path, "run", "c.yaml", "--plain")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = json.loads(plugged.run(tmp_path, "candidates", "words", "--format", "json").stdout)
    assert {row["word"]: row["value"] for row in rows} == {row["word"]: row["word"].count("A") for row in rows}
    assert len(rows) == 12
    assert {row["source"] for row in rows} <= {"design", "random", "gflownet"}
    # The call in flight when the process was killed is pure, and was made again; nothing else was.
    calls = (tmp_path / "calls.log").read_text().split()
    assert set(calls) == {row["word"] for row in rows}
    assert len(calls) <= 13
