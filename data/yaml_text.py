"""YAML as settings need it: plain values, keys that are texts, and bounds on size, depth and repetition.

What YAML can do beyond JSON (tags, dates, keys of any type, documents in a row) is refused with a sentence that names
the line; anchors, aliases and merge keys stay, as long as what they stand for is small.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

LARGEST_FILE = 256 * 1024
"""Bytes of a file of settings."""
DEEPEST = 40
"""Levels of lists and mappings."""
MOST_VALUES = 20_000
"""Keys and values of a file, each alias counted as what it stands for."""
LARGEST_INTEGER = 2**63 - 1
LONGEST_NUMBER = 400
"""Characters of a number: longer ones are slow to read, and out of range."""
SHOWN = 160
"""Characters of a value that a message repeats."""

_TAG = "tag:yaml.org,2002:"
_PLAIN = {f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class YamlError(ValueError):
    """A text is no YAML of plain values; the message says what is wrong, and in which line."""


def read_yaml(path: Path) -> Any:
    """Return what a file holds: dicts with text keys, lists, texts, numbers, truth values and None.

    Raises:
        YamlError: it is too large, no UTF-8 text, or no YAML of plain values; `path` is not named.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise YamlError(
            f"it has more than {LARGEST_FILE // 1024} KiB, and settings are a few; keep data in files of their own"
        )
    try:
        return parse_yaml(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise YamlError(f"it is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error


def parse_yaml(text: str) -> Any:
    """Return what a text holds, as `read_yaml` does.

    Raises:
        YamlError: it is no YAML of plain values, or too large, deep or repetitive.
    """
    try:
        loader = _PlainLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _expanded(node, {}, set())
        return _unshared(loader.construct_document(node))
    except yaml.YAMLError as error:
        raise YamlError(_told(error)) from error
    except (ArithmeticError, LookupError, ValueError) as error:
        if isinstance(error, YamlError):
            raise
        raise YamlError(f"a value in it cannot be read ({shown(error, str)})") from error


def shown(value: Any, form: Any = repr) -> str:
    """Return a value for a message: on one line, and not longer than it helps."""
    text = " ".join(form(value).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 4]} ..."


class _PlainLoader(yaml.SafeLoader):
    """The safe loader of YAML, with bounds, and without what settings have no use for."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._values += 1
        self._depth += 1
        if self._depth > DEEPEST + 1:
            raise YamlError(f"lists and mappings in it are nested more than {DEEPEST} deep{_line(parent)}")
        if self._values > MOST_VALUES:
            raise YamlError(f"it has more than {MOST_VALUES} keys and values{_line(parent)}")
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in _PLAIN:
            tag = node.tag.replace(_TAG, "!!")
            raise YamlError(f"the tag {shown(tag)} is not allowed{_line(node)}; write plain values")
        if node.tag in (f"{_TAG}int", f"{_TAG}float") and len(str(node.value)) > LONGEST_NUMBER:
            raise YamlError(f"the number {shown(node.value, str)} is too long{_line(node)}")
        value: Any = super().construct_object(node, deep=deep)
        if isinstance(value, str) and (found := _UNWRITABLE.search(value)) is not None:
            raise YamlError(f"the text {shown(value)} holds the control character {found[0]!r}{_line(node)}")
        if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
            raise YamlError(f"the number {shown(value)} is larger than {LARGEST_INTEGER}{_line(node)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise YamlError(f"{shown(node.value, str)} is no finite number{_line(node)}")
        return value

    def plain_mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        """Return a mapping whose keys are texts, each once; merged keys stand behind its own."""
        lines: dict[str, None] = {}
        for key_node, _ in node.value:
            if key_node.tag != f"{_TAG}merge":
                key = self._key(key_node)
                if key in lines:
                    raise YamlError(f"the key {shown(key)} stands twice in one mapping{_line(key_node)}")
                lines[key] = None
        self.flatten_mapping(node)
        return {self._key(key): self.construct_object(value, deep=True) for key, value in node.value}

    def _key(self, node: yaml.Node) -> str:
        key = self.construct_object(node, deep=True)
        if not isinstance(key, str):
            raise YamlError(f"the key {shown(key)} is a {type(key).__name__}, not a text{_line(node)}; quote it")
        return key


_PlainLoader.add_constructor(f"{_TAG}map", _PlainLoader.plain_mapping)
# Without its resolver, a date is the text that it looks like: no setting is a date, and versions look like one.
_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{_TAG}timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _expanded(node: yaml.Node, known: dict[int, int], open_nodes: set[int]) -> int:
    """Return how many values a node stands for, aliases written out."""
    if id(node) in open_nodes:
        raise YamlError(f"an alias in it stands inside what it stands for{_line(node)}")
    if id(node) not in known:
        open_nodes.add(id(node))
        children = [node.value] if isinstance(node, yaml.ScalarNode) else node.value
        parts = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        count = 1 + sum(_expanded(part, known, open_nodes) for part in parts if isinstance(part, yaml.Node))
        if count > MOST_VALUES:
            raise YamlError(f"its aliases stand for more than {MOST_VALUES} keys and values{_line(node)}")
        open_nodes.discard(id(node))
        known[id(node)] = count
    return known[id(node)]


def _unshared(value: Any) -> Any:
    """Return a copy in which nothing stands in two places: an override of one must not change the other."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _line(node: yaml.Node | None) -> str:
    return "" if node is None else f" (line {node.start_mark.line + 1})"


def _told(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"it is no text that YAML allows: {shown(error, str)}"
    mark = error.problem_mark or error.context_mark
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
    problem = " ".join(part for part in (error.context, error.problem) if part)
    hint = "; indent with blanks, not with tabulators" if "\\t" in problem else ""
    if "single document" in problem:
        hint = "; keep one document per file, without a second `---`"
    return f"{shown(problem, str)}{where}{hint}"
