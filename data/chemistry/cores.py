"""What two molecules have in common, for pictures: the largest connected part, with whole rings only."""

from __future__ import annotations

from functools import lru_cache

from rdkit import Chem
from rdkit.Chem import rdFMCS

from data.chemistry.depiction import atom_places
from data.chemistry.molecules import quiet_rdkit, shared

LARGEST = 19
"""Heavy atoms of molecules that are compared: of these a pair takes 6 ms at most, of larger ones it may take seconds,
and a limit of time would make pictures differ from machine to machine."""
_LEAST = 3


@lru_cache(maxsize=4096)
def core_places(smiles: str, other: str) -> tuple[tuple[float, float], ...]:
    """Return where, in the depiction of the other molecule, the atoms are that both have in common.

    Empty where they have fewer than three atoms in common, where either is larger than `LARGEST` or no molecule.
    """
    first, second = shared(smiles), shared(other)
    if first is None or second is None or max(first.GetNumHeavyAtoms(), second.GetNumHeavyAtoms()) > LARGEST:
        return ()
    with quiet_rdkit():
        found = rdFMCS.FindMCS(
            [first, second],
            ringMatchesRingOnly=True,
            completeRingsOnly=True,
            bondCompare=rdFMCS.BondCompare.CompareOrderExact,  # else benzene and cyclohexane were one
        )
        core = Chem.MolFromSmarts(found.smartsString) if found.numAtoms >= _LEAST else None
    atoms = () if core is None else second.GetSubstructMatch(core)
    places = atom_places(other)
    return tuple(places[atom] for atom in atoms)
