"""A flow fitted to the best measured objects: what is known to be good, and what lies between."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field, PositiveInt

from data.config import derive_seed
from data.records import Candidate, Making
from models.protocols import GenerationContext
from models.registry import Component, ComponentError
from models.spaces.base import BaseSpace
from models.spaces.variables import Choice, Integer, Value
from models.spaces.vectors import Point, Vectors

if TYPE_CHECKING:
    import torch

    from models.generators.flow_paths import Geometry, VelocityField
    from models.spaces.torsions import Torsions

_ROUNDS = 20
"""Sets of draws until no more candidates are expected."""
_FEWEST = 4
"""Objects that are imitated at the least, where so many are measured."""
_BELOW_ONE = 1.0 - 1e-7


class FlowMatching(Component["FlowMatching.Options"]):
    """Fit a flow to the best measured objects by conditional flow matching, and propose where it leads from noise.

    Vectors are points of a box: reals by their place in the range, whole numbers and choices as uniform within their
    share of it. Paths are straight and reflected at the walls. Conformers are points of a torus; paths go the shorter
    way around. The fit sees measured values by the choice of what is
    imitated only, so that it is a prior and no search: it goes into a `union` beside one.

    `fit` is a pure function of its context, so it needs no checkpoint.
    """

    group = "generator"
    kind = "flow_matching"
    cites = ("lipman2023flow", "xie2024reflected", "chen2024riemannian")
    spaces = ("vectors", "torsions")
    origin: ClassVar[str] = str(Making.BUILT)

    class Options(Component.Options):
        """Options of the generator `flow_matching`."""

        best: float = Field(default=0.25, gt=0, le=1, description="share of the measured objects that is imitated")
        spread: float = Field(
            default=0.05, ge=0, le=1, description="standard deviation around them, a share of the range"
        )
        coupling: Literal["optimal", "independent"] = Field(
            default="optimal", description="pairs of noise and data: by optimal transport in each batch, or as drawn"
        )
        steps: int = Field(default=400, ge=1, le=1_000_000, description="steps of training")
        batch_size: int = Field(default=128, ge=2, le=4096, description="pairs per step")
        learning_rate: float = Field(default=3e-3, gt=0, description="at first; it falls to zero")
        hidden: tuple[PositiveInt, ...] = Field(default=(64, 64, 64), min_length=1, description="widths of the network")

        def cited(self) -> tuple[str, ...]:
            """Return the paper of optimal pairs."""
            return ("tong2024improving",) if self.coupling == "optimal" else ()

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._space: BaseSpace[Any] | None = None
        self._field: VelocityField | None = None
        self._known: frozenset[str] = frozenset()
        self._history: list[dict[str, float]] = []

    def cited_in(self, space: BaseSpace[Any]) -> tuple[str, ...]:
        """Return the papers of flows and of their paths in this space: reflected in a box, around on a torus."""
        return ("lipman2023flow", *coordinates_of(space).cites, *self.options.cited())

    def check(self, space: BaseSpace[Any]) -> None:
        """Look whether objects of the space are points.

        Raises:
            ComponentError: they are not, or have fractions.
        """
        coordinates_of(space)

    def fit(self, context: GenerationContext) -> None:
        """Fit the flow; deterministic under `context.seed`.

        Raises:
            ComponentError: as `check`.
            ValueError: nothing was measured, and there is no library.
        """
        import torch

        from models.generators.flow_paths import fit

        options, self._history = self.options, []
        places = self._prepare(context)
        count = max(_FEWEST, round(options.best * len(context.known)))
        data = context.known[:count] or context.library
        if not data:
            raise ValueError(
                "The generator 'flow_matching' imitates measured objects or a library; the context has neither. Add a "
                "data source to the campaign."
            )
        generator = torch.Generator().manual_seed(derive_seed(context.seed, "flow_matching"))
        self._field = self._untrained(places, generator)
        rng = np.random.default_rng(derive_seed(context.seed, "flow_matching places"))
        rows = np.array([places.row(obj, rng) for obj in data for _ in range(max(1, 256 // len(data)))])
        steps = max(1, round(options.steps * context.effort))

        def report(step: int, loss: float) -> None:
            self._history.append({"step": float(step), "loss": loss})
            context.progress(step, steps, self._history[-1])

        fit(
            self._field,
            torch.from_numpy(rows).float(),
            generator,
            steps=steps,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            optimal=options.coupling == "optimal",
            spread=options.spread * places.range,
            report=report,
        )

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct objects inside the space that are not measured.

        Raises:
            ValueError: `fit` was not called.
        """
        import torch

        from models.generators.flow_paths import follow

        field, space = self._field, self._space
        if field is None or space is None:
            raise ValueError("The generator 'flow_matching' has no flow yet; call `fit` or `load_state` first.")
        places, found = coordinates_of(space), dict[str, Candidate]()
        generator = torch.Generator().manual_seed(derive_seed(seed, "flow_matching draws"))
        for _ in range(_ROUNDS):
            ends, _ = follow(field, field.geometry.base(max(n, 16), field.d, generator))
            for row in ends.double().tolist():
                obj = places.text(row)
                key = space.identity(obj)
                if len(found) < n and key not in self._known and space.outside(obj) is None:
                    found.setdefault(key, Candidate(id=key, object=obj, source=self.kind))
            if len(found) == n:
                break
        return list(found.values())

    def state(self) -> dict[str, Any]:
        """Return the weights and the history."""
        from models.generators.flow_paths import state_of

        return {
            "history": [dict(row) for row in self._history],
            **({} if self._field is None else state_of(self._field)),
        }

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned."""
        import torch

        from models.generators.flow_paths import loaded

        self._field = loaded(self._untrained(self._prepare(context), torch.Generator()), state)
        self._history = [dict(row) for row in state["history"]]

    def history(self) -> list[dict[str, float]]:
        """Return the loss of each step."""
        return [dict(row) for row in self._history]

    def _prepare(self, context: GenerationContext) -> Places:
        self._space = context.space
        self._known = frozenset(map(context.space.identity, context.known))
        return coordinates_of(context.space)

    def _untrained(self, places: Places, generator: torch.Generator) -> VelocityField:
        from models.generators.flow_paths import VelocityField

        return VelocityField(places.geometry(), places.width, self.options.hidden, generator)


class Places(Protocol):
    """Objects as points."""

    range: float
    width: int
    cites: ClassVar[tuple[str, ...]]
    """Keys of what paths between them rest on."""

    def geometry(self) -> Geometry:
        """Return how points move."""

    def row(self, obj: str, rng: np.random.Generator, /) -> list[float]:
        """Return a point (d,) of an object."""

    def text(self, row: Sequence[float], /) -> str:
        """Return the object at a point (d,)."""


class Angles:
    """Conformers as points of a torus, in radians."""

    range = 2.0 * math.pi
    cites: ClassVar[tuple[str, ...]] = ("chen2024riemannian",)

    def __init__(self, space: Torsions) -> None:
        self._space = space
        self.width = len(space.names)

    def geometry(self) -> Geometry:
        """Return how points move."""
        from models.generators.flow_torus import FlatTorus

        return FlatTorus()

    def row(self, obj: str, rng: np.random.Generator) -> list[float]:
        """Return the angles (d,) of a conformer, in [-pi, pi)."""
        del rng
        return [math.remainder(math.radians(angle), self.range) for angle in self._space.degrees(obj)]

    def text(self, row: Sequence[float]) -> str:
        """Return the conformer with the angles (d,)."""
        return self._space.written([math.degrees(angle) for angle in row])


class Box:
    """Vectors as points of the unit box."""

    range = 1.0
    """Length of a side."""
    cites: ClassVar[tuple[str, ...]] = ("xie2024reflected",)

    def __init__(self, space: Vectors) -> None:
        self._space = space
        self.width = len(space.variables)

    def geometry(self) -> Geometry:
        """Return how points move."""
        from models.generators.flow_box import ReflectedBox

        return ReflectedBox()

    def row(self, obj: str, rng: np.random.Generator) -> list[float]:
        """Return a point (d,) of an object; of those with the same whole numbers and choices one is drawn."""
        return [
            _place(one, value, rng)
            for one, value in zip(self._space.variables, self._space.point(obj).values, strict=True)
        ]

    def text(self, row: Sequence[float]) -> str:
        """Return the object at a point (d,)."""
        values = [one.drawn(min(max(u, 0.0), _BELOW_ONE)) for one, u in zip(self._space.variables, row, strict=True)]
        return self._space.written(Point(tuple(values), ()))


def _place(variable: Any, value: Value, rng: np.random.Generator) -> float:
    if isinstance(variable, Choice):
        return (variable.choices.index(value) + float(rng.random())) / len(variable.choices)
    if isinstance(variable, Integer) and not variable.log:
        return (float(value) - variable.integer[0] + float(rng.random())) / variable.count
    return min(max(float(variable.unit(value)), 0.0), 1.0)


def coordinates_of(space: BaseSpace[Any]) -> Places:
    """Return the objects of a space as points.

    Raises:
        ComponentError: they are none, or have fractions that sum to one.
    """
    if space.kind == "torsions":
        from models.spaces.torsions import Torsions  # it knows molecules, which vectors need not

        assert isinstance(space, Torsions)
        return Angles(space)
    if not isinstance(space, Vectors):
        raise ComponentError(
            f"The generator 'flow_matching' is for vectors and conformers; this campaign's space is {space.kind!r}. "
            "Use 'random' or 'gflownet'."
        )
    if space.mixture is not None:
        raise ComponentError(
            "The generator 'flow_matching' knows no fractions, which sum to one; this campaign's space has some. Use "
            "'gflownet', which builds them, or 'genetic'."
        )
    return Box(space)
