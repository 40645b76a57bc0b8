from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors

from data.chemistry.descriptors import NAMES, descriptors

MOLECULES = [
    "C",
    "CCO",
    "N#CC(C#N)=C(C#N)C#N",
    "O=C1C=CC(=O)C=C1",
    "O=[N+]([O-])c1ccc([N+](=O)[O-])cc1",
    "c1ccc2nsnc2c1",
    "CC(C)(C)c1ccc2occ(CC(=O)Nc3ccccc3F)c2c1",
    "C[C@@H]1CC(Nc2cncc(-c3nncn3C)c2)C[C@@H](C)C1",
    "FC(F)(F)S(=O)(=O)c1cc(Br)ccc1Cl",
    "CP(=O)(O)OCCI",
    "[Na+].[Cl-]",
]


def test_every_value_is_the_one_that_rdkit_gives_under_that_name() -> None:
    calculated = descriptors(MOLECULES)
    functions = dict(Descriptors.descList)
    for row, smiles in enumerate(MOLECULES):
        mol = Chem.MolFromSmiles(smiles)
        expected = [functions[name](mol) for name in NAMES]
        np.testing.assert_allclose(calculated[row], expected, rtol=1e-9, atol=1e-9, err_msg=smiles)


def test_values_that_rdkit_cannot_say_are_finite() -> None:
    mercury = Chem.MolFromSmiles("C[Hg]C")
    assert not np.isfinite(Descriptors.MaxPartialCharge(mercury))
    table = descriptors(["C[Hg]C", "[He]", "[H][H]"])
    assert np.isfinite(table).all()
    assert table.dtype == np.float64


def test_the_names_are_distinct_and_the_expensive_ones_are_left_out() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert {"qed", "BCUT2D_MWHI", "Ipc", "BertzCT"}.isdisjoint(NAMES)
    assert descriptors([]).shape == (0, len(NAMES))


def test_a_text_that_is_no_molecule_is_named() -> None:
    with pytest.raises(ValueError, match="'C1CC' is no valid SMILES"):
        descriptors(["CCO", "C1CC"])
