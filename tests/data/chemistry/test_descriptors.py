from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors, rdFingerprintGenerator
from rdkit.Chem.rdMolDescriptors import _CalcCrippenContribs

from data.chemistry.descriptors import NAMES, descriptors
from data.chemistry.fingerprints import FINGERPRINTS
from data.chemistry.molecules import FINGERPRINT_BITS

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

ODD = [
    *["[NH3]->[Pt](Cl)(Cl)<-[NH3]", "[CH3]", "[O][O]", "[2H]C([2H])O", "[13CH4]", "C[N+](C)(C)CC([O-])=O", "*C"],
    *["[H]OC", "C[Se]C", "C[Si](C)(C)C", "OB(O)C", "F[P-](F)(F)(F)(F)F.CN1C=C[N+](C)=C1"],
    *["[cH-]1cccc1.[cH-]1cccc1.[Fe+2]", "[SiH4]", "P", "CS", "OS(C)(=O)=O", "OO", "ON", "OC=O", "OC=C", "OC#N"],
    *["O[O-]", "[OH-]", "O", "[OH3+]", "N", "[NH4+]", "c1cc[nH]c1", "[nH+]1ccccc1", "C[n+]1ccccc1", "N=C(N)N"],
    *["CN=NC", "C[N+](=O)[O-]", "O=C1NC(=O)c2ccccc12", "NS(=O)(=O)c1ccccc1", "CS(C)(=O)=O", "CC(=O)NO", "CC(=S)S"],
    *["CN(C)C(C)=O", "C1=CC1", "C1CC2CCC1C2", "C1CCC2(CC1)CC2", "Oc1cc[o+]cc1", "c1csc2nonc12", "C[N-]C(C)=O"],
    *["CP(C)(=O)O", "F[Xe]F", "C[Hg]C", "CC(C)(C)C(C)(C)C(C)(C)C", "[NH-]C=O", "O->[Cu]", "OCl", "SO"],
]
"""Dative bonds, radicals, hydrogens and isotopes in the graph, ions, mixtures, metals, groups that count."""


def test_every_value_is_the_one_that_rdkit_gives_under_that_name() -> None:
    calculated = descriptors(MOLECULES)
    functions = dict(Descriptors.descList)
    for row, smiles in enumerate(MOLECULES):
        mol = Chem.MolFromSmiles(smiles)
        expected = [functions[name](mol) for name in NAMES]
        np.testing.assert_allclose(calculated[row], expected, rtol=1e-9, atol=1e-9, err_msg=smiles)


@pytest.mark.parametrize("smiles", [*MOLECULES, *ODD])
def test_numbers_are_rdkits_to_the_bit_where_both_say_one(smiles: str) -> None:
    mol = Chem.MolFromSmiles(smiles)
    functions = dict(Descriptors.descList)
    once, again = descriptors([smiles])[0], descriptors([smiles])[0]
    np.testing.assert_array_equal(once, again)
    for name, number in zip(NAMES, once, strict=True):
        if name.startswith(("fr_", "Num", "Kappa", "Mol", "TPSA", "Heavy", "Ring", "Exact", "Labute", "FpDensity")):
            told = functions[name](mol)
            exact = not name.startswith(("MolLogP", "MolMR"))  # RDKit adds these up in another order
            assert number == (told if exact else pytest.approx(told, rel=1e-12, abs=1e-12)), name
    every = np.array(_CalcCrippenContribs(Chem.AddHs(mol))).sum(0)
    assert once[[NAMES.index("MolLogP"), NAMES.index("MolMR")]].tolist() == every.tolist()


@pytest.mark.parametrize(
    ("kind", "generator"),
    [
        ("morgan", rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=FINGERPRINT_BITS)),
        (
            "feature_morgan",
            rdFingerprintGenerator.GetMorganGenerator(
                radius=2,
                fpSize=FINGERPRINT_BITS,
                atomInvariantsGenerator=rdFingerprintGenerator.GetMorganFeatureAtomInvGen(),
            ),
        ),
        ("atom_pairs", rdFingerprintGenerator.GetAtomPairGenerator(fpSize=FINGERPRINT_BITS, countSimulation=False)),
    ],
)
def test_counts_are_those_of_rdkits_generators(kind: str, generator: rdFingerprintGenerator.FingerprintGenerator64):
    for smiles in [*MOLECULES, *ODD]:
        mol = Chem.MolFromSmiles(smiles)
        columns, counts = FINGERPRINTS[kind](mol)
        dense = np.zeros(FINGERPRINT_BITS, dtype=int)
        dense[columns] = counts
        np.testing.assert_array_equal(dense, generator.GetCountFingerprintAsNumPy(mol), err_msg=smiles)


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
