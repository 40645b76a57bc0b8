"""A measurement that the user wrote: `module:function`, from a list of objects to a list of values."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from data.records import Measurement
from models.oracles.base import OUTPUTS, BaseOracle, OracleOptions, Outputs, usable
from models.oracles.function_worker import Function
from models.oracles.source_files import files_parts, module_parts, variables_parts, without_written
from models.oracles.uncounted import remarks_on, uncounted


class PythonFunction(BaseOracle["PythonFunction.Options"]):
    """Call a Python function with a list of objects; it returns one number per object, None where it has none.

    It gets what the space makes of an object: its text (a SMILES, a sequence), a dictionary by name where it is told by
    several values (`{"temperature": 350.0, "solvent": "water"}`), or a list of names where it is a choice of them.

    The module is imported in the process that measures (`worker`), which looks in the campaign file's folder first,
    works in it, and sees no package of discovery-flows: a person's `models.py` is theirs. A function with a parameter
    `keys` also gets the list of idempotency keys. If a call with several objects raises and the
    function is declared `pure`, each object is asked again alone, so that one bad object costs only itself.

    Values are known by content: of the module, and of all that it imports from the campaign file's folder (read, not
    run; `models/oracles/source_files.py` says how). Libraries count by their versions. Data files that decide values,
    such as weights, are named by the option `files`, variables of the environment by `environment`. A folder that is
    copied or moved is the same oracle; the same file with another content is another.

    With `outputs` it answers several values per object: a dict for each, or a table with a column per output.

    Failure classes: `raised` (the function raised), `wrong_answer` (not one number per object), `not_finite` (None
    is one of them).
    """

    kind = "python"
    by_content = frozenset({"files", "writes", "environment"})
    worker: ClassVar[Path] = Path(__file__).with_name("function_worker.py")
    """Script of the process in which the function runs."""

    class Options(OracleOptions):
        """Options of the oracle `python`."""

        function: str = Field(description="module:function, from a list of objects to a list of values")
        files: tuple[str, ...] = Field(
            default=(), description="data files and folders that decide values, such as weights; their content counts"
        )
        environment: tuple[str, ...] = Field(
            default=(), description="variables of the environment that decide values; a digest of each counts"
        )
        writes: tuple[str, ...] = Field(
            default=(),
            description="files, folders or patterns (`*.json`) it writes itself, which decide nothing",
        )
        unit: str = Field(default="", description="unit of the values")
        outputs: Outputs = OUTPUTS
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
        self._function: Function | None = None

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"python:{self.options.function}"

    def contents(self, base: Path) -> dict[str, str]:
        """Return the module's files, what they import, and the files that the options name.

        Raises:
            ComponentError: one is not there.
        """
        parts = module_parts(self.options.function.partition(":")[0], base)
        parts = without_written(parts, self.options.writes) | files_parts(self.options.files, base)
        return parts | variables_parts(self.options.environment)

    def remarks(self, base: Path) -> list[str]:
        """Return what the function reads that its identity does not count."""
        sources: dict[str, str] = {}
        module_parts(self.options.function.partition(":")[0], base, sources)
        return remarks_on(
            uncounted(sources), label=self.label, files=self.options.files, environment=self.options.environment
        )

    def question(self, obj: str) -> Any:
        """Return what the function gets for an object: made here, since its process has none of our packages."""
        return self.space.value(obj)

    def prepare(self) -> None:
        """Import the function.

        Raises:
            ImportError: the module cannot be imported, or has no such function.
        """
        _forget_namesakes(self.options.function.partition(":")[0].partition(".")[0])
        function = Function(
            self.options.function,
            pure=self.semantics == "pure",
            nouns=self.space.nouns,
            outputs=tuple(self.options.outputs),
        )
        function.load()
        self._function = function

    def evaluate(self, objects: Sequence[str], *, keys: Sequence[str]) -> Iterator[Measurement]:
        """Yield one Measurement per object, in order; a call that fails has an error per object and ends nothing.

        Campaigns do not call it: their functions run in processes of `worker`, with the same code.

        Raises:
            ImportError: the function cannot be imported.
        """
        if self._function is None:
            self.prepare()
        assert self._function is not None
        questions = [self.question(obj) for obj in objects]
        for obj, answer in zip(objects, self._function.answers(questions, keys), strict=True):
            yield usable(obj, answer)


def _forget_namesakes(top: str) -> None:
    """Forget a module of this name from another folder than the one it would come from now, and all beside it.

    Only where functions of several folders are called in one process, which our own workers never do.
    """
    known = sys.modules.get(top)
    if known is None or top in sys.stdlib_module_names or getattr(known, "__file__", None) is None:
        return
    spec = PathFinder.find_spec(top, None)
    if spec is None or spec.origin is None or os.path.realpath(spec.origin) == os.path.realpath(str(known.__file__)):
        return
    folder = os.path.dirname(str(known.__file__))
    folder = os.path.dirname(folder) if hasattr(known, "__path__") else folder
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(folder + os.sep):
            del sys.modules[name]
