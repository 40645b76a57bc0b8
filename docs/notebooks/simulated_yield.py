"""The yield of a simulated reaction. Nothing is measured: put a function of your own in its place.

It is best, 90 per cent, at 70 C with 1.8 equivalents in ethanol.
"""

SOLVENTS = {"water": 0.6, "ethanol": 1.0, "toluene": 0.8}


def measure(conditions: list[dict]) -> list[float]:
    """Return the yields, in per cent, of conditions: `{"temperature": 70.0, "ratio": 1.8, "solvent": "ethanol"}`."""
    return [simulated(**one) for one in conditions]


def simulated(temperature: float, ratio: float, solvent: str) -> float:
    """Return the yield in per cent; in C and equivalents."""
    apart = ((temperature - 70) / 30) ** 2 + (ratio - 1.8) ** 2
    return 90 * SOLVENTS[solvent] / (1 + apart)
