"""May this file go on with the campaign of its name? Refused with what differs, so that nothing is ever mixed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.ledger.campaigns import LedgerError, parsed_config

if TYPE_CHECKING:
    from data.config import CampaignConfig

_ANEW = "begin it anew with --fresh (measurements are kept, and taken over where they are certain to be the same)"


def refuse_other_campaign(
    row: Mapping[str, Any],
    config: CampaignConfig,
    base: Path,
    oracles: Sequence[Mapping[str, str]] | None,
    identities: set[str],
) -> None:
    """Refuse to continue a campaign that has begun with what is another campaign.

    Args:
        row: of the campaign, as the ledger has it.
        config: as given now.
        base: folder of the campaign file, as given now.
        oracles: all that decides the values of each oracle now, by name; None: not looked at.
        identities: of the oracles that the campaign has calls of.

    Raises:
        LedgerError: it is another folder while the first one is still there, another configuration, or another oracle.
    """
    _refuse_other_folder(config.name, Path(row["base"]), base)
    _refuse_other_config(row, config)
    if oracles is not None:
        _refuse_other_oracles(config.name, recorded(row["oracle"]), oracles, identities)


def refuse_similar_name(name: str, names: Iterable[str]) -> None:
    """Refuse a new name that differs from another campaign's only in case: some file systems take both for one folder.

    Raises:
        LedgerError: there is such a campaign.
    """
    twin = next((other for other in names if other != name and other.casefold() == name.casefold()), None)
    if twin is not None:
        raise LedgerError(
            f"There is a campaign {twin!r} already, and {name!r} differs from it only in upper and lower case: on some "
            "file systems both would have one folder. Give the campaign another name."
        )


def _refuse_other_folder(name: str, stored: Path, base: Path) -> None:
    if not _has_campaign_file(stored) or (base.exists() and stored.samefile(base)):
        return  # moved, or the same
    raise LedgerError(
        f"Campaign {name!r} was begun in {stored.resolve()}; the file given now is in {base.resolve()}. Two folders "
        f"cannot share one name. Continue it from the first folder, give this one another name, or {_ANEW}."
    )


def _has_campaign_file(folder: Path) -> bool:
    try:
        return any(path.suffix in (".yaml", ".yml") for path in folder.iterdir())
    except OSError:
        return False


def _refuse_other_config(row: Mapping[str, Any], config: CampaignConfig) -> None:
    from data.config import EXTENDABLE, ConfigError

    try:
        # As the schema reads it today: a key that came since has its default on both sides.
        stored = parsed_config(row["config"], config.name)
    except ConfigError as error:
        raise LedgerError(
            f"Campaign {config.name!r} was begun by another discovery-flows, whose configuration this one cannot read: "
            f"{error} Use the earlier program, or {_ANEW}."
        ) from error
    if stored.identity() == config.identity():
        return
    before, given = stored.to_json(), config.to_json()
    changed = sorted(key for key in given if key not in EXTENDABLE and given[key] != before.get(key))
    raise LedgerError(
        f"Campaign {config.name!r} exists with another configuration: {', '.join(changed)} changed. Only "
        f"{' and '.join(EXTENDABLE)} may change between runs. Restore the old values, give the campaign another name, "
        f"or {_ANEW}."
    )


def record(oracles: Sequence[Mapping[str, str]] | None) -> str:
    """Return all that decides the values of a campaign's oracles as the ledger keeps it: JSON."""
    if oracles is None:
        return ""
    # One as it was written when a campaign had one only.
    return json.dumps(dict(oracles[0]) if len(oracles) == 1 else [dict(one) for one in oracles], sort_keys=True)


def recorded(text: str) -> list[dict[str, str]]:
    """Return what `record` was given; nothing where nothing was recorded."""
    kept = json.loads(text or "[]")
    return [kept] if isinstance(kept, dict) else list(kept)


def _refuse_other_oracles(
    name: str, stored: Sequence[Mapping[str, str]], given: Sequence[Mapping[str, str]], identities: set[str]
) -> None:
    from data.config import digest

    now = [digest(dict(one)) for one in given]
    if identities <= set(now) and (not stored or [digest(dict(one)) for one in stored] == now):
        return
    if not stored:
        what = "an earlier discovery-flows began it and did not record what its oracle was"
    else:
        told = []
        for number, (before, after) in enumerate(zip(stored, given, strict=False), start=1):
            keys = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
            of = f"of oracle {number}: " if len(given) > 1 else ""
            told += [of + _told(key, before.get(key), after.get(key)) for key in keys]
        what = f"its oracle is not the one it was begun with: {'; '.join(told) or 'an earlier call has another'}"
    raise LedgerError(
        f"Campaign {name!r} cannot go on: {what}. Values of two oracles are not mixed. Restore what changed, give the "
        f"campaign another name, or {_ANEW}."
    )


def _told(key: str, before: str | None, after: str | None) -> str:
    if before is None or after is None:
        return f"{key} {'is new' if before is None else 'is gone'}"
    if key.startswith("file "):
        return f"{key} has another content"
    if key.startswith("variable "):
        return f"{key} of the environment has another value"
    return f"{key} was {_short(before)} and is {_short(after)}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:12]}..."
