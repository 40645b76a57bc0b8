"""A simulated assay: how strongly a short peptide would bind to a bacterial membrane. No value of it was measured.

The score has three parts, all from the sequence alone:

* hydropathy: the mean on the scale of Kyte and Doolittle (J. Mol. Biol. 1982, 157, 105), best at 0.5: a peptide that is
  too greasy precipitates, one that is too polar stays in water;
* charge: K and R against D and E, best at +4;
* an interaction: each K or R beside a W, F or Y counts 0.4, as a cation by a ring.

Replace `measure` by your own assay, or by a file that a colleague fills in.
"""

from itertools import pairwise

HYDROPATHY = {
    "A": 1.8, "R": -4.5, "N": -3.5, "D": -3.5, "C": 2.5, "Q": -3.5, "E": -3.5, "G": -0.4, "H": -3.2, "I": 4.5,
    "L": 3.8, "K": -3.9, "M": 1.9, "F": 2.8, "P": -1.6, "S": -0.8, "T": -0.7, "W": -0.9, "Y": -1.3, "V": 4.2,
}  # fmt: skip


def affinity(peptide: str) -> float:
    """Return the simulated affinity of one peptide, without a unit."""
    hydropathy = sum(HYDROPATHY[letter] for letter in peptide) / len(peptide)
    charge = sum(letter in "KR" for letter in peptide) - sum(letter in "DE" for letter in peptide)
    beside = pairwise(peptide)
    pairs = sum((one in "KR" and other in "WFY") or (one in "WFY" and other in "KR") for one, other in beside)
    return 0.4 * pairs - 0.3 * abs(hydropathy - 0.5) - 0.1 * (charge - 4) ** 2


def measure(peptides: list[str]) -> list[float]:
    """Return one value per peptide."""
    return [round(affinity(peptide), 3) for peptide in peptides]
