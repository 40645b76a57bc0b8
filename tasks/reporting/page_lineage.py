"""How the best candidates came to be, as lists of a page: they wrap at any width and reuse the drawings of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from data.goals import Goals
from data.records import Arm, CandidateRow, Making
from models.spaces.base import BaseSpace
from tasks.lineage import Ancestor, Lineage, Lineages
from tasks.reporting.lineage import (
    bought_told,
    is_with_itself,
    lineage_told,
    operation_told,
    predicted_told,
    value_told,
    with_ends,
    with_itself_told,
)
from tasks.stages import CampaignContext

BEST = 3
"""Candidates whose lineages are on a page."""
MOST = 8
"""Steps of each; of longer lines those in the middle are left out."""
DRAWN = 24
"""Drawings of objects that are no rows of the page, about 2 kB each; further ones are told by their texts."""


def best_found(rows: Sequence[CandidateRow], goals: Goals) -> list[tuple[int, CandidateRow]]:
    """Return the best candidates that were found, not begun with, and have a value within the limits, with their ranks.

    Args:
        rows: best first.
        goals: of the campaign.
    """
    found = [
        (rank, row)
        for rank, row in enumerate(rows, start=1)
        if row.arm in (Arm.ACQUISITION, Arm.CONTROL) and goals.measured(row) and goals.eligible(row)
    ]
    return found[:BEST]


def best_lineages(context: CampaignContext, rows: Sequence[CandidateRow], goals: Goals) -> list[tuple[int, Lineage]]:
    """Return the lineages of the best candidates that were found, with their ranks; arguments as `best_found`."""
    found, known = best_found(rows, goals), Lineages(context, rows)
    return [(rank, known.of(row)) for rank, row in found]


def lineage_lists(
    lineages: Sequence[tuple[int, Lineage]],
    space: BaseSpace[Any],
    goals: Goals,
    places: Mapping[str, int],
    draw: Callable[[str], Markup],
) -> list[Markup]:
    """Return a list for each lineage, oldest step first.

    Args:
        lineages: each with the candidate's rank.
        space: of the objects.
        goals: of the campaign, with units.
        places: id -> rank, of the candidates that have a row on the page.
        draw: makes the drawing of an object; empty where there is none.
    """
    lists = _Lists(space, goals, places, draw)
    return [lists.of(rank, lineage) for rank, lineage in lineages]


class _Lists:
    def __init__(
        self, space: BaseSpace[Any], goals: Goals, places: Mapping[str, int], draw: Callable[[str], Markup]
    ) -> None:
        self._space, self._goals, self._places, self._draw = space, goals, places, draw
        self._drawn: dict[str, str] = {}
        """id -> the element of the page that has its drawing; empty: it has none."""

    def of(self, rank: int, lineage: Lineage) -> Markup:
        line, left_out = list(enumerate(lineage.line)), max(0, len(lineage.line) - MOST)
        shown = [line[0], *line[left_out + 1 :]] if left_out else line
        items = [self._item(lineage, step, lineage.line[place - 1] if place else None) for place, step in shown]
        if left_out:
            items.insert(1, Markup('<li class="more">… {} more step{}</li>').format(left_out, "s" * (left_out > 1)))
        told = " ".join(lineage_told(lineage, self._space))
        return Markup(
            '<section class="lineage" aria-label="Lineage of candidate {0}"><h3>How <a href="#c{0}">#{0}</a> came to '
            "be</h3><p>{1}</p><ol>{2}</ol></section>"
        ).format(rank, told, Markup("").join(items))

    def _item(self, lineage: Lineage, step: Ancestor, before: Ancestor | None) -> Markup:
        partners = lineage.partners(step)
        how = Markup("<span>{}</span>").format(_how(step, partners))
        if partners:
            more = f" and {len(partners) - 1} more" if len(partners) > 1 else ""
            how += Markup('<div class="with">{}<small>{}{}</small></div>').format(
                self._picture(partners[0], ""), value_told(partners[0], self._goals, "−"), more
            )
        core = ""
        if before is not None and step.operation in (Making.MUTATION, Making.CROSSOVER, Making.BOTH, Making.STEP):
            core = " ".join(f"{x:.0f},{y:.0f}" for x, y in self._space.core_places(before.object, step.object))
        place = self._places.get(step.id)
        named = Markup(' <a href="#c{0}">#{0}</a>').format(place) if place else Markup("")
        bought, predicted = bought_told(step), predicted_told(step, self._goals, with_ends)
        value = value_told(step, self._goals, "−")
        told = Markup("<strong>{}</strong>" if bought else "<small>{}</small>").format(value)
        told += Markup("<small>{}{}</small>").format(bought, named) if bought else Markup("")
        told += Markup("<small>predicted {}</small>").format(predicted) if predicted else Markup("")
        arrow = Markup('<span class="arrow" aria-hidden="true"></span>') if before is not None else Markup("")
        return Markup('<li><div class="how">{}{}</div><div class="met">{}{}</div></li>').format(
            how, arrow, self._picture(step, core), told
        )

    def _picture(self, step: Ancestor, core: str) -> Markup:
        """Return the drawing of an object, or the place on the page where it is: the script copies it from there."""
        like, picture, own = self._drawn.get(step.id, ""), Markup(""), Markup("")
        if step.id in self._places and self._space.draws():
            like = f"c{self._places[step.id]}"
        elif step.id not in self._drawn and sum(map(bool, self._drawn.values())) < DRAWN:
            picture = self._draw(step.object)
            self._drawn[step.id] = f"l{len(self._drawn) + 1}" if picture else ""
            own = Markup(' id="{}"').format(self._drawn[step.id]) if picture else own
        copied = Markup(' data-like="{}"').format(like) if like else Markup("")
        marked = Markup(' data-core="{}"').format(core) if core else Markup("")
        return Markup('<span class="one"{}{}{} title="{}">{}<code>{}</code></span>').format(
            own, copied, marked, step.object, picture, step.object
        )


def _how(step: Ancestor, partners: Sequence[Ancestor]) -> str:
    told = operation_told(step)
    if step.operation not in (Making.CROSSOVER, Making.BOTH):
        return told
    return with_itself_told(step) if is_with_itself(step, partners) else f"{told}, with"
