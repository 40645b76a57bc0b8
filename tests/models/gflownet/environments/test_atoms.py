"""Molecules atom by atom: the state graph is true, and its exact law is the law over molecules."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from data.chemistry.molecules import quiet_rdkit
from models.gflownet.environments.atom_canonical import canonical
from models.gflownet.environments.atom_molecules import AtomMolecules
from models.gflownet.environments.atom_rings import bonds_apart, ring_bonds
from models.gflownet.environments.atoms import STOP, AtomEnvironment
from models.gflownet.environments.tabulated import Tabulated
from models.gflownet.judging.exact import enumerate_graph, fixed_point, merge, target_law, terminal_law, total_variation
from models.gflownet.policies.backward import MaximumEntropyBackward, TiedBackward, UniformBackward
from models.gflownet.policies.base import draw
from models.registry import ComponentError, build

DEFAULT = AtomEnvironment()
CAGES = ("C12C3C4C1C5C2C3C45", "C1CCCCCCC1", "CC(C)(C)C", "C1CC1C1CC1", "CCO", "C12C3C1C1C3C2CC1", "C1CC2CCC1CC2", "C")
ORDERS = (48, 16, 24, 8, 1, 2, 12, 1)


@pytest.fixture(scope="module")
def env():
    return AtomEnvironment(elements=("C", "N", "O"), max_atoms=4, max_rings=3)


@pytest.fixture(scope="module")
def graph(env):
    return enumerate_graph(env)


@pytest.fixture(scope="module")
def azines():
    """Six-membered rings of carbon and nitrogen: three of them have two Kekule structures that are different graphs."""
    return AtomEnvironment(
        elements=("C", "N"), max_atoms=6, min_atoms=6, bond_orders=(1, 2), max_rings=1, min_ring_size=6
    )


@pytest.fixture(scope="module")
def azine_graph(azines):
    return enumerate_graph(azines)


def walk(env, seed, n, stop_weight=-2.0):
    """All transitions of n random trajectories: states before, actions, states after."""
    generator = torch.Generator().manual_seed(seed)
    states, parts = env.source(n), []
    while len(states):
        logits = torch.zeros(len(states), env.n_actions)
        logits[:, STOP] = stop_weight
        logits[:, env._close :] += 2.0  # Rings are rare under a uniform law.
        actions = draw(logits.masked_fill(~env.forward_mask(states), -torch.inf), generator)
        after = env.step(states, actions)
        parts.append((states, actions, after))
        states = after[~after.done]
    before, actions, after = zip(*parts, strict=True)
    return type(states).cat(before), torch.cat(actions), type(states).cat(after)


def same(a, b):
    return all(torch.equal(value, b.tensors()[name]) for name, value in a.tensors().items())


def log_reward(molecules):
    return np.array(
        [-0.3 * abs(len(s) - 6) + 0.7 * s.count("N") + 0.5 * ("O" in s) + 0.9 * ("n" in s) for s in molecules]
    )


def exact(env, graph, log_prob):
    """Distance of the fixed point's law from R / Z over molecules, and the error of log Z."""
    before, after = graph.states[graph.origin], graph.states[graph.target]
    log_pb = log_prob.gather(1, env.undo(before, graph.action)[:, None])[:, 0].double()
    log_pb = log_pb + env.log_correction(before, graph.action, after)
    point = fixed_point(graph, log_reward(graph.objects), log_pb)
    law = merge(graph.objects, terminal_law(graph, point.log_pf))
    rewards = log_reward(law)
    return total_variation(np.array(list(law.values())), target_law(rewards)), point.log_z - np.log(
        np.exp(rewards).sum()
    )


def backward_laws(env, graph):
    """Three backward policies at the heads of all edges; the logits of the second have no symmetry at all."""
    after = graph.states[graph.target]
    place = torch.tensor(env.codes(graph.states).tolist())
    noise = torch.randn(len(place), env.n_backward, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    yield "uniform", UniformBackward().log_prob(env, after, None)
    yield "learned", TiedBackward().log_prob(env, after, 2.0 * noise[graph.target])
    table = Tabulated(env, graph)
    numbers = table._at(graph.target)
    yield "maximum entropy", MaximumEntropyBackward().log_prob(table, numbers, None)


def test_the_fixed_point_of_every_backward_policy_has_the_target_law_over_molecules(env, graph):
    assert len(set(graph.objects)) == len(graph.objects) == 571
    for name, log_prob in backward_laws(env, graph):
        distance, error = exact(env, graph, log_prob)
        assert distance < 1e-10, name
        assert abs(error) < 1e-10, name


def test_kekule_structures_of_one_molecule_are_one_object(azines, azine_graph):
    graph = azine_graph
    several = {s for s in graph.objects if graph.objects.count(s) > 1}
    assert several == {"c1ccnnc1", "c1cnncn1", "c1cnnnn1"}
    for name, log_prob in backward_laws(azines, graph):
        distance, error = exact(azines, graph, log_prob)
        assert distance < 1e-10, name
        assert abs(error) < 1e-10, name


def test_without_the_correction_kekule_structures_count_twice(azines, azine_graph, monkeypatch):
    monkeypatch.setattr(azines, "log_correction", lambda states, actions, following: torch.zeros(len(actions)))
    name, log_prob = next(backward_laws(azines, azine_graph))
    assert name == "uniform"
    assert exact(azines, azine_graph, log_prob)[0] > 1e-4


def test_the_space_is_what_brute_force_finds():
    found, graphs = set(), 0
    for n in (1, 2, 3):
        pairs = list(itertools.combinations(range(n), 2))
        for kinds in itertools.product((6, 7, 8), repeat=n):
            for orders in itertools.product(range(4), repeat=len(pairs)):
                smiles = brute_force_smiles(kinds, zip(pairs, orders, strict=True))
                graphs += smiles is not None
                found.add(smiles)
    graph = enumerate_graph(AtomEnvironment(elements=("C", "N", "O"), max_atoms=3))
    assert graphs > len(graph.objects) == 92
    assert set(graph.objects) == found - {None}


def brute_force_smiles(kinds, bonds):
    mol = Chem.RWMol()
    for kind in kinds:
        mol.AddAtom(Chem.Atom(kind))
    for (i, j), order in bonds:
        if order:
            mol.AddBond(i, j, Chem.BondType.values[order])
    with quiet_rdkit():
        if Chem.SanitizeMol(mol, catchErrors=True) != Chem.SANITIZE_NONE or len(Chem.GetMolFrags(mol)) > 1:
            return None
    smiles = Chem.MolToSmiles(mol)
    return None if "+" in smiles else smiles  # RDKit gives nitrogen of five bonds charges.


def test_every_backward_action_is_one_parent_edge_and_every_state_can_end(env, graph, azines, azine_graph):
    for space, edges in ((env, graph), (azines, azine_graph)):
        states = edges.states
        parents = torch.bincount(edges.target, minlength=len(states))
        assert torch.equal(space.backward_mask(states).sum(1), parents)
        assert torch.equal(space.is_source(states), torch.arange(len(states)) == 0)
        assert torch.equal(space.forward_mask(states).any(1), ~states.done)
        assert len(set(space.keys(states))) == len(states)
        pairs = set(zip(edges.target.tolist(), space.undo(states[edges.origin], edges.action).tolist(), strict=True))
        assert len(pairs) == len(edges.origin)


@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**32))
def test_steps_forwards_and_backwards_are_inverse(seed):
    env = DEFAULT
    before, actions, after = walk(env, seed, 6)
    undo = env.undo(before, actions)
    row = torch.arange(len(before))
    assert env.backward_mask(after)[row, undo].all()
    assert same(env.backstep(after, undo), before)
    assert torch.equal(env.redo(after, undo), actions)
    place, back = env.backward_mask(after).nonzero(as_tuple=True)
    parents, again = env.backstep(after[place], back), env.redo(after[place], back)
    assert env.forward_mask(parents)[torch.arange(len(place)), again].all()
    assert same(env.step(parents, again), after[place])
    assert torch.equal(env.undo(parents, again), back)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_a_state_is_treated_alike_in_every_batch(seed):
    env = DEFAULT
    before, actions, after = walk(env, seed, 3)
    forward, backward, names = env.forward_mask(before), env.backward_mask(after), env.keys(after)
    for k in range(len(before)):
        one = before[k : k + 1]
        fresh = AtomEnvironment()
        assert same(fresh.step(one, actions[k : k + 1]), after[k : k + 1])
        assert torch.equal(fresh.forward_mask(one)[0], forward[k])
        assert torch.equal(fresh.backward_mask(after[k : k + 1])[0], backward[k])
        assert fresh.keys(after[k : k + 1]) == names[k : k + 1]


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_keys_and_codes_are_equal_exactly_for_one_molecular_graph(seed):
    env = DEFAULT
    _, _, after = walk(env, seed, 24, stop_weight=1.0)
    names, codes = env.keys(after), env.codes(after).tolist()
    ends = after[after.done]
    molecules = env.decode(ends)
    assert len({*zip(names, codes, strict=True)}) == len(set(names)) == len(set(codes))
    hot = {tuple(row) for row in env.k_hot(ends).tolist()}
    assert len(set(env.keys(ends))) == len(hot)
    assert env.decode(ends) == AtomEnvironment().decode(ends) == molecules
    forms = {s: set() for s in molecules}
    for key, smiles in zip(env.keys(ends), molecules, strict=True):
        forms[smiles].add(key)
    assert all(len(keys) == 1 or "c" in s or "n" in s for s, keys in forms.items())


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_canonical_graphs_do_not_depend_on_the_numbering(seed):
    generator = torch.Generator().manual_seed(seed)
    _, _, after = walk(DEFAULT, seed, 6)
    cages = AtomEnvironment(max_rings=5).states_of(CAGES, generator)
    states = type(after).cat([after, cages])
    shuffle = torch.rand(states.element.shape, generator=generator).argsort(1)
    element = states.element.gather(1, shuffle)
    bond = states.bond.gather(1, shuffle[:, :, None].expand_as(states.bond))
    bond = bond.gather(2, shuffle[:, None, :].expand_as(bond))
    numbered = canonical(element, bond)
    for name in ("element", "bond", "orbit", "pair"):
        assert torch.equal(getattr(numbered, name), getattr(states, name)), name
    assert torch.equal(numbered.element.gather(1, numbered.place), element)


def test_automorphism_groups_have_their_known_orders():
    env = AtomEnvironment(max_rings=5)
    states = env.states_of(CAGES, torch.Generator().manual_seed(0))
    assert tuple(canonical(states.element, states.bond).automorphisms.tolist()) == ORDERS
    going = env.backstep(states, torch.zeros(len(CAGES), dtype=torch.int64))
    places = env.backward_mask(going).sum(1).tolist()
    # Cubane's bonds are all alike, as those of the eight-membered ring; ethanol has two ends; methane one atom.
    assert (places[0], places[1], places[4], places[7]) == (1, 1, 2, 1)
    assert states.orbit[0].unique().tolist() == [0, 8]


def test_graphs_that_colour_refinement_cannot_tell_apart_are_told_apart():
    # All atoms of the cages C8H8 have three neighbours; five such cages exist.
    generator = torch.Generator().manual_seed(0)
    bonds = []
    while len(bonds) < 60:
        ends = torch.arange(24)[torch.randperm(24, generator=generator)].view(12, 2) // 3
        bond = torch.zeros(8, 8, dtype=torch.int64)
        bond[ends[:, 0], ends[:, 1]] = bond[ends[:, 1], ends[:, 0]] = 1
        if (bond.sum(1) == 3).all() and not bond.diagonal().any() and (bonds_apart(bond[None], 7) <= 7).all():
            bonds.append(bond)
    element = torch.zeros((60, 8), dtype=torch.int64)
    numbered = canonical(element, torch.stack(bonds))
    molecules = AtomMolecules(("C",), (1,))
    smiles = [molecules.identify(row, bond).smiles for row, bond in zip(element, bonds, strict=True)]
    codes = [tuple(row) for row in numbered.bond.flatten(1).tolist()]
    assert len(set(smiles)) == len(set(codes)) == len(set(zip(smiles, codes, strict=True))) == 5


def test_rings_and_distances_are_those_of_rdkit():
    _, _, after = walk(DEFAULT, 3, 60, stop_weight=-6.0)
    ends = after[after.done]
    found = ring_bonds(ends.element, ends.bond)
    apart = bonds_apart(ends.bond, 9)
    for k, n in enumerate(ends.atoms.tolist()):
        mol = Chem.RWMol()
        for _ in range(n):
            mol.AddAtom(Chem.Atom(6))
        for i, j in itertools.combinations(range(n), 2):
            if ends.bond[k, i, j]:
                mol.AddBond(i, j, Chem.BondType.SINGLE)
        Chem.FastFindRings(mol)
        for bond in mol.GetBonds():
            assert found[k, bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()] == bond.IsInRing()
        assert int(found[k].sum()) == 2 * sum(bond.IsInRing() for bond in mol.GetBonds())
        assert np.array_equal(apart[k, :n, :n].numpy(), Chem.GetDistanceMatrix(mol))
        assert int(ends.rings[k]) == mol.GetNumBonds() - n + 1
    assert (ends.rings == 2).any()


def test_random_molecules_are_valid_and_within_the_limits():
    env = AtomEnvironment(elements=("C", "N", "S", "Cl"), max_atoms=7, min_atoms=5, max_rings=1, min_ring_size=5)
    _, _, after = walk(env, 5, 150)
    ends = after[after.done]
    assert ((ends.atoms >= 5) & (ends.atoms <= 7) & (ends.rings <= 1)).all()
    for smiles in env.decode(ends):
        mol = Chem.MolFromSmiles(smiles)
        assert 5 <= mol.GetNumAtoms() <= 7
        assert all(len(ring) >= 5 for ring in mol.GetRingInfo().AtomRings())
        assert {atom.GetSymbol() for atom in mol.GetAtoms()} <= {"C", "N", "S", "Cl"}
    assert (ends.rings == 1).any()


@pytest.mark.parametrize(
    ("smiles", "forms"),
    [
        ("c1ccccc1", 1),
        ("Cc1ccccc1C", 2),
        ("c1ccc2ccccc2c1", 2),
        ("c1ccc2cccc-2cc1", 1),
        ("c1ccnnc1", 2),
        ("C1=CC=C1", 1),
    ],
)
def test_the_stop_of_an_aromatic_molecule_is_shared_by_its_kekule_structures(smiles, forms):
    env = AtomEnvironment(elements=("C", "N"), max_atoms=10)
    generator = torch.Generator().manual_seed(0)
    ends = env.states_of([smiles] * 40, generator)
    assert set(env.decode(ends)) == {Chem.CanonSmiles(smiles)}
    assert len(set(env.keys(ends))) == forms
    stop = torch.zeros(40, dtype=torch.int64)
    before = env.backstep(ends, stop)
    correction = env.log_correction(before, env.redo(ends, stop), ends)
    assert correction.tolist() == pytest.approx([-math.log(forms)] * 40)


def test_molecules_that_rdkit_refuses_decode_to_none():
    env = AtomEnvironment(elements=("C", "N"), max_atoms=5, min_atoms=5, max_rings=0, max_valence={"N": 4})
    _, _, after = walk(env, 0, 200)
    ends = after[after.done]
    hydrogens = env.free(ends)
    crowded = ((ends.element == 1) & (ends.bond.sum(2) == 4)).any(1)
    assert crowded.any()
    assert (hydrogens >= 0).all()
    assert [smiles is None for smiles in env.decode(ends)] == crowded.tolist()
    stop = torch.zeros(len(ends), dtype=torch.int64)
    assert not env.log_correction(env.backstep(ends, stop), stop, ends).any()


def test_molecules_become_states_and_come_back():
    smiles = ["CC(=O)NC", "c1ccoc1", "N#CC1CC1", "FC(F)(F)S", "O"]
    ends = DEFAULT.states_of(smiles, torch.Generator().manual_seed(0))
    assert DEFAULT.decode(ends) == [Chem.CanonSmiles(s) for s in smiles]
    assert ends.done.all()
    assert len(DEFAULT.states_of([], torch.Generator())) == 0


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("C1CC", "no valid SMILES"),
        ("CCBr", "atoms of Br, C; expected at most 9"),
        ("CCCCCCCCCC", "10 atoms"),
        ("C[NH3+]", "neutral molecule"),
        ("[CH2]C", "radicals"),
        ("CC.C", "all of them connected"),
        ("C1C2C3C1C23", "outside the space"),
        ("CS(=O)(=O)C", "beyond its valence"),
    ],
)
def test_molecules_outside_the_space_are_refused(smiles, message):
    with pytest.raises(ValueError, match=message):
        DEFAULT.states_of([smiles], torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"elements": ("C", "Xx")}, "expected distinct ones of"),
        ({"elements": ("C", "C")}, "expected distinct ones of"),
        ({"max_valence": {"C": 9}}, "expected 1 to 8"),
        ({"elements": ("Xx",), "max_valence": {"Xx": 2}}, "no chemical element"),
        ({"bond_orders": (2,)}, "expected 1 among the orders"),
        ({"max_atoms": 3, "min_atoms": 4}, "min_atoms at most max_atoms"),
        ({"elements": ("F", "Cl"), "min_atoms": 3}, "the space is empty"),
    ],
)
def test_options_that_leave_nothing_to_build_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AtomEnvironment(**options)


def test_the_environment_is_built_by_name_and_its_options_come_back():
    made = build("environment", {"kind": "atoms", "elements": ["C", "S"], "max_atoms": 4, "max_valence": {"S": 6}})
    assert made.config()["max_valence"] == {"S": 6}
    assert build("environment", made.config()).options == made.options
    with pytest.raises(ComponentError, match="Did you mean 'max_atoms'"):
        build("environment", {"kind": "atoms", "max_atom": 4})


def test_a_table_of_the_environment_is_the_environment(env, graph):
    table = Tabulated(env, graph)
    assert table.n_features == env.n_features
    states = table.source(3)
    actions = torch.tensor([1, 2, 3])
    assert env.keys(table.states(table.step(states, actions))) == env.keys(env.step(env.source(3), actions))
