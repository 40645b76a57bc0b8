"""Shapley attribution: do contributions of atoms agree with a truth that is a sum over atoms?"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data.chemistry.crippen import contributions as crippen
from data.chemistry.molecules import atoms_of, shared
from data.records import FloatArray
from data.tables.shipped import labelled_library
from models.proxies.attribution import contributions
from models.registry import Component, build
from models.systems.base import Bench, Check, System


class ShapleyAttributionClaim(System["ShapleyAttributionClaim.Options"]):
    """What each atom adds to a prediction."""

    kind: ClassVar[str] = "shapley_attribution"
    cites: ClassVar[tuple[str, ...]] = ("shapley1953value", "strumbelj2014explaining")
    title: ClassVar[str] = "Shapley values of atoms"
    claim: ClassVar[str] = (
        "Shapley values from drawn orders explain single predictions of any model: they add up to the prediction, and "
        "show what truly contributes."
    )
    protocol: ClassVar[str] = (
        "400 molecules whose value is the sum of Crippen's contributions of their atoms to log P; a Gaussian process "
        "on Morgan counts. Of 40 other molecules the contributions of heavy atoms are compared with the true ones, "
        "hydrogens among them, by their correlation within each molecule."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("proxy", "gaussian_process"),)
    where: ClassVar[str] = (
        "`discover explain NAME RANK` tells and draws what each atom, variable or place adds to a prediction."
    )
    example: ClassVar[str] = "campaigns/own_data/campaign.yaml"
    checks: ClassVar[tuple[Check, ...]] = (
        Check("contributions follow the true ones (correlation within molecules)", "correlation", at_least=0.7),
        Check("they add up to the prediction (largest gap)", "gap", at_most=1e-9),
        Check("drawing orders costs little (standard error over spread)", "noise", at_most=0.1),
    )

    class Options(Component.Options):
        """Size of the trial."""

        molecules: int = Field(400, ge=20, description="that are learnt")
        explained: int = Field(40, ge=2, description="others, whose predictions are explained")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Learn sums over atoms, and compare what is told of each atom with what it adds in truth."""
        options = self.options
        table = labelled_library().sample(options.molecules + options.explained, random_state=seed)
        smiles = table["smiles"].tolist()
        truth = {one: _truth(one) for one in smiles}
        learnt, others = smiles[: options.molecules], smiles[options.molecules :]
        proxy = build("proxy", {"kind": "gaussian_process", "features": "morgan_counts"})
        proxy.fit(learnt, np.array([truth[one].sum() for one in learnt]), seed=seed)
        correlations, gaps, noises = [], [], []
        for number, one in enumerate(others, start=1):
            found = contributions(proxy, one, learnt, seed=seed)
            told, true = found.values[: found.atoms], truth[one]
            if told.std() > 0 and true.std() > 0:
                correlations.append(float(np.corrcoef(told, true)[0, 1]))
                noises.append(float(found.errors.mean() / told.std()))
            gaps.append(abs(float(found.values.sum()) - (found.prediction - found.reference)))
            bench.progress(number, len(others), {})
        return {
            "correlation": float(np.mean(correlations)),
            "gap": max(gaps),
            "noise": float(np.mean(noises)),
        }


def _truth(smiles: str) -> FloatArray:
    """Return Crippen's contribution of each heavy atom to log P, that of its hydrogens with it."""
    mol = shared(smiles)
    assert mol is not None
    atoms = atoms_of(mol)
    found = crippen(mol, atoms, [atom.GetAtomicNum() for atom in atoms])[:, 0]
    carrier = np.repeat(np.arange(len(atoms)), [atom.GetTotalNumHs() for atom in atoms])
    out: FloatArray = found[: len(atoms)] + np.bincount(carrier, found[len(atoms) :], len(atoms))
    return out
