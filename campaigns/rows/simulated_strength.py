"""The yield strength of made-up aluminium alloys. Nothing is measured: put your own function in its place.

A row comes as a dictionary of its described cells, None where one is missing. Mg2Si, Al2Cu and MgZn2 precipitate as far
as their elements allow; ageing brings strength up to a peak that the temper sets, and less beyond it. No noise.
"""

import math

PEAK = {"T4": 60.0, "T5": 18.0, "T6": 10.0, "T7": 5.0}  # hours


def measure(rows: list[dict]) -> list[float]:
    """Return the strengths in MPa."""
    return [strength(**{name: cell for name, cell in row.items() if name != "alloy"}) for row in rows]


def strength(Si: float, Cu: float, Mg: float, Zn: float, temper: str, ageing_h: float | None) -> float:
    """Return the strength in MPa; contents in per cent by weight, ageing in hours (12 where it is not known)."""
    hours = 12.0 if ageing_h is None else ageing_h
    mg2si = min(Si / 0.366, Mg / 0.634)
    mgzn2 = min(Zn / 0.843, max(Mg - 0.634 * mg2si, 0) / 0.157)
    phases = 75 * math.sqrt(mg2si) + 45 * math.sqrt(Cu) + 110 * math.sqrt(mgzn2)
    ripe = (hours / PEAK[temper]) * math.exp(1 - hours / PEAK[temper])
    return 40 + 12 * Mg + phases * (0.45 + 0.55 * ripe)
