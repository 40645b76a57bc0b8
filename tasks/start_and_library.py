"""A start design and a library from two sources: one table, of which is known what came from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from data.tables.datasets import Library
from data.tables.readers import SourceError

START = "start"
LIBRARY = "library"


@dataclass(frozen=True, slots=True)
class StartAndLibrary:
    """What the sources of a start design and of a library gave; one of them may not be named.

    Attributes:
        parts: `start` and `library` as far as they are named.
        frame: objects of the start design, then those of the library that are not in it; columns as `Library.frame`.
        shared: objects of the library that are in the start design too.
    """

    parts: Mapping[str, Library]
    frame: pd.DataFrame
    shared: int

    @classmethod
    def of(cls, parts: Mapping[str, Library], nouns: tuple[str, str]) -> StartAndLibrary:
        """Join what was read.

        Args:
            parts: `start` and `library` as far as they are named.
            nouns: one object and several, for messages.

        Raises:
            SourceError: the library has values.
        """
        library = parts.get(LIBRARY)
        if library is not None and (valued := int(library.frame["value"].notna().sum())):
            raise SourceError(
                f"{valued} {nouns[valued > 1]} of data.library with a value; a library is of candidates, and known "
                "values belong to data.start. Leave out its option for values (`value`, `labelled`), or name that "
                "source as data.start."
            )
        if library is None:
            return cls(parts, parts[START].frame, 0)
        if START not in parts:
            return cls(parts, library.frame, 0)
        start = parts[START].frame
        others = library.frame[~library.frame["id"].isin(start["id"])]
        joined = pd.concat([start, others], ignore_index=True) if len(others) else start
        return cls(parts, joined, len(library.frame) - len(others))

    @property
    def start(self) -> pd.DataFrame:
        """The objects of the start design."""
        return self.frame.iloc[: len(self.parts[START].frame) if START in self.parts else 0]

    def beside_the_start(self) -> pd.DataFrame:
        """Return the objects of the library that are not in the start design."""
        return self.frame.iloc[len(self.start) :]

    def counts(self) -> dict[str, float]:
        """Return how many objects came from each source, and how many from both."""
        return {
            **{f"kept_{name}": float(len(part.frame)) for name, part in self.parts.items()},
            "kept_both": float(self.shared),
        }

    def overlap_told(self, noun: str, nouns: str) -> str:
        """Return the sentence on what is in both; the names of one object and of several."""
        told = (
            f"{self.shared} {noun} of the library is"
            if self.shared == 1
            else f"{self.shared} {nouns} of the library are"
        )
        return f"{told} in the start design too, and {'counts' if self.shared == 1 else 'count'} as such."

    def refusals_told(self) -> list[str]:
        """Return sentences on rows that were not taken, by source."""
        return [f"{name}: {told}" for name, part in self.parts.items() for told in part.refusals_told()]


def source_told(spec: Mapping[str, Any]) -> str:
    """Return a source in a few words: its kind, and its file or name where it has one."""
    named = spec.get("path") or spec.get("name")
    return f"{spec['kind']} {Path(str(named)).name}" if named else str(spec["kind"])
