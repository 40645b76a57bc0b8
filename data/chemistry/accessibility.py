"""Synthetic accessibility score (Ertl and Schuffenhauer, J. Cheminformatics 2009, 1, 8), as RDKit ships it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType

from rdkit import Chem, RDConfig
from rdkit.Chem import rdFingerprintGenerator

from data.chemistry.molecules import shared

_RADIUS = 2
_morgan = rdFingerprintGenerator.GetMorganGenerator(radius=_RADIUS)


@cache
def _scorer() -> ModuleType:
    # Loaded from its file: the Contrib folder is no package, and putting it on sys.path would expose all of it.
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("_rdkit_sascorer", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(
            f"RDKit's synthetic accessibility scorer is not at {path}; install the `rdkit` wheel, which ships it."
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@lru_cache(maxsize=2**15)
def synthetic_accessibility(smiles: str) -> float:
    """Return the score of a molecule, from 1 (easy to make) to 10 (hard); kept, since every round's report asks again.

    Raises:
        ValueError: the text is no valid SMILES.
    """
    mol = shared(smiles)
    if mol is None:
        raise ValueError(f"{smiles!r} is no valid SMILES; the score needs a molecule that RDKit can read.")
    return float(_scorer().calculateScore(mol))


@cache
def _seen() -> Mapping[int, float]:
    """Return the environments of up to two bonds in the million molecules of PubChem that the score was made from."""
    scorer = _scorer()
    if scorer._fscores is None:  # as `calculateScore` does
        scorer.readFragmentScores()
    scores: Mapping[int, float] = scorer._fscores
    return scores


def unseen_environments(mol: Chem.Mol) -> int:
    """Return how many atoms lie in surroundings, two bonds around, that the score's million molecules do not have."""
    output = rdFingerprintGenerator.AdditionalOutput()
    output.AllocateBitInfoMap()
    _morgan.GetSparseCountFingerprint(mol, additionalOutput=output)
    seen = _seen()
    unseen = {atom for key, places in output.GetBitInfoMap().items() if key not in seen for atom, _ in places}
    return len(unseen)
