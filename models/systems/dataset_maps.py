"""Data maps: are wrong measurements among those that a proxy never learns?"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data.tables.shipped import labelled_library
from models.proxies.dataset_map import dataset_map
from models.proxies.evaluation import metrics
from models.registry import Component, build
from models.systems.base import Bench, Check, System


class DatasetMapsClaim(System["DatasetMapsClaim.Options"]):
    """Rows that a proxy never learns, marked before they mislead it."""

    kind: ClassVar[str] = "dataset_maps"
    cites: ClassVar[tuple[str, ...]] = ("swayamdipta2020cartography", "karamcheti2021outliers")
    title: ClassVar[str] = "Data maps and outliers"
    claim: ClassVar[str] = (
        "How its training data are learnt places them on a map; what is never learnt is mostly outliers, which mislead "
        "active learning, and without which a model predicts better."
    )
    protocol: ClassVar[str] = (
        "400 molecules with computed electron affinities, of 5 % of which the value is moved by 3 deviations up or "
        "down; the default Gaussian process. Marked rows are compared with the moved ones, errors on 400 other "
        "molecules with and without the marked rows. Rows are marked by residuals of what is held out, not over epochs."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("proxy", "gaussian_process"),)
    where: ClassVar[str] = (
        "`discover status`, `discover candidates` and the page mark measured values that all others contradict."
    )
    example: ClassVar[str] = "campaigns/own_data/campaign.yaml"
    version: ClassVar[int] = 2
    checks: ClassVar[tuple[Check, ...]] = (
        Check("most wrong values are marked (share)", "recall", at_least=0.8),
        Check("what is marked is wrong (share)", "precision", at_least=0.8),
        Check("of right values few are marked where none is wrong (share)", "marked_clean", at_most=0.01),
        Check(
            "without the marked rows others are predicted better (error in eV)",
            "error_without",
            "error_all",
            at_most=0.0,
        ),
    )

    class Options(Component.Options):
        """Size of the trial."""

        molecules: int = Field(400, ge=40, description="molecules that are learnt, and as many that are predicted")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Move some values, fit, mark, and fit again without what is marked."""
        rng, n = np.random.default_rng(seed), self.options.molecules
        table = labelled_library().sample(2 * n, random_state=seed)
        smiles, values = table["smiles"].tolist(), table["value"].to_numpy(dtype=np.float64)
        learnt, other, right = smiles[:n], smiles[n:], values[:n]
        moved = rng.choice(n, max(1, n // 20), replace=False)
        wrong = right.copy()
        wrong[moved] += 3.0 * right.std() * rng.choice([-1.0, 1.0], len(moved))

        def fitted(objects: list[str], labels: Any) -> Any:
            proxy = build("proxy", {"kind": "gaussian_process", "features": {"kind": "descriptors_and_fingerprints"}})
            proxy.fit(objects, labels, seed=seed)
            return proxy

        clean = fitted(learnt, right)
        bench.progress(1, 3, {})
        misled = fitted(learnt, wrong)
        bench.progress(2, 3, {})
        marked = dataset_map(misled.course(learnt, wrong)).never
        kept = np.flatnonzero(~marked)
        mended = fitted([learnt[row] for row in kept.tolist()], wrong[kept])
        bench.progress(3, 3, {})
        hits = int(marked[moved].sum())
        return {
            "recall": hits / len(moved),
            "precision": hits / max(int(marked.sum()), 1),
            "marked_clean": float(dataset_map(clean.course(learnt, right)).never.mean()),
            "error_right": metrics(clean.predict(other), values[n:])["rmse"],
            "error_all": metrics(misled.predict(other), values[n:])["rmse"],
            "error_without": metrics(mended.predict(other), values[n:])["rmse"],
        }
