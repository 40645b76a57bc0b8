"""The genetic algorithm as a generator: it climbs, stays inside, repeats, and can be stored."""

import io
from collections import Counter

import numpy as np
import pytest
import torch

from data.chemistry.bounds import outside
from data.chemistry.molecules import identity
from models.protocols import GenerationContext, Generator
from models.registry import ComponentError, build
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=10, min_heavy_atoms=2, elements=("H", "C", "N", "O", "F"))
LIBRARY = (
    "CCO",
    "CCN",
    "CCCC",
    "CC(=O)O",
    "c1ccccc1",
    "c1ccncc1",
    "CC#N",
    "C=CC=O",
    "CCOC",
    "CNC",
    "CC(C)C",
    "C1CCCC1",
    "FC(F)F",
    "OCCO",
    "NCC=O",
    "Cc1ccccc1",
)


def heteroatoms(molecules):
    """Reward nitrogen atoms."""
    return np.array([float(smiles.upper().count("N")) for smiles in molecules])


def context(**changes):
    known = ("CCN", "CCO", "CCCC")
    defaults = {
        "space": SPACE,
        "log_reward": heteroatoms,
        "seed": 3,
        "known": known,
        "known_log_reward": heteroatoms(known),
        "library": LIBRARY,
    }
    return GenerationContext(**{**defaults, **changes})


def fitted(ctx=None, **options):
    generator = build("generator", {"kind": "genetic", "generations": 5, "offspring": 30, "population": 40, **options})
    generator.fit(ctx or context())
    return generator


def test_it_is_a_generator():
    assert isinstance(build("generator", {"kind": "genetic"}), Generator)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"elite": 51, "population": 50}, "`elite` is 51, and only 50 objects go on"),
        ({"offspring": 100_000_000_000}, "offspring"),
        ({"generations": 10**12}, "generations"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, told):
    with pytest.raises(ComponentError, match=told):
        build("generator", {"kind": "genetic", **options})


def test_a_small_population_alone_is_rebuilt_from_its_configuration():
    small = build("generator", {"kind": "genetic", "population": 40})
    assert build("generator", small.config()).config() == small.config()


def test_the_population_climbs_well_above_the_library():
    generator = fitted(generations=10, offspring=60)
    best = [row["best"] for row in generator.history()]
    assert best == sorted(best)
    assert max(heteroatoms(LIBRARY)) <= 1
    assert best[-1] >= 4
    top = heteroatoms([candidate.smiles for candidate in generator.sample(10, seed=0)])
    assert top.min() >= 3


def test_candidates_are_distinct_inside_the_space_unmeasured_and_named_after_their_source():
    candidates = fitted().sample(60, seed=0)
    assert len(candidates) == 60
    assert len({candidate.id for candidate in candidates}) == 60
    for candidate in candidates:
        assert outside(candidate.smiles, SPACE) is None
        assert candidate.id == identity(candidate.smiles)
        assert candidate.source == "genetic"
    assert not {identity(smiles) for smiles in context().known} & {candidate.id for candidate in candidates}


def test_more_candidates_than_the_search_met_are_bred_on_demand():
    generator = fitted(generations=1, offspring=10)
    met = int(generator.history()[-1]["evaluated"])
    assert len(generator.sample(met + 50, seed=0)) == met + 50


def test_sampling_is_deterministic_under_its_seed():
    generator = fitted(generations=1, offspring=10)
    n = int(generator.history()[-1]["evaluated"]) + 30
    assert generator.sample(n, seed=1) == generator.sample(n, seed=1)
    assert generator.sample(n, seed=1) != generator.sample(n, seed=2)


def test_fitting_is_a_pure_function_of_the_context():
    assert fitted().state() == fitted().state()
    assert fitted().state() != fitted(context(seed=4)).state()


def test_the_state_is_stored_without_pickles_and_gives_the_same_candidates():
    generator, ctx = fitted(), context()
    file = io.BytesIO()
    torch.save(generator.state(), file)
    file.seek(0)
    restored = build("generator", generator.config())
    restored.load_state(torch.load(file, weights_only=True), ctx)
    assert restored.sample(200, seed=9) == generator.sample(200, seed=9)
    assert restored.history() == generator.history()


def test_no_molecule_is_evaluated_twice():
    asked: list[str] = []

    def counting(molecules):
        asked.extend(molecules)
        return heteroatoms(molecules)

    fitted(context(log_reward=counting))
    assert len(asked) == len(set(asked))


def test_measured_molecules_start_from_their_measured_reward():
    known = ("FC(F)(F)C#N",)
    generator = fitted(context(known=known, known_log_reward=np.array([50.0])), generations=1)
    assert generator.history()[0]["best"] == 50.0


def test_progress_is_reported_once_a_generation():
    calls: list[tuple[int, int]] = []
    fitted(context(progress=lambda done, total, metrics: calls.append((done, total))))
    assert calls == [(generation, 5) for generation in range(1, 6)]


def test_the_first_round_may_have_nothing_measured():
    generator = fitted(context(known=(), known_log_reward=np.zeros(0)))
    assert len(generator.sample(20, seed=0)) == 20


def test_nothing_to_start_from_is_an_error():
    with pytest.raises(ValueError, match="neither"):
        fitted(context(known=(), known_log_reward=np.zeros(0), library=()))
    with pytest.raises(ValueError, match="no object to start from"):
        fitted(context(known=(), known_log_reward=np.zeros(0), library=("C" * 20,)))


def test_sampling_before_fitting_is_an_error():
    with pytest.raises(ValueError, match="call `fit` or `load_state` first"):
        build("generator", {"kind": "genetic"}).sample(3, seed=0)


def test_a_search_goes_on_from_the_best_of_the_last_one(tmp_path):
    before = fitted(generations=10, offspring=60)
    torch.save(before.state(), tmp_path / "before.pt")
    best = before.history()[-1]["best"]
    warm = fitted(context(warm_start=tmp_path / "before.pt"), generations=1)
    assert warm.history()[0]["best"] >= best
    assert fitted(generations=1).history()[0]["best"] < best


def test_what_was_measured_since_is_not_carried_over(tmp_path):
    before = fitted(generations=10, offspring=60)
    torch.save(before.state(), tmp_path / "before.pt")
    bought = tuple(before.best(5))
    since = context(known=bought, known_log_reward=np.zeros(5), warm_start=tmp_path / "before.pt")
    assert not set(bought) & {c.object for c in fitted(since).sample(200, seed=0)}


def test_hints_are_started_from_and_proposed_by_no_one_else():
    hint = "N#CC(C#N)(C#N)C#N"
    generator = fitted(context(hints=(hint,)), generations=3)
    assert generator.history()[0]["best"] >= 4
    assert hint not in {c.object for c in generator.sample(500, seed=0)}
    assert hint not in generator.best(500)
    assert hint in {c.object for c in fitted(context(library=(*LIBRARY, hint), hints=(hint,))).sample(500, seed=0)}


def test_half_the_effort_is_half_the_generations():
    assert len(fitted(context(effort=0.5), generations=6).history()) == 3
    assert len(fitted(context(effort=0.01), generations=6).history()) == 1


def test_the_best_are_unmeasured_and_in_order():
    best = fitted().best(10)
    assert list(best.values()) == sorted(best.values(), reverse=True)
    assert not set(best) & set(context().known)


def test_families_are_kept_from_taking_over():
    free, niched = fitted(generations=8, offspring=60), fitted(generations=8, offspring=60, per_family=3)

    def largest(generator):
        return max(Counter(map(SPACE.family, generator.state()["population"])).values())

    assert largest(niched) < largest(free)
