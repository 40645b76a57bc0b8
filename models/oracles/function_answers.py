"""What a user's function may answer: one number per object, and nothing that could be read as another's.

Used in the process of the function too (`function_worker.py`): on the standard library alone; libraries are known by
what their objects look like.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence, Set
from decimal import Decimal
from itertools import islice
from numbers import Real
from typing import Any

Number = float | None


class WrongAnswer(Exception):
    """A function answered what is not one number per object; the message says what."""


def numbers_of(
    answers: Any,
    objects: Sequence[Any],
    keys: Sequence[str],
    nouns: Sequence[str] = ("molecule", "molecules"),
    outputs: Sequence[str] = (),
) -> list[Number | dict[str, Number] | WrongAnswer]:
    """Return, per object, the number, None where the function has none, or what is wrong with the answer.

    Where outputs are named, an object has a dict of numbers: the function answers one per object, or one column or list
    per output.

    Numbers belong to objects by position: a list, tuple, array, tensor or Series of one dimension, or an iterator.

    Args:
        answers: what the function returned.
        objects: n that were asked.
        keys: their n idempotency keys.
        nouns: one of them and several, for messages.
        outputs: names of the values of an object; none: it has one, without a name.

    Raises:
        WrongAnswer: it is not one value per object as a whole.
    """
    if outputs:
        return _several(answers, objects, keys, nouns, outputs)
    expected = f"expected a list of {len(objects)} number{'s' * (len(objects) != 1)}, one per {nouns[0]}"
    values = _listed(answers, objects, keys, expected, nouns[1])
    if len(values) != len(objects):
        more = " or more" if isinstance(answers, Iterator) and len(values) > len(objects) else ""
        raise WrongAnswer(f"{len(values)}{more} values for {len(objects)} {nouns[1]}; expected one value each.")
    numbers: list[Number | dict[str, Number] | WrongAnswer] = []
    for value in values:
        try:
            numbers.append(_number(value))
        except WrongAnswer as wrong:
            numbers.append(wrong)
    return numbers


def _several(
    answers: Any, objects: Sequence[Any], keys: Sequence[str], nouns: Sequence[str], outputs: Sequence[str]
) -> list[Number | dict[str, Number] | WrongAnswer]:
    """Return the outputs of each object: of a dict per object, or of a table with a column per output."""
    named = ", ".join(outputs)
    if hasattr(answers, "columns") or isinstance(answers, Mapping):
        missing = [name for name in outputs if name not in answers]
        if missing:
            raise WrongAnswer(f"a {_type_name(answers)} without {missing[0]!r}; expected a column each for {named}.")
        _refuse_other_order(answers, objects, nouns)
        columns = [numbers_of(answers[name], objects, keys, nouns) for name in outputs]
        rows = [dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)]
        return [next((v for v in row.values() if isinstance(v, WrongAnswer)), row) for row in rows]
    expected = f"expected {len(objects)} dict{'s' * (len(objects) != 1)} with {named}, one per {nouns[0]}"
    values = _listed(answers, objects, keys, expected, nouns[1])
    if len(values) != len(objects):
        raise WrongAnswer(f"{len(values)} values for {len(objects)} {nouns[1]}; {expected}.")
    found: list[Number | dict[str, Number] | WrongAnswer] = []
    for value, obj in zip(values, objects, strict=True):
        try:
            _refuse_other_object(value, obj, objects)
            found.append(_outputs(value, outputs))
        except WrongAnswer as wrong:
            found.append(wrong)
    return found


def _refuse_other_order(table: Any, objects: Sequence[Any], nouns: Sequence[str]) -> None:
    """Refuse a table that names the objects in a column, in another order than they were given.

    Raises:
        WrongAnswer: it does.
    """
    for name in list(getattr(table, "columns", table)):
        cells = table[name]
        listed = list(cells) if isinstance(cells, Iterable) and not isinstance(cells, str | bytes) else []
        texts = len(listed) == len(objects) and all(isinstance(cell, str) for cell in listed)
        if texts and sorted(listed) == sorted(map(str, objects)) and listed != list(map(str, objects)):
            raise WrongAnswer(
                f"a {_type_name(table)} whose column {name!r} has the {nouns[1]} in another order than they were "
                "given; values belong to them by position. Sort it as the list that came in."
            )


def _refuse_other_object(value: Any, obj: Any, objects: Sequence[Any]) -> None:
    """Refuse the outputs of an object in which another one is named.

    Raises:
        WrongAnswer: they are.
    """
    if isinstance(value, Mapping) and isinstance(obj, str) and obj not in value.values():
        other = next((cell for cell in value.values() if isinstance(cell, str) and cell in objects), None)
        if other is not None:
            raise WrongAnswer(
                f"the values of {other!r} where those of {obj!r} were expected; keep the order of the list."
            )


def _outputs(value: Any, outputs: Sequence[str]) -> dict[str, Number] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise WrongAnswer(f"{_shown(value)}, a {_type_name(value)}; expected a dict with {', '.join(outputs)}.")
    missing = [name for name in outputs if name not in value]
    if missing:
        raise WrongAnswer(f"{_shown(dict(value))} without {missing[0]!r}; expected {', '.join(outputs)}, or None.")
    return {name: _number(value[name]) for name in outputs}


def _listed(answers: Any, objects: Sequence[Any], keys: Sequence[str], expected: str, nouns: str) -> Sequence[Any]:
    """Return an answer as a list of what it has per object.

    Raises:
        WrongAnswer: it is none; `expected` says what would be one.
    """
    name = _type_name(answers)
    if answers is None:
        raise WrongAnswer(f"None for {len(objects)} {nouns}; {expected}. Does it lack a `return`?")
    if isinstance(answers, Coroutine | AsyncIterator):
        if isinstance(answers, Coroutine):
            answers.close()
        raise WrongAnswer(f"a {name}, which nobody awaits; {expected}. Call asyncio.run in a function without `async`.")
    if isinstance(answers, Set):
        raise WrongAnswer(f"a {name}, which has no order; {expected}.")
    if _is_quantity(answers):
        raise WrongAnswer(f"a {name} with a unit; {expected}, without it.")
    if isinstance(answers, str | bytes | bytearray | memoryview | Mapping | type):
        raise WrongAnswer(f"a {name} for {len(objects)} {nouns}; {expected}.")
    shape = getattr(answers, "shape", None)
    if shape is not None:
        if len(shape) != 1:
            hint = " Return one column, as in `list(frame['score'])`." if hasattr(answers, "columns") else ""
            raise WrongAnswer(f"a {name} of shape {tuple(shape)}; {expected}.{hint}")
        return _elements(answers, objects, keys, expected, nouns)
    if not isinstance(answers, Iterable):
        raise WrongAnswer(f"a {name} for {len(objects)} {nouns}; {expected}.")
    # A generator runs, and raises, only when it is gone through; an endless one is not gone through.
    return answers if isinstance(answers, Sequence) else list(islice(answers, len(objects) + 1))


def _elements(array: Any, objects: Sequence[Any], keys: Sequence[str], expected: str, nouns: str) -> list[Any]:
    """Return the elements of an array, tensor or Series of one dimension.

    Raises:
        WrongAnswer: they are no numbers, or a Series that was sorted or comes from somewhere else.
    """
    kind = getattr(getattr(array, "dtype", None), "kind", "f")
    if kind in "mMcSUV":
        raise WrongAnswer(f"a {_type_name(array)} of {array.dtype}; {expected}.")
    index = getattr(array, "index", None)
    if index is not None and not callable(index) and len(array) == len(objects):
        labels = list(index)
        if labels not in (list(range(len(objects))), list(objects), list(keys)):
            raise WrongAnswer(
                f"a {_type_name(array)} with the index {reprlib.repr(labels)}; {expected}. A Series is read by "
                f"position where its index is 0, 1, 2 ... or the {nouns}, in order. Was this one sorted?"
            )
    array = array.detach() if hasattr(array, "detach") else array
    elements = array.tolist() if hasattr(array, "tolist") else list(array)
    return list(elements)


def _number(value: Any) -> float | None:
    """Return the number that one element is, None where there is none.

    Raises:
        WrongAnswer: it is no number.
    """
    if value is None or _type_name(value) == "NAType":
        return None
    if _is_quantity(value):
        raise WrongAnswer(f"{_shown(value)}, a {_type_name(value)} with a unit; expected a number without it, or None.")
    if getattr(value, "shape", None) == () and hasattr(value, "tolist"):  # tolist, since a masked item is 0
        value = (value.detach() if hasattr(value, "detach") else value).tolist()
        if value is None:
            return None
    expected = f"{_shown(value)}, a {_type_name(value)}; expected a number or None."
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        hint = " Write float(...) if it means a number." if isinstance(value, str | bool) else ""
        hint = " Several values by name need the oracle's option `outputs`." if isinstance(value, Mapping) else hint
        raise WrongAnswer(f"{expected}{hint}")
    try:
        number = float(value)
    except OverflowError:
        return -math.inf if value < Decimal(0) else math.inf
    except (TypeError, ValueError) as error:
        raise WrongAnswer(expected) from error
    if number == 0 and value != 0:
        raise WrongAnswer(
            f"{_shown(value)}, which is too small to be told from zero. Answer it in another unit, or its logarithm."
        )
    return number


def _is_quantity(value: Any) -> bool:
    return any(cls.__name__ == "Quantity" for cls in type(value).__mro__)


def _type_name(value: Any) -> str:
    return type(value).__name__


def _shown(value: Any) -> str:
    try:
        return re.sub(r" at 0x[0-9a-f]+", "", reprlib.repr(value))[:200]  # an address differs from run to run
    except Exception:  # a __repr__ of the user's may do anything
        return "something"
