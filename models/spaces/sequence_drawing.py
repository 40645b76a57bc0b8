"""Sequences as coloured letters."""

from __future__ import annotations

from html import escape

_LONGEST = 150
"""Letters; a longer sequence is read as text."""
_PER_LINE = 15
_WIDE, _HIGH = 12, 18

_NUCLEOTIDES = {"A": "#2e9d4f", "C": "#2f6fdb", "G": "#e0a100", "T": "#d6402f", "U": "#d6402f"}
"""The colours of sequencing traces and logos, G's black made orange so that it shows on dark pages too."""
_AMINO_ACIDS = {
    **dict.fromkeys("KRH", "#2f6fdb"),
    **dict.fromkeys("DE", "#d6402f"),
    **dict.fromkeys("STNQ", "#2e9d4f"),
    **dict.fromkeys("AVLIM", "#8a8f98"),
    **dict.fromkeys("FWY", "#9b59d0"),
    **dict.fromkeys("GP", "#e0a100"),
    "C": "#c9c000",
}
"""Basic, acidic, polar, aliphatic, aromatic, bends, cysteine."""


def drawn_sequence(sequence: str, letters: str, *, amino_acids: bool) -> str | None:
    """Return an inline SVG of the letters on tiles of their colours; None for a long sequence.

    Tiles are half transparent and letters have the colour of the text around, so that it shows on light and dark.
    """
    if not 0 < len(sequence) <= _LONGEST:
        return None
    colours = _colours(letters, amino_acids)
    parts = []
    for place, letter in enumerate(sequence):
        x, y = place % _PER_LINE * _WIDE, place // _PER_LINE * _HIGH
        tile = (
            f'<rect x="{x + 0.5}" y="{y + 1}" width="{_WIDE - 1}" height="{_HIGH - 2}" rx="2" fill="{colours[letter]}"'
        )
        parts.append(f'{tile} fill-opacity="0.4"/><text x="{x + _WIDE / 2}" y="{y + 13}">{escape(letter)}</text>')
    lines = -(-len(sequence) // _PER_LINE)
    return (
        f'<svg class="mol" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_PER_LINE * _WIDE} {lines * _HIGH}" '
        f'role="img" aria-label="{escape(sequence)}" font-family="monospace" font-size="11" text-anchor="middle" '
        f'fill="currentColor">{"".join(parts)}</svg>'
    )


def _colours(letters: str, amino_acids: bool) -> dict[str, str]:
    if amino_acids:
        return _AMINO_ACIDS
    if set(letters) <= set(_NUCLEOTIDES):
        return _NUCLEOTIDES
    return {letter: f"hsl({360 * at // len(letters)} 60% 50%)" for at, letter in enumerate(letters)}
