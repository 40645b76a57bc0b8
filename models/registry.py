"""Components by name: `{kind: ..., option: ...}` -> an object, with did-you-mean and plugins by entry point.

A component is a class that derives from `Component`, names its `group` and `kind`, and owns a pydantic model of its
options. Putting the class in a module of its group's package registers it; a third party's distribution registers a
module through the entry-point group `discovery_flows.components`. A shipped kind is found by reading the modules of its
package as text and importing the one that defines it: neither its neighbours nor a plugin are imported for it.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data.config import plain_message
from data.yaml_text import shown
from models.component import Component, ComponentError, FolderPath, Options, OptionsT, nearest, subclasses
from models.plugins import Plugins, clashes, plugins

__all__ = [
    "GROUPS",
    "Component",
    "ComponentError",
    "FolderPath",
    "Options",
    "OptionsT",
    "build",
    "find",
    "kinds",
    "located",
    "nearest",
    "plugin_problems",
]

GROUPS: Mapping[str, str] = {
    "generator": "models.generators",
    "proxy": "models.proxies",
    "featuriser": "models.featurisers",
    "acquisition": "models.acquisition",
    "selector": "models.selectors",
    "buying": "models.buying",
    "oracle": "models.oracles",
    "screen": "models.screens",
    "construction": "models.gflownet.construction",
    "environment": "models.gflownet.environments",
    "objective": "models.gflownet.objectives",
    "backward_policy": "models.gflownet.policies",
    "replay": "models.gflownet.exploration",
    "conditioning": "models.gflownet.conditioning",
    "policy": "models.gflownet.policies",
    "reward": "models.gflownet.rewards",
    "density": "models.diffusion",
    "source": "models.sources",
    "space": "models.spaces",
    "system": "models.systems",
    "tuner": "models.tuning",
}
"""Group of components -> package that holds its modules."""


_KIND = re.compile(r"""^[ \t]+kind(?:[ \t]*:[^=\n]+)?[ \t]*=[ \t]*(["'])([^"'\n]+)\1""", re.MULTILINE)
"""The line of a class that names its kind."""


def kinds(group: str) -> dict[str, type[Component[Any]]]:
    """Return every registered class of a group by kind, sorted; plugins that failed or clash are left out.

    Raises:
        ComponentError: the group does not exist, or two classes of ours claim one kind.
    """
    _import_group(_package(group))
    loaded = _plugins()
    sole = {kind: _chosen(group, kind, classes) for kind, classes in _claims(group, loaded).items()}
    return {kind: cls for kind, cls in sorted(sole.items()) if cls is not None}


def find(group: str, kind: str) -> type[Component[Any]]:
    """Return the class registered as `kind`, importing no other kind of the group if ours defines it.

    Raises:
        ComponentError: no such kind, or two plugins claim it; the message names the known ones, the nearest spelling
            and the plugins that could not be used.
    """
    package = _package(group)
    for module in _modules(package).get(kind, ()):
        importlib.import_module(module)
    shipped = [cls for cls in _claims(group).get(kind, []) if _is_shipped(cls, group)]
    if shipped:
        return _chosen(group, kind, shipped) or shipped[0]
    claimants = _claims(group, _plugins()).get(kind, [])
    if len(claimants) == 1:  # one plugin's: the rest of the group need not be imported for it
        return claimants[0]
    known = kinds(group)
    if kind in known:
        return known[kind]
    if claimants:
        raise ComponentError(_clash(group, kind, claimants) + " Uninstall one of them.")
    raise ComponentError(
        " ".join(
            [
                f"There is no {group} of kind {kind!r}; expected one of {', '.join(known) or 'none'}."
                + nearest(kind, list(known))
                + f" `discover components {group}` lists them with their options.",
                *_plugins().problems,
            ]
        )
    )


def plugin_problems() -> tuple[str, ...]:
    """Return one sentence for each plugin, or class of one, that is left out; imports every group and plugin."""
    loaded = _plugins()
    problems = list(loaded.problems)
    if loaded.origin:
        for group in {cls.group for cls in loaded.origin if cls.kind}:
            _import_modules_of_claimed(group, loaded)
            for kind, classes in _claims(group, loaded).items():
                if len(classes) > 1 and any(cls in loaded.origin for cls in classes):
                    problems.append(_clash(group, kind, classes))
    return tuple(problems)


def _package(group: str) -> str:
    if group not in GROUPS:
        raise ComponentError(
            f"There is no component group {group!r}; the groups are {', '.join(sorted(GROUPS))}."
            + nearest(group, list(GROUPS))
        )
    return GROUPS[group]


@cache
def _import_group(package: str) -> None:
    root = importlib.import_module(package)
    for module in pkgutil.iter_modules(root.__path__, prefix=f"{package}."):
        importlib.import_module(module.name)


@cache
def _modules(package: str) -> Mapping[str, tuple[str, ...]]:
    """Return kind -> the modules of a package whose text names it; nothing of the package's modules is imported."""
    spec = importlib.util.find_spec(package)
    modules: dict[str, tuple[str, ...]] = {}
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        for file in sorted(Path(folder).glob("*.py")):
            for match in _KIND.finditer(file.read_text(encoding="utf-8")):
                modules[match[2]] = (*modules.get(match[2], ()), f"{package}.{file.stem}")
    return modules


def _import_modules_of_claimed(group: str, loaded: Plugins) -> None:
    for kind in {cls.kind for cls in loaded.origin if cls.group == group}:
        for module in _modules(GROUPS[group]).get(kind, ()):
            importlib.import_module(module)


def _plugins() -> Plugins:
    return plugins(tuple(GROUPS))


def _claims(group: str, loaded: Plugins | None = None) -> dict[str, list[type[Component[Any]]]]:
    """Return kind -> the classes that claim it, a class that was defined anew standing for its older self."""
    claims: dict[str, dict[tuple[str, str], type[Component[Any]]]] = {}
    for cls in subclasses():
        if cls.group != group or not cls.kind or inspect.isabstract(cls) or (loaded and cls in loaded.refused):
            continue
        claims.setdefault(cls.kind, {})[cls.__module__, cls.__qualname__] = cls
    return {kind: list(classes.values()) for kind, classes in claims.items()}


def _chosen(group: str, kind: str, classes: list[type[Component[Any]]]) -> type[Component[Any]] | None:
    """Return the class that a kind stands for: ours before a plugin's; None if plugins claim it against each other."""
    shipped = [cls for cls in classes if _is_shipped(cls, group)]
    if len(shipped) > 1:
        raise ComponentError(_clash(group, kind, shipped))
    if shipped:
        return shipped[0]
    return classes[0] if len(classes) == 1 else None


def _is_shipped(cls: type[Component[Any]], group: str) -> bool:
    return cls.__module__.startswith(f"{GROUPS[group]}.")


def _clash(group: str, kind: str, classes: list[type[Component[Any]]]) -> str:
    shipped = [cls for cls in classes if _is_shipped(cls, group)]
    outcome = f"{shipped[0].__module__} is used" if shipped else "none of them is used"
    return f"Two classes claim {group} {kind!r}: {clashes(classes, _plugins())}; {outcome}."


def build(group: str, config: Mapping[str, Any], *, base: Path | None = None) -> Any:
    """Make the component that `{kind: name, option: value, ...}` describes.

    `base` is the folder where relative paths among its options start, and those of components within it.

    Raises:
        ComponentError: unknown kind or option, or a value that the option refuses.
    """
    if "kind" not in config:
        raise ComponentError(
            f"{'An' if group[0] in 'aeiou' else 'A'} {group} needs a `kind`; got {dict(config)!r}. "
            f"`discover components {group}` lists them."
        )
    cls = find(group, str(config["kind"]))
    try:
        return cls.from_config(config, base)
    except ValidationError as error:
        raise ComponentError(_explain(group, cls, error)) from error


def located(group: str, config: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return a component's `{kind, option...}` with its relative paths starting at the folder `base`.

    For what keeps the configuration of another component among its own options, and builds it later.

    Raises:
        ComponentError: as `build`.
    """
    options: Options = build(group, config, base=base).options
    return {**config, **{name: str(value) for name, value in options if isinstance(value, Path)}}


def _explain(group: str, cls: type[Component[Any]], error: ValidationError) -> str:
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
            got = "" if item["type"] == "missing" else f" Got {shown(item['input'])}."
            # What several options say together has no place of its own.
            subject = f"Option {where!r} of {group}" if where else f"The options of {group}"
            lines.append(f"{subject} {cls.kind!r}: {plain_message(item)}.{got}")
    return " ".join(lines)
