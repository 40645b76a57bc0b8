"""Imitation of known molecules, in both environments, with and without conditioning."""

from __future__ import annotations

import pytest
import torch

from models.gflownet.conditioning.inverse_temperature import InverseTemperature
from models.gflownet.construction.atoms import Atoms, BoundAtoms
from models.gflownet.construction.fragments import BoundFragments, Fragments
from models.gflownet.environments.atoms import AtomEnvironment
from models.gflownet.environments.fragments import FragmentEnvironment
from models.gflownet.judging.metrics import log_probability
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.gflownet.training.warm_up import imitate
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=10)
FRAGMENTS = BoundFragments(
    FragmentEnvironment(only=("c1ccccc1", "C#N", "O", "C", "N"), max_heavy_atoms=10, max_fragments=4),
    SPACE,
    Fragments.Options(dim=16, layers=1, heads=2, prior=0.0),
)
ATOMS = BoundAtoms(
    AtomEnvironment(elements=("C", "N", "O"), max_atoms=6, max_rings=1), SPACE, Atoms.Options(dim=16, layers=1)
)
MOLECULES = {FRAGMENTS: ["N#Cc1ccccc1", "Oc1ccccc1", "Cc1ccccc1"], ATOMS: ["CCN", "c1ccncc1", "CC(=O)O"]}
SPACES = pytest.mark.parametrize("space", [FRAGMENTS, ATOMS], ids=["fragments", "atoms"])


def trainer_of(space, *, conditioning=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    width = 0 if conditioning is None else conditioning.width
    return Trainer(
        space.env,
        space.policy(conditions=width, generator=generator),
        lambda terminal: (torch.zeros(len(terminal)), space.env.decode(terminal)),
        objective=TrajectoryBalance(),
        backward=UniformBackward(),
        options=TrainerOptions(steps=1, batch_size=16, learning_rate=1e-2),
        generator=generator,
        conditioning=conditioning,
    )


def log_p(trainer, space, condition=None):
    generator = torch.Generator().manual_seed(5)
    terminal = space.states(space.members(MOLECULES[space]), generator)
    given = None if condition is None else condition.expand(len(terminal), -1)
    return log_probability(space.env, trainer.policy, trainer.walk, terminal, generator, draws=20, condition=given)


@SPACES
def test_imitated_molecules_become_likelier_and_the_loss_falls(space):
    trainer = trainer_of(space)
    before = log_p(trainer, space)
    losses = imitate(trainer, space, space.members(MOLECULES[space]), 40, trainer.generator)
    assert len(losses) == 40
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert (log_p(trainer, space) > before + 1.0).all()


@SPACES
def test_with_conditioning_they_become_likelier_under_every_condition(space):
    conditioning = InverseTemperature(low=1.0, high=3.0, bins=4)
    trainer = trainer_of(space, conditioning=conditioning)
    conditions = [conditioning.encode(torch.tensor([[beta]], dtype=torch.float64)) for beta in (1.0, 3.0)]
    before = [log_p(trainer, space, condition) for condition in conditions]
    imitate(trainer, space, space.members(MOLECULES[space]), 40, trainer.generator)
    for condition, old in zip(conditions, before, strict=True):
        assert (log_p(trainer, space, condition) > old + 0.5).all()


@SPACES
def test_the_seed_decides(space):
    members = space.members(MOLECULES[space])
    losses = []
    for seed in (0, 0, 1):
        trainer = trainer_of(space)
        losses.append(imitate(trainer, space, members, 3, torch.Generator().manual_seed(seed)))
    assert losses[0] == losses[1] != losses[2]


def test_nothing_to_imitate_is_refused():
    trainer = trainer_of(ATOMS)
    with pytest.raises(ValueError, match="no object to imitate"):
        imitate(trainer, ATOMS, [], 3, trainer.generator)
