"""Templates, styles and scripts of the pages, as they are packaged."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import jinja2


@cache
def resource(name: str) -> str:
    """Return a packaged file of the pages."""
    return (files("data.resources") / "report" / name).read_text(encoding="utf-8")


@cache
def template(name: str) -> jinja2.Template:
    """Return a packaged page; every text in it is escaped, and one that is not given is an error."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(resource(name))
