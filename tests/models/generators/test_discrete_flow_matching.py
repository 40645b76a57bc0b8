"""Flows over letters: paths carry the laws that they say, laws are learnt, and a campaign gets new sequences."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from scipy.special import beta as beta_function
from scipy.special import betainc

from models.generators.dirichlet_path import DirichletPath, speed
from models.generators.discrete_flow_matching import row_of, text_of
from models.generators.letter_paths import LetterNetwork, fit_letters
from models.generators.mask_path import MaskPath, law
from models.protocols import GenerationContext
from models.registry import ComponentError, build
from models.systems.discrete_flow_matching import velocity_error

SMALL = {"kind": "discrete_flow_matching", "steps": 60, "batch_size": 64, "hidden": [32], "path_steps": 20}
PATHS = {"mask": MaskPath(), "dirichlet": DirichletPath()}


def table(length, seed=0, width=1.5):
    """A law over rows of four letters under which all places depend on each other."""
    logits = width * torch.randn(4**length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return logits.softmax(0)


def product(length, seed=0):
    """A law under which they do not."""
    marginals = torch.randn((length, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.float64).softmax(1)
    joint = torch.ones(1, dtype=torch.float64)
    for marginal in marginals:
        joint = torch.outer(joint, marginal).flatten()
    return joint, marginals


def rows(numbers, length):
    return (numbers[:, None] // 4 ** torch.arange(length - 1, -1, -1)) % 4


def exact_reader(joint, length):
    """Logits of the posterior, which a perfect network would give."""
    letters = rows(torch.arange(4**length), length)

    def read(likelihoods):
        each = torch.stack([likelihoods[:, place, letters[:, place]] for place in range(length)], 2).double()
        weights = joint * each.prod(2)
        sums = [
            torch.zeros(len(weights), 4).double().index_add(1, letters[:, place], weights) for place in range(length)
        ]
        return torch.stack(sums, 1).clamp(min=1e-30).log().float()

    return read


def distance(found, exact):
    return 0.5 * float((found - exact).abs().sum())


def histogram(drawn, length):
    numbers = (drawn * 4 ** torch.arange(length - 1, -1, -1)).sum(1)
    return torch.bincount(numbers, minlength=4**length).double() / len(drawn)


def learnt(path, joint, length, steps, seed=0, batch_size=256):
    generator = torch.Generator().manual_seed(seed)
    data = rows(torch.multinomial(joint, 100_000, replacement=True, generator=generator), length)
    network = LetterNetwork(length, 4, (64, 64), generator)
    fit_letters(network, path, data, generator, steps=steps, batch_size=batch_size, learning_rate=3e-3)
    return network, generator


@pytest.mark.parametrize("steps", [1, 3, 50])
def test_unmasking_recovers_a_product_law_exactly_by_any_number_of_steps(steps):
    joint, marginals = product(3)
    found = law(lambda likelihoods: marginals.log().expand(len(likelihoods), -1, -1), 3, 4, steps)
    assert float((found - joint).abs().max()) < 1e-12


def test_unmasking_by_the_exact_posterior_nears_the_law_as_steps_shorten():
    joint = table(3)
    away = [distance(law(exact_reader(joint, 3), 3, 4, steps), joint) for steps in (1, 4, 16, 64, 256)]
    letters = rows(torch.arange(64), 3)
    apart = torch.ones(64, dtype=torch.float64)
    for place in range(3):
        apart = apart * torch.zeros(4).double().index_add(0, letters[:, place], joint)[letters[:, place]]
    assert away[0] == pytest.approx(distance(apart, joint), abs=1e-6)
    assert away == sorted(away, reverse=True)
    assert away[-1] < 0.005


def test_what_is_drawn_by_unmasking_has_the_law_that_is_told():
    joint, generator = table(2), torch.Generator().manual_seed(3)
    read = exact_reader(joint, 2)
    drawn = MaskPath().followed(read, 20_000, 2, 4, 3, generator)
    assert distance(histogram(drawn, 2), law(read, 2, 4, 3)) < 0.02


@pytest.mark.parametrize("kinds", [2, 4, 20])
def test_the_velocity_on_the_simplex_carries_quantiles_of_beta_laws(kinds):
    assert velocity_error(kinds) < 1e-5


def test_the_speed_is_the_derivative_of_the_regularised_incomplete_beta():
    x, h = np.linspace(0.02, 0.9, 12), 1e-5
    for kinds, t in ((2, 0.5), (4, 3.0), (5, 7.9)):
        slope = (betainc(t + 1 + h, kinds - 1, x) - betainc(t + 1 - h, kinds - 1, x)) / (2 * h)
        expected = -slope * beta_function(t + 1, kinds - 1) / ((1 - x) ** (kinds - 1) * x**t)
        np.testing.assert_allclose(speed(x, t, kinds), expected, rtol=1e-4)
    ends = speed(np.array([0.0, 1.0]), 4.0, 100)
    assert ends[0] == pytest.approx(0.0, abs=1e-12)
    assert 0 < ends[1] < 1


def test_dirichlet_densities_and_the_velocity_obey_the_continuity_equation():
    """At points of three letters, in the coordinates (x1, x2): dp/dt + div(p u) = 0, by central differences."""

    def density(x, t):  # of Dir(1 + t e_1): (t + 1)(t + 2) x1^t
        return (t + 1) * (t + 2) * x[0] ** t

    def flux(x, t):
        return density(x, t) * speed(np.array(x[0]), t, 3) * (np.array([1.0, 0.0]) - x)

    h, t = 1e-4, 2.5
    for x in np.array([[0.2, 0.3], [0.6, 0.1], [0.05, 0.9]]):
        change = (density(x, t + h) - density(x, t - h)) / (2 * h)
        out = sum((flux(x + h * e, t) - flux(x - h * e, t))[axis] / (2 * h) for axis, e in enumerate(np.eye(2)))
        assert change + out == pytest.approx(0.0, abs=1e-5 * max(1.0, abs(change)))


def test_points_with_the_exact_posterior_end_in_the_law():
    joint = table(2)
    drawn = DirichletPath().followed(exact_reader(joint, 2), 10_000, 2, 4, 40, torch.Generator().manual_seed(0))
    assert distance(histogram(drawn, 2), joint) < 0.035


@pytest.mark.parametrize("name", PATHS)
def test_independent_places_are_learnt_as_such(name):
    joint, _ = product(3)
    network, generator = learnt(PATHS[name], joint, 3, 250, batch_size=128)
    drawn = PATHS[name].followed(network, 10_000, 3, 4, 50, generator)
    assert distance(histogram(drawn, 3), joint) < 0.07


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PATHS)
def test_the_law_of_a_table_is_learnt(name):
    """A histogram of 60,000 draws in 256 cells is off by 0.02 under a perfect law."""
    joint = table(4, width=1.0)
    network, generator = learnt(PATHS[name], joint, 4, 8000)
    if name == "mask":
        assert distance(law(network, 4, 4, 100), joint) < 0.05
    assert distance(histogram(PATHS[name].followed(network, 60_000, 4, 4, 100, generator), 4), joint) < 0.05


def space(**options):
    return build("space", {"kind": "sequences", "alphabet": "dna", "min_length": 4, "max_length": 8, **options})


def context(of=None, n=40, **changes):
    of = of or space()
    known = sorted(of.random(n, 0), key=lambda obj: -obj.count("A") / len(obj))
    given = {"known": tuple(known), "known_log_reward": -np.arange(n, dtype=float), "seed": 3}
    return GenerationContext(space=of, log_reward=lambda objects: np.zeros(len(objects)), **{**given, **changes})


def proposed(generator, n=40, seed=1):
    return [candidate.object for candidate in generator.sample(n, seed=seed)]


@pytest.mark.parametrize("path", PATHS)
def test_new_sequences_are_like_the_best_measured_ones(path):
    given = context()
    generator = build("generator", {**SMALL, "path": path, "steps": 200})
    generator.fit(given)
    found = proposed(generator)
    assert len(set(found)) == 40
    assert not set(found) & set(given.known)
    assert all(given.space.outside(obj) is None for obj in found)
    share = np.mean([obj.count("A") / len(obj) for obj in found])
    assert share > np.mean([obj.count("A") / len(obj) for obj in given.space.random(200, 5)]) + 0.1


def test_the_same_seed_gives_the_same_sequences_before_and_after_a_file():
    given = context()
    first, second, third = (build("generator", SMALL) for _ in range(3))
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


def test_sequences_of_several_lengths_are_rows_of_one():
    of = space()
    assert row_of("ACGT", of) == [0, 1, 2, 3, 4, 4, 4, 4]
    assert text_of(row_of("ACGTA", of), of) == "ACGTA"
    assert text_of([0, 1, 2, 3, 4, 4, 0, 4], of) is None


def test_patterns_are_heeded_and_what_was_asked_for_is_not_proposed_again():
    of = space(min_length=None, max_length=None, length=5, pattern="[ACG]*T")
    generator = build("generator", SMALL)
    generator.fit(context(of, n=10, asked=("AAAAT",)))
    found = proposed(generator, 60)
    assert found
    assert all(obj.endswith("T") and "T" not in obj[:-1] for obj in found)
    assert "AAAAT" not in found


def test_a_library_is_imitated_where_nothing_was_measured_and_nothing_is_refused():
    of = space()
    generator = build("generator", SMALL)
    generator.fit(context(of, known=(), known_log_reward=np.zeros(0), library=tuple(of.random(9, 0))))
    assert len(proposed(generator, 10)) == 10
    with pytest.raises(ValueError, match="imitates measured sequences or a library"):
        generator.fit(context(of, known=(), known_log_reward=np.zeros(0)))


def test_other_spaces_are_refused_in_a_sentence():
    vectors = build("space", {"kind": "vectors", "variables": {"x": [0, 1]}})
    with pytest.raises(ComponentError, match="is for sequences; this campaign's space is 'vectors'"):
        build("generator", SMALL).check(vectors)
    with pytest.raises(ValueError, match="has no flow yet"):
        build("generator", SMALL).sample(3, seed=0)


def test_the_papers_of_the_path_are_cited():
    assert build("generator", SMALL).cited() == ("gat2024discrete", "campbell2024discrete")
    assert build("generator", {**SMALL, "path": "dirichlet"}).cited() == ("stark2024dirichlet",)
