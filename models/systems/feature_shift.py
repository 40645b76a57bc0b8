"""Feature shift: are the features that moved found, and no others?"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from models.proxies.feature_shift import feature_shift
from models.registry import Component
from models.systems.base import Bench, Check, System

MOVED = 3
"""Place of the feature that moves."""


class FeatureShiftClaim(System["FeatureShiftClaim.Options"]):
    """Which features of what is proposed are not as they were in what was learnt."""

    kind: ClassVar[str] = "feature_shift"
    cites: ClassVar[tuple[str, ...]] = ("kulinski2020feature", "westfall1993resampling")
    title: ClassVar[str] = "Feature shift detection"
    claim: ClassVar[str] = (
        "Tests of conditional distributions find the features that shifted between two samples, not those that only "
        "follow them, and accuse none where nothing shifted."
    )
    protocol: ClassVar[str] = (
        "50 correlated normal features, 500 rows on either side, the mean of one moved by half a deviation; 20 pairs "
        "of samples a seed, 1,000 permutations, level 0.05 for all features together. Beside it the p-value that 500 "
        "resamples can have at best for one feature, times their number."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("proxy", "gaussian_process"),)
    where: ClassVar[str] = (
        "`discover retrain NAME --when drift` names the features of the newest measurements that moved, and the "
        "report of a round those of what it proposed."
    )
    example: ClassVar[str] = "campaigns/own_data/campaign.yaml"
    checks: ClassVar[tuple[Check, ...]] = (
        Check("the feature that moved is found (share of samples)", "power", at_least=0.9),
        Check("where none moved hardly any sample accuses one (share)", "false", at_most=0.1),
        Check("others are accused less often than the one that moved", "others", "power", at_most=0.0),
        Check(
            "500 resamples with Bonferroni's correction could find none (least corrected p)", "least_p", at_least=0.05
        ),
    )

    class Options(Component.Options):
        """Size of the trial."""

        samples: int = Field(20, ge=1, description="pairs of samples with a shift, and as many without")
        rows: int = Field(500, ge=16, description="on either side")
        features: int = Field(50, ge=5, description="of a row")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Compare samples with and without a shift."""
        options, rng = self.options, np.random.default_rng(seed)
        names = [str(column) for column in range(options.features)]
        power = false = others = 0
        for number in range(options.samples):
            root = rng.normal(size=(options.features, options.features)) / np.sqrt(options.features)
            spread = np.linalg.cholesky(root @ root.T + 0.5 * np.eye(options.features))
            before, after = (rng.normal(size=(options.rows, options.features)) @ spread.T for _ in range(2))
            false += bool(feature_shift(before, after, names, seed=number))
            after[:, MOVED] += 0.5 * np.linalg.norm(spread[MOVED])
            accused = {one.name for one in feature_shift(before, after, names, seed=number)}
            power += names[MOVED] in accused
            others += bool(accused - {names[MOVED]})
            bench.progress(number + 1, options.samples, {})
        n = options.samples
        return {
            "power": power / n,
            "false": false / n,
            "others": others / n,
            "least_p": options.features / 501.0,
        }
