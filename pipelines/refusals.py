"""Which errors are the user's to mend: they are shown as one message, without a traceback."""

from __future__ import annotations

import sys

REFUSALS = (
    ("data.config", "ConfigError"),
    ("data.ledger.campaigns", "LedgerError"),
    ("data.tables.obtain", "ObtainError"),
    ("data.tables.readers", "SourceError"),
    ("data.chemistry.vocabulary", "VocabularyError"),
    ("models.registry", "ComponentError"),
    ("pipelines.listeners", "AddressError"),
    ("pipelines.services", "ServiceError"),
    ("tasks.oracles.child", "OracleStartError"),
    ("tasks.stages", "BadInput"),
    ("tasks.tracking", "TrackingError"),
    ("tasks.samplers.train", "SamplerStopped"),
    ("tasks.workspace", "WorkspaceError"),
)
"""Module and name: a class whose module was never imported cannot have been raised."""


def is_refusal(error: BaseException) -> bool:
    """Return whether an error says what the user should change."""
    classes = tuple(
        getattr(sys.modules[module], name)
        for module, name in REFUSALS
        if module in sys.modules and hasattr(sys.modules[module], name)
    )
    return isinstance(error, classes)
