"""The 23 tasks of PMO (practical molecular optimisation) as measurements: benchmarks of search, cheap to compute."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator
from rdkit import rdBase

from data.chemistry.molecules import shared
from data.config import nearest_spelling
from data.yaml_text import shown
from models.oracles.base import MeasurementFailure, MoleculeOracle, OracleOptions
from models.pmo.tasks import TASKS, task

DEFINITION = "tdc-1.1.15"
"""Whose values these are; they depend on RDKit's version where RDKit's descriptors do."""


class Pmo(MoleculeOracle["Pmo.Options"]):
    """One of the 23 tasks of the PMO benchmark, a score from 0 to 1; no unit.

    20 are computed from the molecular graph, `drd2`, `gsk3b` and `jnk3` by published classifiers of activity, which
    are shipped as plain arrays. Values are those of the Therapeutics Data Commons (PyTDC 1.1.15); up to its version
    0.3.6, which the PMO paper used, isomers_*, sitagliptin_mpo and zaleplon_mpo counted atoms otherwise.

    References: Gao, Fu, Sun, Coley, NeurIPS 2022 (PMO); Brown, Fiscato, Segler, Vaucher, J. Chem. Inf. Model. 2019,
    59, 1096 (GuacaMol, the definitions); Olivecrona et al., J. Cheminformatics 2017, 9, 48 (drd2); Li, Zhang, Liu,
    J. Cheminformatics 2018, 10, 33 (gsk3b, jnk3).
    """

    kind = "pmo"
    spaces = ("molecules",)
    digits = 12
    lasting = True
    cites = ("gao2022pmo", "brown2019guacamol", "olivecrona2017denovo", "li2018multiobjective", "rdkit")

    class Options(OracleOptions):
        """Options of the oracle `pmo`."""

        task: str = Field(description="the score: qed, zaleplon_mpo, ...; a wrong one is answered with all 23")
        chunk: int = Field(default=32, ge=1, description="molecules per call")

        @field_validator("task")
        @classmethod
        def _is_known(cls, name: str) -> str:
            if name not in TASKS:
                hint = nearest_spelling(name, TASKS)
                raise ValueError(f"{shown(name)} is no task of PMO; expected one of {', '.join(TASKS)}.{hint}")
            return name

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.version = f"{self.options.task}/{DEFINITION}/rdkit-{rdBase.rdkitVersion}"

    def cited(self) -> tuple[str, ...]:
        """Return the papers of the benchmark and of the task, and the library."""
        papers = {
            "qed": "bickerton2012qed",
            "drd2": "olivecrona2017denovo",
            "gsk3b": "li2018multiobjective",
            "jnk3": "li2018multiobjective",
        }
        return "gao2022pmo", papers.get(self.options.task, "brown2019guacamol"), "rdkit"

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"pmo:{self.options.task}"

    def prepare(self) -> None:
        """Read the targets of the task, or its classifier.

        Raises:
            ComponentError: the shipped classifiers are missing or were changed.
        """
        task(self.options.task)

    def check(self) -> None:
        """Read what the task needs before a campaign begins.

        Raises:
            ComponentError: as `prepare`.
        """
        self.prepare()

    def measure(self, smiles: str) -> float:
        """Return the score of one molecule.

        Raises:
            MeasurementFailure: `invalid` if the text is no molecule.
        """
        mol = shared(smiles)
        if mol is None:
            raise MeasurementFailure("invalid", f"{smiles!r} is no valid SMILES.")
        return task(self.options.task).score(mol)
