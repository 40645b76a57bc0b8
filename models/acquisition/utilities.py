"""How good objects are in each objective to improve, on one scale: what a generator of trade-offs is rewarded by.

Of the objective k the utility is u_k = (v_k - low_k) / (high_k - low_k), v_k being a measured value or what a
prediction may reach, its mean plus one deviation; high is the best measured value and low the worst, or two deviations
below the average where that is nearer: one bad outlier must not make all others alike. The logarithm is taken of
max(u_k, 0.1), since a reward must be above zero.

A scalarised utility is raised to the power b (high - low) / s, b being the inverse temperature and s the deviation of
the measured values, on average over objectives: near the best measured objects a deviation then counts as much as it
does for a generator of one log-reward (`log_reward`). The probability p that all limits are kept to is put to each
utility so that the reward is p^b times what it would be; what was measured and breaks a limit has the least utility.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.records import FloatArray, Prediction
from models.acquisition.base import stacked
from models.acquisition.constrained import log_feasibility
from models.acquisition.measured import centre_and_spread
from models.acquisition.standing import violation
from models.protocols import Scoring

LEAST = 0.1
"""Utilities are not below this."""
_OPTIMISM = 1.0
"""Deviations above the mean that a prediction may reach."""
_BELOW = 2.0
"""Deviations below the average that the scale begins at, at most."""


@dataclass(frozen=True)
class UtilityScale:
    """Scale of the K objectives to improve.

    Attributes:
        about: limits, and which objectives are improved.
        columns: K places among all objectives.
        low, width: (K,) where the utility is 0, and how far above that it is 1.
        power: that a scalarised utility is raised to.
        chance: what the log-probability of keeping to all limits is multiplied by.
        most: greatest logarithm of a utility.
    """

    about: Scoring
    columns: tuple[int, ...]
    low: FloatArray
    width: FloatArray
    power: float
    chance: float
    most: float

    @classmethod
    def of(cls, measured: FloatArray, about: Scoring, *, inverse_temperature: float, limit: float) -> UtilityScale:
        """Return the scale of a round.

        Args:
            measured: signed, shape `(t, K')` of all objectives, nan where one was not measured.
            about: limits, and which objectives are improved.
            inverse_temperature: b > 0.
            limit: greatest log-reward.
        """
        columns = about.improved or tuple(range(measured.shape[1]))
        low, width, deviations = np.empty((3, len(columns)))
        for place, k in enumerate(columns):
            known = measured[:, k][~np.isnan(measured[:, k])]
            centre, spread = centre_and_spread(known)
            low[place] = max(known.min(initial=np.inf), centre - _BELOW * spread) if len(known) else -_BELOW
            reach = float(known.max() - low[place]) if len(known) else 2.0 * _BELOW
            width[place] = reach if reach > 0 else spread
            deviations[place] = width[place] / spread
        ratio = float(deviations.mean())
        power = inverse_temperature * ratio
        return cls(about, columns, low, width, power, 1.0 / ratio, limit / power)

    def of_predictions(self, predicted: tuple[Prediction, ...]) -> FloatArray:
        """Return the logs of utilities (n, K) of n objects, of one prediction per objective."""
        mean, std = stacked(tuple(predicted[k] for k in self.columns))
        logs = self._logs(mean + _OPTIMISM * std)
        if self.about.limited:
            logs = logs + self.chance * log_feasibility(predicted, self.about)[:, None]
        return self._kept(logs)

    def of_values(self, values: FloatArray) -> FloatArray:
        """Return the logs of utilities (n, K) of signed values (n, K'), nan where one was not measured."""
        logs = self._logs(values[:, self.columns])
        out = (violation(values, self.about) > 0) | np.isnan(logs).any(1)
        return self._kept(np.where(out[:, None], -np.inf, logs))

    def nothing(self, n: int) -> FloatArray:
        """Return the least logs of utilities, (n, K)."""
        return np.full((n, len(self.columns)), np.log(LEAST))

    def _logs(self, values: FloatArray) -> FloatArray:
        return np.asarray(np.log(np.maximum((values - self.low) / self.width, LEAST)))

    def _kept(self, logs: FloatArray) -> FloatArray:
        # Rounded as log-rewards are: the last bits of a prediction depend on who shares its matrix product.
        return np.asarray(np.clip(logs, np.log(LEAST), self.most).round(6) + 0.0)
