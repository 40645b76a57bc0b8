"""What all proxies share: the choice of features, and how fast they are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field
from typing_extensions import TypeVar

from models.featurisers.base import featuriser_of
from models.protocols import Proxy
from models.registry import Component, Options

FEATURES = (
    "featuriser, by name or as {kind: name, option: value}: morgan_counts, descriptors or both for molecules, one_hot "
    "for sequences, identity for arrays"
)
"""Description of the option `features`."""


class ProxyOptions(Options):
    """Options of every proxy."""

    features: str | dict[str, Any] = Field("both", description=FEATURES)


ProxyOptionsT = TypeVar("ProxyOptionsT", bound=ProxyOptions, default=Any)
"""Options of a proxy."""


class BaseProxy(Component[ProxyOptionsT]):
    """Base of proxies: objects become numbers through a featuriser that the option `features` names."""

    group = "proxy"
    reads_features: ClassVar[bool] = True
    """Whether it predicts from the features alone, not from the objects themselves."""

    class Options(ProxyOptions):
        """Options of every proxy."""

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.featuriser = featuriser_of(self.options.features)

    def check_features(self, objects: Sequence[Any]) -> None:
        """Refuse features that the proxy, with its options, cannot be trained on; nothing is trained.

        Args:
            objects: some; with none at all features have their usual widths.

        Raises:
            ValueError: the featuriser makes none that it needs; a complete sentence says what to change.
        """

    def _untrained(self) -> RuntimeError:
        return RuntimeError(f"This {self.kind} proxy was not trained; call `fit`, or `load_state` with a saved state.")


def predictions_per_cpu_second(proxy: Proxy, objects: Sequence[Any]) -> float:
    """Return how many of n >= 1 objects the fitted proxy predicts in a CPU-second of this process.

    Featurisation counts for objects that the process has not met: give new ones for the cost of a pool, the same again
    for the cost of the model alone.
    """
    begin = time.process_time()
    proxy.predict(objects)
    return len(objects) / max(time.process_time() - begin, 1e-9)
