"""A made-up plant of six quantities that act on each other. Nothing is measured: put your own experiment in its place.

    feed -> temperature, coolant -> temperature, temperature -> pressure, temperature -> rate, pressure -> rate,
    rate -> purity

Each quantity is a sum of what acts on it and of a deviation of its own. Whoever sets one cuts off what acts on it.
`python simulated_plant.py` writes observed.csv, 40 rows in which nothing is set.
"""

import random
import zlib

ORDER = ("feed", "coolant", "temperature", "pressure", "rate", "purity")
MIDDLE = {"feed": 12.0, "coolant": 30.0, "temperature": 80.0, "pressure": 5.0, "rate": 2.0, "purity": 96.0}
DEVIATION = {"feed": 1.0, "coolant": 3.0, "temperature": 1.5, "pressure": 0.2, "rate": 0.15, "purity": 0.4}
ACTS = {
    ("feed", "temperature"): 1.8,
    ("coolant", "temperature"): -0.7,
    ("temperature", "pressure"): 0.12,
    ("temperature", "rate"): 0.06,
    ("pressure", "rate"): -0.4,
    ("rate", "purity"): -1.6,
}


def row(settings: dict, chance: random.Random) -> dict[str, float]:
    """Return all quantities with some of them set."""
    found: dict[str, float] = {}
    for name in ORDER:
        acting = (by * (found[cause] - MIDDLE[cause]) for (cause, target), by in ACTS.items() if target == name)
        free = MIDDLE[name] + sum(acting) + chance.gauss(0.0, DEVIATION[name])
        found[name] = settings.get(name, free)
    return {name: round(value, 3) for name, value in found.items()}


def measure(experiments: list[dict]) -> list[dict[str, float]]:
    """Return a row of all quantities for each experiment: what it sets, and the number of its run."""
    return [row(one, random.Random(zlib.crc32(repr(sorted(one.items())).encode()))) for one in experiments]


if __name__ == "__main__":
    chance = random.Random(7)
    rows = [row({}, chance) for _ in range(40)]
    with open("observed.csv", "w", encoding="utf-8") as file:
        file.write(",".join(ORDER) + "\n")
        file.writelines(",".join(str(one[name]) for name in ORDER) + "\n" for one in rows)
