"""How a flow calls a task: as a task of Prefect, or as the plain function that it wraps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.following import Following, is_of_prefect
from pipelines.services import prefect_answers

Call = Callable[..., Any]
"""How a task is called: `call(task, *arguments)`."""


def as_task(task: Any, *arguments: Any) -> Any:
    """Call a stage as a Prefect task; as a plain function once Prefect's server has gone.

    A stage that had been finished when the server went is not done again: stages ask the ledger.
    """
    if Following.lost:
        return as_function(task, *arguments)
    try:
        return task(*arguments)
    except Exception as error:
        if not is_of_prefect(error) or prefect_answers():
            raise
        Following.lose()
        return as_function(task, *arguments)


def as_function(task: Any, *arguments: Any) -> Any:
    """Call a stage as the plain function that it wraps."""
    return task.fn(*arguments)
