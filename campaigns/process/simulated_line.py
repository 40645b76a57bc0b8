"""The quality of what a simulated line of thirty stations makes. Nothing is measured: put a function of your own here.

Each station has two settings between 0 and 1, its heat `h07` and its dwell `d07`; it does its share best near one pair
of both, worse around it, and the stations do not act on each other:

    quality = 100 sum_k w_k exp(-((h_k - a_k)^2 + (d_k - b_k)^2) / (2 * 0.3^2)) / sum_k w_k

in per cent, with a_k = 0.5 + 0.4 sin(k), b_k = 0.5 + 0.4 cos(2 k) and w_k = 1 + 0.5 sin(3 k), k from 1 to 30. The best
quality is 100, where every station has its own best pair. There is no noise.
"""

import math

STATIONS = range(1, 31)


def measure(settings: list) -> list[float]:
    """Return the qualities, in per cent, of a list of settings by name."""
    return [quality(read(one)) for one in settings]


def read(one: dict | str) -> dict:
    """Return settings by name; a text is `h01=0.5, d01=0.25, ...`."""
    if not isinstance(one, str):
        return one
    return {name: float(value) for name, value in (part.split("=") for part in one.split(", "))}


def quality(settings: dict) -> float:
    """Return the quality in per cent."""
    done, weights = 0.0, 0.0
    for k in STATIONS:
        weight = 1 + 0.5 * math.sin(3 * k)
        heat = float(settings[f"h{k:02d}"]) - 0.5 - 0.4 * math.sin(k)
        dwell = float(settings[f"d{k:02d}"]) - 0.5 - 0.4 * math.cos(2 * k)
        done += weight * math.exp(-(heat**2 + dwell**2) / (2 * 0.3**2))
        weights += weight
    return 100 * done / weights
