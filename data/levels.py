"""One objective measured by several oracles, from cheap to true: how the list is written, and what it may not be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from data.yaml_text import shown


class Levelled(Protocol):
    """An objective as far as its levels go."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def goal(self) -> str:
        """What is wanted of it."""

    @property
    def levels(self) -> Sequence[Mapping[str, Any]]:
        """Its oracles from cheap to true; empty: there is one."""


def from_cheap_to_true(raw: Any) -> Any:
    """Return an objective as it is written with a list of oracles as `levels`, and as `oracle` the last of them.

    A list of one is that oracle.

    Raises:
        ValueError: the list is empty, an element is no component, or two are alike.
    """
    if not isinstance(raw, dict):
        return raw
    if "levels" in raw:
        raise ValueError("`levels` is no key; write the oracles as a list, `oracle: [cheap, ..., true]`")
    if not isinstance(raw.get("oracle"), list | tuple):
        return raw
    listed = list(raw["oracle"])
    if not listed:
        raise ValueError("`oracle` is an empty list; name one oracle, or several from cheap to true")
    for one in listed:
        if not isinstance(one, dict) or not isinstance(one.get("kind"), str):
            raise ValueError(f"an oracle of the list is written {{kind: name, option: value}}, got {shown(one)}")
    twice = next((one for at, one in enumerate(listed) if one in listed[:at]), None)
    if twice is not None:
        raise ValueError(
            f"`oracle` lists {shown(twice)} twice; a list goes from cheap to true, each a measurement of its own"
        )
    return {**raw, "oracle": listed[-1], **({"levels": tuple(listed)} if len(listed) > 1 else {})}


def refuse_levels(objectives: Sequence[Levelled], buying: Mapping[str, Any] | None) -> None:
    """Refuse levels of several objectives, or of one that is not to be improved, and a choice among levels of none.

    Raises:
        ValueError: it is one of these.
    """
    several = [one for one in objectives if one.levels]
    if len(several) > 1:
        raise ValueError(
            f"{' and '.join(one.name for one in several)} list several oracles each; one objective may have levels "
            "from cheap to true, so give the others the oracle of their values"
        )
    if several and several[0].goal == "satisfy":
        raise ValueError(
            f"{several[0].name} lists several oracles, and its goal is 'satisfy'; levels from cheap to true are for an "
            "objective that is to be improved"
        )
    if buying is not None and not several and buying["kind"] != "one_level":
        raise ValueError(
            f"buying: {buying['kind']} chooses among the levels of an objective, and none lists several oracles; write "
            "`oracle: [cheap, ..., true]`, or leave `buying` out"
        )
