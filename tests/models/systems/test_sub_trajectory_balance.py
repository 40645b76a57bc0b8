from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.systems.sub_trajectory_balance import SubTrajectoryBalanceClaim


class Bench:
    home = Path()

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def progress(self, done: int, total: int, _told: Any) -> None:
        self.told.append((done, total))


def test_a_short_trial_gives_every_figure_that_is_checked_and_the_same_ones_again() -> None:
    claim, bench = SubTrajectoryBalanceClaim(steps=8, large=32, draws=2), Bench()
    figures = claim.run(0, bench)
    assert figures == claim.run(0, Bench())
    assert all(figures[name] is not None for check in claim.checks for name in (check.figure, check.than) if name)
    assert set(figures["curves"]) == {"TB", "DB", "SubTB(0.8)", "SubTB(0.9)", "SubTB(0.99)"}
    assert -1.0 <= figures["subtb_cosine"] <= 1.0
    assert bench.told[-3][0] == bench.told[-3][1] == 64


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_subtb_learns_a_grid_on_which_trajectory_balance_loses_modes() -> None:
    claim = SubTrajectoryBalanceClaim(steps=4000, large=256, draws=4)
    figures = claim.run(7, Bench())
    assert figures["subtb_tv"] < 0.1
    assert figures["tb_tv"] > 0.2
