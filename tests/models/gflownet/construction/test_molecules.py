"""Constructions of molecules behind one face, their rewards, and what an evaluation says of a sampler."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rdkit import Chem

from data.chemistry.molecules import canonical, identity
from models.gflownet.construction.atoms import MAX_ATOMS, Atoms, BoundAtoms, atom_environment
from models.gflownet.construction.drawing import candidates, draw_objects, log_probabilities
from models.gflownet.construction.fragments import BoundFragments, Fragments
from models.gflownet.environments.atoms import AtomEnvironment
from models.gflownet.environments.fragments import FragmentEnvironment
from models.gflownet.judging.evaluation import Case, HeldOut, SampledEvaluator, Seen
from models.gflownet.judging.metrics import Modes, tanimoto_distance
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.base import ON_POLICY
from models.gflownet.policies.uniform import UniformFlat
from models.gflownet.rewards.base import ObjectReward
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=10)


def fragments(**options):
    return BoundFragments(
        FragmentEnvironment(max_heavy_atoms=10, max_fragments=4, **options), SPACE, Fragments.Options()
    )


def atoms(*elements):
    env = AtomEnvironment(elements=elements, max_atoms=7, min_atoms=2, max_rings=1)
    return BoundAtoms(env, SPACE, Atoms.Options(dim=16, layers=1))


FRAGMENTS = fragments(only=("c1ccccc1", "C#N", "O", "C", "N", "CC", "CCC", "CCCC"))
ATOMS = atoms("C", "N", "O")
SPACES = pytest.mark.parametrize("space", [FRAGMENTS, ATOMS], ids=["fragments", "atoms"])
BOUNDS = Molecules(max_heavy_atoms=12, min_heavy_atoms=4, elements=("H", "C", "N", "O", "Ti"))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def nitrogens(molecules):
    return np.array([2.0 * smiles.upper().count("N") - 0.1 * len(smiles) for smiles in molecules])


# -- spaces ----------------------------------------------------------------------------------------------------------


@SPACES
def test_members_become_terminal_states_that_decode_to_their_names(space):
    given = ["Cc1ccccc1", "nonsense", "CCO", "[Na+].[Cl-]", "CCCCCCCCCCCCCCC", "OCC", "c1ccccc1CC#N"]
    members = space.members(given)
    assert [member.given for member in members] == [smiles for smiles in given if smiles in {m.given for m in members}]
    assert {"Cc1ccccc1", "CCO", "OCC"} <= {member.given for member in members}
    assert not {"nonsense", "[Na+].[Cl-]", "CCCCCCCCCCCCCCC"} & {member.given for member in members}
    states = space.states(members, generator())
    assert states.done.all()
    assert space.env.decode(states) == [member.object for member in members]
    assert all(member.object == canonical(member.given) for member in members)


@SPACES
def test_stereoisomers_share_the_name_of_their_flat_formula(space):
    left, right = space.members(["C[C@H](N)O", "C[C@@H](N)O"])
    assert left.object == right.object == "CC(N)O"


@SPACES
def test_no_members_are_no_states(space):
    assert space.members([]) == []
    assert len(space.states([], generator())) == 0


@SPACES
def test_the_digest_is_that_of_the_building_blocks(space):
    same = {
        FRAGMENTS: fragments(only=("c1ccccc1", "C#N", "O", "C", "N", "CC", "CCC", "CCCC")),
        ATOMS: atoms("C", "N", "O"),
    }
    others = {FRAGMENTS: fragments(only=("C", "N", "O")), ATOMS: atoms("C", "O", "N")}
    assert space.digest() == same[space].digest()
    assert space.digest() != others[space].digest()


@SPACES
def test_random_molecules_are_distinct_members_and_the_seed_decides(space):
    found = draw_objects(space, space.uniform, 30, generator(3))
    assert list(found) == list(draw_objects(space, space.uniform, 30, generator(3)))
    assert len(found) == 30
    for key, (smiles, state) in found.items():
        assert key == identity(smiles)
        assert space.env.decode(state) == [smiles]
    assert [candidate.smiles for candidate in candidates(found, "here")] == [smiles for smiles, _ in found.values()]


def test_the_uniform_policy_takes_every_legal_action_alike():
    env = ATOMS.env
    states = env.step(env.source(3), torch.tensor([1, 2, 3]))
    legal = env.forward_mask(states)
    actions = legal.int().argmax(1)
    answer = UniformFlat(env).score(states, actions, None)
    assert torch.allclose(answer.log_pf.exp(), 1.0 / legal.sum(1))
    _, log_prob = UniformFlat(env).sample(states, generator(), ON_POLICY)
    assert torch.allclose(log_prob.exp(), 1.0 / legal.sum(1))


def test_the_atoms_of_a_space_are_those_that_the_environment_knows():
    bound = Atoms(max_rings=2).bind(BOUNDS)
    env = bound.env
    assert env.options.elements == ("C", "N", "O")
    assert (env.max_atoms, env.min_atoms, env.options.max_rings) == (12, 4, 2)
    for smiles, _ in draw_objects(bound, bound.uniform, 20, generator()).values():
        mol = Chem.MolFromSmiles(smiles)
        assert 4 <= mol.GetNumHeavyAtoms() <= 12
        assert {atom.GetSymbol() for atom in mol.GetAtoms()} <= {"C", "N", "O"}


def test_a_space_of_larger_molecules_is_cut_off_where_the_environment_ends():
    large = Molecules(max_heavy_atoms=60, min_heavy_atoms=4, elements=("H", "C"))
    assert atom_environment(large, 1).max_atoms == MAX_ATOMS
    assert max(
        part.le for part in AtomEnvironment.Options.model_fields["max_atoms"].metadata if hasattr(part, "le")
    ) == (MAX_ATOMS)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Molecules(max_heavy_atoms=12, min_heavy_atoms=4, elements=("H", "Ti")), "got the elements H, Ti"),
        (Molecules(max_heavy_atoms=12, min_heavy_atoms=4, elements=("C", "N")), "expected H and some of"),
        (Molecules(max_heavy_atoms=60, min_heavy_atoms=MAX_ATOMS + 1, elements=("H", "C")), "asks for 21 to 60"),
        (Molecules(max_heavy_atoms=1, min_heavy_atoms=1, elements=("H", "C")), "asks for 1 to 1"),
        (Molecules(max_heavy_atoms=12, min_heavy_atoms=4, elements=("H", "F", "Cl")), "the space is empty"),
    ],
)
def test_a_space_without_any_molecule_of_atoms_is_refused(space, message):
    with pytest.raises(ValueError, match=message):
        Atoms(max_rings=1).bind(space)


# -- rewards ---------------------------------------------------------------------------------------------------------


def reward_of(space, log_reward, *, known=None, floor):
    return ObjectReward(space.decode, log_reward, known=known, floor=floor, dtype=torch.float32)


def seen_of(reward):
    return Seen(reward, top_k=20, distance=tanimoto_distance, cutoff=0.3, most=500, passed_over=reward.known)


@SPACES
def test_a_reward_asks_once_keeps_what_is_known_and_has_a_floor(space):
    asked = []

    def log_reward(molecules):
        asked.extend(molecules)
        return nitrogens(molecules)

    reward = reward_of(space, log_reward, known={"CCO": 7.0}, floor=-0.35)
    states = space.states(space.members(["CCO", "CCN", "CCC", "CCN"]), generator())
    values, names = reward(states)
    assert names == ["CCO", "CCN", "CCC", "CCN"]
    assert values.tolist() == pytest.approx([7.0, 1.7, -0.3, 1.7])
    reward.remember({"CCCC": 3.0, "CCO": 99.0})
    assert reward.evaluate(["CCCC", "CCO", "CCCCO"]).tolist() == pytest.approx([3.0, 7.0, -0.5])
    assert asked == ["CCN", "CCC", "CCCCO"]
    assert reward(space.states(space.members(["CCCCO"]), generator()))[0].tolist() == pytest.approx([-0.35])


def test_a_log_reward_of_another_length_is_refused():
    reward = reward_of(ATOMS, lambda molecules: np.zeros(3), floor=0.0)
    with pytest.raises(ValueError, match=r"shape \(3,\) for 1 objects"):
        reward.evaluate(["CCO"])


# -- what was found --------------------------------------------------------------------------------------------------


def discoveries():
    return seen_of(reward_of(ATOMS, nitrogens, known={"CCO": 7.0}, floor=-9.0))


def states_of(*molecules):
    return ATOMS.states(ATOMS.members(molecules), generator())


def test_discoveries_are_distinct_unmeasured_molecules_best_first():
    found = discoveries()
    values, names = found(states_of("CCO", "CCN", "CCC"))
    assert (names, values.tolist()) == (["CCO", "CCN", "CCC"], pytest.approx([7.0, 1.7, -0.3]))
    found(states_of("CCN", "CCCC", "NCCN"))
    assert len(found) == 4
    assert found.best(3) == pytest.approx({"NCCN": 3.6, "CCN": 1.7, "CCC": -0.3})


def test_discoveries_go_back_to_the_step_of_a_checkpoint(tmp_path):
    found, path = discoveries(), tmp_path / "found.pt"
    lengths, best = [], []
    for batch in (("CCN",), ("CCC", "CCN"), ("NCCN",)):
        found(states_of(*batch))
        found.end_step()
        lengths.append(len(found))
        best.append(found.best(9))
    found.save(path)
    for step in (1, 2, 3):
        again = discoveries()
        again.restore(path, step)
        assert (len(again), again.best(9)) == (lengths[step - 1], best[step - 1])


def test_restored_discoveries_are_not_judged_again(tmp_path):
    found, path = discoveries(), tmp_path / "found.pt"
    expected = found(states_of("CCN", "CCC"))[0]
    found.end_step()
    found.save(path)

    def never(molecules):
        raise AssertionError(molecules)

    reward = reward_of(ATOMS, never, floor=-9.0)
    again = seen_of(reward)
    reward.remember(again.restore(path, 1))
    assert torch.equal(again(states_of("CCN", "CCC"))[0], expected)


def test_a_missing_or_older_record_is_refused(tmp_path):
    found, path = discoveries(), tmp_path / "found.pt"
    with pytest.raises(ValueError, match="has 0 steps"):
        found.restore(path, 2)
    found.end_step()
    found.save(path)
    with pytest.raises(ValueError, match="checkpoint is of step 2"):
        discoveries().restore(path, 2)


# -- evaluation ------------------------------------------------------------------------------------------------------


HELD_OUT = ["CC", "CN", "NN", "CO", "CCN", "NCN", "CCC", "NNN", "CCCO", "NCCN"]


def trainer_of(reward):
    noise = generator()
    return Trainer(
        ATOMS.env,
        ATOMS.policy(conditions=0, generator=noise),
        reward,
        objective=TrajectoryBalance(),
        backward=UniformBackward(),
        options=TrainerOptions(batch_size=16),
        generator=noise,
    )


def evaluation_of(log_reward, *, found=None):
    """An evaluation of an untrained policy on ten molecules with given log-rewards."""
    seen = seen_of(reward_of(ATOMS, nitrogens, floor=-20.0)) if found is None else found
    seen.expect(1.0)
    held_out = HeldOut(states_of(*HELD_OUT), torch.as_tensor(log_reward), 0.0)
    return SampledEvaluator(
        trainer_of(seen), seen.reward, [Case()], seen, held_out=held_out, draws=2, samples=0, seed=4
    )


def log_p():
    """Log-probabilities of the ten molecules under that policy, from many trajectories."""
    trainer = trainer_of(nitrogens)
    return log_probabilities(trainer, states_of(*HELD_OUT), generator(9), draws=100)


def test_an_evaluation_is_the_same_whenever_it_is_asked_for():
    evaluation = evaluation_of(nitrogens(HELD_OUT))
    assert evaluation() == evaluation()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_correlations_compare_log_probabilities_with_log_rewards(sign):
    figures = evaluation_of(sign * log_p())()
    assert sign * figures["spearman"] > 0.9
    assert sign * figures["pearson"] > 0.9


def test_a_correlation_that_does_not_exist_is_left_out():
    figures = evaluation_of(np.zeros(len(HELD_OUT)))()
    assert {"spearman", "pearson"}.isdisjoint(figures)
    assert "modes" in figures


def test_modes_and_the_best_molecules_are_those_found_so_far():
    found = seen_of(reward_of(ATOMS, nitrogens, floor=-20.0))
    evaluation = evaluation_of(nitrogens(HELD_OUT), found=found)
    assert {"reward_calls": 0.0, "modes": 0.0}.items() <= evaluation().items()
    drawn = [smiles for smiles, _ in draw_objects(ATOMS, ATOMS.uniform, 40, generator()).values()]
    found(states_of(*drawn))
    figures = evaluation()
    values = nitrogens(drawn)
    modes = Modes(1.0, distance=tanimoto_distance, cutoff=0.3)
    assert figures["modes"] == modes.update(drawn, values) > 0
    assert figures["reward_calls"] == 40
    assert figures["top_log_reward"] == pytest.approx(np.sort(values)[-20:].mean(), abs=1e-6)
    assert 0 < figures["top_diversity"] <= 1
