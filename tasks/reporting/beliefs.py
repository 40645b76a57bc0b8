"""What a campaign that observes has learnt of the graph of its system: edges, consensus, what is left unknown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from models.causal.belief import LIKELY, BelievingProxy, GraphBelief
from models.parts import proxy_beside, proxy_spec, space_of
from models.registry import build
from models.row_protocols import RowProxy
from models.spaces.dag_drawing import MOST, drawn
from tasks.reporting.page import Plot
from tasks.reporting.plots import STYLE, _figure, count_by, settled, svg
from tasks.stages import CampaignContext
from tasks.storage import measured_values, read_table

EDGES = "edges.csv"
"""File of a report: from, to, probability, and the share of drawn graphs, the most probable edge first."""
ENTROPY = "graph_entropy"
LISTED = 20
"""Most edges on the page."""


def belief_after(context: CampaignContext, round: int) -> GraphBelief | None:
    """Return what the proxy believes with all that was measured by the end of a round; None: it has no graphs.

    The proxy of a round is trained before the round's purchases, so this one is trained anew.
    """
    config = context.config
    measured = context.finished(round, "measure")
    if not config.goals.observed or measured is None:
        return None
    proxy = build("proxy", proxy_spec(proxy_beside(config), space_of(config)))
    if not (isinstance(proxy, BelievingProxy) and isinstance(proxy, RowProxy)):
        return None
    table = read_table(measured.path(context, "dataset.parquet")).sort_values("id")
    names = [goal.name for goal in config.goals]
    proxy.fit_rows(
        table["object"].tolist(), measured_values(table, config), names, names[0], seed=context.seed("train_proxy")
    )
    return proxy.belief()


def belief_metrics(belief: GraphBelief | None) -> dict[str, float]:
    """Return figures of a belief for the page and for MLflow, by name."""
    return {} if belief is None else belief.metrics


def belief_pictures(context: CampaignContext, belief: GraphBelief, round: int, folder: Path) -> list[Plot]:
    """Write the table of edges and the consensus graph, and return them for the page, with the entropy by round."""
    table = pd.DataFrame(belief.edges(), columns=["from", "to", "probability", "sampled"])
    table.round(6).to_csv(folder / EDGES, index=False)
    told = f"edges more probable than {LIKELY:g}: " + (
        ", ".join(f"{origin}>{target}" for origin, target, p, _ in belief.edges() if p > LIKELY) or "none"
    )
    found = [Plot(f"Probabilities of edges, exact, the {min(LISTED, len(table))} highest of {len(table)}; {EDGES} has "
                  "all", _table(belief), "graph")]  # fmt: skip
    if len(belief.names) <= MOST:
        picture = drawn(belief.names, belief.consensus, told)
        (folder / "graph.svg").write_text(picture, encoding="utf-8")
        large = picture.replace('class="mol"', 'width="100%"', 1)  # not as small as in a row of the table
        found.insert(0, Plot(f"Consensus, {told}", Markup(large), "graph"))
    entropies = _entropies(context, belief, round)
    if len(entropies) > 1:
        found.append(Plot("What is left unknown of the graph, after each round", svg(_course(entropies)), "graph"))
    return found


def _table(belief: GraphBelief) -> Markup:
    head = Markup(
        '<div class="wide-table" role="region" aria-label="Edges" tabindex="0"><table class="sources"><thead><tr>'
        '<th scope="col">Edge</th><th scope="col">Probability</th><th scope="col">Of drawn graphs</th></tr></thead>'
    )
    rows = Markup("").join(
        Markup('<tr><th scope="row">{} → {}</th><td>{:.3f}</td><td>{:.3f}</td></tr>').format(*edge)
        for edge in belief.edges()[:LISTED]
    )
    return head + Markup("<tbody>{}</tbody></table></div>").format(rows)


def _entropies(context: CampaignContext, belief: GraphBelief, round: int) -> list[tuple[int, float]]:
    """Return (round, nats) of the rounds that were reported before, and of this one."""
    earlier = {
        stage.round: float(stage.metrics[ENTROPY])
        for stage in context.ledger.stages(context.campaign.id)
        if stage.name == "report" and stage.round < round and ENTROPY in stage.metrics
    }
    return sorted((earlier | {round: belief.entropy}).items())


def _course(entropies: Sequence[tuple[int, float]]) -> Figure:
    figure, axes = _figure("Round", "Entropy of the graph (nats)")
    axes.plot(*zip(*entropies, strict=True), color=STYLE["rounds"][0], marker="o", linewidth=STYLE["line"])
    axes.set_ylim(bottom=0.0)
    count_by(axes)
    return settled(figure)
