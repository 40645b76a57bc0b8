"""A campaign of two goals whose generator is one policy for all trade-offs between them; seed 1 throughout."""

import numpy as np
import pytest

from data.pareto import hypervolume
from pipelines.cli import EXIT_BAD_INPUT
from tasks.propose import propose
from tasks.storage import read_table
from tasks.train_generator import train_generator
from tests.tasks.several_goals import OUTPUTS, Round, point

pytestmark = pytest.mark.slow  # whole campaigns: `make test` has to stay under 12 minutes

LEFT, RIGHT = {"name": "near_left", "goal": "minimise"}, {"name": "near_right", "goal": "minimise"}
PEAKS = {"name": "peak_left"}, {"name": "peak_right"}
LOW = {"name": "height", "goal": "satisfy", "at_most": 0.4}
GFLOWNET = {
    "kind": "gflownet",
    "construction": {"kind": "betas"},
    "proposals": 48,
    "steps": 200,
    "batch_size": 48,
    "inverse_temperature": 3.0,
}
TRADE_OFFS = {
    "weighted sum": {"kind": "preference"},
    "chebyshev": {"kind": "preference", "scalarisation": "chebyshev"},
    "focus region": {"kind": "focus_region", "cosine": 0.95},
}


def proposed(folder, *objectives, **options):
    """The true values of what a generator proposes, (n, K)."""
    here = Round(folder, *objectives, generator={**GFLOWNET, **options}, acquisition={"kind": "weighted_sum"})
    stage = train_generator.fn(here.ref, 1, here.library, here.dataset, here.proxy, None)
    drawn = propose.fn(here.ref, 1, here.library, here.dataset, here.proxy, stage)
    with here.open() as context:
        frame = read_table(drawn.path(context, "proposals.parquet"))
    assert frame["object"].is_unique
    assert set(frame["source"]) == {"gflownet"}
    return np.array([[OUTPUTS[one["name"]](*point(text)) for one in objectives] for text in frame["object"]])


def volume(values):
    return hypervolume([tuple(row) for row in values.tolist()], (0.0, 0.0))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return proposed(tmp_path_factory.mktemp("plain"), *PEAKS)


@pytest.mark.parametrize("conditioning", TRADE_OFFS.values(), ids=TRADE_OFFS)
def test_proposals_reach_both_ends_of_a_concave_front_and_all_but_a_weighted_sum_its_middle(
    tmp_path, plain, conditioning
):
    found = proposed(tmp_path, *PEAKS, conditioning=conditioning)
    assert len(found) == len(plain) == 48
    assert found.max(0).min() > 0.8
    reaching = conditioning != TRADE_OFFS["weighted sum"]
    assert (found.min(1).max() > 0.3) == reaching  # the best that both peaks can have is .34
    if reaching:
        assert volume(found) >= volume(plain)


def test_a_limit_counts_under_every_trade_off(tmp_path):
    options = {"conditioning": {"kind": "preference", "scalarisation": "chebyshev"}, "steps": 60}
    free = proposed(tmp_path / "free", LEFT, RIGHT, **options)
    limited = proposed(tmp_path / "limited", LEFT, RIGHT, LOW, **options)
    assert limited.shape == (48, 3)
    assert np.median(limited[:, 2]) < 0.45
    assert free.shape == (48, 2)


def test_a_trade_off_where_one_goal_is_to_be_improved_is_refused_before_anything_is_bought(bench):
    bench.write_config(name="one", generator={"kind": "gflownet", "conditioning": {"kind": "preference"}})
    told = bench.discover("run", str(bench.file))
    assert told.exit == EXIT_BAD_INPUT
    assert "The conditioning 'preference' weighs several objectives against each other" in told.message
