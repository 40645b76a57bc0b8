"""A laboratory: people measure, and bring the answers when they have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import Field

from data.records import Measurement
from models.oracles.base import OUTPUTS, BaseOracle, OracleOptions, Outputs


class Laboratory(BaseOracle["Laboratory.Options"]):
    """Ask people for measurements, and wait for what they tell.

    `discover run` writes each batch to a file and ends in the state `waiting`; `discover tell NAME RESULTS` takes the
    answers, and the next `discover run` goes on. `wait_for` and `deadline` of the campaign say with how many it does.

    What was measured is known by `protocol`: campaigns of a workspace that name the same protocol and outputs take over
    each other's values. Without one, the values are the campaign's own.
    """

    kind = "laboratory"  # `data.readings.LABORATORY`, which does not import this
    answers: Literal["now", "later"] = "later"
    semantics = "unsafe"  # nobody is asked twice
    chunk = 1

    class Options(OracleOptions):
        """Options of the oracle `laboratory`."""

        outputs: Outputs = OUTPUTS
        unit: str = Field(default="", description="unit of the value, where there is one without a name")
        protocol: str = Field(
            default="", description="what is measured, by name; other campaigns that name it share its values"
        )
        version: str = Field(
            default="1", min_length=1, description="change it when the protocol changes: old values then do not count"
        )

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.unit: str = self.options.unit
        self.version: str = self.options.version
        self.cost: float = self.options.cost
        self.timeout: float = self.options.timeout

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"laboratory:{self.options.protocol}" if self.options.protocol else self.kind

    @property
    def shared(self) -> bool:
        """Whether other campaigns may take over its values."""
        return bool(self.options.protocol)

    def evaluate(self, objects: Sequence[str], *, keys: Sequence[str]) -> Iterator[Measurement]:
        """Refuse: people answer, by `discover tell`.

        Raises:
            TypeError: always.
        """
        raise TypeError("A laboratory is not called; its answers are told by `discover tell`.")


def answers_later(oracle: Any) -> bool:
    """Return whether people bring an oracle's answers."""
    return getattr(oracle, "answers", "now") == "later"
