"""The sum over objects, learnt: it is exact where the loss is nothing, and a training comes near."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.gflownet.environments.sequence import SequenceEnvironment
from models.gflownet.judging.exact import (
    backward_log_probs,
    enumerate_graph,
    fixed_point,
    forward_log_probs,
    target_law,
    terminal_law,
    total_variation,
)
from models.gflownet.judging.outcomes import outcome_flows, outcome_policy
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.flat import FlatPolicy, Outputs
from models.gflownet.policies.mlp import MLP
from models.gflownet.training.distilling import Distillation, PosteriorNetwork
from models.threads import single_thread

ENV = SequenceEnvironment(alphabet="AC", max_length=3, mode="prepend_append")
GRAPH = enumerate_graph(ENV)
LOG_PB = backward_log_probs(ENV, GRAPH, UniformBackward())
OBJECTS = len(GRAPH.terminal)
LOG_REWARD = np.random.default_rng(0).normal(size=OBJECTS)
LEAST = -12.0
"""Log of the flow towards what a state cannot become, as if it had been learnt with a floor."""


class Tables(FlatPolicy):
    """Logits and log-flows from tables of states and conditions, (V, K, A) and (V, K)."""

    def __init__(self, logits, log_flow):
        super().__init__(ENV)
        self.logits, self.log_flow = logits, log_flow
        self.place = {code: number for number, code in enumerate(ENV.codes(GRAPH.states).tolist())}

    def at(self, states):
        return torch.tensor([self.place[code] for code in ENV.codes(states).tolist()], dtype=torch.int64)

    def network(self, states, condition=None):
        at = self.at(states)
        y = torch.zeros_like(at) if condition is None else condition.argmax(1)
        return Outputs(self.logits[at, y], torch.zeros(len(at), ENV.n_backward), self.log_flow[at, y])


def towards():
    """Return flows towards each object, exact but for a small one where there should be none."""
    flow = outcome_flows(GRAPH, LOG_PB)
    policy = outcome_policy(GRAPH, flow, LOG_PB)
    logits = torch.full((len(GRAPH.states), OBJECTS, ENV.n_actions), LEAST, dtype=torch.float64)
    logits[GRAPH.origin, :, GRAPH.action] = policy.log().clamp(min=LEAST)
    return Tables(logits, flow.log().clamp(min=LEAST))


def distillation(numerators, posterior):
    generator = torch.Generator().manual_seed(0)
    return Distillation(
        towards(),
        torch.eye(OBJECTS),
        torch.from_numpy(LOG_REWARD),
        numerators=numerators,
        posterior=posterior,
        generator=generator,
    )


def summed():
    """Return log r F P of every edge and object (E, X), and its sum as logits of states (V, 1, A)."""
    untrained = MLP(ENV, generator=torch.Generator())
    one = distillation(untrained, None)
    row = torch.arange(len(GRAPH.origin)).repeat_interleave(OBJECTS)
    objects = torch.arange(OBJECTS).repeat(len(GRAPH.origin))
    terms = one.wanted(GRAPH.states[GRAPH.origin[row]], GRAPH.action[row], objects).view(-1, OBJECTS)
    logits = torch.zeros((len(GRAPH.states), 1, ENV.n_actions), dtype=torch.float64)
    logits[GRAPH.origin, 0, GRAPH.action] = terms.logsumexp(1)
    return terms, logits


def exact():
    terms, logits = summed()
    numerators = Tables(logits, torch.zeros(len(GRAPH.states), 1).double())
    edge = {pair: e for e, pair in enumerate(zip(GRAPH.origin.tolist(), GRAPH.action.tolist(), strict=True))}

    def posterior(before, actions):
        pairs = zip(numerators.at(before).tolist(), actions.tolist(), strict=True)
        return terms.log_softmax(1)[[edge[pair] for pair in pairs]]

    return distillation(numerators, posterior)


def test_nothing_is_lost_exactly_where_the_numerators_are_the_sum_over_all_objects():
    one = exact()
    every = torch.arange(OBJECTS).expand(len(GRAPH.origin), -1)
    before = GRAPH.states[GRAPH.origin]
    assert one.residuals(before, GRAPH.action, every).abs().max() <= 1e-10
    one.numerators.logits[0, 0, 0] += 0.3
    assert one.residuals(before, GRAPH.action, every).abs().max() == pytest.approx(0.3)


def test_there_the_policy_samples_the_reward():
    law = terminal_law(GRAPH, forward_log_probs(GRAPH, exact().numerators))
    assert total_variation(law, target_law(LOG_REWARD)) <= 1e-4  # the least flows are not 0
    known = fixed_point(GRAPH, LOG_REWARD, LOG_PB)
    source = exact().numerators.logits[0, 0][ENV.forward_mask(GRAPH.states[:1])[0]]
    assert source.logsumexp(0).item() + LOG_REWARD.max() == pytest.approx(known.log_z, abs=1e-4)


def test_a_training_comes_near_the_sum():
    generator = torch.Generator().manual_seed(0)
    numerators = MLP(ENV, generator=generator, hidden=(64, 64))
    one = distillation(numerators, PosteriorNetwork(ENV, OBJECTS, 64, generator))
    began = total_variation(terminal_law(GRAPH, forward_log_probs(GRAPH, numerators)), target_law(LOG_REWARD))
    with single_thread():
        losses = one.train(600, batch_size=8, learning_rate=1e-2)
    law = terminal_law(GRAPH, forward_log_probs(GRAPH, numerators))
    assert total_variation(law, target_law(LOG_REWARD)) < 0.1 < began
    assert losses[-1] < 0.1 * losses[0]
