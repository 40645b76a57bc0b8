"""The yield of a simulated reaction, and its by-product. Nothing is measured: put a function of your own in its place.

A substrate A and a reagent B in excess (`ratio` equivalents) give the product P, which is lost again, by heat and by
the excess of B:

    A -> P   k1 = s1 exp(-62 kJ/mol / R (1/T - 1/T0)) ratio
    P -> S   k2 = s2 exp(-95 kJ/mol / R (1/T - 1/T0)) + s3 exp(-80 kJ/mol / R (1/T - 1/T0)) (ratio - 1)^2

with T0 = 70 C and s1, s2, s3 of each solvent. Both steps are of first order, so the yield after a time t is
k1 / (k1 - k2) (exp(-k2 t) - exp(-k1 t)), and what is neither A nor P is the by-product S. The numbers are made up;
there is no noise.

Within the ranges of campaign.yaml the best yield is 88.22 per cent, in ethanol at 63 C with 1.38 equivalents after
180 min; with at most three per cent of S it is 82.45 per cent, in ethanol at 57 C with 1.26 equivalents after 180 min
(brute force: `python simulated_yield.py`).
"""

import math

GAS = 8.314e-3  # kJ / (mol K)
SOLVENTS = {  # s1, s2, s3 in 1/min at 70 C
    "water": (0.012, 0.0040, 0.0010),
    "ethanol": (0.020, 0.0010, 0.0016),
    "toluene": (0.007, 0.0006, 0.0004),
    "dmf": (0.045, 0.0060, 0.0040),
}


def measure(conditions: list) -> list[float]:
    """Return the yields, in per cent, of a list of conditions."""
    return [simulated(**read(one)) for one in conditions]


def duration(conditions: list) -> list[float]:
    """Return how long the reactions take, in minutes."""
    return [float(read(one)["time"]) for one in conditions]


def measure_both(conditions: list) -> list[dict[str, float]]:
    """Return yields and by-products, in per cent: two values of one experiment."""
    return [{"yield": simulated(**read(one)), "impurity": by_product(**read(one))} for one in conditions]


def read(one: dict | str) -> dict:
    """Return conditions by name; a text is `temperature=80, ratio=1.5, ...`."""
    if not isinstance(one, str):
        return one
    cells = dict(part.split("=") for part in one.split(", "))
    return {name: cell if name == "solvent" else float(cell) for name, cell in cells.items()}


def rates(temperature: float, ratio: float, solvent: str) -> tuple[float, float]:
    """Return k1 and k2 in 1/min."""
    inverse = (1 / (temperature + 273.15) - 1 / 343.15) / GAS
    s1, s2, s3 = SOLVENTS[solvent]
    k1 = s1 * math.exp(-62 * inverse) * ratio
    return k1, s2 * math.exp(-95 * inverse) + s3 * math.exp(-80 * inverse) * (ratio - 1) ** 2


def by_product(temperature: float, ratio: float, time: float, solvent: str) -> float:
    """Return what is neither substrate nor product, in per cent; in C, equivalents and minutes."""
    k1, _ = rates(temperature, ratio, solvent)
    return max(0.0, 100 * -math.expm1(-k1 * time) - simulated(temperature, ratio, time, solvent))


def simulated(temperature: float, ratio: float, time: float, solvent: str) -> float:
    """Return the yield in per cent; in C, equivalents and minutes."""
    k1, k2 = rates(temperature, ratio, solvent)
    apart = (k1 - k2) * time
    # (exp(-k2 t) - exp(-k1 t)) / (k1 - k2), also where both are equal
    return 100 * k1 * time * math.exp(-k2 * time) * (1 if abs(apart) < 1e-9 else -math.expm1(-apart) / apart)


if __name__ == "__main__":
    grid = [
        (t, r / 50, minutes, solvent)
        for t in range(20, 121)
        for r in range(50, 251)
        for minutes in range(5, 181, 5)
        for solvent in SOLVENTS
    ]
    for limit in (100, 3):
        best = max((one for one in grid if by_product(*one) <= limit), key=lambda one: simulated(*one))
        print(f"at most {limit} % by-product: {simulated(*best):.2f} % at", best)
