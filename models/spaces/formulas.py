"""Chemical formulas as counts of elements, and back in one form; charges that may balance."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from rdkit.Chem import GetPeriodicTable

from data.chemistry.element_properties import ELECTRONEGATIVITY, atomic_number, group, period
from data.chemistry.elements import SYMBOLS
from data.objects import NotStandardError
from data.yaml_text import shown

_TOKEN = re.compile(r"([A-Z][a-z]?)([0-9]*)|(\()|\)([0-9]*)")
_PART = re.compile(r"([0-9]*)(.+)")
_DECIMAL = re.compile(r"[0-9][.,][0-9]")
_LONGEST = 200
_MOST = 100_000
_SYMBOLS = frozenset(SYMBOLS)


def counts_of(text: str) -> dict[str, int]:
    """Return the counts of the elements, divided by what they share: `Ca(OH)2`, `CuSO4·5H2O`, `Fe4O6`.

    Raises:
        NotStandardError: the text is no formula; a phrase says why.
    """
    plain = text.strip().translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉[]*•", "0123456789()··"))
    if not plain:
        raise NotStandardError("no formula in this row")
    if len(plain) > _LONGEST:
        raise NotStandardError(f"a formula of more than {_LONGEST} characters")
    if _DECIMAL.search(plain):
        raise NotStandardError(f"{shown(text)} has counts that are no whole numbers")
    total = Counter[str]()
    for part in plain.split("·"):
        told = _PART.fullmatch(part)
        if told is None:
            raise NotStandardError(f"{shown(text)} is no formula such as Fe2O3")
        times = _number(told[1])
        for symbol, count in _counted(told[2], text).items():
            total[symbol] += times * count
    if not total or max(total.values()) > _MOST:
        raise NotStandardError(f"{shown(text)} has more atoms of one element than a formula has")
    shared = math.gcd(*total.values())
    return {symbol: count // shared for symbol, count in total.items()}


def _counted(part: str, text: str) -> Counter[str]:
    open_groups, at = [Counter[str]()], 0
    while at < len(part):
        token = _TOKEN.match(part, at)
        if token is None:
            raise NotStandardError(f"{shown(text)} is no formula: {shown(part[at:])} cannot be read")
        at = token.end()
        if token[1]:
            if token[1] not in _SYMBOLS:
                raise NotStandardError(f"{token[1]} in {shown(text)} is no symbol of an element")
            open_groups[-1][token[1]] += _number(token[2])
        elif token[3]:
            open_groups.append(Counter())
        else:
            if len(open_groups) == 1:
                raise NotStandardError(f"a parenthesis in {shown(text)} is closed and was not opened")
            group, times = open_groups.pop(), _number(token[4])
            for symbol, count in group.items():
                open_groups[-1][symbol] += times * count
    if len(open_groups) > 1:
        raise NotStandardError(f"a parenthesis in {shown(text)} is not closed")
    return open_groups[0]


def _number(digits: str) -> int:
    if len(digits) > 6 or (digits and int(digits) == 0):
        raise NotStandardError(f"a count of {digits[:8]} atoms")
    return int(digits or 1)


def formula(counts: Mapping[str, int]) -> str:
    """Return the reduced formula, the least electronegative element first, such as Fe2O3 or CaH2O2."""
    shared = math.gcd(*counts.values())
    order = sorted(counts, key=lambda symbol: (ELECTRONEGATIVITY.get(symbol, 0.0), symbol))
    return "".join(f"{symbol}{counts[symbol] // shared if counts[symbol] > shared else ''}" for symbol in order)


def imbalance(counts: Mapping[str, int], states: Mapping[str, Sequence[int]]) -> int:
    """Return the charge nearest to zero that the oxidation states allow; atoms of one element may differ (Fe3O4)."""
    totals = {0}
    for symbol, count in counts.items():
        mine = {0}
        for _ in range(count):
            mine = {total + state for total in mine for state in states[symbol]}
        totals = {total + more for total in totals for more in mine}
    return min(totals, key=lambda total: (abs(total), total))


def properties(symbol: str) -> tuple[float, ...]:
    """Return atomic number, group, period, atomic mass and Pauling electronegativity of an element."""
    mass = float(GetPeriodicTable().GetAtomicWeight(symbol))
    return atomic_number(symbol), group(symbol), period(symbol), mass, ELECTRONEGATIVITY[symbol]
