"""The activity of an enzyme in a simulated plate assay. Nothing is measured: put a function of your own in its place.

Activity is a bell over pH (optimum 7.4, deviation 0.9) and over temperature (optimum 37 C, deviation 7), falls with
salt (half at 350 mM) and is raised by a cofactor that saturates (half at 0.4 mM); 100 per cent at most. A well has
noise of three per cent, and one well in twenty fails: bubbles, or a pipette that missed, give anything between 0 and
100. What a well does is drawn from a hash of its conditions, so that the same conditions give the same value.

The best true activity within the ranges of campaign.yaml is 83.3 per cent, at pH 7.4, 37 C, no salt and 2 mM.
"""

import hashlib
import math
import random


def measure(conditions: list) -> list[float]:
    """Return the activities of a list of conditions, in per cent, as a reader would show them."""
    return [well(**read(one)) for one in conditions]


def read(one: dict | str) -> dict:
    """Return conditions by name; a text is `ph=7.4, temperature=37, ...`."""
    cells = one.items() if isinstance(one, dict) else (cell.split("=") for cell in one.split(", "))
    return {name: float(cell) for name, cell in cells}


def activity(ph: float, temperature: float, salt: float, cofactor: float) -> float:
    """Return the true activity in per cent; C and mM."""
    bells = math.exp(-0.5 * ((ph - 7.4) / 0.9) ** 2 - 0.5 * ((temperature - 37) / 7) ** 2)
    return 100 * bells / (1 + salt / 350) * cofactor / (cofactor + 0.4)


def well(**conditions: float) -> float:
    """Return what the reader shows: noise, and one in twenty failed."""
    text = ", ".join(f"{name}={value:.6g}" for name, value in sorted(conditions.items()))
    draw = random.Random(hashlib.sha256(text.encode()).digest())
    if draw.random() < 0.05:
        return 100 * draw.random()
    return activity(**conditions) + draw.gauss(0, 3)


if __name__ == "__main__":
    print(f"{activity(7.4, 37, 0, 2):.1f} % at pH 7.4, 37 C, no salt, 2 mM of cofactor")
