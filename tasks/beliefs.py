"""What a round believes of the graph of a system: the table of its edges and the consensus, as files of a stage."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from models.causal.belief import BelievingProxy

EDGES = "edges.csv"
"""File of a trained proxy: from, to, probability, and the share of drawn graphs, the most probable edge first."""


def write_belief(proxy: BelievingProxy, folder: Path) -> dict[str, float]:
    """Write the edges that a proxy believes in; return figures of its belief."""
    belief = proxy.belief()
    table = pd.DataFrame(belief.edges(), columns=["from", "to", "probability", "sampled"])
    table.round(6).to_csv(folder / EDGES, index=False)
    return belief.metrics
