"""Flows of several rewards on one state graph, added up to the flows of the sum of the rewards.

Reference: Garipov et al., Compositional sculpting of iterative generative processes, NeurIPS 2023, arXiv:2309.16115
(mixtures of GFlowNets). With edge flows F_i(s) P_i(s' | s) of rewards R_i,

    P(s' | s) = sum_i w_i F_i(s) P_i(s' | s) / sum_i w_i F_i(s)

has the flows sum_i w_i F_i and samples in proportion to sum_i w_i R_i: what flows into each state is what flows out of
it, for a sum as for each term. The backward policies of the members may differ, and that of the sum is their mean by
flow. What must belong together are a member's flows and its policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from models.gflownet.judging.exact import FixedPoint, StateGraph


def composed(graph: StateGraph[Any], members: Sequence[FixedPoint], weights: Sequence[float]) -> FixedPoint:
    """Return the flows and the policy of sum_i w_i R_i.

    Args:
        graph: the state graph of all members.
        members: their flows and policies.
        weights: one of each, > 0.

    Raises:
        ValueError: there is not one positive weight of each of one or more members.
    """
    if not members or len(weights) != len(members) or min(weights) <= 0:
        raise ValueError(
            f"A composition has one positive weight for each member; got {len(members)} members and the weights "
            f"{list(weights)}. Leave out members that are not wanted."
        )
    log_w = torch.tensor(weights, dtype=torch.float64).log()[:, None]
    flow = log_w + torch.stack([member.log_flow for member in members])
    total = flow.logsumexp(0)
    edge = (flow[:, graph.origin] + torch.stack([member.log_pf for member in members])).logsumexp(0)
    return FixedPoint(total, edge - total[graph.origin])
