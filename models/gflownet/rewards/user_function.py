"""A function that the user wrote, named `module:function`, in a file beside the one that names it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from models.registry import nearest


def function_name(text: str, example: str) -> str:
    """Return a name `module:function`.

    Raises:
        ValueError: it is none.
    """
    module, colon, function = text.partition(":")
    if not (colon and function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ValueError(f"expected `module:function`, for example `{example}`")
    return text


@dataclass(frozen=True)
class UserFunction:
    """A function by name. Its module is looked for in a folder first, then among what is installed.

    Attributes:
        name: `module:function`.
        base: the folder.
        what: it is for, in messages.
    """

    name: str
    base: Path
    what: str

    def load(self) -> Callable[..., Any]:
        """Return the function.

        Raises:
            ValueError: there is no such module or function.
        """
        name, module = self.name.partition(":")[2], self._module()
        function: Callable[..., Any] | None = getattr(module, name, None)
        if function is None or not callable(function):
            known = [item for item, value in vars(module).items() if callable(value) and not item.startswith("_")]
            raise ValueError(
                f"The module {module.__file__} has no function {name!r}; it has {', '.join(known) or 'none'}."
                + nearest(name, known)
            )
        return function

    def sha256(self) -> str:
        """Return that of the module's source: a function that was changed is another one."""
        file = self._module().__file__
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""

    def _module(self) -> ModuleType:
        name = self.name.partition(":")[0]
        file = self.base / f"{name.replace('.', '/')}.py"
        sys.path.insert(0, str(self.base))
        try:
            if not file.is_file():
                return importlib.import_module(name)
            # By its path: another module of this name may be imported already.
            spec = importlib.util.spec_from_file_location(f"discover_{self.what}_{name}", file)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
        except ModuleNotFoundError as error:
            if error.name != name.partition(".")[0]:
                raise
            raise ValueError(
                f"There is no module {name!r} for the {self.what} function {self.name!r}. Put "
                f"{name.replace('.', '/')}.py beside the sampler file, or install the package that has it."
            ) from error
        finally:
            sys.path.remove(str(self.base))
