"""WHEN: Prefect flows, schedules and the command line."""

import sys
from importlib import import_module
from pathlib import Path

# Our packages have plain names: a `data.py` or `tasks/` that the user has on PYTHONPATH must not be taken for them.
# What is imported once is found again, whatever the path says.
_root = str(Path(__file__).resolve().parent.parent)
sys.path.insert(0, _root)
try:
    for _name in ("data", "models", "tasks"):
        import_module(_name)
finally:
    sys.path.remove(_root)
