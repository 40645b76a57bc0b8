"""Two measurements of one reaction: a quick chromatogram of the crude mixture, and the yield, for which the product is
isolated. Nothing is measured: both follow from the simulated reaction of simulated_yield.py.

Under the product's peak of the chromatogram lies a quarter of the by-product, so that it tells too much where the
product is lost again.
"""

from simulated_yield import by_product, measure, read, simulated

__all__ = ["crude", "measure"]


def crude(conditions: list) -> list[float]:
    """Return the yields that the chromatogram of the crude mixture shows, in per cent, for a list of conditions."""
    return [simulated(**read(one)) + by_product(**read(one)) / 4 for one in conditions]
