"""Several generators as one: shares, sources, seeds, files, state."""

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import Field

from data.records import Candidate
from models import registry
from models.protocols import GenerationContext, Generator
from models.registry import Component, ComponentError, build
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=10, min_heavy_atoms=2, elements=("H", "C", "N", "O"))


class Numbers(Component):
    """Proposes `count` candidates `prefix0, prefix1, ...`; remembers what it was given."""

    kind = "test_numbers"  # no group: other tests must not meet it in the registry
    contexts: ClassVar[list[GenerationContext]] = []
    warm_states: ClassVar[list[Any]] = []

    class Options(Component.Options):
        prefix: str = "a"
        count: int = Field(default=1000)

    fitted = 0

    def fit(self, context):
        self.contexts.append(context)
        self.warm_states.append(None if context.warm_start is None else torch.load(context.warm_start))
        self.fitted = context.seed

    def sample(self, n, *, seed):
        order = np.random.default_rng(seed).permutation(self.options.count)[:n]
        prefix = self.options.prefix
        return [Candidate(id=f"{prefix}{i}", smiles=f"{prefix}{i}", source=self.kind + prefix) for i in order]

    def state(self):
        return {"fitted": self.fitted}

    def load_state(self, state, context):
        self.fitted = state["fitted"]

    def history(self):
        return [{"step": 1.0}]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    Numbers.contexts.clear()
    Numbers.warm_states.clear()
    known = {**registry.kinds("generator"), Numbers.kind: Numbers}
    monkeypatch.setattr(registry, "kinds", lambda group: known)


def numbers(share=1.0, **options):
    return {"generator": {"kind": "test_numbers", **options}, "share": share}


def union(*members):
    return build("generator", {"kind": "union", "members": list(members)})


def context(**changes):
    return GenerationContext(space=SPACE, log_reward=lambda molecules: np.zeros(len(molecules)), seed=7, **changes)


def sources(candidates):
    return Counter(candidate.source[-1] for candidate in candidates)


def test_it_is_a_generator():
    assert isinstance(union(numbers()), Generator)


def test_members_deliver_their_shares_and_each_candidate_its_source():
    both = union(numbers(3, prefix="a"), numbers(1, prefix="b"))
    assert sources(both.sample(40, seed=0)) == {"a": 30, "b": 10}


@pytest.mark.parametrize("n", [0, 1, 2, 7, 100])
def test_shares_add_up_to_what_is_asked(n):
    three = union(numbers(1, prefix="a"), numbers(1, prefix="b"), numbers(1, prefix="c"))
    counts = sources(three.sample(n, seed=0))
    assert sum(counts.values()) == n
    assert max(counts.values(), default=0) - min((counts[p] for p in "abc"), default=0) <= 1


def test_what_one_member_cannot_deliver_the_others_do():
    both = union(numbers(1, prefix="a", count=5), numbers(1, prefix="b"))
    assert sources(both.sample(40, seed=0)) == {"a": 5, "b": 35}


def test_candidates_are_distinct_across_members():
    twins = union(numbers(1, prefix="a", count=30), numbers(1, prefix="a", count=30))
    candidates = twins.sample(40, seed=0)
    assert len({candidate.id for candidate in candidates}) == len(candidates) == 30


def test_sampling_is_deterministic_under_its_seed_and_members_draw_independently():
    twins = union(numbers(1, prefix="a"), numbers(1, prefix="b"))
    assert twins.sample(20, seed=1) == twins.sample(20, seed=1)
    assert twins.sample(20, seed=1) != twins.sample(20, seed=2)
    ids = [candidate.id for candidate in twins.sample(20, seed=1)]
    assert [i[1:] for i in ids[:10]] != [i[1:] for i in ids[10:]]


def test_each_member_is_fitted_with_a_seed_and_a_checkpoint_of_its_own():
    union(numbers(prefix="a"), numbers(prefix="b")).fit(context(checkpoint=Path("run/generator.pt")))
    first, second = Numbers.contexts
    assert first.seed != second.seed
    assert first.checkpoint == Path("run/generator.0-test_numbers.pt")
    assert second.checkpoint == Path("run/generator.1-test_numbers.pt")


def test_a_warm_start_gives_each_member_its_own_state(tmp_path):
    before = union(numbers(prefix="a"), numbers(prefix="b"))
    before.fit(context())
    states = before.state()["members"]
    torch.save(before.state(), tmp_path / "state.pt")
    Numbers.warm_states.clear()
    union(numbers(prefix="a"), numbers(prefix="b")).fit(context(warm_start=tmp_path / "state.pt"))
    assert Numbers.warm_states == states
    assert states[0] != states[1]
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_the_state_restores_every_member():
    both = union(numbers(prefix="a"), numbers(prefix="b"))
    both.fit(context())
    other = union(numbers(prefix="a"), numbers(prefix="b"))
    other.load_state(both.state(), context())
    assert other.state() == both.state()


def test_the_state_of_another_union_is_refused():
    with pytest.raises(ValueError, match="is that of a union of 0-test_numbers, 1-test_numbers"):
        union(numbers()).load_state(union(numbers(), numbers()).state(), context())


def test_history_names_the_member_and_its_share():
    rows = union(numbers(1), numbers(3)).history()
    assert rows == [{"step": 1.0, "member": 0.0, "share": 0.25}, {"step": 1.0, "member": 1.0, "share": 0.75}]


def test_a_union_in_a_union_is_refused():
    with pytest.raises(ComponentError, match="list its members here"):
        union({"generator": {"kind": "union", "members": [numbers()]}})


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ({"generator": {"kind": "genetics"}}, "Did you mean 'genetic'"),
        ({"generator": {"kind": "genetic", "generation": 3}}, "Did you mean 'generations'"),
        ({"generator": {"kind": "genetic"}, "share": 0}, "share"),
        ({"generator": {}}, "needs a `kind`"),
    ],
)
def test_a_member_that_is_wrong_is_named(member, words):
    with pytest.raises(ComponentError, match=words):
        union(member)


def test_no_members_is_an_error():
    with pytest.raises(ComponentError, match="members"):
        union()


def test_a_union_is_rebuilt_from_its_configuration():
    config = union(numbers(2, prefix="z"), {"generator": {"kind": "genetic"}}).config()
    assert build("generator", config).config() == config


def test_a_union_with_the_genetic_algorithm_works_end_to_end():
    both = union({"generator": {"kind": "genetic", "generations": 2, "offspring": 10}}, numbers(prefix="b"))
    both.fit(context(library=("CCO", "CCN", "CCCC", "c1ccccc1", "CC=O")))
    assert Counter(candidate.source for candidate in both.sample(10, seed=0)) == {"genetic": 5, "test_numbersb": 5}


class Knowing(Numbers):
    """Tells what it met."""

    kind = "test_knowing"

    def best(self, n):
        return {f"{self.options.prefix}{i}": float(i) for i in reversed(range(n))}


def knowing(share=1.0, **options):
    return {"generator": {"kind": "test_knowing", **options}, "share": share}


@pytest.fixture
def knowing_kinds(monkeypatch, registered):
    known = {**registry.kinds("generator"), Knowing.kind: Knowing}
    monkeypatch.setattr(registry, "kinds", lambda group: known)


def test_a_member_hints_at_its_best_to_those_after_it_and_before_it_in_the_next_round(tmp_path, knowing_kinds):
    def pair():
        return build("generator", {"kind": "union", "members": [knowing(prefix="a"), knowing(prefix="b")], "hints": 2})

    pair_before = pair()
    pair_before.fit(context())
    assert [ctx.hints for ctx in Numbers.contexts] == [(), ("a1", "a0")]
    torch.save(pair_before.state(), tmp_path / "state.pt")
    pair().fit(context(warm_start=tmp_path / "state.pt", known=("b1",)))
    assert [ctx.hints for ctx in Numbers.contexts[2:]] == [("b0",), ("a1", "a0")]


def test_a_member_that_tells_nothing_hints_at_nothing():
    union(numbers(prefix="a"), numbers(prefix="b")).fit(context())
    assert [ctx.hints for ctx in Numbers.contexts] == [(), ()]


def test_shares_and_work_follow_what_is_bought_and_found(knowing_kinds):
    both = union(numbers(prefix="a"), knowing(prefix="b"))
    sources = ("test_knowing",) * 6 + ("zinc250k",) * 10 + ("test_numbers",) * 2
    both.fit(context(known=tuple(f"x{i}" for i in range(18)), sources=sources))
    # Half as set; 6 of 8 purchases and both of the best tenth are of the second.
    second = 0.5 * 0.5 + 0.25 * 6 / 8 + 0.25 * 1.0
    assert [row["share"] for row in both.history()] == pytest.approx([1 - second, second])
    assert [ctx.effort for ctx in Numbers.contexts] == pytest.approx([2 * (1 - second), 2 * second])
    counts = Counter(candidate.source for candidate in both.sample(1000, seed=0))
    assert counts["test_knowingb"] == pytest.approx(1000 * second, abs=1)


def test_shares_stay_as_they_were_set_if_they_are_to(knowing_kinds):
    members = [numbers(prefix="a"), knowing(prefix="b")]
    fixed = build("generator", {"kind": "union", "members": members, "adapt": False})
    fixed.fit(context(known=("x",), sources=("test_knowing",)))
    assert [ctx.effort for ctx in Numbers.contexts] == [1.0, 1.0]
    assert [row["share"] for row in fixed.history()] == [0.5, 0.5]
