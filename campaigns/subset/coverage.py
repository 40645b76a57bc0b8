"""How much of what lives in a landscape a choice of monitoring sites would see: weights of species, less the cost."""

import csv
from pathlib import Path

HERE = Path(__file__).parent
COST = 0.8
"""Of a site, in the unit of the weights."""

SEEN: dict[str, set[str]] = {}
WEIGHTS: dict[str, float] = {}
with (HERE / "sightings.csv").open(newline="") as file:
    for row in csv.DictReader(file):
        SEEN.setdefault(row["site"], set()).add(row["species"])
        WEIGHTS[row["species"]] = float(row["weight"])


def measure(choices: list[list[str]]) -> list[float]:
    """Return, per list of sites, the weights of the species seen at one or more of them, less the cost of the sites."""
    out = []
    for sites in choices:
        seen = set().union(*(SEEN.get(site, set()) for site in sites))
        out.append(round(sum(WEIGHTS[species] for species in seen) - COST * len(sites), 3))
    return out
