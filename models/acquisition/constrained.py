"""Any acquisition under limits: what may break one counts for less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from data.records import FloatArray, Prediction
from models.acquisition.base import Wrapper
from models.acquisition.measured import centre_and_spread, certain_scores, narrowed, whole
from models.protocols import Scoring
from models.registry import Component
from models.tails import log_probability


class LimitedOptions(Component.Options):
    """Base of options of acquisitions that once had limits of their own."""

    @model_validator(mode="before")
    @classmethod
    def _limits_are_with_the_objectives(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping) and "constraints" in raw:
            raise ValueError(
                "`constraints` are written with the objectives now: move each at_least and at_most to the objective "
                "that it is of, with the goal satisfy where nothing else is wanted of it, and leave out `constraints`"
            )
        return raw


class Constrained(Wrapper):
    """An acquisition, and the probability that all limits are kept to; objectives are independent.

    A logarithm becomes `log inner + log P`, and an improvement is multiplied by P. Any other score in a unit becomes
    `inner + s log P`, s being the standard deviation of that score over what was measured: since a generator is
    rewarded by exp(b score / s), that is P^b times the reward, so that generators and batches follow one order, which
    does not depend on the unit nor on the company of a candidate. The product of P and a score that has been shifted to
    be positive would depend on the shift; and to allow whatever may hold (`constrained_bound`) spends purchases on what
    rarely does.

    The inner acquisition sees the objectives to improve alone, and of what was measured only what keeps to all limits
    is there to improve on. Before there is any such object the probability of one is all that counts.

    Reference: Schonlau, Welch and Jones (1998); Gardner et al., Bayesian Optimization with Inequality Constraints, ICML
    (2014); before anything is feasible: Gelbart, Snoek and Adams, Bayesian Optimization with Unknown Constraints, UAI
    (2014).
    """

    kind = "constrained"
    cites = ("schonlau1998global", "gardner2014inequality", "gelbart2014unknown")
    reference = "Gardner et al., ICML (2014); before anything is feasible: Gelbart, Snoek and Adams, UAI (2014)"
    heeds_limits = True

    class Options(LimitedOptions):
        """Options of an acquisition under limits."""

        inner: dict[str, Any] = Field({"kind": "expected_improvement"}, description="acquisition, any")

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores: the inner acquisition's and log-probabilities of feasibility, in its unit."""
        here = narrowed(about)
        shown = tuple(predicted[k] for k in about.improved) if about.improved else predicted
        if not about.limited:
            return self.inner.score(shown, here)
        chance, found = log_feasibility(predicted, about), self.found(about)
        if self.logarithmic:
            return np.asarray(self.inner.score(shown, here) + chance) if found else chance
        if self.positive and found:
            return np.asarray(self.inner.score(shown, here) * np.exp(chance))
        centre, unit = centre_and_spread(certain_scores(self.inner, here))
        return np.asarray((self.inner.score(shown, here) if found else centre) + unit * chance)

    @staticmethod
    def found(about: Scoring) -> bool:
        """Return whether anything measured keeps to all limits, so that there is something to improve on."""
        here = narrowed(about)
        return len(here.measured) > 0 and bool((whole(here, here.measured.shape[1]) & here.feasible).any())


def log_feasibility(predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
    """Return the log-probability that all limits are kept to, shape `(n,)`.

    Raises:
        ValueError: there is not one prediction per pair of limits.
    """
    if len(about.limits) != len(predicted):
        raise ValueError(f"There is one prediction per objective; got {len(predicted)} and {len(about.limits)} limits.")
    total = np.zeros(len(predicted[0]))
    for prediction, (low, high) in zip(predicted, about.limits, strict=True):
        total += log_within(prediction, low, high)
    return total


def log_within(prediction: Prediction, low: float, high: float) -> FloatArray:
    """Return the log-probability that a value lies within limits, shape `(n,)`, finite far outside of them.

    Args:
        prediction: of n values.
        low: minus infinity for none.
        high: infinity for none.
    """
    if np.isinf(low) and np.isinf(high):
        return np.zeros(len(prediction))
    a, b = (low - prediction.mean) / prediction.std, (high - prediction.mean) / prediction.std
    if np.isinf(high):
        return log_probability(-a, prediction.freedom)
    if np.isinf(low):
        return log_probability(b, prediction.freedom)
    # Both tails of one side: Phi(b) - Phi(a) is taken where a, b <= 0 or straddle it, so that nothing cancels near 1.
    flip = a > 0
    a, b = np.where(flip, -b, a), np.where(flip, -a, b)
    upper, lower = log_probability(b, prediction.freedom), log_probability(a, prediction.freedom)
    return np.asarray(upper + np.log(-np.expm1(np.minimum(lower - upper, -1e-300))))
