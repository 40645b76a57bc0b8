"""Sets of k of n elements: the normaliser and the marginals against enumeration and at published sizes."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.gflownet.environments.sets import SetEnvironment
from models.gflownet.judging.exact import enumerate_graph
from models.registry import ComponentError, build
from tests.models.gflownet.environments.properties import (
    PROPERTIES,
    Instance,
    distinct_actions_lead_to_distinct_states,
    stays_on_its_device,
    walk_there_and_back,
)

ENERGIES = st.lists(st.floats(-30, 30), min_size=1, max_size=7)


def enumerated(energies, k):
    return {chosen: -sum(energies[i] for i in chosen) for chosen in itertools.combinations(range(len(energies)), k)}


@settings(deadline=None, max_examples=40)
@given(ENERGIES, st.data())
def test_normaliser_and_marginals_are_those_of_all_sets(energies, data):
    k = data.draw(st.integers(1, len(energies)))
    env = SetEnvironment(elements=len(energies), chosen=k, energies=tuple(energies))
    sets = enumerated(energies, k)
    log_z = torch.tensor(list(sets.values()), dtype=torch.float64).logsumexp(0).item()
    assert env.log_normaliser() == pytest.approx(log_z, abs=1e-10)
    for i, value in enumerate(env.log_inclusion().tolist()):
        weights = torch.tensor([w for s, w in sets.items() if i in s], dtype=torch.float64)
        assert value == pytest.approx(weights.logsumexp(0).item() - log_z, abs=1e-9)


def test_objects_are_all_sets_with_their_rewards():
    energies = (0.3, -1.2, 0.0, 2.0, 0.7)
    env = SetEnvironment(elements=5, chosen=3, energies=energies)
    graph = enumerate_graph(env)
    found = dict(zip(graph.objects, env.log_reward(graph.states[graph.terminal]).tolist(), strict=True))
    assert found == pytest.approx(enumerated(energies, 3))
    assert len(graph.states) == 1 + 5 + 10 + 10


def test_equal_energies_give_the_binomial_coefficient():
    env = SetEnvironment(elements=100, chosen=80, energies=(0.25,) * 100)
    assert env.log_normaliser() == pytest.approx(math.log(math.comb(100, 80)) - 20.0, rel=1e-12)
    torch.testing.assert_close(env.log_inclusion().exp(), torch.full((100,), 0.8, dtype=torch.float64))


@pytest.mark.parametrize(("elements", "chosen"), [(30, 20), (80, 60), (100, 80)])
def test_inclusion_probabilities_of_published_sizes_sum_to_the_size_of_a_set(elements, chosen):
    env = SetEnvironment(elements=elements, chosen=chosen)
    inclusion = env.log_inclusion().exp()
    assert inclusion.sum().item() == pytest.approx(chosen, rel=1e-10)
    # An element of lower energy is in more sets.
    assert torch.equal(inclusion.argsort(descending=True), env.energies.argsort())
    walk_there_and_back(env, 8, 0)


def test_large_energies_do_not_overflow():
    env = SetEnvironment(elements=4, chosen=2, energies=(-2000.0, -1000.0, 1000.0, 2000.0))
    assert env.log_normaliser() == pytest.approx(3000.0)
    assert env.log_inclusion().isfinite().all()


def test_partial_reward_is_minus_the_energies_so_far():
    env = SetEnvironment(elements=3, chosen=2, energies=(1.0, 2.0, 4.0))
    assert env.log_partial(env.source(1)).item() == 0.0
    assert env.log_partial(env.step(env.source(3), torch.arange(3))).tolist() == [-1.0, -2.0, -4.0]


def test_energies_are_drawn_by_the_seed_alone():
    torch.manual_seed(1)
    first = SetEnvironment(seed=5).energies
    torch.manual_seed(2)
    assert torch.equal(first, SetEnvironment(seed=5).energies)
    assert not torch.equal(first, SetEnvironment(seed=6).energies)
    assert first.abs().max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"elements": 3, "chosen": 4}, "got chosen 4 of 3"),
        ({"elements": 3, "chosen": 1, "energies": [1.0, 2.0]}, "got 2 energies, expected 3"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ComponentError, match=message):
        build("environment", {"kind": "set", **options})


@pytest.mark.parametrize("options", [{"elements": 4, "chosen": 4}, {"elements": 5, "chosen": 1}])
@pytest.mark.parametrize("check", [*PROPERTIES, distinct_actions_lead_to_distinct_states], ids=lambda f: f.__name__)
def test_promise_is_kept_by_other_sizes(check, options):
    check(Instance(SetEnvironment(**options)))


def test_tensors_stay_on_the_device_of_the_environment():
    stays_on_its_device(SetEnvironment())
