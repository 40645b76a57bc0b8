"""What spaces share: a kind of objects, each a text, with its standard form, its identity and its bounds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np

from data.config import digest
from data.objects import NotStandardError, handle
from data.records import JsonDict
from data.tables.library_file import Format
from models.featurisers.base import featuriser_of
from models.featurisers.nearness import Nearness
from models.registry import Component, ComponentError, OptionsT


def require_space(component: object, space: BaseSpace[Any]) -> None:
    """Refuse a component that is for other kinds of objects.

    Raises:
        ComponentError: it does not know this space; the message says which it knows.
    """
    for inner in (getattr(component, "featuriser", None), getattr(component, "inner", None)):
        if inner is not None:
            require_space(inner, space)
    check = getattr(component, "check_space", None)
    if check is not None:
        check(space)
    kinds = getattr(component, "spaces", ())
    if kinds and space.kind not in kinds:
        group, kind = getattr(component, "group", "component"), getattr(component, "kind", type(component).__name__)
        raise ComponentError(
            f"The {group} {kind!r} is for {' and '.join(kinds)}; this campaign's space is {space.kind!r}. Leave it "
            f"out, or take another one of `discover components {group}`."
        )


Exporter = Callable[[Sequence[JsonDict]], str]
"""The text of a file of candidates: rows with the keys of `models.spaces.columns.columns_of`, best first."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A number about an object that people want beside it.

    Attributes:
        label: heading of its column.
        digits: behind the decimal point.
        note: a sentence for the foot of the page; empty where the label says it.
    """

    label: str
    digits: int = 2
    note: str = ""


class Variation(Protocol):
    """Random edits of objects that stay inside the space."""

    def mutate(self, obj: str, rng: np.random.Generator, /) -> str | None:
        """Return another object, or None where no edit was found."""

    def crossover(self, first: str, second: str, rng: np.random.Generator, /) -> str | None:
        """Return an object with parts of both, or None where they do not go together."""


class BaseSpace(Component[OptionsT]):
    """Base of spaces; satisfies `data.objects.Space`."""

    group: ClassVar[str] = "space"
    edits_cite: ClassVar[tuple[str, ...]] = ()
    """Keys of what its edits rest on (`variation`)."""
    nouns: ClassVar[tuple[str, str]] = ("object", "objects")
    features: ClassVar[Mapping[str, Any]]
    """`{kind, option...}` of the featuriser that proxies use where they are not told another."""
    weighed_features: ClassVar[Mapping[str, Any] | None] = None
    """The same for proxies that learn which kinds of features matter and calculate no others; None: `features`."""
    neighbours: ClassVar[Mapping[str, Any]]
    """`{kind, option...}` of the featuriser in which nearness is taken."""
    column: ClassVar[str] = "object"
    """Column of a table that has the texts, where no other is named."""
    text_name: ClassVar[str] = "Object"
    """What the text of an object is called, for headings."""
    compound_column: ClassVar[str] = ""
    """Column of files that has what `compound` tells; empty: none has it."""
    compound_name: ClassVar[str] = "compound"
    """What objects of one `compound` are called, for people."""
    suffix: ClassVar[str] = "txt"
    """Ending of a file with one text a line, as programs expect it."""
    family_name: ClassVar[str] = "family"
    """What a `family` is called, for people."""
    map_name: ClassVar[str] = "Map of the space"
    """Caption of the plot in which like objects lie near each other."""
    map_method: ClassVar[str] = "kernel PCA of similarities, like objects near each other"
    """How that plot is made, for its caption."""
    likeness: ClassVar[str] = "similarity"
    """What nearness is called, for people."""
    unfit_kind: ClassVar[str] = "unfit"
    """What objects are counted as that are inside, but refused by `unfit`."""
    exports: ClassVar[Mapping[str, Exporter]] = {}
    """Format -> what writes exported candidates in it, beside CSV and JSON; a format is the ending of its files."""
    files: ClassVar[Mapping[str, Format]] = {}
    """Format -> what reads library files in it, beside tables."""
    facts: ClassVar[Mapping[str, Fact]] = {}
    """Key -> what `facts_of` tells under it, in the order of columns."""
    motifs: ClassVar[tuple[str, ...]] = ()
    """Names of what objects may have in them that people look for, in the order of `motifs_in`."""
    motifs_told: ClassVar[str] = ""
    """What motifs are and how they are found, a sentence for people."""
    construction: ClassVar[Mapping[str, Any] | None] = None
    """`{kind, option...}` of how a GFlowNet builds the objects where it is not told another; None: it is not known."""
    rules: ClassVar[int] = 1
    """Raised when the standard form or the bounds change their meaning."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BaseSpace) and type(self) is type(other) and bool(self.options == other.options)

    def __hash__(self) -> int:
        return hash((type(self), self.options))

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the columns of a table that tell an object together (`data.objects.joined`); empty: one column."""
        return ()

    @property
    def described(self) -> tuple[str, ...]:
        """Columns of the user's files that become features: no measured value may stand among them."""
        return tuple(self.headers.get(name, name) for name in self.fields)

    @property
    def headers(self) -> Mapping[str, str]:
        """Field -> its column in the user's files, where options can name it; empty: columns are called as fields."""
        return {}

    @abstractmethod
    def told(self) -> str:
        """Return what is in the space, in a few words for people."""

    @abstractmethod
    def standard(self, text: str) -> str:
        """Return the standard form of the object that a text means; that of a standard form is itself.

        Raises:
            NotStandardError: it means none; the message is a phrase.
        """

    @abstractmethod
    def outside(self, obj: str) -> str | None:
        """Return why an object is outside the space, a phrase; None: it is inside."""

    def unfit(self, obj: str) -> str | None:
        """Return why an object must not be bought although it may be known, a phrase; None: it may be."""
        return self.outside(obj)

    def settled(self, text: str, obj: str) -> str:
        """Return what reading a text as an object changed beside the spelling, a phrase; empty: nothing."""
        return ""

    def glance(self, text: str) -> str | None:
        """Return why a text is outside, as far as that can be told in microseconds; None: it has to be read."""
        return None

    def admit(self, text: str) -> str:
        """Return the standard form of the object that a text means, which is inside the space.

        Raises:
            NotStandardError: it means no object, or one outside the space.
        """
        reason = self.glance(text)
        if reason is None:
            obj = self.standard(text)
            reason = self.outside(obj)
            if reason is None:
                return obj
        raise NotStandardError(reason)

    def identity(self, obj: str) -> str:
        """Return 25 characters that are equal exactly for equal objects in standard form."""
        return handle(obj)

    def named(self, text: str) -> str:
        """Return the identity of the object that a text means, as another program or a table of values writes it.

        Raises:
            ValueError: the text means no object.
        """
        return self.identity(self.standard(text))

    def reading(self) -> str:
        """Return what decides, besides its text, what an object means to an oracle: it tells purchases apart.

        Bounds do not belong to it, or what was measured within narrower ones would be bought again. A space whose
        options change what one text means says so here.
        """
        return digest([self.kind, self.rules, self.versions()])

    def family(self, obj: str) -> str:
        """Return what objects share that must not stand on both sides of a split; empty: the object stands alone."""
        return ""

    def contradiction(self, obj: str, name: str, answer: float) -> str:
        """Return why an answer about an object cannot be as it is told, the end of a sentence; empty: it can.

        Args:
            obj: the object.
            name: of the value.
            answer: the value.
        """
        del obj, name, answer
        return ""

    def value(self, obj: str) -> Any:
        """Return what a user's function gets for an object, JSON-able: the text, or numbers by name, or members."""
        return obj

    def text(self, value: Any) -> str:
        """Return the text of what `value` returned.

        Raises:
            NotStandardError: it is no such value.
        """
        if not isinstance(value, str):
            raise NotStandardError(f"a {type(value).__name__} that is no text")
        return value

    def random(self, n: int, seed: int) -> Sequence[str] | None:
        """Return up to n distinct objects drawn at random; fewer: there are no more. None: the space cannot draw."""
        return None

    def design(self, n: int, seed: int) -> Sequence[str] | None:
        """Return up to n distinct objects that spread over the space, for a first measurement; None: it cannot draw."""
        return self.random(n, seed)

    def variation(self, sample: Sequence[str]) -> Variation | None:
        """Return the edits of evolutionary search, adapted to a sample of the space; None: the space has none."""
        return None

    @cached_property
    def nearness(self) -> Nearness:
        """How alike two objects are, in [0, 1]."""
        return Nearness(featuriser_of(self.neighbours))

    def compound(self, obj: str) -> str:
        """Return what different objects share that people take for one thing, such as tautomers; empty: nothing."""
        return ""

    def sketch(self, obj: str) -> str:
        """Return a text, made in microseconds, that objects of one compound share."""
        return ""

    def facts_of(self, obj: str) -> Mapping[str, float]:
        """Return the numbers about an object, by the keys of `facts`; one that cannot be told is left out."""
        return {}

    def fact(self, obj: str, key: str) -> float | None:
        """Return one of the numbers about an object, None where it cannot be told."""
        return self.facts_of(obj).get(key)

    def motifs_in(self, obj: str) -> Sequence[str]:
        """Return the names of the motifs that an object has in it, of `motifs` and in their order."""
        return ()

    def draws(self) -> bool:
        """Return whether objects of the space can be drawn at all."""
        return type(self).draw is not BaseSpace.draw

    def draw(self, obj: str) -> str | None:
        """Return an inline SVG of an object; None: its text says all."""
        return None

    def part_places(self, obj: str) -> Sequence[tuple[float, float]]:
        """Return where the atoms of an object are in its drawing, x and y; empty: it has none."""
        return ()

    def core_places(self, obj: str, other: str) -> Sequence[tuple[float, float]]:
        """Return where, in the drawing of another object, what both have in common is: x and y; empty: not known."""
        return ()

    def versions(self) -> dict[str, str]:
        """Return the libraries whose versions decide the standard form, with their versions."""
        return {}

    def content(self) -> str:
        """Return a hash of the files that options lead to, which a campaign must find as it left them; empty: none."""
        return ""

    def key(self) -> str:
        """Return a hash of all that the answers depend on: options, rules, versions of libraries."""
        return digest([self.config(), self.rules, self.versions()])


def variation_of(space: BaseSpace[Any], sample: Sequence[str], generator: str) -> Variation:
    """Return the edits of a space for a generator, of which `sample` says what is common.

    Raises:
        ComponentError: the space has none.
    """
    variation = space.variation(sample)
    if variation is None:
        raise ComponentError(
            f"The generator {generator!r} varies objects, and the space {space.kind!r} has no edits for it. Use the "
            "generator random, or another one of `discover components generator`."
        )
    return variation
