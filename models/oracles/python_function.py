"""A measurement that the user wrote: `module:function`, from a list of SMILES to a list of values."""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from data.records import Measurement
from models.oracles.base import BaseOracle, OracleOptions, failed, measured
from models.oracles.source_files import files_parts, module_parts
from models.registry import nearest


class PythonFunction(BaseOracle):
    """Call a Python function with a list of SMILES; it returns one number per molecule, None where it has none.

    The module is imported in the process that measures, which looks in the campaign file's folder first. A function
    with a parameter `keys` also gets the list of idempotency keys. If a call with several molecules raises and the
    function is declared `pure`, each molecule is asked again alone, so that one bad molecule costs only itself.

    Values are known by content: of the module, and of all that it imports from the campaign file's folder (read, not
    run; `models/oracles/source_files.py` says how). Libraries count by their versions. Data files that decide values,
    such as weights, are named by the option `files`. A folder that is copied or moved is the same oracle; the same file
    with another content is another.

    Failure classes: `raised` (the function raised), `wrong_answer` (not one number per molecule), `not_finite`.
    """

    kind = "python"
    by_content = frozenset({"files"})

    class Options(OracleOptions):
        """Options of the oracle `python`."""

        function: str = Field(description="module:function, from a list of SMILES to a list of values")
        files: tuple[str, ...] = Field(
            default=(), description="data files and folders that decide values, such as weights; their content counts"
        )
        unit: str = Field(default="", description="unit of the values")
        version: str = Field(
            default="1", min_length=1, description="change it when the function changes: old values then do not count"
        )
        semantics: Literal["pure", "idempotent", "unsafe"] = Field(
            default="pure",
            description="pure: may be called again freely; idempotent: again with the same key; unsafe: never twice",
        )

        @field_validator("function")
        @classmethod
        def _module_and_function(cls, text: str) -> str:
            module, colon, function = text.partition(":")
            if not (colon and function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
                raise ValueError("expected `module:function`, for example `my_oracle:measure`")
            return text

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.unit: str = self.options.unit
        self.version: str = self.options.version
        self.cost: float = self.options.cost
        self.semantics: str = self.options.semantics
        self.timeout: float = self.options.timeout
        self.chunk: int = self.options.chunk
        self._function: Callable[..., Any] | None = None
        self._takes_keys = False

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"python:{self.options.function}"

    def contents(self, base: Path) -> dict[str, str]:
        """Return the module's files, what they import, and the files that the options name.

        Raises:
            ComponentError: one is not there.
        """
        return module_parts(self.options.function.partition(":")[0], base) | files_parts(self.options.files, base)

    def prepare(self) -> None:
        """Import the function.

        Raises:
            ImportError: the module cannot be imported, or has no such function.
        """
        module_name, _, name = self.options.function.partition(":")
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name != module_name:
                raise
            raise ImportError(
                f"There is no module {module_name!r} for the oracle function {self.options.function!r}. Put "
                f"{module_name.replace('.', '/')}.py beside the campaign file, or install the package that has it."
            ) from error
        function = getattr(module, name, None)
        if not callable(function):
            known = [item for item, value in vars(module).items() if callable(value) and not item.startswith("_")]
            raise ImportError(
                f"The module {module_name!r} ({module.__file__}) has no function {name!r}; it has "
                f"{', '.join(known) or 'none'}.{nearest(name, known)}"
            )
        self._function = function
        self._takes_keys = _has_keys(function)

    def evaluate(self, molecules: Sequence[str], *, keys: Sequence[str]) -> Iterator[Measurement]:
        """Yield one Measurement per molecule, in order; a call that fails has an error per molecule and ends nothing.

        Raises:
            ImportError: the function cannot be imported.
        """
        if self._function is None:
            self.prepare()
        started = time.perf_counter()
        try:
            answers = self._call(molecules, keys)
        except Exception as error:
            if self.semantics == "pure" and len(molecules) > 1:
                for smiles, key in zip(molecules, keys, strict=True):
                    yield from self.evaluate([smiles], keys=[key])
                return
            message = f"{type(error).__name__}: {error}"
            yield from (failed(smiles, "raised", message, started) for smiles in molecules)
            return
        yield from self._measurements(molecules, answers, started)

    def _call(self, molecules: Sequence[str], keys: Sequence[str]) -> Any:
        """Return the function's answers as a list, or what is no list as it is."""
        assert self._function is not None
        extra = {"keys": list(keys)} if self._takes_keys else {}
        answers = self._function(list(molecules), **extra)
        # A generator function runs, and raises, only when it is gone through.
        return list(answers) if isinstance(answers, Iterable) and not isinstance(answers, str | Mapping) else answers

    def _measurements(self, molecules: Sequence[str], answers: Any, started: float) -> Iterator[Measurement]:
        values = answers if isinstance(answers, list) else []
        if not isinstance(answers, list) or len(values) != len(molecules):
            got = f"{len(values)} values" if isinstance(answers, list) else f"a {type(answers).__name__}"
            message = f"{self.options.function} answered {got} for {len(molecules)} molecules; expected one value each."
            yield from (failed(smiles, "wrong_answer", message, started) for smiles in molecules)
            return
        for smiles, value in zip(molecules, values, strict=True):
            try:
                number = float("nan") if value is None else float(value)
            except (TypeError, ValueError):
                message = f"{self.options.function} answered {value!r}; expected a number or None."
                yield failed(smiles, "wrong_answer", message, started)
            else:
                yield measured(smiles, number, started)


def _has_keys(function: Callable[..., Any]) -> bool:
    try:
        return "keys" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # builtins without a signature
        return False
