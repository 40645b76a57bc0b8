"""What an answer is expected to tell about what the proxies do not know, whatever its value."""

from __future__ import annotations

from data.records import FloatArray, Prediction
from models.acquisition.base import BaseAcquisition
from models.protocols import Scoring
from models.registry import Component


class ExpectedInformationGain(BaseAcquisition["ExpectedInformationGain.Options"]):
    """Entropy of the answer over all that is possible, less its mean entropy where the truth is known, in nats.

    The proxy tells it: of `causal_graphs` the truth is the graph of the system. No value is better than another, so all
    objectives have the goal `observe`.

    Reference: Lindley, Ann. Math. Statist. 27, 986 (1956); of graphs and interventions: Murphy, Active learning of
    causal Bayes net structure, UC Berkeley (2001).
    """

    kind = "expected_information_gain"
    cites = ("lindley1956measure", "murphy2001active")
    objectives = 0
    most_objectives = 0

    class Options(Component.Options):
        """No options."""

    @property
    def uses_information(self) -> bool:
        """Whether the proxies' expected information is wanted."""
        return True

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` nats.

        Raises:
            ValueError: no proxy tells what an answer would.
        """
        del predicted
        if about.informing is None:
            raise self.lacks("a proxy that knows what an answer would tell", "Use proxy: {kind: causal_graphs}.")
        return about.informing.information(about.objects)
