"""Every sampler file that is shipped is documented and trains: here for a few steps, judged as it says."""

from pathlib import Path

import numpy as np
import pytest

from data.sampler_config import load_sampler

SAMPLERS = Path(__file__).resolve().parent.parent.parent / "campaigns" / "samplers"
FILES = sorted(SAMPLERS.glob("*.yaml"))


LONG = {
    "conformers",
    "dags",
    "dags_sparse",
    "independent_sets",
    "many_graphs",
    "mixture_dgfs",
    "rates",
    "torus",
    "wells",
}
"""Files that take five seconds or more, or that try what another one tries."""


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=[pytest.mark.slow] * (path.stem in LONG), id=path.stem) for path in FILES]
)
def test_a_shipped_sampler_trains(path, bench, monkeypatch):
    monkeypatch.setattr("models.gflownet.rewards.recipes.load_tfbind8", lambda _: np.random.default_rng(0).random(4**8))
    assert path.read_text().startswith("#")
    seed = load_sampler(path).seeds[0]
    few = ["training.steps=4", "training.evaluate_every=2", "training.batch_size=4", f"seeds=[{seed}]"]
    told = bench.discover("sampler", str(path), "--plain", *(part for change in few for part in ("--set", change)))
    assert told.exit == 0, told.message
    figures = told.out[told.out.index("at the end") :]
    sampled = {
        "atoms",
        "box",
        "conformers",
        "dags_sparse",
        "independent_sets",
        "many_graphs",
        "set_decomposed",
        "torus",
        "mixture",
        "mixture_dgfs",
        "wells",
        "rates",
    }
    assert ("\ntv" in figures) == ("exactly" in told.out) == (path.stem not in sampled)
    assert "nan" not in figures


def test_there_is_a_file_for_each_way_of_judging():
    assert {path.stem for path in FILES} >= {"hypergrid", "tfbind8", "set", "atoms", "box", "hairpins"}
