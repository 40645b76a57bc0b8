"""Components by name: `{kind: ..., option: ...}` -> an object, with did-you-mean and plugins by entry point.

A component is a class that derives from `Component`, names its `group` and `kind`, and owns a pydantic model of its
options. Putting the class in a module of its group's package registers it; a third party's distribution registers a
module through the entry-point group `discovery_flows.components`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

ENTRY_POINT_GROUP = "discovery_flows.components"

GROUPS: Mapping[str, str] = {
    "generator": "models.generators",
    "proxy": "models.proxies",
    "featuriser": "models.featurisers",
    "acquisition": "models.acquisition",
    "selector": "models.selectors",
    "oracle": "models.oracles",
    "screen": "models.screens",
    "environment": "models.gflownet.environments",
    "objective": "models.gflownet.objectives",
    "backward_policy": "models.gflownet.policies",
    "replay": "models.gflownet.exploration",
    "conditioning": "models.gflownet.conditioning",
    "policy": "models.gflownet.policies",
    "reward": "models.gflownet",
}
"""Group of components -> package that holds its modules."""


class ComponentError(ValueError):
    """A component or one of its options is unknown or out of range."""


class Options(BaseModel):
    """Base of every component's options: frozen, and no key beyond the declared ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class Component:
    """Base of every exchangeable part.

    Subclasses set `group`, `kind` and, where they have options, an inner class `Options`; `reference` names the paper.
    """

    group: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    reference: ClassVar[str] = ""

    class Options(Options):
        """No options."""

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        self.options: Any = options if options is not None else type(self).Options(**values)

    def config(self) -> dict[str, Any]:
        """Return `{kind, options...}`, JSON-able, from which `build` makes an equal component in any process."""
        return {"kind": self.kind, **self.options.model_dump(mode="json")}

    def sparse(self) -> dict[str, Any]:
        """Return `{kind, options...}` as far as they differ from the defaults: what keys of stored results hash."""
        return {"kind": self.kind, **self.options.model_dump(mode="json", exclude_defaults=True)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make the component from what `config` returned."""
        return cls(cls.Options(**{key: value for key, value in config.items() if key != "kind"}))


C = TypeVar("C", bound=Component)


def nearest(word: str, known: list[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known word, or an empty string."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def _subclasses(cls: type[Component]) -> set[type[Component]]:
    found = set(cls.__subclasses__())
    return found.union(*(_subclasses(sub) for sub in found))


@cache
def _import_group(package: str) -> None:
    root = importlib.import_module(package)
    for module in pkgutil.iter_modules(root.__path__, prefix=f"{package}."):
        importlib.import_module(module.name)


@cache
def _import_plugins() -> None:
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        entry.load()


def kinds(group: str) -> dict[str, type[Component]]:
    """Return every registered class of a group by kind, sorted.

    Raises:
        ComponentError: the group does not exist, or two classes claim one kind.
    """
    if group not in GROUPS:
        raise ComponentError(
            f"There is no component group {group!r}; the groups are {', '.join(sorted(GROUPS))}."
            + nearest(group, list(GROUPS))
        )
    _import_group(GROUPS[group])
    _import_plugins()
    found: dict[str, type[Component]] = {}
    for cls in _subclasses(Component):
        if cls.group != group or not cls.kind or inspect.isabstract(cls):
            continue
        if cls.kind in found and found[cls.kind] is not cls:
            raise ComponentError(f"Two classes claim {group} {cls.kind!r}: {found[cls.kind]!r} and {cls!r}.")
        found[cls.kind] = cls
    return dict(sorted(found.items()))


def find(group: str, kind: str) -> type[Component]:
    """Return the class registered as `kind`.

    Raises:
        ComponentError: no such kind; the message names the known ones and the nearest spelling.
    """
    known = kinds(group)
    if kind not in known:
        raise ComponentError(
            f"There is no {group} of kind {kind!r}; expected one of {', '.join(known) or 'none'}."
            + nearest(kind, list(known))
            + f" `discover components {group}` lists them with their options."
        )
    return known[kind]


def build(group: str, config: Mapping[str, Any]) -> Any:
    """Make the component that `{kind: name, option: value, ...}` describes.

    Raises:
        ComponentError: unknown kind or option, or a value that the option refuses.
    """
    if "kind" not in config:
        raise ComponentError(
            f"A {group} needs a `kind`; got {dict(config)!r}. `discover components {group}` lists them."
        )
    cls = find(group, str(config["kind"]))
    try:
        return cls.from_config(config)
    except ValidationError as error:
        raise ComponentError(_explain(group, cls, error)) from error


def _explain(group: str, cls: type[Component], error: ValidationError) -> str:
    known = list(cls.Options.model_fields)
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(
                f"{group} {cls.kind!r} has no option {where!r}; its options are {', '.join(known) or 'none'}."
                + nearest(where, known)
            )
        else:
            got = "" if item["type"] == "missing" else f" Got {item['input']!r}."
            lines.append(f"Option {where!r} of {group} {cls.kind!r}: {item['msg']}.{got}")
    return " ".join(lines)
