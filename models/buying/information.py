"""What says most about the best true value for its cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import log_ndtr

from data.records import FloatArray
from models.buying.base import NEW, Choice, Nested, NestedOptions, Offer


class Information(Nested["Information.Options"]):
    """Buys the object and level whose value says most about the largest true value, per unit of cost.

    The information of a value y at a level about the maximum f* of the truth f is
    `-1/2 mean log(1 - r^2 h(g))` with r the correlation of y and f at the object, `g = (f* - mean f) / std f` and
    `h(g) = q (q + g)`, `q = phi(g) / Phi(g)`, over draws of f* from the joint posterior. An object's missing lower
    levels are bought with it and paid for. A batch is chosen one by one; what is chosen is believed to be known, which
    takes its part of the variance from all others.

    References: Takeno et al., Multi-fidelity Bayesian optimization with max-value entropy search, ICML (2020); the
    form: Moss et al., GIBBON, J. Mach. Learn. Res. 22 (2021).
    """

    kind = "information"
    cites = ("takeno2020multifidelity", "moss2021gibbon")
    wants_levels = True

    class Options(NestedOptions):
        """Options of gain per cost; `promote` is of round 0."""

        pool: int = Field(200, ge=2, description="best scores to choose from, of new objects and of bought ones each")
        draws: int = Field(32, ge=1, description="draws of the largest true value")

    def buy(self, offer: Offer) -> list[Choice]:
        """Return n purchases, the most informative first.

        Raises:
            ValueError: the proxy has no posterior at all levels.
        """
        if offer.joint is None:
            raise ValueError("The buying 'information' needs a proxy of all levels. Use proxy: {kind: autoregressive}.")
        members = self._members(offer)
        if not len(members):
            return []
        levels, k = len(offer.costs), len(members)
        mean, covariance = offer.joint(members.tolist())
        truth = slice((levels - 1) * k, levels * k)
        maxima = self._maxima(mean[-1], covariance[truth, truth], offer)
        reached, noise = offer.reached[members], np.repeat(offer.noise, k)
        # What a purchase up to a level costs beyond what the member has.
        spent = np.concatenate([[0.0], np.cumsum(offer.costs)])
        cost = np.array([spent[level + 1] - spent[reached + 1] for level in range(levels)])
        open_ = np.array([reached < level for level in range(levels)])
        own = np.arange(levels * k).reshape(levels, k)
        found: list[Choice] = []
        while len(found) < offer.n and open_.any():
            gain = self._gain(mean[-1], covariance, noise, own, maxima)
            rate = np.where(open_, gain / np.where(open_, cost, 1.0), -np.inf)
            level, at = divmod(int(rate.argmax()), k)
            member = int(members[at])
            found.append(Choice(member, offer.missing(member, level)))
            open_[:, at] = False
            seen = own[level, at]
            column = covariance[:, seen].copy()
            covariance = covariance - np.outer(column, column) / max(column[seen] + noise[seen], 1e-300)
        return found

    def why(self) -> str:
        """Return what is taken first."""
        return "what says most about the best true value for its cost is bought first"

    def _members(self, offer: Offer) -> NDArray[np.int64]:
        order = np.argsort(-offer.scores, kind="stable")
        order = order[offer.scores[order] > -np.inf]
        new = offer.reached[order] == NEW
        return np.concatenate([order[new][: self.options.pool], order[~new][: self.options.pool]])

    def _maxima(self, mean: FloatArray, covariance: FloatArray, offer: Offer) -> FloatArray:
        """Return draws of the largest true value among the members and what is measured."""
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        root = vectors * np.sqrt(values.clip(0.0))
        normal = np.random.default_rng(offer.seed).standard_normal((len(mean), self.options.draws))
        largest = (mean[:, None] + root @ normal).max(0)
        return np.asarray(largest if offer.best is None else np.maximum(largest, offer.best))

    def _gain(
        self, mean: FloatArray, covariance: FloatArray, noise: FloatArray, own: NDArray[np.int64], maxima: FloatArray
    ) -> FloatArray:
        """Return the information of a value at each level of each member, shape `(L, k)`."""
        diagonal = covariance.diagonal()
        variance = diagonal[own[-1]].clip(1e-300)
        with_truth = covariance[own, own[-1][None, :]]
        squared = np.square(with_truth) / ((diagonal + noise)[own].clip(1e-300) * variance)
        g = (maxima[None, :] - mean[:, None]) / np.sqrt(variance)[:, None]
        q = np.exp(-0.5 * np.square(g) - 0.5 * np.log(2 * np.pi) - log_ndtr(g))
        h = (q * (q + g)).clip(0.0, 1.0)
        inside = 1.0 - squared.clip(0.0, 1.0)[:, :, None] * h[None, :, :]
        return np.asarray(-0.5 * np.log(inside.clip(1e-12)).mean(2))
