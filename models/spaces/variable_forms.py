"""What people write for a variable, as it is kept."""

from __future__ import annotations

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
    ends = raw["integer"] if "integer" in raw else [raw[key] for key in sort if key != "choices"]
    if not isinstance(ends, list | tuple) or not all(map(_is_number, ends)) or ("integer" in raw and len(ends) != 2):
        raise ValueError(f"the bounds of {name!r} are two numbers; got {shown(ends)}")
    return {**raw, "name": name}


_KEYS = {("integer",): ("log",), ("choices",): (), ("low", "high"): ("log", "digits", "step")}
"""What a variable needs -> what it may have besides."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
