"""Subsets of a graph of conflicts, built item by item: any that are allowed, or maximal ones, by either network."""

from __future__ import annotations

import pytest
import torch

from models.gflownet.construction.base import construction_of
from models.gflownet.judging.exact import enumerate_graph
from models.gflownet.policies.mlp import MLP
from models.gflownet.policies.vertex_gin import VertexGIN
from models.registry import build


@pytest.fixture
def space(tmp_path):
    (tmp_path / "conflicts.csv").write_text("source,target\nann,bob\nbob,eve\neve,joe\n")
    spec = {"kind": "subsets", "graph": tmp_path / "conflicts.csv", "constraint": "independent_set"}
    return build("space", spec)


def bound(space, **options):
    return construction_of({"kind": "elements", **options}, space).bind(space)


def test_only_maximal_subsets_are_built_where_that_is_asked_for(space):
    env = bound(space, maximal=True).env
    graph = enumerate_graph(env)
    texts = bound(space, maximal=True).decode(graph.states[graph.terminal])
    assert sorted(texts) == ["ann, eve", "ann, joe", "bob, joe"]
    assert len(enumerate_graph(bound(space).env).terminal) > 3
    assert [member.given for member in bound(space, maximal=True).members(["ann", "ann, eve"])] == ["ann, eve"]


def test_a_network_over_the_graph_tells_numbered_items_apart(space):
    generator = torch.Generator().manual_seed(0)
    assert isinstance(bound(space).policy(conditions=0, generator=generator), MLP)
    alike, apart = (
        bound(space, policy={"kind": "gin", "dim": 8, "layers": 2, "numbered": numbered}) for numbered in (False, True)
    )
    for chosen, same in ((alike, True), (apart, False)):
        policy = chosen.policy(conditions=0, generator=generator)
        assert isinstance(policy, VertexGIN)
        logits = policy.network(chosen.env.source(1)).forward[0]
        assert len(logits) == 5
        assert torch.allclose(logits[:4], logits[:4].flip(0)) == same  # the path ann - bob - eve - joe, from its end


def test_a_network_of_one_graph_is_not_put_on_others(space):
    chosen = bound(space, policy={"kind": "gin", "numbered": True})
    policy = chosen.policy(conditions=0, generator=torch.Generator())
    with pytest.raises(ValueError, match="it is for one graph"):
        policy.on(chosen.env)


def test_what_a_network_was_trained_on_is_told_by_whether_subsets_are_maximal(space):
    assert bound(space).digest() == bound(space, maximal=False).digest() != bound(space, maximal=True).digest()


def test_a_network_that_does_not_fit_is_refused(space):
    with pytest.raises(ValueError, match="Use the policy 'mlp'"):
        bound(space, policy={"kind": "graph"})
