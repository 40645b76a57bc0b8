"""Tests of the package where it is not installed: its folder is looked into, and its parts are registered."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import discovery_digress.parts  # noqa: E402, F401
