"""Flows fitted to data: the law comes out, paths of optimal pairs are straighter, and a campaign gets new objects."""

from __future__ import annotations

import io
import math
from itertools import permutations

import numpy as np
import pytest
import torch

from models.generators.flow_box import ReflectedBox
from models.generators.flow_paths import VelocityField, fit, follow
from models.generators.flow_torus import FlatTorus
from models.generators.flow_transport import matched
from models.gflownet.environments.torus import Torus
from models.protocols import GenerationContext
from models.registry import ComponentError, build

SMALL = {"kind": "flow_matching", "steps": 60, "batch_size": 64, "hidden": [32, 32]}
VARIABLES = {
    "x": [0, 1],
    "n": {"integer": [1, 5]},
    "solvent": ["water", "dmf", "thf"],
    "dose": {"low": 1, "high": 100, "log": True},
}


def torus_data(n, seed=0):
    """Draws from the three peaks of `torus`, of two angles."""
    rng = np.random.default_rng(seed)
    centres = Torus(angles=2).centres.numpy()[rng.integers(3, size=n)]
    return torch.from_numpy(rng.vonmises(centres, 4.0)).float()


def box_data(n, seed=0):
    """Two products of Betas, Beta(4, 12) and Beta(12, 4): near no wall; and a peak at the wall of the first."""
    rng = np.random.default_rng(seed)
    powers = np.array([(1.0, 6.0), (6.0, 1.0)])[rng.integers(2, size=n)]
    return torch.from_numpy(np.stack([rng.beta(*powers.T), rng.beta(*powers.T)], 1)).float()


def flow(geometry, data, *, optimal=True, steps=60, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    field = VelocityField(geometry, data.shape[1], (64, 64, 64), generator)
    fit(
        field, data, generator, optimal=optimal, steps=steps, **{"batch_size": 128, "learning_rate": 3e-3, **options}
    )  # fmt: skip
    return field


def cells(points, low, high, side=12):
    edges = [np.linspace(low, high, side + 1)] * 2
    return np.histogram2d(*points.double().numpy().T, bins=edges)[0].ravel() / len(points)


def test_reflected_points_stay_in_the_box_and_inner_ones_are_not_moved():
    box, x = ReflectedBox(), torch.tensor([[0.2, 0.9]])
    assert box.moved(x, torch.tensor([[0.1, 0.05]]))[0].tolist() == pytest.approx([0.3, 0.95])
    assert box.moved(x, torch.tensor([[-0.3, 0.3]]))[0].tolist() == pytest.approx([0.1, 0.8])
    assert box.moved(x, torch.tensor([[2.0, -2.0]]))[0].tolist() == pytest.approx([0.2, 0.9])


def test_the_way_on_the_torus_is_the_shorter_one_and_leads_there():
    torus = FlatTorus()
    start, end = torch.tensor([[3.0, -1.0]]), torch.tensor([[-3.0, 1.0]])
    way = torus.way(start, end)
    assert way[0].tolist() == pytest.approx([2 * math.pi - 6.0, 2.0], abs=1e-6)
    assert torus.way(torus.moved(start, way), end).abs().max() < 1e-6
    assert torus.features(start).numpy() == pytest.approx(torus.features(start + 2 * math.pi).numpy(), abs=1e-5)


def test_pairs_have_the_least_sum_of_squares():
    x, y = torch.rand((6, 2), generator=torch.Generator().manual_seed(0)), torch.eye(6)[:, :2]
    cost = (x[:, None] - y[None]).square().sum(2)
    end = matched(y[None] - x[:, None])
    assert sorted(end.tolist()) == list(range(6))
    best = min(sum(float(cost[i, j]) for i, j in enumerate(order)) for order in permutations(range(6)))
    assert float(cost[torch.arange(6), end].sum()) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("geometry", [ReflectedBox(), FlatTorus()], ids=["box", "torus"])
def test_a_point_of_data_is_where_every_path_ends(geometry):
    point = torch.tensor([[0.25, 0.75]])
    field = flow(geometry, point, steps=300, batch_size=64)
    ends, _ = follow(field, geometry.base(100, 2, torch.Generator().manual_seed(1)))
    assert float(geometry.way(ends, point).norm(dim=1).mean()) < 0.15


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("geometry", "data", "low", "high"),
    [
        pytest.param(FlatTorus(), torus_data, -math.pi, math.pi, id="torus", marks=pytest.mark.slow),
        pytest.param(ReflectedBox(), box_data, 0.0, 1.0, id="box", marks=pytest.mark.trial),
    ],
)
def test_the_law_of_the_data_comes_out_by_straighter_paths_under_optimal_transport(geometry, data, low, high):
    """The histogram of 10,000 draws in 144 cells is off by up to 1/2 sqrt(2 * 144 * 2 / (pi 10^4)) = 0.07 from another
    of as many draws of the same law; the exact ones agree to 0.05.
    """
    fresh, energy = cells(data(10_000, seed=9), low, high), {}
    for optimal in (True, False):
        field = flow(geometry, data(10_000), optimal=optimal, steps=3000, batch_size=256)
        ends, spent = follow(field, geometry.base(10_000, 2, torch.Generator().manual_seed(1)))
        assert 0.5 * np.abs(cells(ends, low, high) - fresh).sum() < 0.1
        energy[optimal] = float(spent.mean())
    assert energy[True] < energy[False]


def space(**options):
    return build("space", {"kind": "vectors", "variables": VARIABLES, **options})


def context(of=None, n=40, **changes):
    of = of or space()
    known = of.random(n, 0)
    near = sorted(known, key=lambda obj: abs(of.value(obj).get("x", 0) - 0.8))
    given = {"known": tuple(near), "known_log_reward": -np.arange(n, dtype=float), "seed": 3}
    return GenerationContext(space=of, log_reward=lambda objects: np.zeros(len(objects)), **{**given, **changes})


def proposed(generator, n=50, seed=1):
    return [candidate.object for candidate in generator.sample(n, seed=seed)]


def test_new_objects_are_like_the_best_measured_ones():
    given = context()
    generator = build("generator", {**SMALL, "steps": 200})
    generator.fit(given)
    found = proposed(generator)
    assert len(set(found)) == 50
    assert not set(found) & set(given.known)
    assert all(given.space.outside(obj) is None for obj in found)
    away = np.mean([abs(given.space.value(obj)["x"] - 0.8) for obj in found])
    assert away < np.mean([abs(given.space.value(obj)["x"] - 0.8) for obj in given.space.random(200, 5)]) / 2


def test_the_same_seed_gives_the_same_objects_before_and_after_a_file():
    given, options = context(), {**SMALL, "coupling": "independent"}
    first, second, third = (build("generator", options) for _ in range(3))
    first.fit(given)
    second.fit(given)
    assert proposed(first) == proposed(second) != proposed(first, seed=2)
    buffer = io.BytesIO()
    torch.save(first.state(), buffer)
    buffer.seek(0)
    third.load_state(torch.load(buffer, weights_only=True), given)
    assert proposed(third) == proposed(first)
    assert third.history() == first.history()
    assert [row["step"] for row in third.history()] == list(range(1, 61))


def test_a_library_is_imitated_where_nothing_was_measured_and_nothing_is_refused():
    of = space()
    generator = build("generator", SMALL)
    generator.fit(context(of, known=(), known_log_reward=np.zeros(0), library=tuple(of.random(9, 0))))
    assert len(proposed(generator, 10)) == 10
    with pytest.raises(ValueError, match="imitates measured objects or a library"):
        generator.fit(context(of, known=(), known_log_reward=np.zeros(0)))


def test_conformers_are_imitated_around_the_circle():
    space = build("space", {"kind": "torsions", "smiles": "CCCCC"})
    known = [f"t1={a}, t2={b}" for a in (170, 175, 180, -175, -170) for b in (60, 65)]
    generator = build("generator", {**SMALL, "best": 1.0})
    generator.fit(context(space, known=tuple(known), known_log_reward=np.zeros(len(known))))
    drawn = [space.degrees(one.object) for one in generator.sample(60, seed=0)]
    away = np.array([[(a - 180 + 180) % 360 - 180, (b - 62 + 180) % 360 - 180] for a, b in drawn])
    assert len(drawn) == 60
    assert (np.median(np.abs(away), 0) < 45).all()


def test_a_space_of_few_objects_gives_those_that_are_left():
    few = build("space", {"kind": "vectors", "variables": {"n": {"integer": [1, 4]}, "s": ["a", "b"]}})
    generator = build("generator", SMALL)
    generator.fit(context(few, known=tuple(few.random(5, 0)), known_log_reward=np.zeros(5)))
    assert len(proposed(generator)) <= 3


def test_spaces_that_are_no_box_are_refused_in_a_sentence():
    with pytest.raises(ComponentError, match="knows no fractions"):
        build("generator", SMALL).check(space(fractions={"a": [0, 1], "b": [0, 1]}))
    with pytest.raises(ComponentError, match="is for vectors and conformers; this campaign's space is 'sequences'"):
        build("generator", SMALL).check(build("space", {"kind": "sequences", "alphabet": "dna", "length": 4}))
    with pytest.raises(ValueError, match="has no flow yet"):
        build("generator", SMALL).sample(3, seed=0)


def test_optimal_pairs_are_cited_where_they_are_used():
    assert "tong2024improving" in build("generator", SMALL).options.cited()
    assert not build("generator", {**SMALL, "coupling": "independent"}).options.cited()
