"""What people write for a variable, as it is kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from data.yaml_text import shown


def long_form(name: object, raw: Any) -> Any:
    """Return a variable as it is kept, from what people write.

    `[low, high]` is a real range, `{integer: [low, high]}` whole numbers, a list of words or of more than two numbers
    choices; the long forms are `{low, high, ...}` and `{choices: [...]}`.

    Raises:
        ValueError: it is none of these; a phrase says what was expected.
    """
    if not isinstance(name, str) or not name.strip() or name != name.strip():
        raise ValueError(f"the name of a variable is a word; got {shown(name)}. Put it in quotation marks")
    if isinstance(raw, list | tuple):
        _require_no_texts_of_numbers(name, raw)
        range_ = len(raw) == 2 and all(map(_is_number, raw))
        return {"name": name, "low": raw[0], "high": raw[1]} if range_ else {"name": name, "choices": raw}
    sort = next((needed for needed in _KEYS if isinstance(raw, dict) and set(needed) <= raw.keys()), None)
    if sort is None:
        raise ValueError(
            f"the variable {name!r} is {shown(raw)}; expected a range [low, high], a list of words, "
            "{low: ..., high: ...}, {integer: [low, high]} or {choices: [...]}"
        )
    unknown = [key for key in raw if key not in (*sort, *_KEYS[sort], "name")]
    if unknown:
        raise ValueError(f"the variable {name!r} has no {unknown[0]!r}; it may have {', '.join((*sort, *_KEYS[sort]))}")
    told = [value for key, value in raw.items() if key not in ("name", "column")]
    _require_no_texts_of_numbers(name, [one for value in told for one in (_listed(value) or [value])])
    ends = raw["integer"] if "integer" in raw else [raw[key] for key in sort if key != "choices"]
    if not isinstance(ends, list | tuple) or not all(map(_is_number, ends)) or ("integer" in raw and len(ends) != 2):
        raise ValueError(f"the bounds of {name!r} are two numbers; got {shown(ends)}")
    return {**raw, "name": name}


_KEYS = {
    ("integer",): ("log", "column"),
    ("choices",): ("column",),
    ("low", "high"): ("log", "digits", "step", "column"),
}
"""What a variable needs -> what it may have besides."""


_NUMBER = re.compile(r"\s*[-+]?(\d+[.,]?\d*|[.,]\d+)(e[-+]?\d+)?\s*(.*)", re.IGNORECASE)
"""A number, and what stands behind it."""


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else []


def _require_no_texts_of_numbers(name: str, values: Sequence[Any]) -> None:
    """Refuse numbers that are texts: as words they would be choices, and nothing between them would be tried."""
    words = [one for one in values if isinstance(one, str)]
    read = [_NUMBER.fullmatch(one) for one in words]
    if not words or not all(read):
        return
    units = {match[3] for match in read if match is not None}
    if units == {""}:
        raise ValueError(
            f"{name!r} has the text {words[0]!r} where a number may be meant (YAML reads 1e-9 as a text): write "
            "numbers without quotation marks and with a point, such as 1.0e-9; words that only look like numbers need "
            "a letter in front"
        )
    if len(values) == 2 and len(units) == 1:
        raise ValueError(
            f"{name!r} goes from {words[0]!r} to {words[-1]!r}, which are texts: write the numbers alone, for example "
            "[20, 80], and the unit into the name"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
