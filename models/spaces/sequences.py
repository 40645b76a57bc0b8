"""Sequences of letters: DNA, RNA, peptides, or an alphabet of one's own, of bounded length."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from data.objects import NotStandardError
from data.tables.fasta import FASTA
from data.yaml_text import shown
from models.registry import Component
from models.spaces.base import BaseSpace, Exporter, Fact
from models.spaces.sequence_drawing import drawn_sequence
from models.spaces.sequence_draws import drawn_sequences
from models.spaces.sequence_edits import SequenceEdits
from models.spaces.sequence_files import as_fasta

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
ALPHABETS: Mapping[str, str] = {
    "dna": "ACGT",
    "rna": "ACGU",
    "peptides": AMINO_ACIDS,
    "peptide": AMINO_ACIDS,
    "protein": AMINO_ACIDS,
    "proteins": AMINO_ACIDS,
}
"""Name -> letters."""
_NOUNS = {"ACGT": "DNA ", "ACGU": "RNA ", AMINO_ACIDS: "peptide "}
_MOST_K_MERS = 4096
_LONGEST_K_MER = 4


class Sequences(BaseSpace["Sequences.Options"]):
    """Sequences of letters of an alphabet, within lengths, and as a pattern allows.

    Where the alphabet has upper-case letters only, `acgt` is read as `ACGT`, and the other way round; in an alphabet
    with both they are different letters. Nearness of sequences of one length is the share of places with equal letters
    (place 3 of a binding site means the same in each); of several lengths it is the share of common words of up to k
    letters, since one insertion would put all letters behind it out of place.
    """

    kind = "sequences"
    nouns = ("sequence", "sequences")
    column = "sequence"
    text_name = "Sequence"
    construction = {"kind": "letters"}
    files = {"fasta": FASTA}

    class Options(Component.Options):
        """Alphabet, lengths and pattern."""

        alphabet: str = Field(description="letters such as ABCD, or a name: dna, rna, peptides (protein)")
        length: int | None = Field(default=None, ge=1, le=10_000, description="letters of every sequence")
        min_length: int | None = Field(default=None, ge=1, description="fewest letters; null: 1")
        max_length: int | None = Field(default=None, ge=1, le=10_000, description="most letters")
        pattern: str | None = Field(
            default=None, min_length=1, description="regular expression that a whole sequence matches; null: any does"
        )

        @field_validator("alphabet")
        @classmethod
        def _is_alphabet(cls, alphabet: str) -> str:
            if alphabet.lower() in ALPHABETS:
                return alphabet
            close = get_close_matches(alphabet.lower(), ALPHABETS, n=1, cutoff=0.75)
            near = f" Did you mean {close[0]!r}?" if close else ""
            if len(alphabet) < 2:
                raise ValueError(f"an alphabet has two letters or more, or is one of {', '.join(ALPHABETS)}")
            twice = next((letter for letter in alphabet if alphabet.count(letter) > 1), None)
            if twice is not None:
                raise ValueError(f"the letter {shown(twice)} stands twice in the alphabet; give each once.{near}")
            odd = next((letter for letter in alphabet if not letter.isprintable() or letter.isspace()), None)
            if odd is not None:
                raise ValueError(f"the alphabet has {odd!r}; letters can be seen and are no blanks")
            if near:
                raise ValueError(
                    f"the alphabet is nearly a name; it is not clear which is meant.{near} If its letters are, give "
                    "them in another order"
                )
            return alphabet

        @field_validator("pattern")
        @classmethod
        def _is_pattern(cls, pattern: str | None) -> str | None:
            try:
                re.compile(pattern or "")
            except (re.error, RecursionError, OverflowError) as error:
                raise ValueError(
                    f"the pattern is no regular expression ({error}); expected such as C[A-Z]{{4,8}}C"
                ) from error
            return pattern

        @model_validator(mode="after")
        def _ordered(self) -> Self:
            if self.length is not None and (self.min_length is not None or self.max_length is not None):
                raise ValueError("`length` fixes the length; give it, or `min_length` and `max_length`, not both")
            if self.length is None and self.max_length is None:
                raise ValueError("how long the sequences are is not said; give `length`, or `max_length`")
            if self.max_length is not None and (self.min_length or 1) > self.max_length:
                raise ValueError(f"min_length ({self.min_length}) is above max_length ({self.max_length})")
            return self

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        made = self.options
        self.letters: str = ALPHABETS.get(made.alphabet.lower(), made.alphabet)
        """The alphabet, letter by letter."""
        self.min_length: int = made.length or made.min_length or 1
        self.max_length: int = made.length or made.max_length or 1
        within = "[" + "".join(map(re.escape, self.letters)) + "]"
        self._letters_only = re.compile(f"{within}+")
        self._in_bounds = re.compile(f"{within}{{{self.min_length},{self.max_length}}}")
        self._pattern = None if made.pattern is None else re.compile(made.pattern)
        self._fold = _other_case(self.letters)

    @property
    def features(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """One column per place and letter."""
        return {"kind": "one_hot", "alphabet": self.letters, "length": self.max_length}

    @property
    def neighbours(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """Letters by place where all sequences have one length, else words of up to k letters."""
        if self.min_length == self.max_length:
            return {**self.features, "counted": True}
        return {"kind": "k_mers", "alphabet": self.letters, "k": self._k}

    @property
    def likeness(self) -> str:  # type: ignore[override]  # it depends on the options
        """What nearness is called."""
        if self.min_length == self.max_length:
            return "min-max similarity of letters by place"
        return f"min-max similarity of words of 1 to {self._k} letters"

    @property
    def facts(self) -> Mapping[str, Fact]:  # type: ignore[override]  # they depend on the options
        """Length, and of nucleic acids the share of G and C."""
        facts = {"length": Fact("Length", digits=0)} if self.min_length < self.max_length else {}
        if self._nucleic:
            facts["gc"] = Fact("GC", note="GC: share of the letters G and C.")
        return facts

    @property
    def exports(self) -> Mapping[str, Exporter]:  # type: ignore[override]  # a method of an object elsewhere
        """FASTA."""
        return {"fasta": as_fasta}

    @property
    def _nucleic(self) -> bool:
        return set(self.letters) in (set("ACGT"), set("ACGU"))

    @property
    def _k(self) -> int:
        fitting = [k for k in range(1, _LONGEST_K_MER + 1) if len(self.letters) ** k <= _MOST_K_MERS]
        return max(fitting, default=1)

    def told(self) -> str:
        """Return what is in the space, in a few words for people."""
        lengths = f"{self.min_length} to {self.max_length}" if self.min_length < self.max_length else self.max_length
        letters = "letter" if lengths == 1 else "letters"
        matching = "" if self._pattern is None else f" that match {self._pattern.pattern}"
        return f"{_NOUNS.get(self.letters, '')}sequences of {lengths} {letters} of {self.letters}{matching}"

    def glance(self, text: str) -> str | None:
        """Return whether a text is longer than any sequence, blanks at its ends left out."""
        return self._too_long(len(text.strip())) if len(text) > self.max_length else None

    def standard(self, text: str) -> str:
        """Return the letters, in the alphabet's case, without blanks at their ends.

        Raises:
            NotStandardError: there is no letter, or a foreign one; the phrase names it and its place.
        """
        if self._letters_only.fullmatch(text):
            return text
        sequence = text.strip().translate(self._fold)
        if not sequence:
            raise NotStandardError("no sequence in this row")
        foreign = self._foreign(sequence)
        if foreign is not None:
            raise NotStandardError(foreign)
        return sequence

    def outside(self, obj: str) -> str | None:
        """Return why a sequence is outside, a phrase: a foreign letter and its place, the length, or the pattern."""
        if not self._in_bounds.fullmatch(obj):
            n = len(obj)
            if n < self.min_length:
                return f"{n} {_letters(n)}, fewer than {self.min_length}"
            return self._foreign(obj) or self._too_long(n)
        if self._pattern is not None and not self._pattern.fullmatch(obj):
            return f"no match of the pattern {shown(self._pattern.pattern)}"
        return None

    def _foreign(self, sequence: str) -> str | None:
        place = next((place for place, letter in enumerate(sequence, start=1) if letter not in self.letters), None)
        return None if place is None else f"the letter {sequence[place - 1]!r} at place {place}, none of {self.letters}"

    def _too_long(self, n: int) -> str | None:
        return f"{n} {_letters(n)}, more than {self.max_length}" if n > self.max_length else None

    def random(self, n: int, seed: int) -> Sequence[str]:
        """Return up to n distinct sequences, uniform over all of the space: long ones are many, short ones few.

        With a pattern, uniform ones that do not match are thrown away; what is lacking after `sequence_draws.TRIES` of
        them is made by mutation of those that match, and is not uniform.

        Raises:
            ComponentError: not one was found that matches the pattern.
        """
        return self._drawn(n, seed, by_length=False)

    def design(self, n: int, seed: int) -> Sequence[str]:
        """Return up to n distinct sequences, their lengths uniform between the bounds, so that short ones are seen too.

        Raises:
            ComponentError: as `random`.
        """
        return self._drawn(n, seed, by_length=True)

    def _drawn(self, n: int, seed: int, by_length: bool) -> list[str]:
        lengths = (self.min_length, self.max_length)
        return drawn_sequences(self.letters, lengths, n, seed, by_length, self._pattern, self.variation(()))

    def variation(self, sample: Sequence[str]) -> SequenceEdits:
        """Return point mutation, insertion, deletion and two-point crossover; nothing is learnt of the sample."""
        return SequenceEdits(self.letters, self.min_length, self.max_length, self._pattern)

    def facts_of(self, obj: str) -> dict[str, float]:
        """Return the length, and of nucleic acids the share of G and C."""
        facts = {"length": float(len(obj))} if self.min_length < self.max_length else {}
        if self._nucleic and obj:
            facts["gc"] = (obj.count("G") + obj.count("C")) / len(obj)
        return facts

    def draw(self, obj: str) -> str | None:
        """Return the letters on their colours, as an inline SVG; None for a sequence too long to be looked at."""
        return drawn_sequence(obj, self.letters, amino_acids=self.letters == AMINO_ACIDS)


def _letters(n: int) -> str:
    return "letter" if n == 1 else "letters"


def _other_case(letters: str) -> dict[int, str]:
    """Return the other case of each letter -> the letter, for an alphabet that has one case only."""
    if any(letter.islower() for letter in letters) and any(letter.isupper() for letter in letters):
        return {}
    pairs = {letter.swapcase(): letter for letter in letters if letter.swapcase() != letter}
    return {ord(other): letter for other, letter in pairs.items() if len(other) == 1}
