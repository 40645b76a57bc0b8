"""A flow over letters fitted to the best measured sequences: what is known to be good, and what lies between."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from data.config import derive_seed
from data.records import Candidate, Making
from models.protocols import GenerationContext
from models.registry import Component, ComponentError
from models.spaces.base import BaseSpace
from models.spaces.sequences import Sequences
from models.threads import single_thread

if TYPE_CHECKING:
    from models.generators.letter_paths import LetterNetwork, LetterPath

logger = logging.getLogger(__name__)

_ROUNDS = 20
"""Sets of draws until no more candidates are expected."""
_FEWEST = 4
"""Sequences that are imitated at the least, where so many are measured."""
_PREFIX = "network."


class DiscreteFlowMatching(Component["DiscreteFlowMatching.Options"]):
    """Fit a flow to the best measured sequences, and propose where it leads from noise.

    All places come out of noise together and in no order. By the path `mask` letters are hidden, and seen one after
    another; by `dirichlet` they are points of a simplex that go to its corners. Where lengths differ the end is filled
    up by one more letter; rows with a letter after it are thrown away, as what is outside the space. The fit sees
    measured values by the choice of what is imitated only, so that it is a prior and no search: it goes into a `union`
    beside one. No probability of a sequence is known, but by many draws.

    `fit` is a pure function of its context, so it needs no checkpoint.
    """

    group = "generator"
    kind = "discrete_flow_matching"
    cites = ("gat2024discrete", "campbell2024discrete", "stark2024dirichlet")
    spaces = ("sequences",)
    origin: ClassVar[str] = str(Making.BUILT)

    class Options(Component.Options):
        """Options of the generator `discrete_flow_matching`."""

        path: Literal["mask", "dirichlet"] = Field(
            default="mask", description="from noise to letters: they are unmasked, or go to corners of a simplex"
        )
        best: float = Field(default=0.25, gt=0, le=1, description="share of the measured sequences that is imitated")
        spread: float = Field(
            default=0.05, ge=0, le=1, description="probability of each of their letters to be drawn anew, each time"
        )
        steps: int = Field(default=600, ge=1, le=1_000_000, description="steps of training")
        batch_size: int = Field(default=128, ge=2, le=4096, description="sequences per step")
        learning_rate: float = Field(default=3e-3, gt=0, description="at first; it falls to zero")
        hidden: tuple[PositiveInt, ...] = Field(default=(128, 128), min_length=1, description="widths of the network")
        path_steps: int = Field(default=100, ge=1, le=10_000, description="steps from noise to letters")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._space: Sequences | None = None
        self._network: LetterNetwork | None = None
        self._known: frozenset[str] = frozenset()
        self._history: list[dict[str, float]] = []

    def cited(self) -> tuple[str, ...]:
        """Return the papers of the path."""
        return ("gat2024discrete", "campbell2024discrete") if self.options.path == "mask" else ("stark2024dirichlet",)

    def check(self, space: BaseSpace[Any]) -> None:
        """Look whether objects of the space are sequences.

        Raises:
            ComponentError: they are not.
        """
        of_sequences(space)

    def fit(self, context: GenerationContext) -> None:
        """Fit the flow; deterministic under `context.seed`.

        Raises:
            ComponentError: as `check`.
            ValueError: nothing was measured, and there is no library.
        """
        import torch

        from models.generators.letter_paths import fit_letters

        options, space, self._history = self.options, self._prepare(context), []
        count = max(_FEWEST, round(options.best * len(context.known)))
        data = context.known[:count] or context.library
        if not data:
            raise ValueError(
                "The generator 'discrete_flow_matching' imitates measured sequences or a library; the context has "
                "neither. Add a data source to the campaign."
            )
        generator = torch.Generator().manual_seed(derive_seed(context.seed, "discrete_flow_matching"))
        steps = max(1, round(options.steps * context.effort))

        def report(step: int, loss: float) -> None:
            self._history.append({"step": float(step), "loss": loss})
            context.progress(step, steps, self._history[-1])

        with single_thread():
            self._network = self._untrained(space, generator)
            fit_letters(
                self._network,
                path_of(options.path),
                torch.tensor([row_of(obj, space) for obj in data]),
                generator,
                steps=steps,
                batch_size=options.batch_size,
                learning_rate=options.learning_rate,
                spread=options.spread,
                replaceable=len(space.letters),
                report=report,
            )

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct sequences inside the space that are not measured.

        Raises:
            ValueError: `fit` was not called.
        """
        import torch

        network, space = self._network, self._space
        if network is None or space is None:
            raise ValueError(
                "The generator 'discrete_flow_matching' has no flow yet; call `fit` or `load_state` first."
            )
        path, found, counts = path_of(self.options.path), dict[str, Candidate](), dict.fromkeys(("drawn", "none"), 0)
        generator = torch.Generator().manual_seed(derive_seed(seed, "discrete_flow_matching draws"))
        with single_thread():
            for _ in range(_ROUNDS):
                drawn = path.followed(
                    network, max(n, 16), network.length, network.letters, self.options.path_steps, generator
                )
                for row in drawn.tolist():
                    counts["drawn"] += 1
                    obj = text_of(row, space)
                    if obj is None or space.outside(obj) is not None:
                        counts["none"] += 1
                        continue
                    key = space.identity(obj)
                    if len(found) < n and key not in self._known:
                        found.setdefault(key, Candidate(id=key, object=obj, source=self.kind))
                if len(found) == n:
                    break
        logger.info(
            "discrete_flow_matching drew %d rows of letters for %d candidates; %d were no sequence of the space.",
            *(counts["drawn"], len(found), counts["none"]),
        )
        return list(found.values())

    def state(self) -> dict[str, Any]:
        """Return the weights and the history."""
        weights = {} if self._network is None else self._network.state_dict()
        return {"history": self.history(), **{_PREFIX + name: value for name, value in weights.items()}}

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned."""
        import torch

        self._network = self._untrained(self._prepare(context), torch.Generator())
        self._network.load_state_dict(
            {name.removeprefix(_PREFIX): value for name, value in state.items() if name.startswith(_PREFIX)}
        )
        self._history = [dict(row) for row in state["history"]]

    def history(self) -> list[dict[str, float]]:
        """Return the loss of each step."""
        return [dict(row) for row in self._history]

    def _prepare(self, context: GenerationContext) -> Sequences:
        self._space = space = of_sequences(context.space)
        self._known = frozenset(map(space.identity, (*context.known, *context.asked)))
        return space

    def _untrained(self, space: Sequences, generator: Any) -> LetterNetwork:
        from models.generators.letter_paths import LetterNetwork

        kinds = len(space.letters) + (space.min_length < space.max_length)
        return LetterNetwork(space.max_length, kinds, self.options.hidden, generator)


def path_of(name: str) -> LetterPath:
    """Return the path `mask` or `dirichlet`."""
    if name == "mask":
        from models.generators.mask_path import MaskPath

        return MaskPath()
    from models.generators.dirichlet_path import DirichletPath

    return DirichletPath()


def row_of(obj: str, space: Sequences) -> list[int]:
    """Return a sequence as numbers of its letters, filled up to the longest by the number after the last letter."""
    return [space.letters.index(letter) for letter in obj] + [len(space.letters)] * (space.max_length - len(obj))


def text_of(row: Sequence[int], space: Sequences) -> str | None:
    """Return the sequence of a row, None where a letter stands after its end."""
    end = len(space.letters)
    length = row.index(end) if end in row else len(row)
    if any(letter != end for letter in row[length:]):
        return None
    return "".join(space.letters[letter] for letter in row[:length])


def of_sequences(space: BaseSpace[Any]) -> Sequences:
    """Return a space as one of sequences.

    Raises:
        ComponentError: it is none.
    """
    if not isinstance(space, Sequences):
        raise ComponentError(
            f"The generator 'discrete_flow_matching' is for sequences; this campaign's space is {space.kind!r}. Use "
            "'gflownet', or 'flow_matching' for vectors."
        )
    return space
