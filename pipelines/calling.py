"""How a flow calls a task: as a task of Prefect, or as the plain function that it wraps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Call = Callable[..., Any]
"""How a task is called: `call(task, *arguments)`."""


def as_task(task: Any, *arguments: Any) -> Any:
    """Call a stage as a Prefect task."""
    return task(*arguments)


def as_function(task: Any, *arguments: Any) -> Any:
    """Call a stage as the plain function that it wraps."""
    return task.fn(*arguments)
