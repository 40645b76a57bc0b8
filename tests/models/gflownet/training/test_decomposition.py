"""Potentials that split log R: what they leave to the network, how they are learnt, and that they outlive a kill."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.gflownet.environments.tabulated import IndexStates, Tabulated
from models.gflownet.environments.vectors import Vectors
from models.gflownet.judging.exact import (
    backward_log_probs,
    enumerate_graph,
    fixed_point,
    forward_log_probs,
    target_law,
    terminal_law,
    total_variation,
)
from models.gflownet.judging.tabular import Table, edge_numbers
from models.gflownet.policies.base import Exploration
from models.gflownet.policies.beta_mixture import BetaMixture
from models.gflownet.policies.graph import AtomGIN
from models.gflownet.policies.mlp import MLP
from models.gflownet.policies.transformer import FragmentTransformer
from models.gflownet.training.decomposition import Decomposition
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.gflownet.training.trajectories import sample_forward
from models.registry import build
from models.systems.energy_decomposition import interacting

KIND = "learned_energy_decomposition"
ON = ["states", "edges"]
SPACES = [
    {"kind": "set", "elements": 6, "chosen": 3},
    {"kind": "hypergrid", "dimensions": 2, "height": 3},
    {"kind": "sequence", "alphabet": "AB", "max_length": 3, "mode": "prepend_append"},
]
EVEN = Exploration(epsilon=1.0)


def objective(**options):
    return build("objective", {"kind": KIND, **options})


class Space:
    """A small space with a random reward, its fixed point, and trajectories that cover it."""

    def __init__(self, spec, n=150):
        base = build("environment", spec)
        self.env = Tabulated(base, enumerate_graph(base))
        self.graph = self.env.indexed()
        noise = torch.Generator().manual_seed(2)
        self.log_reward = 2.0 * torch.randn(len(self.graph.terminal), generator=noise, dtype=torch.float64)
        self.of_state = torch.zeros(len(self.graph.states), dtype=torch.float64)
        self.of_state[self.graph.terminal] = self.log_reward
        self.policy = MLP(self.env, generator=noise, hidden=(48, 48)).double()
        with torch.no_grad():
            self.policy.dense[-1].weight.mul_(30.0)  # potentials of any size
        self.paths = sample_forward(self.env, self.policy, n, noise, exploration=EVEN)
        self.ends = self.of_state[self.paths.terminal.index]

    def potentials(self, **options):
        return Decomposition(self.env, self.policy, objective(**options).options)

    def left(self, decomposition):
        """By state: the least and the largest of what the network must say of it for the flows to be the reward's."""
        log_pb = backward_log_probs(self.env, self.graph, build("backward_policy", {"kind": "uniform"}), self.policy)
        point = fixed_point(self.graph, self.log_reward.numpy(), log_pb)
        table = Table(self.graph, point.log_pf, log_pb, point.log_flow, self.log_reward, self.env.stop)
        seen = table.trajectories(edge_numbers(self.env, self.graph, self.paths))
        left = (seen.log_flow - decomposition.so_far(self.paths, self.ends))[self.paths.time, self.paths.row]
        found = {}
        for state, value in zip(self.paths.before.index.tolist(), left.tolist(), strict=True):
            found.setdefault(state, []).append(value)
        return max(max(values) - min(values) for values in found.values())


@pytest.mark.parametrize("spec", SPACES, ids=lambda spec: spec["kind"])
def test_whatever_the_potentials_of_states_the_flows_of_the_reward_are_within_reach(spec):
    """What the network must say of a state is the same on all ways to it: the balance can be exact, for any psi."""
    space = Space(spec)
    assert space.left(space.potentials(potentials="states")) < 1e-10


@pytest.mark.parametrize("spec", SPACES, ids=lambda spec: spec["kind"])
def test_potentials_of_edges_that_do_not_fit_ask_for_different_flows_of_one_state(spec):
    """What is spread over a trajectory is no function of its states: the paper's form then has no exact optimum."""
    space = Space(spec)
    assert space.left(space.potentials(potentials="edges")) > 0.1


@pytest.mark.parametrize("spec", SPACES, ids=lambda spec: spec["kind"])
def test_potentials_of_edges_that_add_up_leave_the_flows_of_the_reward_within_reach(spec, monkeypatch):
    space = Space(spec)
    decomposition = space.potentials(potentials="edges")
    psi = torch.randn(len(space.graph.states), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    psi[0], psi[space.graph.terminal] = 0.0, space.log_reward

    def exact(before, actions, condition=None):
        return psi[space.env.step(before, actions).index] - psi[before.index]

    monkeypatch.setattr(decomposition.network, "edge_values", exact)
    assert space.left(decomposition) < 1e-10


@pytest.mark.parametrize("on", ON)
def test_the_sum_on_the_way_starts_at_nothing_and_on_edges_ends_at_the_reward(on):
    space = Space(SPACES[1])
    decomposition, length = space.potentials(potentials=on), torch.bincount(space.paths.row)
    so_far, phi = decomposition.so_far(space.paths, space.ends), decomposition.potentials(space.paths).detach()
    assert torch.equal(so_far[0], torch.zeros(len(space.paths)).double())
    rows = torch.arange(len(space.paths))
    total = so_far[length - 1, rows] + phi[length - 1, rows]
    lacking = (space.ends - phi.sum(0)) / length if on == "edges" else torch.zeros(len(space.paths))
    wanted = space.ends if on == "edges" else phi.sum(0)
    assert torch.allclose(total + lacking, wanted, atol=1e-10)


@pytest.mark.parametrize("on", ON)
def test_potentials_learn_to_add_up_to_the_log_reward(on):
    space = Space(SPACES[0])
    decomposition, generator = space.potentials(potentials=on, dropout=0.0), torch.Generator().manual_seed(0)
    errors = [decomposition.learn(space.paths, space.ends, generator) for _ in range(200)]
    assert errors[-1] < 0.1 * errors[0]


@pytest.mark.parametrize("on", ON)
def test_potentials_that_were_left_out_at_random_differ_less_along_a_trajectory(on):
    space, spread = Space(SPACES[0]), {}
    for dropout in (0.0, 0.5):
        decomposition, generator = space.potentials(potentials=on, dropout=dropout), torch.Generator().manual_seed(0)
        for _ in range(100):
            decomposition.learn(space.paths, space.ends, generator)
        spread[dropout] = decomposition.potentials(space.paths).detach().std(0).mean().item()
    assert spread[0.5] < 0.8 * spread[0.0]


@pytest.mark.parametrize("on", ON)
def test_a_share_of_nothing_of_the_learning_rate_leaves_the_potentials_alone(on):
    space = Space(SPACES[0])
    decomposition = space.potentials(potentials=on)
    before = decomposition.potentials(space.paths).detach()
    decomposition.learn(space.paths, space.ends, torch.Generator(), share=0.0)
    assert torch.equal(decomposition.potentials(space.paths).detach(), before)


def trainer_of(space, *, seed=0, balance="detailed", on="states", dropout=0.1, **options):
    generator = torch.Generator().manual_seed(seed)
    rewards = space.of_state
    chosen = {"steps": 20, "batch_size": 16, "replay_share": 0.25, "checkpoint_every": 5, **options}
    return Trainer(
        space.env,
        MLP(space.env, generator=generator, hidden=(64, 64)),
        lambda states: (rewards[states.index], space.env.decode(states)),
        objective=objective(potentials=on, balance=balance, dropout=dropout),
        backward=build("backward_policy", {"kind": "uniform"}),
        options=TrainerOptions(**chosen),
        generator=generator,
    )


def distance(space, trainer):
    """The exact total variation between the policy and the reward."""
    numbered = replace(space.graph, states=IndexStates(space.env.done, torch.arange(len(space.env.done))))
    law = terminal_law(numbered, forward_log_probs(numbered, trainer.policy))
    return total_variation(law, target_law(space.log_reward.numpy()))


@pytest.mark.parametrize("balance", ["detailed", "sub_trajectory"])
def test_with_potentials_of_states_the_law_of_the_reward_is_learnt(balance):
    space = Space(SPACES[0])
    options = {"steps": 200, "batch_size": 32, "learning_rate": 1e-2, "replay_share": 0}
    trainer = trainer_of(space, balance=balance, **options)
    assert distance(space, trainer) > 0.3
    trainer.train()
    assert distance(space, trainer) < 0.03
    assert all(math.isfinite(row["potential_error"]) for row in trainer.history)


@pytest.mark.parametrize("on", ON)
def test_a_training_that_was_killed_goes_on_bit_for_bit(tmp_path, on):
    space = Space(SPACES[1])
    whole, half, rest = (trainer_of(space, on=on, balance="sub_trajectory") for _ in range(3))
    whole.train()
    while half.done < 10:
        half.step()
    half.save(tmp_path / "checkpoint.pt", "x")
    rest.train(checkpoint=tmp_path / "checkpoint.pt", fingerprint="x")
    assert rest.history == whole.history
    for name, value in whole.decomposition.network.state_dict().items():
        assert torch.equal(value, rest.decomposition.network.state_dict()[name])


def fragments(generator, conditions):
    env = build("environment", {"kind": "fragments", "max_heavy_atoms": 10, "max_fragments": 4})
    return env, FragmentTransformer(
        env, generator=generator, dim=16, layers=1, heads=2, prior=0.0, conditions=conditions
    )


def atoms(generator, conditions):
    env = build("environment", {"kind": "atoms", "max_atoms": 5})
    return env, AtomGIN(env, generator=generator, dim=16, layers=2, conditions=conditions)


def numbers(generator, conditions):
    env = Vectors(variables=[{"kind": "real"}, {"kind": "levels", "n": 3}])
    return env, BetaMixture(env, generator=generator, hidden=(16,), conditions=conditions)


def sets(generator, conditions):
    env = build("environment", {"kind": "set", "elements": 9, "chosen": 4})
    return env, MLP(env, generator=generator, hidden=(16,), conditions=conditions)


BETAS = {"kind": "inverse_temperature", "law": "uniform", "low": 0.5, "high": 2.0}


@pytest.mark.parametrize("conditioned", [False, True], ids=["", "conditioned"])
@pytest.mark.parametrize("on", ON)
@pytest.mark.parametrize("made", [fragments, atoms, numbers, sets])
def test_every_network_can_tell_potentials(made, on, conditioned):
    generator = torch.Generator().manual_seed(0)
    conditioning = build("conditioning", BETAS) if conditioned else None
    env, policy = made(generator, conditioning.width if conditioning else 0)
    trainer = Trainer(
        env,
        policy,
        lambda states: (torch.linspace(-2, 2, len(states)), [str(thing) for thing in env.decode(states)]),
        objective=objective(potentials=on),
        backward=build("backward_policy", {"kind": "uniform"}),
        options=TrainerOptions(steps=3, batch_size=12),
        generator=generator,
        conditioning=conditioning,
    )
    network = trainer.decomposition.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trainer.train()
    moved = [name for name, value in network.state_dict().items() if not torch.equal(value, before[name])]
    assert moved
    assert all(np.isfinite([row["loss"], row["potential_error"]]).all() for row in trainer.history)


@pytest.mark.parametrize("made", [fragments, atoms, numbers, sets])
def test_the_number_of_a_state_is_the_flow_that_a_transition_out_of_it_tells(made):
    generator = torch.Generator().manual_seed(0)
    env, policy = made(generator, 0)
    paths = sample_forward(env, policy, 20, generator)
    told = policy.score(paths.before, paths.forward, None).log_flow
    assert torch.allclose(policy.state_values(paths.before), told, atol=1e-6)
    assert policy.state_values(paths.terminal).shape == (20,)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("balance", ["detailed", "sub_trajectory"])
def test_sets_whose_elements_interact_are_learnt(balance):
    space = Space({"kind": "set", "elements": 10, "chosen": 5})
    space.log_reward = torch.tensor(interacting(space.graph.objects), dtype=torch.float64)
    space.of_state[space.graph.terminal] = space.log_reward
    options = {"steps": 1500, "batch_size": 64, "learning_rate": 3e-3, "final_rate": 0.01, "replay_share": 0}
    trainer = trainer_of(space, balance=balance, **options)
    trainer.train()
    assert distance(space, trainer) < 0.05
