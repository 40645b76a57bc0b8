"""The graph isomorphism network over molecules: equivariant, alike in every batch, and trained to the exact law."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.gflownet.environments.atom_canonical import pair_numbers
from models.gflownet.environments.atoms import STOP, AtomEnvironment
from models.gflownet.judging.exact import (
    backward_log_probs,
    enumerate_graph,
    fixed_point,
    forward_log_probs,
    merge,
    target_law,
    terminal_law,
    total_variation,
)
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance
from models.gflownet.policies.backward import TiedBackward, UniformBackward
from models.gflownet.policies.base import ON_POLICY, Exploration
from models.gflownet.policies.graph import AtomGIN
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.gflownet.training.trajectories import sample_forward

SMILES = ("CC(=O)NC", "C1CC1C1CN1", "N#CC1=CC=CN1", "FC(F)(F)S", "C1CCCCC1", "O")


@pytest.fixture(scope="module")
def env():
    return AtomEnvironment(elements=("C", "O"), max_atoms=3)


@pytest.fixture(scope="module")
def graph(env):
    return enumerate_graph(env)


def policy_of(env, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return AtomGIN(env, generator=generator, **{"dim": 32, "layers": 3, **options}), generator


def going(env):
    """States of some molecules before their stop, and the empty one."""
    ends = env.states_of(SMILES, torch.Generator().manual_seed(0))
    states = env.backstep(ends, torch.zeros(len(ends), dtype=torch.int64))
    return type(states).cat([states, env.source(1)])


def outputs(policy, states, condition=None):
    out = policy.network(states, condition)
    return torch.cat([out.forward, out.backward, out.log_flow[:, None]], 1)


def log_reward(molecules):
    return np.array([-0.3 * abs(len(s) - 4) + 0.8 * s.count("O") + 0.7 * ("1" in s) for s in molecules])


def distance(graph, log_pf):
    merged = merge(graph.objects, terminal_law(graph, log_pf))
    return total_variation(np.array(list(merged.values())), target_law(log_reward(merged)))


@pytest.mark.parametrize("options", [{}, {"max_rings": 0}, {"bond_orders": (1, 2), "max_rings": 1}])
def test_one_output_for_each_action(options):
    env = AtomEnvironment(**options, max_atoms=6)
    policy, _ = policy_of(env)
    out = policy.network(env.source(3))
    assert out.forward.shape == (3, env.n_actions)
    assert out.backward.shape == (3, env.n_backward)
    assert out.log_flow.shape == (3,)


def test_outputs_are_permuted_as_the_atoms_are():
    env = AtomEnvironment()
    policy, generator = policy_of(env)
    states = going(env)[:-1]
    n = env.max_atoms
    order = torch.arange(n).repeat(len(states), 1)
    for row, atoms in enumerate(states.atoms.tolist()):
        order[row, :atoms] = torch.randperm(atoms, generator=generator)
    bond = states.bond.gather(1, order[:, :, None].expand_as(states.bond))
    shuffled = type(states)(
        done=states.done,
        element=states.element.gather(1, order),
        bond=bond.gather(2, order[:, None, :].expand_as(bond)),
        orbit=states.orbit,
        pair=states.pair,
    )
    plain, moved = policy.network(states), policy.network(shuffled)
    assert torch.allclose(plain.log_flow, moved.log_flow, atol=1e-5)
    assert torch.allclose(plain.forward[:, : env._attach], moved.forward[:, : env._attach], atol=1e-5)
    e, b = env.n_elements, len(env.orders)
    pairs = pair_numbers(n)
    for row, atoms in enumerate(states.atoms.tolist()):
        image = order[row, :atoms]
        first = torch.arange(min(atoms, n - 1))
        attach = [out.forward[row, env._attach : env._close].view(n - 1, e * b) for out in (plain, moved)]
        assert torch.allclose(attach[0][image[first]], attach[1][first], atol=1e-5)
        leaf = [out.backward[row, 1 : 1 + n] for out in (plain, moved)]
        assert torch.allclose(leaf[0][image], leaf[1][:atoms], atol=1e-5)
        i, j = torch.triu_indices(atoms, atoms, 1)
        new, old = pairs[i, j], pairs[image[i], image[j]]
        close = [out.forward[row, env._close :].view(-1, b) for out in (plain, moved)]
        assert torch.allclose(close[0][old], close[1][new], atol=1e-5)
        opened = [out.backward[row, 1 + n :] for out in (plain, moved)]
        assert torch.allclose(opened[0][old], opened[1][new], atol=1e-5)
    assert not torch.allclose(plain.forward, moved.forward, atol=1e-3)


def test_a_state_is_judged_alike_in_every_batch_and_mode():
    env = AtomEnvironment()
    policy, _ = policy_of(env)
    states = going(env)
    together = outputs(policy, states)
    for k in range(len(states)):
        assert torch.allclose(outputs(policy, states[k : k + 1])[0], together[k], atol=1e-5)
    assert torch.equal(outputs(policy.eval(), states), together)


def test_molecules_that_message_passing_cannot_tell_apart_are_judged_apart():
    # Two five-membered rings side by side and fused six-membered ones look alike to plain message passing.
    env = AtomEnvironment(elements=("C",), max_atoms=10)
    policy, _ = policy_of(env)
    states = env.states_of(["C1CCC2CCCCC2C1", "C1CCC(C1)C1CCCC1"], torch.Generator().manual_seed(0))
    flows = policy.network(states).log_flow
    assert abs(flows[0] - flows[1]) > 1e-3


def test_every_weight_takes_part_in_the_loss():
    env = AtomEnvironment()
    policy, generator = policy_of(env, conditions=3)
    states = going(env)
    outputs(policy, states, torch.randn(len(states), 3, generator=generator)).square().sum().backward()
    idle = [name for name, weight in policy.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not idle


def test_weights_come_from_the_generator_alone():
    env = AtomEnvironment(max_atoms=4)
    before = torch.random.get_rng_state()
    first, again, other = policy_of(env)[0], policy_of(env)[0], policy_of(env, seed=1)[0]
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    assert not torch.equal(first.element.weight, other.element.weight)


def test_the_condition_changes_the_policy_row_by_row():
    env = AtomEnvironment(max_atoms=5)
    policy, generator = policy_of(env, conditions=2)
    states = env.source(60)
    condition = torch.randn(2, 2, generator=generator).repeat(30, 1)
    actions = torch.ones(60, dtype=torch.int64)
    answer = policy.score(states, actions, env.step(states, actions), condition)
    even, odd = answer.log_pf[::2], answer.log_pf[1::2]
    assert torch.allclose(even, even[:1])
    assert torch.allclose(odd, odd[:1])
    assert abs(even[0] - odd[0]) > 1e-4


def test_scores_are_log_probabilities_and_samples_follow_them(env, graph):
    policy, _ = policy_of(env, seed=5)
    law = terminal_law(graph, forward_log_probs(graph, policy))
    assert law.sum() == pytest.approx(1.0, abs=1e-5)
    exact = merge(graph.objects, law)
    n = 3000
    drawn = env.decode(sample_forward(env, policy, n, torch.Generator().manual_seed(0)).terminal)
    squares = sum((drawn.count(key) - n * p) ** 2 / (n * p) for key, p in exact.items())
    assert set(drawn) <= set(exact)
    assert squares < len(exact) + 6 * (2 * len(exact)) ** 0.5


def test_samples_come_with_their_log_probabilities_and_are_legal():
    env = AtomEnvironment()
    policy, generator = policy_of(env)
    states = going(env)
    actions, log_prob = policy.sample(states, generator, ON_POLICY)
    assert env.forward_mask(states)[torch.arange(len(states)), actions].all()
    scored = policy.score(states, actions, None).log_pf
    assert torch.allclose(log_prob.float(), scored, atol=1e-5)
    uniform = policy.sample(states, generator, Exploration(epsilon=1.0))
    assert torch.allclose(uniform[1].exp() * env.forward_mask(states).sum(1), torch.ones(len(states)).to(uniform[1]))


def test_its_backward_logits_have_the_target_law_as_fixed_point(env, graph):
    policy, _ = policy_of(env, seed=2)
    with torch.no_grad():
        for weight in (policy.node_head.weight, policy.pair_head.weight):
            weight.mul_(30.0)
    log_pb = backward_log_probs(env, graph, TiedBackward(), policy)
    assert (log_pb.exp() - backward_log_probs(env, graph, UniformBackward()).exp()).abs().max() > 0.05
    point = fixed_point(graph, log_reward(graph.objects), log_pb)
    assert distance(graph, point.log_pf) < 1e-6  # Logits are float32.


def train(env, graph, backward, *, steps, rate, **network):
    policy, generator = policy_of(env, **network)

    def reward(terminal):
        molecules = env.decode(terminal)
        return torch.tensor(log_reward(molecules), dtype=torch.float32), molecules

    before = distance(graph, forward_log_probs(graph, policy))
    options = TrainerOptions(steps=steps, batch_size=64, learning_rate=rate, replay_share=0.0)
    trainer = Trainer(
        env, policy, reward, objective=TrajectoryBalance(), backward=backward, options=options, generator=generator
    )
    trainer.train()
    z = np.exp(log_reward(sorted(set(graph.objects)))).sum()
    return before, distance(graph, forward_log_probs(graph, policy)), trainer.log_z.item() - np.log(z)


def test_training_reaches_the_target_law_over_molecules(env, graph):
    before, after, error = train(env, graph, UniformBackward(), steps=80, rate=6e-3, layers=2)
    assert before > 0.2
    assert after <= 0.05
    assert abs(error) < 0.05


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backward", [UniformBackward(), TiedBackward()], ids=["uniform", "tied"])
def test_training_reaches_the_target_law_over_more_molecules(backward):
    env = AtomEnvironment(elements=("C", "N", "O"), max_atoms=3)
    before, after, error = train(env, enumerate_graph(env), backward, steps=160, rate=6e-3)
    assert before > 0.2
    assert after <= 0.05
    assert abs(error) < 0.05


def test_the_source_can_only_place_a_first_atom(env):
    policy, generator = policy_of(env)
    actions, _ = policy.sample(env.source(50), generator, ON_POLICY)
    assert ((actions > STOP) & (actions <= env.n_elements)).all()
