"""Numbers about elements: place in the periodic table, electronegativity, usual oxidation states."""

from __future__ import annotations

from bisect import bisect_left

from data.chemistry.elements import SYMBOLS

NOBLE = (2, 10, 18, 36, 54, 86, 118)
"""Atomic numbers at which periods end."""

_PAULING = """
H 2.20 Li 0.98 Be 1.57 B 2.04 C 2.55 N 3.04 O 3.44 F 3.98 Na 0.93 Mg 1.31 Al 1.61 Si 1.90 P 2.19 S 2.58 Cl 3.16
K 0.82 Ca 1.00 Sc 1.36 Ti 1.54 V 1.63 Cr 1.66 Mn 1.55 Fe 1.83 Co 1.88 Ni 1.91 Cu 1.90 Zn 1.65 Ga 1.81 Ge 2.01 As 2.18
Se 2.55 Br 2.96 Rb 0.82 Sr 0.95 Y 1.22 Zr 1.33 Nb 1.6 Mo 2.16 Ru 2.2 Rh 2.28 Pd 2.20 Ag 1.93 Cd 1.69 In 1.78 Sn 1.96
Sb 2.05 Te 2.1 I 2.66 Cs 0.79 Ba 0.89 La 1.10 Ce 1.12 Pr 1.13 Nd 1.14 Sm 1.17 Gd 1.20 Dy 1.22 Ho 1.23 Er 1.24 Tm 1.25
Lu 1.27 Hf 1.3 Ta 1.5 W 2.36 Re 1.9 Os 2.2 Ir 2.20 Pt 2.28 Au 2.54 Hg 2.00 Tl 1.62 Pb 2.33 Bi 2.02 Th 1.3 U 1.38
"""
_STATES = """
H +1 Li +1 Be +2 B +3 C -4,+2,+4 N -3,+3,+5 O -2 F -1 Na +1 Mg +2 Al +3 Si -4,+4 P -3,+3,+5 S -2,+4,+6 Cl -1 K +1 Ca +2
Sc +3 Ti +2,+3,+4 V +2,+3,+4,+5 Cr +2,+3,+6 Mn +2,+3,+4,+7 Fe +2,+3 Co +2,+3 Ni +2,+3 Cu +1,+2 Zn +2 Ga +3 Ge +2,+4
As -3,+3,+5 Se -2,+4,+6 Br -1 Rb +1 Sr +2 Y +3 Zr +4 Nb +3,+5 Mo +4,+6 Ru +3,+4 Rh +3 Pd +2,+4 Ag +1 Cd +2 In +3
Sn +2,+4 Sb -3,+3,+5 Te -2,+4,+6 I -1 Cs +1 Ba +2 La +3 Ce +3,+4 Pr +3 Nd +3 Sm +3 Gd +3 Dy +3 Ho +3 Er +3 Tm +3 Lu +3
Hf +4 Ta +5 W +4,+6 Re +4,+7 Os +4 Ir +3,+4 Pt +2,+4 Au +1,+3 Hg +1,+2 Tl +1,+3 Pb +2,+4 Bi +3 Th +4 U +4,+6
"""


def _pairs(table: str) -> list[tuple[str, str]]:
    words = table.split()
    return list(zip(words[::2], words[1::2], strict=True))


ELECTRONEGATIVITY = {symbol: float(value) for symbol, value in _pairs(_PAULING)}
"""On Pauling's scale, of the elements that have one and form solids. Source: CRC Handbook of Chemistry and Physics,
section 9 (revised values of Allred, 1961)."""

OXIDATION_STATES = {symbol: tuple(map(int, states.split(","))) for symbol, states in _pairs(_STATES)}
"""Usual in solids. Source: Greenwood and Earnshaw, Chemistry of the Elements, 2nd edition (1997)."""


def atomic_number(symbol: str) -> int:
    """Return the atomic number."""
    return SYMBOLS.index(symbol) + 1


def period(symbol: str) -> int:
    """Return the row of the periodic table, 1 to 7."""
    return bisect_left(NOBLE, atomic_number(symbol)) + 1


def group(symbol: str) -> int:
    """Return the column of the periodic table, 1 to 18; lanthanides and actinides count as of group 3."""
    number, row = atomic_number(symbol), period(symbol)
    place = number - (0, *NOBLE)[row - 1]
    last = NOBLE[row - 1] - (0, *NOBLE)[row - 1]
    if place <= (1 if row == 1 else 2):
        return place
    return max(3, 18 - (last - place))
