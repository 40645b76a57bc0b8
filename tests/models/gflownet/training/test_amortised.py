"""One policy for many graphs: zero loss exactly where each graph's flows balance, the same for the same seed, better."""

from __future__ import annotations

import pytest
import torch

from models.gflownet.environments.graph_instances import RandomGraphs
from models.gflownet.environments.vertex_sets import VertexSetEnvironment
from models.gflownet.exploration.schedule import Schedule
from models.gflownet.judging.exact import backward_log_probs, enumerate_graph, fixed_point
from models.gflownet.judging.graph_solutions import largest_independent_set
from models.gflownet.objectives.detailed_balance import DetailedBalance
from models.gflownet.objectives.forward_looking import ForwardLookingDetailedBalance
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.flat import FlatPolicy, Outputs
from models.gflownet.policies.vertex_gin import VertexGIN
from models.gflownet.training.amortised import AmortisedOptions, AmortisedTrainer, best_of

OBJECTIVES = [DetailedBalance(), ForwardLookingDetailedBalance()]


class FixedPoint(FlatPolicy):
    """The flows of the reward of each graph, to a power, in double precision; `shift` is added to all but the first."""

    def __init__(self, env, power, *, forward_looking, shift=0.0):
        super().__init__(env)
        self.known, self.weight = {}, torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
        for number, graph in enumerate(env.graphs):
            alone = VertexSetEnvironment(graphs=[graph], problem=env.problem, beta=env.beta)
            states = enumerate_graph(alone)
            reward = power * alone.log_reward(states.states)
            point = fixed_point(
                states, reward[states.terminal].numpy(), backward_log_probs(alone, states, UniformBackward())
            )
            logits = torch.full((len(reward), env.items), -30.0, dtype=torch.float64)
            logits[states.origin, states.action] = point.log_pf
            flow = point.log_flow - reward if forward_looking else point.log_flow
            for row, key in enumerate(alone.members(states.states)):
                self.known[key, number] = logits[row], flow[row] + shift * bool(key)

    def network(self, states, condition=None):
        keys = zip(self.env.members(states), states.graph.tolist(), strict=True)
        logits, flow = zip(*(self.known[key] for key in keys), strict=True)
        return Outputs(torch.stack(logits) + self.weight, torch.stack(logits), torch.stack(flow) + self.weight)


def graphs(number, nodes=7, seed=0):
    return RandomGraphs(nodes=(nodes, nodes), density=(0.4, 0.4), seed=seed).draw(number)


def trainer_of(policy, env, objective, **options):
    options = {"steps": 1, "batch_size": 32, "learning_rate": 1e-9, **options}
    return AmortisedTrainer(env, policy, objective, AmortisedOptions(**options), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: one.kind)
@pytest.mark.parametrize("problem", ["independent_set", "dominating_set", "cut"])
def test_the_loss_is_zero_exactly_where_the_flows_of_each_graph_balance(problem, objective):
    env = VertexSetEnvironment(graphs=graphs(3), problem=problem, beta=0.7)
    cold = Schedule.constant(2.0)
    how = {"forward_looking": objective.forward_looking}
    right = trainer_of(FixedPoint(env, 2.0, **how), env, objective, coldness=cold)
    assert right.round()["loss"] < 1e-10
    first = enumerate_graph(VertexSetEnvironment(graphs=env.graphs[:1], problem=problem, beta=0.7))
    rewards = env.log_reward(first.states)[first.terminal]
    assert right.log_z.item() == pytest.approx((2.0 * rewards).logsumexp(0).item())
    wrong = trainer_of(FixedPoint(env, 2.0, **how, shift=0.3), env, objective, coldness=cold)
    assert wrong.round()["loss"] > 1e-3
    warmer = trainer_of(FixedPoint(env, 1.0, **how), env, objective, coldness=cold)
    assert warmer.round()["loss"] > 1e-3


def test_the_same_seed_trains_the_same_policy():
    weights = []
    for _ in range(2):
        env, generator = VertexSetEnvironment(graphs=graphs(4)), torch.Generator().manual_seed(1)
        policy = VertexGIN(env, generator=generator, dim=8, layers=1)
        AmortisedTrainer.forward_looking(env, policy, AmortisedOptions(steps=3), generator).train()
        weights.append(torch.cat([one.detach().flatten() for one in policy.parameters()]))
    assert torch.equal(*weights)


def test_every_round_is_told():
    env, told = VertexSetEnvironment(graphs=graphs(4)), []
    policy = VertexGIN(env, generator=torch.Generator().manual_seed(0), dim=8, layers=1)
    trainer = trainer_of(policy, env, ForwardLookingDetailedBalance(), steps=3)
    trainer.train(lambda done, total, row: told.append((done, total, sorted(row))))
    assert told == [(done, 3, ["loss", "sampled_gain", "step"]) for done in (1, 2, 3)]


@pytest.mark.slow
def test_training_makes_larger_sets_on_graphs_that_it_never_saw():
    env, unseen = VertexSetEnvironment(graphs=graphs(200, 20)), VertexSetEnvironment(graphs=graphs(50, 20, seed=1))
    generator = torch.Generator().manual_seed(2)
    policy = VertexGIN(env, generator=generator, dim=32, layers=3)
    best = torch.tensor([float(largest_independent_set(graph)) for graph in unseen.graphs])

    def gap():
        draws = [best_of(unseen, policy.on(unseen), 1, torch.Generator().manual_seed(seed))[0] for seed in range(5)]
        return 1.0 - (torch.stack(draws) / best).mean().item()

    before = gap()
    options = AmortisedOptions(steps=250, learning_rate=0.005, coldness=Schedule(shape="linear", start=1.0, end=10.0))
    AmortisedTrainer.forward_looking(env, policy, options, generator).train()
    assert gap() < 0.6 * before


def test_the_best_of_some_draws_is_a_set_of_its_graph_and_of_that_size():
    env = VertexSetEnvironment(graphs=graphs(5))
    policy = VertexGIN(env, generator=torch.Generator().manual_seed(0), dim=8, layers=1)
    gains, sets = best_of(env, policy, 10, torch.Generator().manual_seed(0))
    assert gains.tolist() == [len(one) for one in sets]
    for graph, one in zip(env.graphs, sets, strict=True):
        VertexSetEnvironment(graphs=[graph]).states_of([one], torch.Generator())
