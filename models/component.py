"""The base of every exchangeable part: a class with a group, a kind and a pydantic model of its options."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Self, cast, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo
from typing_extensions import TypeVar, get_original_bases

from data.references import told


class ComponentError(ValueError):
    """A component or one of its options is unknown or out of range."""


def _from_folder(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return path if base is None else Path(base) / path.expanduser()


FolderPath = Annotated[Path, AfterValidator(_from_folder)]
"""An option that names a file or folder of the user's: `build` lets a relative one start at the folder of the file."""


class Options(BaseModel):
    """Base of every component's options: frozen, and no key beyond the declared ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    def cited(self) -> tuple[str, ...]:
        """Return the keys of what these options need beside what the component cites anyway."""
        return ()


OptionsT = TypeVar("OptionsT", bound=Options, default=Any)
"""Options of a component; a class that names none has them unchecked."""


class _Told:
    """What a class cites, in words."""

    def __get__(self, instance: object, owner: type[Component[Any]]) -> str:
        return told(owner.cites)


class Component(Generic[OptionsT]):
    """Base of every exchangeable part.

    Subclasses set `group`, `kind` and, where they have options, either an inner class `Options` or the parameter:
    `class Scale(Component[ScaleOptions])` and `class Scale(Component["Scale.Options"])` both type `self.options`.
    `cites` names its papers by their keys, `spaces` the kinds of objects it can handle.
    """

    group: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    cites: ClassVar[tuple[str, ...]] = ()
    """Keys of `data/resources/references.bib`: papers, software and data sets that it rests on."""
    reference: ClassVar[str] = cast(str, _Told())
    """The same in words; a class writes them itself where they say more, or where what it cites is in no file."""
    spaces: ClassVar[tuple[str, ...]] = ()
    """Kinds of spaces that it is for; empty: any."""
    options: OptionsT

    class Options(Options):
        """No options."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "Options" in cls.__dict__:
            return
        for base in get_original_bases(cls):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, Options):
                    cls.Options = argument  # type: ignore[assignment,misc]  # the parameter is the options' class

    def __init__(self, options: OptionsT | None = None, /, **values: Any) -> None:
        made: Any = options if options is not None else type(self).Options(**values)
        self.options = made

    def config(self) -> dict[str, Any]:
        """Return `{kind, options...}`, JSON-able, from which `build` makes an equal component in any process."""
        return {"kind": self.kind, **self.options.model_dump(mode="json")}

    def sparse(self) -> dict[str, Any]:
        """Return `{kind, options...}` as far as they differ from the defaults: what keys of stored results hash."""
        return {"kind": self.kind, **self.options.model_dump(mode="json", exclude_defaults=True)}

    def cited(self) -> tuple[str, ...]:
        """Return the keys of what it rests on with these options."""
        return (*self.cites, *self.options.cited())

    def cited_in(self, space: Any) -> tuple[str, ...]:
        """Return the keys of what it rests on in a space; the same as without one where the space changes nothing."""
        del space
        return self.cited()

    def cited_beyond(self) -> Mapping[int, tuple[str, ...]]:
        """Return labels -> the keys among `cited` of what it does only with more than so many."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], base: Path | None = None) -> Self:
        """Make the component from what `config` returned; relative paths start at the folder `base`, if any."""
        values = {key: value for key, value in config.items() if key != "kind"}
        made: Any = cls.Options.model_validate(values, context={"base": base})
        return cls(made)


def nearest(word: str, known: list[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known word, or an empty string."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def subclasses(cls: type[Component[Any]] = Component) -> list[type[Component[Any]]]:
    """Return every class that derives from a component, each once, in the order of definition within its parent."""
    classes: dict[type[Component[Any]], None] = {}
    for child in cls.__subclasses__():
        classes |= dict.fromkeys([child, *subclasses(child)])
    return list(classes)
