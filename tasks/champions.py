"""Who is champion of a campaign's proxies in MLflow's registry, since when and why; and who was before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.ledger.campaigns import now
from data.records import JsonDict
from tasks.stages import BadInput
from tasks.tracking import KEY_TAG, Tracker

HISTORY, GATE, REASON, ROLLED_BACK, INPUTS, AGAINST = (
    "discovery.champions",
    "discovery.gate",
    "discovery.reason",
    "discovery.rolled_back",
    "discovery.inputs",
    "discovery.against",
)
"""Tags: of the model the champions in order; of a version its figures, verdict, when it was rolled back, and inputs."""


@dataclass(frozen=True, slots=True)
class Version:
    """A registered proxy.

    Attributes:
        number: of the version.
        made: when, milliseconds.
        n: measurements that it was trained on.
        key: of its training.
        champion: whether it is the champion now.
        reason: why it was promoted or refused; empty: nobody compared it (a round's).
        gate: figures of the comparison.
        rolled_back: when and by whom; empty: never.
        against: version of the champion that it was compared with; empty: none.
        note: description.
    """

    number: str
    made: int
    n: str
    key: str
    champion: bool
    reason: str
    gate: Mapping[str, float]
    rolled_back: str
    against: str
    note: str


def versions(tracker: Tracker) -> list[Version]:
    """Return every version of a campaign's proxy, oldest first."""
    champion = tracker.champion()
    found = tracker.client.search_model_versions(f"name = '{tracker.model_name}'")
    return sorted((_version(one, champion) for one in found), key=lambda one: int(one.number))


def _version(one: Any, champion: tuple[str, str] | None) -> Version:
    tags = one.tags
    return Version(
        str(one.version),
        int(one.creation_timestamp),
        str(tags.get("n", "")),
        str(tags.get(KEY_TAG, "")),
        champion is not None and champion[0] == str(one.version),
        str(tags.get(REASON, "")),
        json.loads(tags.get(GATE, "{}")),
        str(tags.get(ROLLED_BACK, "")),
        str(tags.get(AGAINST, "")),
        str(one.description or ""),
    )


def crown(tracker: Tracker, version: str, why: str) -> None:
    """Make a version the champion, and remember it."""
    tracker.promote(version)
    told = [*history(tracker), {"version": version, "at": now(), "why": why}]
    tracker.client.set_registered_model_tag(tracker.model_name, HISTORY, json.dumps(told[-50:]))


def history(tracker: Tracker) -> list[JsonDict]:
    """Return the champions in the order in which they became it: version, at, why."""
    tags = tracker.client.get_registered_model(tracker.model_name).tags or {}
    found: list[JsonDict] = json.loads(tags.get(HISTORY, "[]"))
    return found


def judged(
    tracker: Tracker, version: str, reason: str, figures: Mapping[str, float], inputs: JsonDict, against: str = ""
) -> None:
    """Write beside a version what its comparison with a champion came to, whether it was promoted or not."""
    client, name = tracker.client, tracker.model_name
    client.set_model_version_tag(name, version, REASON, reason[:4000])
    client.set_model_version_tag(name, version, GATE, json.dumps(dict(figures)))
    client.set_model_version_tag(name, version, INPUTS, json.dumps(inputs))
    client.set_model_version_tag(name, version, AGAINST, against)
    note = str(client.get_model_version(name, version).description or "").partition("\n\nGate: ")[0]
    client.update_model_version(name, version, f"{note}\n\nGate: {reason}")


def inputs_of(tracker: Tracker, version: str) -> JsonDict | None:
    """Return the inputs that a version was judged with; None: it was registered before they were written."""
    told = tracker.client.get_model_version(tracker.model_name, version).tags.get(INPUTS)
    return None if told is None else json.loads(told)


def rolled_back(tracker: Tracker, key: str) -> Version | None:
    """Return the version of a training that a person rolled back, None if that is not so."""
    return next((one for one in versions(tracker) if one.key == key and one.rolled_back and not one.champion), None)


def refusal(tracker: Tracker, key: str, champion: str) -> str:
    """Return why a training lost against this very champion; empty: they were not compared yet.

    Args:
        tracker: of the campaign.
        key: of the training.
        champion: version.
    """
    found = next((one for one in versions(tracker) if one.key == key), None)
    return found.reason if found is not None and found.against == champion else ""


def roll_back(tracker: Tracker, to: str | None, by: str) -> tuple[str, str]:
    """Make an earlier version the champion again; return the versions that were and are it.

    Args:
        tracker: of the campaign.
        to: version; None: the champion before the present one.
        by: who does it.

    Raises:
        BadInput: there is no champion, no earlier one, or no such version.
    """
    every = versions(tracker)
    present = next((one for one in every if one.champion), None)
    if present is None:
        raise BadInput(
            f"The proxies of {tracker.campaign.name!r} have no champion, so there is nothing to roll back. `discover "
            f"retrain {tracker.campaign.name}` makes one."
        )
    target = _before(tracker, every, present) if to is None else next((one for one in every if one.number == to), None)
    if target is None:
        numbers = _numbers([one for one in every if one is not present])
        raise BadInput(
            f"There was no champion before version {present.number}."
            + (f" Name a version with --to: {numbers}." if numbers else "")
            if to is None
            else f"There is no version {to!r} of {tracker.model_name}; there are {_numbers(every)}."
        )
    if target is present:
        raise BadInput(f"Version {target.number} is the champion already. `discover models` lists the others.")
    crown(tracker, target.number, f"rolled back from version {present.number} by {by}")
    tracker.client.set_model_version_tag(
        tracker.model_name, present.number, ROLLED_BACK, f"{now()[:16].replace('T', ' ')} UTC by {by}"
    )
    tracker.client.delete_model_version_tag(tracker.model_name, target.number, ROLLED_BACK)
    return present.number, target.number


def _before(tracker: Tracker, every: Sequence[Version], present: Version) -> Version | None:
    usable = {one.number: one for one in every if one is not present and not one.rolled_back}
    past = [str(one["version"]) for one in history(tracker)]
    return next((usable[number] for number in reversed(past) if number in usable), None)


def _numbers(every: Sequence[Version]) -> str:
    return ", ".join(one.number for one in every)
