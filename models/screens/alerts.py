"""The project's own list of energetic, hydrolytically unstable and reactive groups."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import Field
from rdkit import Chem
from rdkit.Chem import FilterCatalog

from models.registry import Component, ComponentError, nearest
from models.screens.base import MoleculeScreen

_RESOURCE = "alerts_reactive.csv"


@dataclass(frozen=True, slots=True)
class Alert:
    """One row of the list."""

    name: str
    pattern: Chem.Mol
    max_count: int
    """How often the group may occur."""
    reason: str


@cache
def alerts() -> tuple[Alert, ...]:
    """Return the shipped list, `data/resources/alerts_reactive.csv`, in its order.

    Raises:
        ValueError: a row of the resource is no valid SMARTS.
    """
    with files("data.resources").joinpath(_RESOURCE).open(encoding="utf-8") as file:
        return tuple(_alert(row) for row in csv.DictReader(file))


def _alert(row: dict[str, str]) -> Alert:
    pattern = Chem.MolFromSmarts(row["smarts"])
    if pattern is None:
        raise ValueError(f"The alert {row['name']!r} in {_RESOURCE} is no valid SMARTS: {row['smarts']!r}.")
    return Alert(row["name"], pattern, int(row["max_count"]), row["reason"])


class Alerts(MoleculeScreen["Alerts.Options"]):
    """Refuse molecules with energetic, hydrolytically unstable or reactive groups.

    The list is meant for materials that are made and kept in air: quinones, nitriles, one nitro group, polyhalides and
    Michael acceptors pass. `allow` names rows that do not count; `discover components screen` shows the option.
    """

    kind = "alerts"
    lasting = True
    reference = "the project's list, data/resources/alerts_reactive.csv"

    class Options(Component.Options):
        """Options of the screen `alerts`."""

        allow: tuple[str, ...] = Field(default=(), description="names of alerts that do not refuse")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        names = [alert.name for alert in alerts()]
        for name in self.options.allow:
            if name not in names:
                raise ComponentError(
                    f"Option 'allow' of screen 'alerts' names {name!r}, which is no alert of {_RESOURCE}."
                    + nearest(name, names)
                )
        self._reasons: dict[str, str] = {}
        self._catalog = FilterCatalog.FilterCatalog()  # goes through the list without coming back to Python
        for alert in alerts():
            if alert.name not in self.options.allow:
                matcher = FilterCatalog.SmartsMatcher(alert.name, alert.pattern, alert.max_count + 1)
                self._catalog.AddEntry(FilterCatalog.FilterCatalogEntry(alert.name, matcher))
                self._reasons[alert.name] = alert.reason

    def reason(self, mol: Chem.Mol) -> str | None:
        """Return the first alert that the molecule raises, or None."""
        found = self._catalog.GetFirstMatch(mol)
        if found is None:
            return None
        name = found.GetDescription()
        return f"Alert {name}: {self._reasons[name]}."
