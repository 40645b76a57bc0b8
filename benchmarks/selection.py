"""Which acquisition and which selector find the best one per cent of a library with the fewest measurements.

    .venv/bin/python benchmarks/selection.py [--seeds 5] [--workers 2] [--figure docs/images/selection.png]

The library is the one that is shipped (5,761 molecules with computed electron affinities), the oracle a look-up. One
per cent is measured at random, then five rounds of one per cent each, chosen by an acquisition and a selector with the
campaign's own code; no control arm. Every acquisition of one objective x every selector, the same random starts for
all, and a random arm. The figure of merit is the share of the true top one per cent among what was measured. Intervals
are 95 % intervals of the mean over seeds (Student's t); differences from the default are paired by seed.

A second table times each selector alone: 100 of 50,000 candidates with 512 features and 300 measured objects.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

from benchmarks.peers.reporting import Record, Section, interval, pick  # noqa: E402
from data.chemistry.molecules import morgan_counts  # noqa: E402
from data.config import CampaignConfig, derive_seed  # noqa: E402
from data.records import FloatArray, Prediction  # noqa: E402
from data.tables.shipped import labelled_library  # noqa: E402
from models.acquisition.base import about_round, fewest_objectives  # noqa: E402
from models.featurisers.cache import features  # noqa: E402
from models.featurisers.nearness import min_max  # noqa: E402
from models.protocols import Pool, Proxy, Scoring  # noqa: E402
from models.registry import build, kinds  # noqa: E402
from models.selectors.choice import choose  # noqa: E402
from models.spaces.molecules import Molecules  # noqa: E402
from models.threads import one_blas_thread  # noqa: E402

SHARE = 0.01
"""Of the library: the start, each round's batch, and what counts as the best."""
ROUNDS = 5
LEFT_OUT = {
    "constrained": "without a limit it is its inner acquisition",
    "constrained_bound": "without a limit it is the upper confidence bound",
    "cost_aware": "here every measurement costs the same",
}
"""Acquisitions of one objective that this task cannot tell from another one."""
RANDOM = ("random", "random")


def acquisitions() -> list[str]:
    """Return the acquisitions that rank a pool by one objective."""
    single = [kind for kind, cls in kinds("acquisition").items() if fewest_objectives(cls) == 1]
    return [kind for kind in single if kind not in LEFT_OUT]


class Search:
    """The campaign's loop over a library with known values.

    Args:
        library: columns `smiles` and `value`; larger values are better.
        proxy: configuration of the proxy.
    """

    def __init__(self, library: pd.DataFrame, proxy: dict[str, Any]) -> None:
        self.smiles: list[str] = library["smiles"].tolist()
        self.values: FloatArray = library["value"].to_numpy(dtype=np.float64)
        self.batch = round(SHARE * len(self.smiles))
        self.best = np.argsort(-self.values, kind="stable")[: self.batch]
        self.proxy = proxy
        self._first: dict[int, tuple[Proxy, list[int], Prediction]] = {}

    def start(self, seed: int) -> list[int]:
        """Return the molecules that are measured first."""
        rng = np.random.default_rng(derive_seed(seed, "selection", "start"))
        return [int(i) for i in rng.choice(len(self.smiles), self.batch, replace=False)]

    def found(self, measured: Sequence[int]) -> float:
        """Return the share of the best that was measured."""
        return float(np.isin(self.best, measured).mean())

    def random(self, seed: int) -> Record:
        """Measure at random."""
        order = np.random.default_rng(derive_seed(seed, "selection", "random")).permutation(len(self.smiles))
        measured, curve = self.start(seed), []
        left = [int(i) for i in order if i not in set(measured)]
        for number in range(ROUNDS + 1):
            curve.append(self.found([*measured, *left[: number * self.batch]]))
        return self._record(*RANDOM, seed, curve, left[: ROUNDS * self.batch], 0.0)

    def run(self, acquisition: str, selector: str, seed: int) -> Record:
        """Measure what an acquisition and a selector choose."""
        score_of, select = build("acquisition", {"kind": acquisition}), build("selector", {"kind": selector})
        measured = self.start(seed)
        curve, begin = [self.found(measured)], time.process_time()
        for number in range(ROUNDS):
            proxy, left, prediction = self._trained(measured, seed, first=number == 0)
            names = [self.smiles[i] for i in left]
            round_seed = derive_seed(seed, "selection", number)
            about = about_round(
                score_of,
                (proxy,),
                [self.smiles[i] for i in measured],
                self.values[measured, None],
                seed=round_seed,
            )
            scored = score_of.score((prediction,), replace(about, objects=tuple(names)))
            chosen = choose(
                select,
                score_of,
                (proxy,),
                about,
                names,
                (prediction,),
                scored,
                self.batch,
                space=Molecules(),
                seed=round_seed,
            )
            measured = [*measured, *(left[i] for i in chosen)]
            curve.append(self.found(measured))
        return self._record(acquisition, selector, seed, curve, measured[self.batch :], time.process_time() - begin)

    def _trained(self, measured: list[int], seed: int, *, first: bool) -> tuple[Proxy, list[int], Prediction]:
        """Return the fitted proxy, what is left and its prediction; that of the first round is the same for all."""
        if first and seed in self._first:
            return self._first[seed]
        proxy: Proxy = build("proxy", self.proxy)
        proxy.fit([self.smiles[i] for i in measured], self.values[measured], seed=seed)
        known = set(measured)
        left = [i for i in range(len(self.smiles)) if i not in known]
        made = proxy, left, proxy.predict([self.smiles[i] for i in left])
        if first:
            self._first[seed] = made
        return made

    def _record(
        self, acquisition: str, selector: str, seed: int, curve: list[float], bought: list[int], seconds: float
    ) -> Record:
        counts = morgan_counts([self.smiles[i] for i in bought])
        alike = min_max(counts, counts)
        pairs = alike[np.triu_indices(len(bought), 1)]
        return {
            "acquisition": acquisition,
            "selector": selector,
            "seed": seed,
            "curve": curve,
            "found": curve[-1],
            "similarity": float(pairs.mean()),
            "cpu_seconds": seconds,
        }


@cache
def search(proxy: str) -> Search:
    """Return the search of this process, its features calculated once."""
    made = Search(labelled_library(), json.loads(proxy))
    features(made.smiles)
    return made


def one(arguments: tuple[str, str, str, int]) -> Record:
    """Run one course; the work of a process."""
    proxy, acquisition, selector, seed = arguments
    here = search(proxy)
    return here.random(seed) if (acquisition, selector) == RANDOM else here.run(acquisition, selector, seed)


def told(values: Sequence[float], *, sign: bool = False) -> str:
    """Return mean and interval in per cent."""
    mean, half = interval(values)
    return f"{100 * mean:{'+' if sign else ''}.1f} ± {100 * half:.1f}"


def mean_found(records: Sequence[Record]) -> float:
    """Return the mean share of the best that was found."""
    return float(np.mean([record["found"] for record in records]))


def sections(records: Sequence[Record], default: tuple[str, str]) -> list[Section]:
    """Return the table of all courses, the best first, and the matrix of acquisitions and selectors."""
    by_course: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        by_course.setdefault((record["acquisition"], record["selector"]), []).append(record)
    base = {record["seed"]: record["found"] for record in by_course.get(default, [])}
    rows = []
    for course, mine in sorted(by_course.items(), key=lambda item: -mean_found(item[1])):
        apart = [record["found"] - base[record["seed"]] for record in mine if record["seed"] in base]
        rows.append(
            [
                f"{course[0]}{' (default)' if course == default else ''}",
                course[1],
                *(f"{100 * np.mean([record['curve'][k] for record in mine]):.0f}" for k in range(ROUNDS)),
                told([record["found"] for record in mine]),
                "" if course == default or not apart else told(apart, sign=True),
                f"{np.mean([record['similarity'] for record in mine]):.3f}",
                f"{np.mean([record['cpu_seconds'] for record in mine]):.1f}",
            ]
        )
    columns = ["acquisition", "selector", *(f"{k}" for k in range(ROUNDS)), f"{ROUNDS} (mean ± 95 %)"]
    columns += ["against the default", "similarity", "CPU-s"]
    names = sorted({record["selector"] for record in records} - {RANDOM[1]})
    kept = sorted({record["acquisition"] for record in records} - {RANDOM[0]})
    cells = [
        [row, *(f"{100 * mean_found(pick(records, acquisition=row, selector=name)):.0f}" for name in names)]
        for row in kept
    ]
    note = (
        "Per cent of the true top 1 % among what was measured, after the start (0) and each round; similarity: mean "
        "Tanimoto between all pairs bought; CPU-s: of one course with features known, the first round's shared fit "
        "counted where it was made."
    )
    return [
        Section("courses", "Retrieval of the best 1 % over five rounds of 1 %", columns, rows, note, list(records)),
        Section("matrix", "After five rounds, per cent: acquisition x selector", ["", *names], cells),
    ]


SPEED_POOL, SPEED_FEATURES, SPEED_TRAIN, SPEED_BATCH = 50_000, 512, 300, 100


def speed() -> Section:
    """Time each selector with everybody on its shortlist; those that need a joint posterior keep their own limit."""
    rng = np.random.default_rng(0)
    features_of_pool = rng.standard_normal((SPEED_POOL, SPEED_FEATURES))
    root = rng.standard_normal((SPEED_POOL, 40)) / 40**0.5
    mean, std = rng.standard_normal(SPEED_POOL), 0.5 + rng.random(SPEED_POOL)

    def joint(indices: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        rows = root[list(indices)]
        return mean[list(indices)], 0.2 * rows @ rows.T

    rows = []
    for kind in sorted(kinds("selector")):
        options: dict[str, Any] = {"kind": kind}
        fields = kinds("selector")[kind].Options.model_fields
        whole = "pool" in fields and not getattr(build("selector", options), "wants_joint", False)
        options |= {"pool": None} if whole else {}
        options |= {"features": "descriptors"} if "features" in fields else {}
        pool = Pool(
            scores=mean + std,
            predictions=(Prediction(mean, std),),
            about=Scoring(predicted_best=float(mean.max())),
            features=features_of_pool.copy(),
            train_features=rng.standard_normal((SPEED_TRAIN, SPEED_FEATURES)),
            joints=(joint,),
            rescore=lambda indices, predictions, believed: predictions[0].mean + predictions[0].std,
            seed=0,
        )
        selector, begin = build("selector", options), time.process_time()
        with one_blas_thread():
            chosen = selector.select(pool, SPEED_BATCH)
        seconds = time.process_time() - begin
        limit = selector.limit(SPEED_BATCH)
        rows.append([kind, f"{SPEED_POOL if limit is None else limit:,}", str(len(chosen)), f"{seconds:.2f}"])
    title = f"CPU-seconds to select {SPEED_BATCH} of {SPEED_POOL:,} candidates with {SPEED_FEATURES} features"
    return Section("speed", title, ["selector", "shortlist", "chosen", "CPU-s"], rows)


def draw(records: Sequence[Record], default: tuple[str, str], path: Path) -> None:
    """Draw courses of the default, of the best of each selector, and of random purchases."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1.15, 1), layout="constrained")
    by_course: dict[tuple[str, str], list[list[float]]] = {}
    for record in records:
        by_course.setdefault((record["acquisition"], record["selector"]), []).append(record["curve"])
    shown = [default, *(c for c in by_course if c[0] == default[0] and c != default), RANDOM]
    for number, course in enumerate(c for c in shown if c in by_course):
        curves = np.array(by_course[course])
        mean = 100 * curves.mean(0)
        half = np.array([interval(column)[1] for column in curves.T]) * 100
        main = course in (default, RANDOM)
        name = "random" if course == RANDOM else f"{course[1]}{' (default)' if course == default else ''}"
        colour = {default: "#0b5fa5", RANDOM: "#777777"}.get(course, plt.get_cmap("tab20c")(number + 3))
        left.plot(range(ROUNDS + 1), mean, color=colour, lw=2.4 if main else 1.1, label=name, zorder=3 if main else 2)
        if main and np.isfinite(half).all():
            left.fill_between(range(ROUNDS + 1), mean - half, mean + half, color=colour, alpha=0.18, lw=0)
    left.set(xlabel="rounds of 1 % of the library", ylabel="top 1 % found, %", ylim=(0, 100))
    left.set_title(f"{default[0].replace('_', ' ')} with each selector", fontsize=10)
    left.legend(fontsize=7, ncols=2, frameon=False, loc="upper left")
    rows = sorted({r["acquisition"] for r in records} - {"random"})
    columns = sorted({r["selector"] for r in records} - {"random"})
    table = np.array([[100 * mean_found(pick(records, acquisition=a, selector=s)) for s in columns] for a in rows])
    right.imshow(table, cmap="Blues", vmin=0, vmax=110, aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        right.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=8, color="white" if value > 75 else "black")
    right.set_xticks(range(len(columns)), [c.replace("_", " ") for c in columns], rotation=40, ha="right", fontsize=8)
    right.set_yticks(range(len(rows)), [r.replace("_", " ") for r in rows], fontsize=8)
    right.set_title("found after five rounds, %", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Run all courses, print the tables, write the files."""
    fields = CampaignConfig.model_fields
    default = (fields["acquisition"].default["kind"], fields["selector"].default["kind"])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--acquisitions", nargs="+", choices=acquisitions(), default=acquisitions())
    parser.add_argument("--selectors", nargs="+", choices=sorted(kinds("selector")), default=sorted(kinds("selector")))
    parser.add_argument("--proxy", default='{"kind": "gaussian_process"}', help="configuration as JSON")
    parser.add_argument("--speed-only", action="store_true", help="only time the selectors")
    parser.add_argument("--output", type=Path, help="file for all courses as JSON")
    parser.add_argument("--markdown", type=Path, help="file for the tables in Markdown")
    parser.add_argument("--figure", type=Path, help="file for the figure")
    given = parser.parse_args(arguments)
    console = Console()
    if given.speed_only:
        timed = speed()
        timed.show(console)
        if given.markdown:
            given.markdown.write_text(timed.markdown())
        return
    courses = [*product(given.acquisitions, given.selectors), RANDOM]
    work = [(given.proxy, *course, seed) for seed in range(given.seeds) for course in courses]
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        made = pool.map(one, work, chunksize=max(1, len(courses) // 4))
        records = list(track(made, total=len(work), description="courses", console=Console(stderr=True)))
    found = [*sections(records, default), speed()]
    for section in found:
        section.show(console)
    for kind, reason in LEFT_OUT.items():
        console.print(f"Left out: {kind}: {reason}.", highlight=False)
    if given.output:
        given.output.write_text(json.dumps(records, indent=1) + "\n")
    if given.markdown:
        given.markdown.write_text("\n".join(section.markdown() for section in found))
    if given.figure:
        draw(records, default, given.figure)


if __name__ == "__main__":
    main()
