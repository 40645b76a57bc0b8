"""How sharply a circuit of genes answers a signal, by its wiring: a simulation, no measurement.

Genes of a circuit act on each other along the edges. A gene is made in proportion to a Hill function of what activates
it, and the less the more there is of what represses it; the reporter is read with the signal off and on.
"""

import math

REPRESSES = {"repressor"}
STRENGTH = {"signal": 0.2, "amplifier": 1.5, "helper": 0.8}
"""With which one acts on another."""
PRICE = 0.1
"""Of an edge, in doublings: every promoter has to be built."""


def levels(edges: list[list[str]], signal: float) -> dict[str, float]:
    """Return the level of each gene that the reporter depends on, the signal's given; between 0 and 1."""
    found = {"signal": signal}

    def level(gene: str) -> float:
        if gene not in found:
            acting = [(source, level(source) * STRENGTH.get(source, 1.0)) for source, target in edges if target == gene]
            drive = sum(value for source, value in acting if source not in REPRESSES)
            brake = sum(value for source, value in acting if source in REPRESSES)
            made = drive**2 / (0.16 + drive**2) / (1.0 + (brake / 0.2) ** 2)
            basal = 0.7 if gene in REPRESSES and not acting else 0.01
            found[gene] = min(1.0, basal + made)
        return found[gene]

    level("reporter")
    return found


def measure(wirings: list[list[list[str]]]) -> list[float]:
    """Return, per list of edges, the doublings of the reporter when the signal comes, less the price of the edges."""
    out = []
    for edges in wirings:
        off, on = (levels(edges, signal)["reporter"] for signal in (0.1, 0.9))
        out.append(round(math.log2(on / off) - PRICE * len(edges), 3))
    return out
