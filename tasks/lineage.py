"""How a candidate came to be: the closures of all rounds joined, back to the initial design or a library.

A round's file tells how its proposals were made of objects that the round began with. What of these was bought in an
earlier round goes on with what that round's file tells of it. So a lineage is a graph without circles whose leaves are
made of nothing else; its line is one way through it, of each object the parent that is most like it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from data.records import Arm, CandidateRow, Making, Origin
from models.generators.origins import grounded
from models.parts import generator_of, space_of
from models.protocols import Building
from models.registry import find
from models.spaces.base import BaseSpace
from tasks.origins import FILE, Origins, read_origins
from tasks.stages import CampaignContext
from tasks.storage import read_table


@dataclass(frozen=True, slots=True)
class Ancestor:
    """An object on the way to a candidate, or the candidate itself.

    Attributes:
        object: its text, in standard form.
        id: its identity.
        operation: how it was made, one of `data.records.Making` or a generator's own word.
        parents: ids of what it was made of.
        row: what the ledger knows of it; None: it was never bought.
        libraries: names of the libraries that it may be of, where it was read from one.
    """

    object: str
    id: str
    operation: str
    parents: tuple[str, ...] = ()
    row: CandidateRow | None = None
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lineage:
    """How a candidate came to be.

    Attributes:
        members: all of its ancestors and itself, each behind its parents.
        line: one way through them: the first is made of nothing else, the last is the candidate.
        unwritten: rounds that wrote nothing down, since an earlier discovery-flows ran them.
    """

    members: tuple[Ancestor, ...]
    line: tuple[Ancestor, ...]
    unwritten: tuple[int, ...] = ()

    @property
    def candidate(self) -> Ancestor:
        """The candidate."""
        return self.line[-1]

    @property
    def by_id(self) -> dict[str, Ancestor]:
        """The members by their ids."""
        return {one.id: one for one in self.members}

    def partners(self, step: Ancestor) -> list[Ancestor]:
        """Return the other parents of an object of the line, beside the one that stands before it."""
        known = self.by_id
        before = {before.id for before, after in zip(self.line, self.line[1:], strict=False) if after.id == step.id}
        return [known[parent] for parent in step.parents if parent not in before]


class Lineages:
    """The lineages of a campaign's candidates; files are read when they are asked for, each once.

    Args:
        context: the campaign.
        rows: its candidates, as far as they are to be known.
    """

    def __init__(self, context: CampaignContext, rows: Sequence[CandidateRow]) -> None:
        self._context = context
        self._space: BaseSpace[Any] = space_of(context.config)
        self._rows = {row.id: row for row in rows}
        self._written: Callable[[int], Origins | None] = cache(self._read)

    def of(self, candidate: CandidateRow) -> Lineage:
        """Return how a candidate came to be, as far as it was written down."""
        tracing = _Tracing(candidate, self._rows, self._written, self._space.identity, self._in_library)
        chosen = grounded(tracing.ways, [candidate.id])
        members: dict[str, Ancestor] = {}
        for id in _parents_first(chosen, candidate.id):
            origin = chosen.get(id, Origin(Making.UNKNOWN))
            row = self._rows.get(id)
            libraries = tracing.libraries.get(id, ())
            unnamed = origin.operation == Making.LIBRARY and not libraries
            operation = self._source if unnamed else origin.operation
            members[id] = Ancestor(tracing.objects[id], id, str(operation), origin.parents, row, libraries)
        line = self._line(members, candidate.id)
        built = self._building(line[0])
        if len(built) > 1:
            line, others = (*built, *line[1:]), [one for id, one in members.items() if id != line[0].id]
            members = {one.id: one for one in (*built, *others)}
        return Lineage(tuple(members.values()), line, tuple(sorted(tracing.unwritten)))

    def _read(self, round: int) -> Origins | None:
        stage = self._context.finished(round, "propose")
        return None if stage is None else read_origins(stage.path(self._context, FILE))

    @cached_property
    def _library(self) -> frozenset[str]:
        stage = self._context.finished(0, "prepare_data")
        if stage is None:
            return frozenset()
        return frozenset(read_table(stage.path(self._context, "library.parquet"), ["object"])["object"])

    @cached_property
    def _source(self) -> Making:
        """What an object of the campaign's source is, where no library by a name has it."""
        data = self._context.config.data
        if getattr(find("source", data.pool["kind"]), "ordered", False):
            return Making.DRAWN
        return Making.LIBRARY if "library" in data.parts else Making.DATA

    def _in_library(self, obj: str) -> bool:
        return obj in self._library

    def _line(self, members: Mapping[str, Ancestor], id: str) -> tuple[Ancestor, ...]:
        line = [members[id]]
        while line[-1].parents:
            parents = [members[parent] for parent in line[-1].parents]
            near = 0
            if len(parents) > 1:
                near = int(self._space.nearness([line[-1].object], [one.object for one in parents])[0].argmax())
            line.append(parents[near])
        return tuple(line[::-1])

    def _building(self, first: Ancestor) -> list[Ancestor]:
        """Return the objects on one way of building an object that was built from nothing, itself last."""
        if first.operation != Making.BUILT:
            return []
        built: list[Ancestor] = []
        for obj in self._way(first):
            id, before = self._space.identity(obj), tuple(one.id for one in built[-1:])
            if id not in {one.id for one in built}:
                operation = str(Making.STEP if built else Making.BUILT)
                built.append(Ancestor(obj, id, operation, before, self._rows.get(id)))
        return built

    def _way(self, first: Ancestor) -> tuple[str, ...]:
        config, row = self._context.config, first.row
        arm = config.control if row is not None and row.arm == Arm.CONTROL else config.generator
        try:
            generator = generator_of(arm, self._context.campaign.base)
            for member in getattr(generator, "members", (generator,)):
                if isinstance(member, Building) and (row is None or getattr(member, "kind", "") == row.source):
                    return member.building(first.object, self._space)
        except (ValueError, OSError):
            # A file that it builds with is not there any more; it was built from nothing all the same.
            return ()
        return ()


class _Tracing:
    """Goes from a candidate back through the files of the rounds until it was bought.

    Attributes:
        objects: id -> text, of what was met.
        libraries: id -> names of the libraries that it may be of.
        unwritten: rounds without a file.
    """

    def __init__(
        self,
        candidate: CandidateRow,
        rows: Mapping[str, CandidateRow],
        written: Callable[[int], Origins | None],
        identity: Callable[[str], str],
        in_library: Callable[[str], bool],
    ) -> None:
        self._rows, self._written, self._identity, self._last = rows, written, identity, candidate.round
        self._in_library = in_library
        self.objects = {candidate.id: candidate.object}
        self.libraries: dict[str, tuple[str, ...]] = {}
        self.unwritten: set[int] = set()
        self._text = dict(self.objects)

    def ways(self, id: str) -> list[Origin]:
        """Return how an object may have been made, the parents by their ids: first as told by the round that bought it.

        It may be known to several rounds, and to an early one as an ancestor of what a later one made it of again.
        """
        row = self._rows.get(id)
        own = self._as_bought(row) if row is not None and row.round <= self._last else None
        if own is not None and not own.parents:
            return [own]
        if own is None and self._in_library(self._text[id]):
            return [Origin(str(Making.LIBRARY))]
        files = [told for told in map(self._written, range(1, self._last + 1)) if told is not None]
        met = [self._met(told.made[self._text[id]]) for told in files if self._text[id] in told.made]
        return list(dict.fromkeys([*([] if own is None else [own]), *met]))

    def _as_bought(self, row: CandidateRow) -> Origin | None:
        if row.arm == Arm.INITIAL:
            return Origin(str(Making.DATA if row.origin == "imported" else Making.INITIAL))
        if row.arm == Arm.TOLD:
            return Origin(str(Making.TOLD))
        told = self._written(row.round)
        if told is None:
            self.unwritten.add(row.round)
        elif row.source in told.begun:
            begun = told.begun[row.source]
            self.libraries[row.id] = begun.libraries
            return Origin(begun.origin)
        elif row.object in told.made:
            return self._met(told.made[row.object])
        return None

    def _met(self, origin: Origin) -> Origin:
        """Return an origin with the ids of the parents, which are known from then on."""
        ids = []
        for parent in origin.parents:
            id = self._identity(parent)
            known = self._rows.get(id)
            self.objects.setdefault(id, parent if known is None else known.object)
            self._text.setdefault(id, parent)  # in the files it stands as the generator wrote it
            ids.append(id)
        return Origin(origin.operation, tuple(dict.fromkeys(ids)))


def _parents_first(chosen: Mapping[str, Origin], id: str) -> list[str]:
    """Return an object and its ancestors, each behind its parents, the last the object itself."""
    order: dict[str, None] = {}
    waiting = [(id, False)]
    while waiting:
        one, ready = waiting.pop()
        if one in order:
            continue
        if ready:
            order[one] = None
            continue
        parents = chosen[one].parents if one in chosen else ()
        waiting += [(one, True), *((parent, False) for parent in parents[::-1])]
    return list(order)
