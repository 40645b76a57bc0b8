"""Methods of the benchmark: each spends the calls of a task and tells how it did.

`campaign` is `discover run campaigns/pmo.yaml`, the others ask the oracle themselves. Options come as `key=value`.
"""

from __future__ import annotations

import importlib.util
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.pmo_harness.protocol import BudgetSpentError, Evaluations
from data.chemistry.files.readers import zinc250k_rows
from data.config import load_config
from data.ledger.summary import COUNTED
from data.records import FloatArray
from models.generators.genetic import Genetic
from models.protocols import GenerationContext
from models.registry import build
from models.spaces.molecules import Molecules

ROOT = Path(__file__).resolve().parents[2]
CAMPAIGN = ROOT / "campaigns" / "pmo.yaml"
START = 100
"""Molecules of ZINC that the genetic methods start from; they count as calls."""

LARGEST = 60
"""Heavy atoms of the largest molecule that the genetic methods may make: the bound of the space."""

Told = dict[str, Any]


def usual_options(method: str) -> dict[str, Any]:
    """Return the options of a method that asks the oracle itself, with their values."""
    if method == "genetic":
        return {**Genetic.Options().model_dump(exclude={"generations"}), "population": START, "fresh": START} | {
            "offspring": 20,
            "elite": 0,
        }
    if method == "gp_thompson":
        small = {"start": 50, "batch": 10, "generations": 4, "offspring": 25, "population": 150}
        return small | {"carried": 50, "fresh": 10, "pool": 300, "mutation_share": 0.3}
    if method == "gflownet":
        return {"inverse_temperature": 50.0, "batch_size": 16, "warm_up_steps": 30, "start": START}
    return {"offspring": 5, "population": 10_000, "start": START, "largest": LARGEST} if method == "molga" else {}


def options(method: str, given: Sequence[str]) -> dict[str, Any]:
    """Return `key=value` options over the usual ones of a method, values being YAML.

    Raises:
        ValueError: an option is unknown or has no value.
    """
    found = usual_options(method)
    for text in given:
        key, sign, value = text.partition("=")
        if not sign or key not in found:
            known = f"KEY=VALUE of {', '.join(found)}" if found else "none"
            raise ValueError(f"{text!r} is no option of the method {method}; expected {known}.")
        found[key] = yaml.safe_load(value)
    return found


def check(method: str, given: Sequence[str]) -> None:
    """Look at the options of a method before anything runs.

    Raises:
        ValueError: one is unknown, or what the method needs is not installed.
    """
    if method == "campaign":
        load_config(CAMPAIGN, given)
        words = [part for setting in given for part in ("--set", setting)]
        if words:
            validate = [sys.executable, "-m", "pipelines", "validate", str(CAMPAIGN), *words]
            with tempfile.TemporaryDirectory() as home:
                ran = subprocess.run(
                    validate, cwd=ROOT, env=environment(home), capture_output=True, text=True, check=False
                )
            if ran.returncode != 0:
                raise ValueError((ran.stdout + ran.stderr).strip())
        return
    options(method, given)
    if method == "molga" and importlib.util.find_spec("mol_ga") is None:
        raise ValueError("The method molga needs the package mol-ga. Install it: pip install mol-ga.")


def zinc(seed: int) -> Iterator[str]:
    """Yield the SMILES of ZINC-250k in random order."""
    rows = [row.text for row in zinc250k_rows()]
    random.Random(seed).shuffle(rows)
    return iter(rows)


def draws(evaluations: Evaluations, seed: int, given: Sequence[str]) -> Told:
    """Measure random members of ZINC."""
    for smiles in zinc(seed):
        evaluations(smiles)
    return {}


def genetic(evaluations: Evaluations, seed: int, given: Sequence[str]) -> Told:
    """Evolve by the generator `genetic` with the task itself as reward: a graph genetic algorithm without a model."""
    space = Molecules(max_heavy_atoms=LARGEST, min_heavy_atoms=1)
    library = [smiles for smiles, _ in zip(_neutral(space, seed), range(10 * START), strict=False)]
    search = Genetic(**options("genetic", given), generations=10 * evaluations.budget)
    search.fit(
        GenerationContext(
            space=space,
            log_reward=lambda objects: np.array([evaluations(text) for text in objects]),
            seed=seed,
            library=tuple(library),
        )
    )
    return {}


def _neutral(space: Molecules, seed: int) -> Iterator[str]:
    for smiles in zinc(seed):
        try:
            yield space.admit(smiles)
        except ValueError:  # an ion
            continue


def gp_thompson(evaluations: Evaluations, seed: int, given: Sequence[str]) -> Told:
    """Search by a Gaussian process with Thompson sampling over graph edits."""
    from benchmarks.pmo_harness.gp_thompson import search

    space = Molecules(max_heavy_atoms=LARGEST, min_heavy_atoms=1)
    library = [smiles for smiles, _ in zip(_neutral(space, seed), range(10 * START), strict=False)]
    search(evaluations, library, space.variation(library), seed, options("gp_thompson", given))
    return {}


def gflownet(evaluations: Evaluations, seed: int, given: Sequence[str]) -> Told:
    """Train a GFlowNet of fragments on the task itself by trajectory balance, R = exp(b score): every sample is a call.

    It starts from the best of `start` measured members of ZINC and imitates unmeasured ones first, as in campaigns.
    """
    chosen = options("gflownet", given)
    space = Molecules(max_heavy_atoms=50, min_heavy_atoms=4)
    library = [smiles for smiles, _ in zip(_neutral(space, seed), range(20 * START), strict=False)]
    known = [smiles for smiles in library if not space.outside(smiles)][: chosen["start"]]

    def log_reward(objects: Sequence[str]) -> FloatArray:
        return chosen["inverse_temperature"] * np.array([evaluations(text) for text in objects])

    sampler = build(
        "generator",
        {
            "kind": "gflownet",
            "steps": evaluations.budget,
            "batch_size": chosen["batch_size"],
            "warm_up_steps": chosen["warm_up_steps"],
            "library_molecules": 0,
            "held_out_molecules": 0,
        },
    )
    values = log_reward(known)
    order = np.argsort(-values, kind="stable")
    sampler.fit(
        GenerationContext(
            space=space,
            log_reward=log_reward,
            seed=seed,
            known=tuple(known[i] for i in order),
            known_log_reward=values[order],
            library=tuple(library),
        )
    )
    return {}


def molga(evaluations: Evaluations, seed: int, given: Sequence[str]) -> Told:
    """Run Mol GA (Tripp and Hernandez-Lobato, arXiv 2310.09267) as released, but for a cap on the size of offspring.

    Without it crossover of rings makes molecules of thousands of atoms, which end a run by memory; what the cap
    refused is told.
    """
    from mol_ga import default_ga, mol_libraries
    from mol_ga.graph_ga.gen_candidates import graph_ga_blended_generation
    from rdkit import Chem

    chosen = options("molga", given)
    told = {"made": 0, "too_large": 0}

    def offspring(samples: list[str], n: int, rng: random.Random, parallel: Any) -> set[str]:
        made = graph_ga_blended_generation(samples, n, rng, parallel)
        sizes = {smiles: Chem.MolFromSmiles(smiles) for smiles in made}
        kept = {smiles for smiles, mol in sizes.items() if mol and mol.GetNumHeavyAtoms() <= chosen["largest"]}
        told["made"] += len(made)
        told["too_large"] += len(made) - len(kept)
        return kept

    rng = random.Random(seed)
    with suppress(BudgetSpentError):
        default_ga(
            starting_population_smiles=mol_libraries.random_zinc(chosen["start"], rng),
            scoring_function=lambda texts: [evaluations(text) for text in texts],
            max_generations=100 * evaluations.budget,
            offspring_size=chosen["offspring"],
            population_size=chosen["population"],
            offspring_gen_func=offspring,
            rng=rng,
        )
    return told


METHODS: Mapping[str, Callable[[Evaluations, int, Sequence[str]], Told]] = {
    "genetic": genetic,
    "gflownet": gflownet,
    "gp_thompson": gp_thompson,
    "molga": molga,
    "random": draws,
}
"""Methods that ask the oracle themselves."""


def ask(method: str, evaluations: Evaluations, seed: int, given: Sequence[str]) -> Told:
    """Run a method until the calls are spent; returns what it tells beside them."""
    try:
        return METHODS[method](evaluations, seed, given)
    except BudgetSpentError:
        return {}


def score_of(task: str) -> Callable[[str], float]:
    """Return the score of a task, given a SMILES."""
    oracle = build("oracle", {"kind": "pmo", "task": task})
    oracle.prepare()
    return lambda smiles: float(oracle.measure(smiles))


def campaign(
    task: str, seed: int, budget: int, given: Sequence[str], *, plain: bool, limit: float
) -> tuple[dict[str, float], Told]:
    """Run the shipped campaign through the flow in a workspace of its own.

    Returns the values by molecule in the order of purchase; told are, by source, what it proposed that was bought and
    that is among the best hundred, and how the campaign ended.
    """
    settings = [
        f"seed={seed}",
        f"objectives.0.name={task}",
        f"objectives.0.oracle.task={task}",
        f"budget.calls={budget}",
        "control.fraction=0",
        *given,
    ]
    config = load_config(CAMPAIGN, settings)
    if not any(text.startswith("rounds=") for text in given):
        settings.append(f"rounds={math.ceil(max(0, budget - config.data.initial) / config.batch_size)}")
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "pipelines", "run", str(CAMPAIGN), *(["--plain"] if plain else [])]
        command += [part for setting in settings for part in ("--set", setting)]
        ended = run_command(command, environment(home), limit)
        values, told = bought_of(Path(home), config.name)
        told["disk_mib"] = round(disk_bytes(Path(home)) / 2**20, 1)
        return values, {**told, "ended": "done" if len(values) >= budget else ended}


def disk_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder, of several names of one file once."""
    files = (file.stat() for file in folder.rglob("*") if file.is_file())
    return sum({(found.st_dev, found.st_ino): found.st_size for found in files}.values())


def environment(home: str) -> dict[str, str]:
    outside = {"DISCOVER_LEDGER", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"}
    inherited = {key: value for key, value in os.environ.items() if key not in outside}
    return {**inherited, "DISCOVER_HOME": home, "DISCOVER_WORKERS": "1"}


def run_command(command: Sequence[str], environment: Mapping[str, str], limit: float) -> str:
    """Run a campaign with all that it starts, at most `limit` seconds; returns how it ended."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=limit)
    except BaseException as reason:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        if not isinstance(reason, subprocess.TimeoutExpired):
            raise
        return "time limit"
    if process.returncode not in (0, 3):
        raise SystemExit(f"The campaign ended with {process.returncode}: {said[-2000:]}")
    return "done" if process.returncode == 0 else "stopped"


def bought_of(home: Path, name: str) -> tuple[dict[str, float], Told]:
    """Return what a campaign measured, molecule -> value in order, and per source how much of it and of the best."""
    from data.ledger.ledger import Ledger

    ledger = Ledger.at(home / "ledger.db")
    campaign = ledger.campaign(name).id
    rows = [row for row in ledger.candidates(campaign) if row.value is not None]
    stages = ledger.stages(campaign)
    ledger.close()
    values = {row.object: float(row.value) for row in rows if row.value is not None}
    best = set(sorted(values, key=lambda smiles: -values[smiles])[:100])
    bought, top = (
        Counter(row.source for row in rows),
        Counter(row.source for row in rows if row.object in best),
    )
    counted = (key.partition("/") for stage in stages if stage.name == "propose" for key in stage.metrics)
    proposing = {source for kind, _, source in counted if kind == COUNTED and source}
    sources = {source: {"bought": bought[source], "top100": top[source]} for source in sorted({*bought, *proposing})}
    return values, {"sources": sources}
