"""The 23 tasks of PMO, each a mean of scores, as a table.

Definitions: GuacaMol (Brown et al. 2019) for all but qed, drd2, gsk3b and jnk3, in the form in which PMO asks for them,
that of the Therapeutics Data Commons. From its version 0.4.0 on, which counts here, TDC counts all atoms of a formula,
hydrogens included (isomers_*, sitagliptin_mpo, zaleplon_mpo). Versions before, with which the table of the PMO paper
was made, took their number from the letters of the SMILES: published values of these four tasks may not compare.

GuacaMol's own code (release 0.5.5) gives the same values, but counts a place for attachment (`*`) as an atom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from rdkit import Chem

from models.pmo.classifiers import classifier
from models.pmo.modifiers import AtLeast, AtMost, Clipped, Gaussian, Mean, Modifier, arithmetic, geometric, plain
from models.pmo.quantities import (
    AtomCount,
    Contains,
    Isomer,
    PharmacophoreSimilarity,
    Quantity,
    Similarity,
    aromatic_rings,
    complexity,
    logp,
    polar_area,
    qed,
    rings,
)

_ALBUTEROL = "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1"
_AMLODIPINE = "CCOC(=O)C1=C(COCCN)NC(C)=C(C(=O)OC)C1c1ccccc1Cl"
_CAMPHOR = "CC1(C)C2CCC1(C)C(=O)C2"
_CELECOXIB = "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1"
_FEXOFENADINE = "CC(C)(C(=O)O)c1ccc(C(O)CCCN2CCC(C(O)(c3ccccc3)c3ccccc3)CC2)cc1"
_KINASE_INHIBITOR = "CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C"
_MENTHOL = "CC(C)C1CCC(C)CC1O"
_MESTRANOL = "C#CC1(O)CCC2C3CCc4cc(OC)ccc4C3CCC21C"
_OSIMERTINIB = "C=CC(=O)Nc1cc(Nc2nccc(-c3cn(C)c4ccccc34)n2)c(OC)cc1N(C)CCN(C)C"
_PERINDOPRIL = "CCCC(NC(C)C(=O)N1C(C(=O)O)CC2CCCCC21)C(=O)OCC"
_RANOLAZINE = "COc1ccccc1OCC(O)CN1CCN(CC(=O)Nc2c(C)cccc2C)CC1"
_SILDENAFIL = "CCCc1nn(C)c2c(=O)[nH]c(-c3cc(S(=O)(=O)N4CCN(C)CC4)ccc3OCC)nc12"
_SITAGLIPTIN = "NC(CC(=O)N1CCn2c(nnc2C(F)(F)F)C1)Cc1cc(F)c(F)cc1F"
_TADALAFIL = "CN1CC(=O)N2C(Cc3c([nH]c4ccccc34)C2c2ccc3c(c2)OCO3)C1=O"
_THIOTHIXENE = "CN1CCN(CCC=C2c3ccccc3Sc3ccc(S(=O)(=O)N(C)C)cc32)CC1"
_TROGLITAZONE = "Cc1c(C)c2c(c(C)c1O)CCC(C)(COc1ccc(CC3SC(=O)NC3=O)cc1)O2"
_ZALEPLON = "CCN(C(C)=O)c1cccc(-c2ccnc3c(C#N)cnn23)c1"

_QUINAZOLINE = "[#7]-c1n[c;h1]nc2[c;h1]c(-[#8])[c;h0][c;h1]c12"
_BENZOTHIAZOLE = "[#7]-c1ccc2ncsc2c1"
_SULFONE = "CS([#6])(=O)=O"
_DECORATION = "[#6]-[#6]-[#6]-[#8]-[#6]~[#6]~[#6]~[#6]~[#6]-[#7]-c1ccc2ncsc2c1"
_VALSARTAN_PART = "CN(C=O)Cc1ccc(c2ccccc2)cc1"


@dataclass(frozen=True)
class Task:
    """A mean of scores of quantities; of one quantity: its score."""

    terms: tuple[tuple[Quantity, Modifier], ...]
    mean: Mean = geometric

    def score(self, mol: Chem.Mol) -> float:
        """Return the score of a molecule, 0 to 1."""
        scores = [modifier(quantity(mol)) for quantity, modifier in self.terms]
        return scores[0] if len(scores) == 1 else self.mean(scores)


def _one(quantity: Quantity, modifier: Modifier = plain) -> Task:
    return Task(((quantity, modifier),))


def _albuterol_similarity() -> Task:
    return _one(Similarity(_ALBUTEROL, "FCFP4"), Clipped(0.75))


def _amlodipine_mpo() -> Task:
    return Task(((Similarity(_AMLODIPINE, "ECFP4"), plain), (rings, Gaussian(3, 0.5))))


def _celecoxib_rediscovery() -> Task:
    return _one(Similarity(_CELECOXIB, "ECFP4"))


def _deco_hop() -> Task:
    return Task(
        (
            (PharmacophoreSimilarity(_KINASE_INHIBITOR), Clipped(0.85)),
            (Contains(_SULFONE, absent=True), plain),
            (Contains(_BENZOTHIAZOLE, absent=True), plain),
            (Contains(_QUINAZOLINE), plain),
        ),
        arithmetic,
    )


def _fexofenadine_mpo() -> Task:
    return Task(
        (
            (Similarity(_FEXOFENADINE, "AP"), Clipped(0.8)),
            (polar_area, AtLeast(90, 10)),
            (logp, AtMost(4, 1)),
        )
    )


def _isomers_c7h8n2o2() -> Task:
    return _one(Isomer({"C": 7, "H": 8, "N": 2, "O": 2}))


def _isomers_c9h10n2o2pf2cl() -> Task:
    return _one(Isomer({"C": 9, "H": 10, "N": 2, "O": 2, "P": 1, "F": 2, "Cl": 1}))


def _median1() -> Task:
    return Task(((Similarity(_CAMPHOR, "ECFP4"), plain), (Similarity(_MENTHOL, "ECFP4"), plain)))


def _median2() -> Task:
    return Task(((Similarity(_TADALAFIL, "ECFP6"), plain), (Similarity(_SILDENAFIL, "ECFP6"), plain)))


def _mestranol_similarity() -> Task:
    return _one(Similarity(_MESTRANOL, "AP"), Clipped(0.75))


def _osimertinib_mpo() -> Task:
    return Task(
        (
            (Similarity(_OSIMERTINIB, "FCFP4"), Clipped(0.8)),
            (Similarity(_OSIMERTINIB, "ECFP6"), AtMost(0.85, 0.1)),
            (polar_area, AtLeast(100, 10)),
            (logp, AtMost(1, 1)),
        )
    )


def _perindopril_mpo() -> Task:
    return Task(((Similarity(_PERINDOPRIL, "ECFP4"), plain), (aromatic_rings, Gaussian(2, 0.5))))


def _ranolazine_mpo() -> Task:
    return Task(
        (
            (Similarity(_RANOLAZINE, "AP"), Clipped(0.7)),
            (polar_area, AtLeast(95, 20)),
            (logp, AtLeast(7, 1)),
            (AtomCount("F"), Gaussian(1, 1)),
        )
    )


def _scaffold_hop() -> Task:
    return Task(
        (
            (PharmacophoreSimilarity(_KINASE_INHIBITOR), Clipped(0.75)),
            (Contains(_DECORATION), plain),
            (Contains(_QUINAZOLINE, absent=True), plain),
        ),
        arithmetic,
    )


def _sitagliptin_mpo() -> Task:
    target = Chem.MolFromSmiles(_SITAGLIPTIN)
    return Task(
        (
            (Similarity(_SITAGLIPTIN, "ECFP4"), Gaussian(0, 0.1)),
            (logp, Gaussian(logp(target), 0.2)),
            (polar_area, Gaussian(polar_area(target), 5)),
            (Isomer({"C": 16, "H": 15, "F": 6, "N": 5, "O": 1}), plain),
        )
    )


def _thiothixene_rediscovery() -> Task:
    return _one(Similarity(_THIOTHIXENE, "ECFP4"))


def _troglitazone_rediscovery() -> Task:
    return _one(Similarity(_TROGLITAZONE, "ECFP4"))


def _valsartan_smarts() -> Task:
    target = Chem.MolFromSmiles(_SITAGLIPTIN)
    return Task(
        (
            (Contains(_VALSARTAN_PART), plain),
            (logp, Gaussian(logp(target), 0.2)),
            (polar_area, Gaussian(polar_area(target), 5)),
            (complexity, Gaussian(complexity(target), 30)),
        )
    )


def _zaleplon_mpo() -> Task:
    return Task(((Similarity(_ZALEPLON, "ECFP4"), plain), (Isomer({"C": 19, "H": 17, "N": 3, "O": 2}), plain)))


_TASKS: Mapping[str, Callable[[], Task]] = {
    "albuterol_similarity": _albuterol_similarity,
    "amlodipine_mpo": _amlodipine_mpo,
    "celecoxib_rediscovery": _celecoxib_rediscovery,
    "deco_hop": _deco_hop,
    "drd2": lambda: _one(classifier("drd2")),
    "fexofenadine_mpo": _fexofenadine_mpo,
    "gsk3b": lambda: _one(classifier("gsk3b")),
    "isomers_c7h8n2o2": _isomers_c7h8n2o2,
    "isomers_c9h10n2o2pf2cl": _isomers_c9h10n2o2pf2cl,
    "jnk3": lambda: _one(classifier("jnk3")),
    "median1": _median1,
    "median2": _median2,
    "mestranol_similarity": _mestranol_similarity,
    "osimertinib_mpo": _osimertinib_mpo,
    "perindopril_mpo": _perindopril_mpo,
    "qed": lambda: _one(qed),
    "ranolazine_mpo": _ranolazine_mpo,
    "scaffold_hop": _scaffold_hop,
    "sitagliptin_mpo": _sitagliptin_mpo,
    "thiothixene_rediscovery": _thiothixene_rediscovery,
    "troglitazone_rediscovery": _troglitazone_rediscovery,
    "valsartan_smarts": _valsartan_smarts,
    "zaleplon_mpo": _zaleplon_mpo,
}

TASKS: tuple[str, ...] = tuple(_TASKS)
"""Names of the tasks, in the order of the published table."""


@cache
def task(name: str) -> Task:
    """Return a task by its name; its targets are read once in a process."""
    return _TASKS[name]()
