"""Refusal of molecules made of atoms in surroundings that nobody has seen."""

from __future__ import annotations

from pydantic import Field
from rdkit import Chem

from data.chemistry.accessibility import unseen_environments
from models.registry import Component
from models.screens.base import MoleculeScreen


class FamiliarEnvironments(MoleculeScreen["FamiliarEnvironments.Options"]):
    """Refuse molecules with more than `unseen` atoms in surroundings that a million molecules of PubChem do not have.

    The surroundings of an atom are what lies within two bonds of it. A search that climbs far ends in groups that no
    list of alerts foresaw: vicinal tricarbonyls, chains of nitrogen, cyclopropanediones. Of ZINC-250k one molecule in
    ten has more than one such atom.

    Reference: the counts are those of the synthetic accessibility score, Ertl and Schuffenhauer, J. Cheminformatics
    2009, 1, 8, as RDKit ships them.
    """

    kind = "familiar_environments"
    lasting = True
    cites = ("ertl2009accessibility",)
    reference = "Ertl, Schuffenhauer, J. Cheminformatics 2009, 1, 8 (counts of environments)"

    class Options(Component.Options):
        """Options of the screen `familiar_environments`."""

        unseen: int = Field(default=1, ge=0, description="most atoms in surroundings that were never seen")

    def reason(self, mol: Chem.Mol) -> str | None:
        """Return how many atoms are in unseen surroundings, or None if they are few enough."""
        unseen = unseen_environments(mol)
        if unseen <= self.options.unseen:
            return None
        return (
            f"{unseen} atoms are in surroundings (two bonds around) that none of a million known molecules has; at "
            f"most {self.options.unseen} may be."
        )
