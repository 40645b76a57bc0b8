"""The guide is a law over the ways to build an object, and leans to parts that other good objects have."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from models.gflownet.environments.base import NotProvided
from models.gflownet.environments.tabulated import Tabulated
from models.gflownet.judging.exact import enumerate_graph
from models.gflownet.policies.mlp import MLP
from models.gflownet.training.guide import Guide
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.gflownet.training.trajectories import sample_forward
from models.registry import build

SEQUENCES = {"kind": "sequence", "alphabet": "AB", "max_length": 3, "mode": "prepend_append"}
BAGS = {"kind": "bag", "letters": 3, "size": 4, "threshold": 2}


def environment(spec, *, table=False):
    env = build("environment", spec)
    return Tabulated(env, enumerate_graph(env, limit=5000)) if table else env


def everything(env, n=4000):
    """Trajectories of a random policy: on so small a space all that there are."""
    generator = torch.Generator().manual_seed(0)
    return sample_forward(env, MLP(env, generator=generator, hidden=(8,)), n, generator)


def by_trajectory(env, paths, log_prob):
    """Object -> trajectory -> log-probability."""
    keys = list(zip(env.keys(paths.before), env.keys(paths.after), strict=True))
    steps: dict[int, list] = {}
    for place in sorted(range(len(keys)), key=lambda i: int(paths.time[i])):
        steps.setdefault(int(paths.row[place]), []).append((keys[place], float(log_prob[place])))
    found: dict = {}
    for row, key in enumerate(env.keys(paths.terminal)):
        found.setdefault(key, {})[tuple(edge for edge, _ in steps[row])] = sum(value for _, value in steps[row])
    return found


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("spec", [SEQUENCES, BAGS], ids=["sequence", "bag"])
def test_the_probabilities_of_all_ways_to_build_an_object_add_up_to_one(spec, table) -> None:
    env = environment(spec, table=table)
    paths = everything(env)
    guide = Guide(env, sharpness=2.0)
    guide.add(paths.terminal[:5], torch.linspace(-1.0, 1.0, 5))
    for ways in by_trajectory(env, paths, guide.log_prob(paths)).values():
        assert sum(math.exp(value) for value in ways.values()) == pytest.approx(1.0, abs=1e-12)


def test_without_any_other_object_all_parts_are_alike() -> None:
    env = environment(BAGS)
    paths = everything(env, 50)
    wanted = (paths.terminal.count[paths.row] > paths.before.count).sum(1)
    assert torch.allclose(Guide(env).log_prob(paths).exp(), 1.0 / wanted.double())


def test_the_guide_leans_to_the_parts_of_good_objects_and_leaves_the_object_itself_out() -> None:
    env = environment(BAGS)
    paths = everything(env)
    names = env.decode(paths.terminal)
    first = {name: names.index(name) for name in set(names)}
    target, friend = (2, 2, 0), (4, 0, 0)
    terminal = paths.terminal[torch.tensor([first[target], first[friend]])]
    guide = Guide(env)
    guide.add(terminal, torch.tensor([5.0, 3.0]))
    chosen = [i for i, row in enumerate(paths.row.tolist()) if names[row] == target and int(paths.time[i]) == 0]
    log_prob = guide.log_prob(paths)
    begins = {env.keys(paths.after[i : i + 1])[0]: float(log_prob[i].exp()) for i in chosen}
    letter_of_friend = next(key for key in begins if key[0] == 1)
    assert begins[letter_of_friend] > 0.999, "only the first letter is in another good object"


def test_what_was_met_is_taken_in_once_and_comes_back_from_a_checkpoint() -> None:
    env = environment(SEQUENCES)
    paths = everything(env, 30)
    guide, other = Guide(env), Guide(env)
    for _ in range(2):
        guide.add(paths.terminal, torch.linspace(-1.0, 1.0, 30))
    assert len(guide) == len(set(env.keys(paths.terminal)))
    other.load_state(guide.state())
    assert torch.allclose(other.log_prob(paths), guide.log_prob(paths), atol=1e-12)


def test_real_variables_share_no_parts() -> None:
    env = build("environment", {"kind": "vectors", "variables": [{"kind": "real"}]})
    with pytest.raises(NotProvided, match="no two objects share a part"):
        Guide(env)


@pytest.mark.parametrize("backward", ["uniform", "tied"])
@pytest.mark.parametrize("policy", ["mlp", "state_pair"])
def test_training_with_a_guide_lowers_its_loss_and_goes_on_from_a_checkpoint(tmp_path, backward, policy) -> None:
    env = environment(SEQUENCES, table=True)
    log_reward = torch.linspace(-2.0, 2.0, len(env.graph.terminal), dtype=torch.float64)
    rewards = dict(zip(env.keys(env.indexed().states[env.graph.terminal]), log_reward.tolist(), strict=True))

    def made() -> Trainer:
        generator = torch.Generator().manual_seed(3)
        return Trainer(
            env,
            build("policy", {"kind": policy}).build(env, generator),
            lambda states: (torch.tensor([rewards[key] for key in env.keys(states)]), env.decode(states)),
            objective=build("objective", {"kind": "guided_trajectory_balance"}),
            backward=build("backward_policy", {"kind": backward}),
            options=TrainerOptions(steps=30, batch_size=16, replay_share=0, checkpoint_every=10),
            generator=generator,
        )

    whole, half, rest = made(), made(), made()
    whole.train()
    for _ in range(10):
        half.step()
    half.save(tmp_path / "checkpoint.pt", "x")
    rest.train(checkpoint=tmp_path / "checkpoint.pt", fingerprint="x")
    assert [row["loss"] for row in rest.history] == pytest.approx([row["loss"] for row in whole.history], abs=1e-9)
    assert whole.history[-1]["loss"] < whole.history[0]["loss"]


def test_actions_to_one_child_share_its_probability() -> None:
    env = environment(SEQUENCES)
    policy = build("policy", {"kind": "state_pair"}).build(env, torch.Generator().manual_seed(0))
    states = everything(env, 40).before
    law = policy.log_probs(states, policy.network(states).forward).exp()
    for place, mask in enumerate(env.forward_mask(states)):
        actions = mask.nonzero()[:, 0]
        children = env.keys(env.step(states[torch.full_like(actions, place)], actions))
        for one, other in itertools.combinations(range(len(actions)), 2):
            if children[one] == children[other]:
                assert float(law[place, actions[one]]) == pytest.approx(float(law[place, actions[other]]), abs=1e-6)
        assert float(law[place].sum().detach()) == pytest.approx(1.0, abs=1e-5)
