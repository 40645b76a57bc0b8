"""A configuration as a program gives it: the path of a campaign file, or a dictionary with the keys of one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.config import CampaignConfig, ConfigError, apply_override, load_config, parse_config

log = logging.getLogger(__name__)


def configuration(
    config: Path | str | Mapping[str, Any], overrides: Sequence[str], folder: Path | str | None
) -> tuple[CampaignConfig, Path]:
    """Return a configuration and the folder at which its relative paths start.

    Args:
        config: a campaign file, or a dictionary with its keys, which is left as it is.
        overrides: `key.key=value`; one may be given alone.
        folder: of a dictionary; None: the current one.

    Raises:
        ConfigError: it cannot be used.
    """
    given = (overrides,) if isinstance(overrides, str) else tuple(overrides)
    if isinstance(config, Path | str):
        if folder is not None:
            raise ConfigError(
                f"folder is {str(folder)!r}, and the configuration is the file {str(config)!r}, at whose own folder "
                "paths start. Leave folder out; it is for dictionaries."
            )
        path = Path(config).expanduser()
        return load_config(path, given), path.absolute().parent
    if not isinstance(config, Mapping):
        raise ConfigError(
            f"The configuration is a {type(config).__name__}; expected the path of a campaign file, or a dictionary "
            "with its keys."
        )
    base = Path(folder or ".").expanduser().absolute()
    raw: dict[str, Any] = _plain(config, "")
    for override in given:
        apply_override(raw, override)
    return parse_config(raw, "The dictionary").beside(base), base


def _plain(value: Any, where: str) -> Any:
    """Return a copy of a value as a campaign file could hold it; `where` is its place, `key.key`.

    Raises:
        ConfigError: no file could hold it.
    """
    if isinstance(value, Mapping):
        return {key: _plain(one, f"{where}.{key}".lstrip(".")) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, f"{where}.{place}") for place, one in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a number of numpy's
        return value.item()
    if callable(value):
        name = getattr(value, "__name__", "measure")
        raise ConfigError(
            f"{where} is a Python function; expected its name as 'module:{name}', in a module of its own in the "
            "campaign's folder. Values belong to the content of that file, and the function runs in another process."
        )
    if value is not None and not isinstance(value, str | bool | int | float):
        raise ConfigError(
            f"{where} is a {type(value).__name__}; expected what a campaign file can hold: text, numbers, lists, "
            "dictionaries."
        )
    return value


def built(config: CampaignConfig, base: Path) -> CampaignConfig:
    """Build all components of a campaign once, as `built_once`; warn of what its oracles read that does not count.

    Raises:
        ConfigError, ComponentError, VocabularyError, OracleStartError, SourceError: as `checked_config`.
    """
    from pipelines.validation import built_once, oracle_remarks

    checked = built_once(config, base)
    for sentence in oracle_remarks(checked, base):
        log.warning(sentence)
    return checked
