"""The GFlowNet of edits as a generator: near the best known, in proportion to reward, repeatable, storable."""

import io

import numpy as np
import pytest
import torch

from models.protocols import GenerationContext, Generator
from models.registry import ComponentError, build
from models.spaces.base import BaseSpace
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=10, min_heavy_atoms=2, elements=("H", "C", "N", "O", "F"))
LIBRARY = ("CCO", "CCN", "CCCC", "CC(=O)O", "c1ccccc1", "c1ccncc1", "CC#N", "C=CC=O", "CCOC", "CNC", "C1CCCC1", "OCCO")


def nitrogens(molecules):
    return np.array([float(smiles.upper().count("N")) for smiles in molecules])


def context(**changes):
    known = ("CCN", "CCO", "CCCC")
    defaults = {
        "space": SPACE,
        "log_reward": nitrogens,
        "seed": 3,
        "known": known,
        "known_log_reward": nitrogens(known),
        "library": LIBRARY,
    }
    return GenerationContext(**{**defaults, **changes})


def fitted(ctx=None, **options):
    generator = build("generator", {"kind": "edits", "parents": 20, "edits": 6, **options})
    generator.fit(ctx or context())
    return generator


def test_it_is_a_generator():
    assert isinstance(build("generator", {"kind": "edits"}), Generator)


def test_candidates_are_distinct_inside_and_not_measured():
    candidates = fitted().sample(60, seed=0)
    assert len(candidates) == 60
    assert len({candidate.id for candidate in candidates}) == 60
    assert not {candidate.object for candidate in candidates} & {"CCN", "CCO", "CCCC"}
    assert all(SPACE.outside(candidate.object) is None for candidate in candidates)
    assert {candidate.source for candidate in candidates} == {"edits"}


def test_the_first_drawn_are_better_than_what_the_walk_makes_alone():
    drawn = nitrogens([c.object for c in fitted().sample(20, seed=0)]).mean()
    alone = nitrogens([c.object for c in fitted(beta=1e-6).sample(20, seed=0)]).mean()
    assert drawn > alone + 1.0


def test_probabilities_are_those_of_the_law_that_is_drawn_from():
    generator = fitted()
    candidates = generator.sample(10_000, seed=0)
    assert np.exp([candidate.log_prob for candidate in candidates]).sum() <= 1.0 + 1e-9
    first = np.mean([c.log_prob for c in candidates[:20]])
    assert first > np.mean([c.log_prob for c in candidates[-20:]])


def test_the_seeds_decide_and_the_state_keeps_them():
    one, same, other = fitted(), fitted(), fitted(context(seed=4))
    assert one.sample(30, seed=1) == same.sample(30, seed=1)
    assert one.sample(30, seed=1) != one.sample(30, seed=2)
    assert one.sample(30, seed=1) != other.sample(30, seed=1)
    file = io.BytesIO()
    torch.save(one.state(), file)
    file.seek(0)
    restored = build("generator", {"kind": "edits", "parents": 20, "edits": 6})
    restored.load_state(torch.load(file, weights_only=True), context())
    assert restored.sample(30, seed=1) == one.sample(30, seed=1)
    assert restored.history() == one.history()


def test_what_was_learnt_of_the_value_of_edits_goes_on_into_the_next_round(tmp_path):
    torch.save({**fitted().state(), "slopes": [0.9, 0.9, 0.9]}, tmp_path / "before.pt")
    cold, warm = fitted(), fitted(context(warm_start=tmp_path / "before.pt"))
    assert warm.history()[-1]["slope"] > cold.history()[-1]["slope"]


def test_the_library_is_begun_with_where_nothing_is_measured():
    assert fitted(context(known=(), known_log_reward=np.zeros(0))).sample(10, seed=0)


def test_nothing_to_begin_with_is_refused():
    with pytest.raises(ValueError, match="starts from measured objects or a library"):
        fitted(context(known=(), known_log_reward=np.zeros(0), library=()))


def test_a_space_without_edits_is_refused_by_its_name():
    class Still(Molecules):
        kind = "still"

        def variation(self, sample):
            return None

    still: BaseSpace = Still(max_heavy_atoms=10, min_heavy_atoms=2)
    with pytest.raises(ComponentError, match="'edits' varies objects, and the space 'still' has no edits"):
        build("generator", {"kind": "edits"}).check(still)


def test_it_draws_without_a_sample_only_after_a_fit():
    with pytest.raises(RuntimeError, match="call `fit`"):
        build("generator", {"kind": "edits"}).sample(3, seed=0)


def test_hints_are_begun_with_and_not_proposed():
    hint = "N#CC(C#N)(C#N)C#N"
    plain, hinted = fitted(), fitted(context(hints=(hint,)))
    assert max(hinted.best(20).values()) > max(plain.best(20).values())
    assert hint not in {c.object for c in hinted.sample(10_000, seed=0)}
    assert hint not in hinted.best(10_000)


def test_the_best_are_unmeasured_and_in_order():
    best = fitted().best(15)
    assert len(best) == 15
    assert list(best.values()) == sorted(best.values(), reverse=True) == nitrogens(best).tolist()
    assert not set(best) & set(context().known)


def test_half_the_effort_edits_half_as_many_objects_further():
    whole, half = fitted(parents=8).history(), fitted(context(effort=0.5), parents=8).history()
    assert [row["objects"] for row in whole[1:]] == [48, 48]
    assert [row["objects"] for row in half[1:]] == [24, 24]
