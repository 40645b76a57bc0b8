"""How good, how honest and how fast the proxies are, on measured and on computed data.

    .venv/bin/python benchmarks/proxies.py [--seeds 3] [--workers 2] [--sections quality refit speed] [--sets FreeSolv]

quality: FreeSolv (642 measured hydration free energies; `discover data freesolv` obtains them) and 1,500 molecules of
the shipped library (computed electron affinities; 500 to train on), each split at random and by scaffold. Deviations
are calibrated as a campaign does it: one factor from five folds by scaffold of the training set. CPU-seconds are those
of one fit and one prediction, features included; the folds cost about five times as much again.

coverage: the default on every molecule once, held out with its scaffold and calibrated by the other folds: the figures
of a campaign's report. (`quality` tests on one fold; in FreeSolv a fold by scaffold is mostly its benzenes.)

refit: a network that is trained anew each round against one that goes on from the last round's weights and replays.

speed: predictions per CPU-second of every proxy, and the Gaussian process with 1,000 labels on 20,000 molecules.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

from benchmarks.peers.reporting import Record, Section, pick  # noqa: E402
from data.chemistry.files.readers import zinc250k_rows  # noqa: E402
from data.chemistry.molecules import canonical, scaffold  # noqa: E402
from data.config import CampaignConfig, derive_seed  # noqa: E402
from data.records import FloatArray  # noqa: E402
from data.tables.obtain import load_freesolv, obtain  # noqa: E402
from data.tables.shipped import labelled_library  # noqa: E402
from models.featurisers.cache import FeatureCache  # noqa: E402
from models.protocols import Proxy  # noqa: E402
from models.proxies.base import predictions_per_cpu_second  # noqa: E402
from models.proxies.calibration import calibrate_across, fit_calibration  # noqa: E402
from models.proxies.evaluation import cross_validate, group_folds, metrics, reliability  # noqa: E402
from models.registry import build, kinds  # noqa: E402
from tasks.workspace import Workspace  # noqa: E402

SECTIONS = ("quality", "coverage", "refit", "speed")
FOLDS = 5
LIBRARY_TRAIN, LIBRARY_TEST = 500, 1000
VARIANTS: dict[str, dict[str, Any]] = {
    **{kind: {"kind": kind} for kind in kinds("proxy") if kind not in ("multi_task", "prior_fitted")},
    "prior_fitted, 20 components": {"kind": "prior_fitted", "components": 20},
    "gaussian_process, descriptors": {"kind": "gaussian_process", "kernel": "descriptors"},
    "gaussian_process, student_t": {"kind": "gaussian_process", "tails": "student_t"},
    "gaussian_process, counts": {"kind": "gaussian_process", "kernel": "tanimoto"},
    "random_forest, jackknife": {"kind": "random_forest", "uncertainty": "jackknife"},
    "mlp_ensemble, mixup": {"kind": "mlp_ensemble", "mixup": 0.4},
    "mlp_ensemble, greedy": {"kind": "mlp_ensemble", "diversity": "greedy"},
}
"""Name -> configuration. `multi_task` with one target is `mlp_ensemble`; `prior_fitted` takes no 215 descriptors."""
SEEDS_AT_MOST = {"gnn_ensemble": 1, "egnn": 1}
"""They take ten times as long as the others together."""
SETS, SPLITS = ("FreeSolv", "electron affinities"), ("random", "scaffold")
LEVELS = np.arange(1, 20) / 20


@cache
def data_set(name: str) -> tuple[list[str], FloatArray]:
    """Return molecules and values of a set; of two rows that are one molecule the first."""
    if name == "FreeSolv":
        frame = load_freesolv(home())
        smiles = [str(canonical(text)) for text in frame["smiles"]]
    else:
        frame = labelled_library()
        smiles = frame["smiles"].tolist()
    first = {text: i for i, text in reversed(list(enumerate(smiles)))}
    rows = sorted(first.values())
    return [smiles[i] for i in rows], frame["value"].to_numpy(dtype=np.float64)[rows]


def home() -> Path:
    """Return the workspace, where obtained tables are."""
    return Workspace.open().home


def split(name: str, how: str, seed: int) -> tuple[list[int], list[int]]:
    """Return the rows to train on and to test on: a fifth of all scaffolds, or of all molecules, is for testing."""
    molecules, _ = data_set(name)
    groups = [scaffold(smiles) for smiles in molecules] if how == "scaffold" else [""] * len(molecules)
    fold = np.array(group_folds(groups, FOLDS, seed))
    rng = np.random.default_rng(derive_seed(seed, "proxies", name, how))
    train, test = (rng.permutation(np.flatnonzero(part)).tolist() for part in (fold != 0, fold == 0))
    return (train, test) if name == "FreeSolv" else (train[:LIBRARY_TRAIN], test[:LIBRARY_TEST])


def quality_of(task: tuple[str, str, int, str]) -> Record:
    """Train, calibrate and test one proxy on one split."""
    name, how, seed, variant = task
    molecules, values = data_set(name)
    train, test = split(name, how, seed)
    known, unknown = [molecules[i] for i in train], [molecules[i] for i in test]

    def make() -> Proxy:
        proxy: Proxy = build("proxy", VARIANTS[variant])
        return proxy

    fresh_features()
    proxy, begin = make(), time.process_time()
    proxy.fit(known, values[train], seed=seed)
    raw = proxy.predict(unknown)
    seconds = time.process_time() - begin
    groups = [scaffold(smiles) or smiles for smiles in known]
    held = cross_validate(make, known, values[train], groups, FOLDS, seed)
    shown = fit_calibration("variance", held, values[train])(raw)
    found = metrics(shown, values[test])
    return {
        "set": name,
        "split": how,
        "seed": seed,
        "proxy": variant,
        "n_train": len(train),
        "n_test": len(test),
        "cpu_seconds": seconds,
        "raw": metrics(raw, values[test]),
        **found,
        "levels": reliability(shown, values[test], LEVELS).tolist(),
        "raw_levels": reliability(raw, values[test], LEVELS).tolist(),
    }


def fresh_features() -> None:
    """Forget all features, so that each proxy pays for its own."""
    import models.featurisers.cache

    models.featurisers.cache._shared = FeatureCache()


def quality(records: Sequence[Record]) -> list[Section]:
    """Return a table per data set."""
    made = []
    splits = [how for how in SPLITS if pick(records, split=how)]
    for name in dict.fromkeys(record["set"] for record in records):
        rows = []
        for variant in dict.fromkeys(record["proxy"] for record in records):
            cells = [variant]
            for how in splits:
                mine = pick(records, set=name, split=how, proxy=variant)
                mean = {key: np.mean([record[key] for record in mine]) for key in ("rmse", "nll", "spearman")}
                raw = np.mean([record["raw"]["coverage_90"] for record in mine])
                covered = " ".join(f"{100 * record['coverage_90']:.0f}" for record in mine)
                cells += [f"{mean['rmse']:.3f}", f"{mean['nll']:.2f}", f"{mean['spearman']:.3f}"]
                cells += [f"{100 * raw:.0f}", covered]
            seconds = [record["cpu_seconds"] for record in pick(records, set=name, proxy=variant)]
            rows.append([*cells, f"{np.median(seconds):.1f}"])
        head = ["RMSE", "NLL", "Spearman", "raw 90 %", "90 %"]
        columns = ["proxy", *(f"{how}: {title}" for how in splits for title in head), "CPU-s"]
        one = pick(records, set=name)[0]
        note = (
            f"{one['n_train']} molecules to train on, {one['n_test']} to test on at random; means over seeds. 90 %: "
            "per cent of the test values inside the calibrated central 90 % interval, each seed shown; raw: before "
            "calibration, mean."
        )
        made.append(Section(f"quality_{name}", f"Proxies on {name}", columns, rows, note, pick(records, set=name)))
    return made


COVERED = ("coverage_50", "coverage_80", "coverage_90", "coverage_95")
COVERAGE_SEEDS = 5


def coverage_of(task: tuple[str, int]) -> Record:
    """Predict every molecule of a set by the default proxy without its scaffold, calibrated without its fold."""
    name, seed = task
    molecules, values = data_set(name)
    rng = np.random.default_rng(derive_seed(seed, "proxies", "coverage"))
    rows = rng.permutation(len(molecules))[:LIBRARY_TRAIN].tolist() if name != "FreeSolv" else range(len(molecules))
    known, y = [molecules[i] for i in rows], values[list(rows)]
    groups = [scaffold(smiles) or smiles for smiles in known]

    def make() -> Proxy:
        proxy: Proxy = build("proxy", {"kind": CampaignConfig.model_fields["proxy"].default.kind})
        return proxy

    held = cross_validate(make, known, y, groups, FOLDS, seed)
    fold = group_folds(groups, FOLDS, seed)
    shown = {method: calibrate_across(method, held, y, fold) for method in ("none", "variance", "isotonic")}
    return {"set": name, "seed": seed, "n": len(known), **{k: metrics(v, y) for k, v in shown.items()}}


def coverage(records: Sequence[Record]) -> list[Section]:
    """Return the table of coverages, a row per set, calibration and seed."""
    rows = [
        [record["set"], str(record["n"]), str(record["seed"]), method]
        + [f"{100 * record[method][key]:.1f}" for key in COVERED]
        + [f"{record[method][key]:.3f}" for key in ("nll", "rmse")]
        for record in records
        for method in ("none", "variance", "isotonic")
    ]
    columns = ["set", "n", "seed", "calibration", *(f"{key[-2:]} %" for key in COVERED), "NLL", "RMSE"]
    title = "Coverage of the default's central intervals on unseen scaffolds, per cent"
    return [
        Section(
            "coverage", title, columns, rows, "Five folds by scaffold, every molecule held out once.", list(records)
        )
    ]


REFITTED = ("mlp_ensemble", "gnn_ensemble")
REFIT_START, REFIT_BATCH, REFIT_ROUNDS = 200, 60, 4


def refit_of(task: tuple[str, str, int]) -> Record:
    """Train a network round after round on a growing part of the library; test on molecules that never enter it."""
    kind, mode, seed = task
    molecules, values = data_set("electron affinities")
    order = np.random.default_rng(derive_seed(seed, "proxies", "refit")).permutation(len(molecules)).tolist()
    test, pool = order[:LIBRARY_TEST], order[LIBRARY_TEST:]
    proxy: Any = build("proxy", {"kind": kind, "refit": mode})
    proxy.featuriser([molecules[i] for i in order[: LIBRARY_TEST + REFIT_START + REFIT_BATCH * REFIT_ROUNDS]])
    seconds, figures, state = [], [], None
    for number in range(REFIT_ROUNDS + 1):
        n = REFIT_START + number * REFIT_BATCH
        known = [molecules[i] for i in pool[:n]]
        begin = time.process_time()
        if state is None:
            proxy.fit(known, values[pool[:n]], seed=seed)
        else:
            proxy.refit(state, known, values[pool[:n]], np.arange(n) >= n - REFIT_BATCH, seed=seed)
        seconds.append(time.process_time() - begin)
        state = proxy.state()
        figures.append(metrics(proxy.predict([molecules[i] for i in test]), values[test]))
    return {"proxy": kind, "refit": mode, "seed": seed, "seconds": seconds, "figures": figures}


def refit(records: Sequence[Record]) -> list[Section]:
    """Return the table of refits."""
    rows = []
    for kind in REFITTED:
        for mode in ("scratch", "replay"):
            mine = pick(records, proxy=kind, refit=mode)
            last = [record["figures"][-1] for record in mine]
            per_round = np.mean([record["seconds"][1:] for record in mine])
            cells = [f"{np.mean([one[key] for one in last]):.3f}" for key in ("rmse", "nll", "coverage_90")]
            curve = " ".join(
                f"{np.mean([record['figures'][k]['rmse'] for record in mine]):.3f}" for k in range(REFIT_ROUNDS + 1)
            )
            rows.append([kind, mode, f"{per_round:.1f}", *cells, curve])
    note = (
        f"{REFIT_START} labels, then {REFIT_ROUNDS} rounds of {REFIT_BATCH}; {LIBRARY_TEST} molecules to test on; "
        "means over seeds, deviations as they come."
    )
    columns = ["proxy", "refit", "CPU-s per round", "RMSE", "NLL", "90 % covers", "RMSE by round"]
    return [Section("refit", "A network trained anew or refitted with replay", columns, rows, note, list(records))]


SPEED_LABELS, SPEED_POOL, GP_LABELS, GP_POOL = 500, 2000, 1000, 20_000


def speed(console: Console) -> list[Section]:
    """Measure predictions per CPU-second of every proxy, and the Gaussian process on a large pool of ZINC molecules."""
    rng = np.random.default_rng(0)
    zinc = [str(canonical(row.smiles)) for row in islice(zinc250k_rows(), GP_LABELS + GP_POOL)]
    molecules, values = data_set("electron affinities")
    order = rng.permutation(len(molecules)).tolist()
    known = order[:SPEED_LABELS]
    rows, records = [], []
    for variant, spec in VARIANTS.items():
        proxy: Proxy = build("proxy", spec)
        proxy.fit([molecules[i] for i in known], values[known], seed=0)
        fresh_features()
        pool = zinc[:SPEED_POOL]
        new, again = predictions_per_cpu_second(proxy, pool), predictions_per_cpu_second(proxy, pool)
        rows.append([variant, f"{new:,.0f}", f"{again:,.0f}"])
        records.append({"proxy": variant, "new": new, "again": again})
        console.print(f"{variant}: {new:,.0f} new, {again:,.0f} known molecules per CPU-second", highlight=False)
    fresh_features()
    labels = np.array([len(set(smiles)) + 0.1 * len(smiles) for smiles in zinc[:GP_LABELS]])
    default: Proxy = build("proxy", {"kind": CampaignConfig.model_fields["proxy"].default.kind})
    begin = time.process_time()
    default.fit(zinc[:GP_LABELS], labels, seed=0)
    fitted = time.process_time() - begin
    default.predict(zinc[GP_LABELS:])
    total = time.process_time() - begin
    records.append({"proxy": "pool", "fit": fitted, "total": total})
    note = (
        f"{SPEED_LABELS} labels of the library, {SPEED_POOL:,} molecules of ZINC-250k (some 23 heavy atoms). The "
        f"default with {GP_LABELS:,} labels on {GP_POOL:,} new molecules of ZINC-250k: fit {fitted:.1f}, fit and "
        f"prediction {total:.1f} CPU-seconds, features of all included."
    )
    columns = ["proxy", "new molecules per CPU-s", "known molecules per CPU-s"]
    return [Section("speed", "Predictions per CPU-second", columns, rows, note, records)]


def draw(records: Sequence[Record], path: Path) -> None:
    """Draw the default's reliability on scaffold splits, and error against CPU time of every proxy."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    sets = list(dict.fromkeys(record["set"] for record in records))
    figure, axes = plt.subplots(1, 1 + len(sets), figsize=(4.3 * (1 + len(sets)), 4), layout="constrained")
    default = CampaignConfig.model_fields["proxy"].default.kind
    axes[0].plot([0, 1], [0, 1], color="#999999", lw=1)
    for name, colour in zip(sets, ("#0b5fa5", "#c2571a"), strict=False):
        mine = pick(records, set=name, split="scaffold", proxy=default)
        for key, style in (("raw_levels", ":"), ("levels", "-")):
            label = f"{name}, {'calibrated' if key == 'levels' else 'raw'}"
            axes[0].plot(LEVELS, np.mean([r[key] for r in mine], axis=0), style, color=colour, label=label)
    axes[0].set(xlabel="nominal probability", ylabel="share inside", xlim=(0, 1), ylim=(0, 1))
    axes[0].set_title(f"{default.replace('_', ' ')}, unseen scaffolds", fontsize=10)
    axes[0].legend(fontsize=8, frameon=False)
    variants = list(dict.fromkeys(record["proxy"] for record in records))
    for name, axis in zip(sets, axes[1:], strict=True):
        for variant, marker in zip(variants, "os^vDP*Xh", strict=False):
            mine = pick(records, set=name, split="scaffold", proxy=variant)
            x, y = np.median([r["cpu_seconds"] for r in mine]), np.mean([r["rmse"] for r in mine])
            colour = "#0b5fa5" if variant == default else "#c2571a" if variant.startswith(default) else "#777777"
            axis.plot(x, y, marker, color=colour, markersize=7, label=variant.replace("_", " "))
        axis.set(xscale="log", xlabel="CPU-seconds, fit and predict", ylabel="RMSE, unseen scaffolds", xlim=(0.5, 60))
        axis.set_xticks([1, 3, 10, 30], ["1", "3", "10", "30"])
        axis.minorticks_off()
        axis.set_title(name, fontsize=10)
    axes[-1].legend(fontsize=7, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Run the sections, print their tables, write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--proxies", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="of `quality`")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS), help="of `quality`")
    parser.add_argument("--output", type=Path, help="file for all figures as JSON")
    parser.add_argument("--markdown", type=Path, help="file for the tables in Markdown")
    parser.add_argument("--figure", type=Path, help="file for the figure of `quality`")
    given = parser.parse_args(arguments)
    console, progress = Console(), Console(stderr=True)
    found: list[Section] = []

    def each(work: Any, tasks: list[Any], what: str) -> list[Record]:
        with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
            return list(track(pool.map(work, tasks), total=len(tasks), description=what, console=progress))

    if "speed" in given.sections:
        found += speed(progress)
    if "coverage" in given.sections:
        obtain("freesolv", home(), lambda line: progress.print(line, highlight=False))
        places = [(name, seed) for name in SETS for seed in range(COVERAGE_SEEDS)]
        found += coverage(each(coverage_of, places, "coverage"))
    if "refit" in given.sections:
        tasks = [
            (kind, mode, seed) for seed in range(given.seeds) for kind in REFITTED for mode in ("scratch", "replay")
        ]
        found += refit(each(refit_of, tasks, "refit"))
    if "quality" in given.sections:
        if "FreeSolv" in given.sets:
            obtain("freesolv", home(), lambda line: progress.print(line, highlight=False))
        places = [(name, how) for name in given.sets for how in given.splits]
        seeds = {name: range(min(given.seeds, SEEDS_AT_MOST.get(name, given.seeds))) for name in given.proxies}
        work = [(*place, seed, name) for name in given.proxies for place in places for seed in seeds[name]]
        records = each(quality_of, work, "quality")
        found += quality(records)
        if given.figure:
            draw(records, given.figure)
    for section in found:
        section.show(console)
    if given.markdown:
        given.markdown.write_text("\n".join(section.markdown() for section in found))
    if given.output:
        given.output.write_text(json.dumps({s.name: s.records for s in found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
