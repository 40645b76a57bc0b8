"""The shipped list of energetic, unstable and reactive groups: what it must refuse, and what it must not."""

import csv
import re
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.chemistry.molecules import parse
from models.registry import ComponentError, build
from models.screens.alerts import alerts

ACCEPTORS = [
    "O=C1C=CC(=O)C=C1",  # p-benzoquinone
    "ClC1=C(Cl)C(=O)C(Cl)=C(Cl)C1=O",  # chloranil
    "N#CC1=C(C#N)C(=O)C=CC1=O",
    "O=C1c2ccccc2C(=O)c2ccccc21",
    "N#CC(C#N)=C(C#N)C#N",  # TCNE
    "N#C/C=C/C#N",
    "N#CC(C#N)=Cc1ccccc1",
    "O=[N+]([O-])c1ccccc1",
    "c1ccc2nsnc2c1",  # benzothiadiazole
    "c1ccc2nc3ccccc3nc2c1",
    "O=C1NC(=O)c2ccccc21",
    "O=C1C=CC(=O)N1",
    "c1nncnn1",
    "c1ccc(N=Nc2ccccc2)cc1",
    "O=S1(=O)C=Cc2ccccc21",
    "FC(F)(F)c1ccc(C(F)(F)F)cc1",
    "CS(=O)(=O)c1ccccc1",
    "OB(O)c1ccccc1",
    "[O-][n+]1ccccc1",
    "c1nnn[nH]1",
    "O=C1C(=O)C(O)=C1O",  # squaric acid
    "O=C1C(=O)c2ccccc21",  # benzocyclobutenedione
    "O=c1[nH]nnc2ccccc12",  # benzotriazinone
    "c1ccc2nnnn2c1",  # tetrazolopyridine
    "O=C1C=CC(=O)C([N+](=O)[O-])=C1",
    "FS(F)(F)(F)(F)c1ccccc1",
    "O=c1cccccc1",  # tropone
    "Clc1ncncn1",
    "O=C1CN=C(c2ccccc2)c2ccccc2N1",  # benzodiazepinone
]

REFUSED = {
    "azide": "CN=[N+]=[N-]",
    "sulfonyl cyanide": "N#CS(=O)(=O)c1ccccc1",
    "acyl sulfone": "CC(=O)S(C)(=O)=O",
    "alpha-chloro ketone": "CC(=O)CCl",
    "benzyl chloride": "ClCc1ccccc1",
    "tetrazepinone": "O=c1nc(Cl)nnc(C)n1",
    "dichlorotriazine": "Clc1nc(Cl)nc(C)n1",
    "peroxide": "CCOOCC",
    "hydroperoxide": "CC(C)OO",
    "diazo": "CC=[N+]=[N-]",
    "diazirine": "CC1(C)N=N1",
    "two nitro groups": "O=[N+]([O-])c1ccc([N+](=O)[O-])cc1",
    "N-chloro": "CN(C)Cl",
    "hypochlorite": "CCOCl",
    "acyl chloride": "CC(=O)Cl",
    "sulfonyl chloride": "CS(=O)(=O)Cl",
    "isocyanate": "CCN=C=O",
    "isothiocyanate": "CCN=C=S",
    "ketene": "CC=C=O",
    "cyclic anhydride": "O=C1C=CC(=O)O1",
    "acyclic anhydride": "CC(=O)OC(C)=O",
    "cyclic allene": "C1CCC=C=CC1",
    "butatriene": "CC=C=C=CC",
    "cyclic alkyne": "C1CCC#CCC1",
    "triazene": "CN=NN(C)C",
    "nitrate ester": "CCO[N+](=O)[O-]",
    "nitramine": "CN(C)[N+](=O)[O-]",
    "nitrosamine": "CN(C)N=O",
    "nitrile oxide": "CC#[N+][O-]",
    "epoxide": "CC1CO1",
    "aziridine": "CC1CN1",
    "cyclopropene": "CC1=CC1",
    "isocyanide": "C[N+]#[C-]",
    "carbodiimide": "CN=C=NC",
    "geminal diol": "OC(O)C(F)(F)F",
    "boron halide": "CB(Cl)Cl",
    "sulfenyl chain": "CSSSC",
    # What a genetic algorithm found when it was given the electron affinity alone.
    "polyazine": "O=c1nnnnc(=O)nn1",
    "fused tetrazine of four nitrogen atoms in a row": "O=c1nnnnc2nnnnc(=O)c12",
    "cyclobutadiene": "O=c1nnnnc2c1-c1c-2c(=O)c1=O",
    "vicinal tricarbonyl": "O=c1c(=O)c2nnnnc(=O)c2c1=O",
    "glyoxal": "O=CC(=O)c1ccccc1",
    "acyl nitro": "O=C(c1ccccc1)[N+](=O)[O-]",
    "cyclic acyl azo": "O=C1N=NC(=O)c2ccccc21",
    "thioquinone": "S=C1C=CC(=S)C=C1",
    "N-cyano imide": "N#CN1C(=O)c2nnnc(Cl)c2C1=O",
    "N-acyl imide": "O=CN1C(=O)c2nnnc(Cl)c2C1=O",
    "N-acyl imine": "O=C1C=NC(Cl)=NC1=O",
    "aromatic cyclic anhydride": "O=c1oc(=O)c2cc(=O)c(=O)cc1-2",
}


def refuse(molecules, **options):
    return build("screen", {"kind": "alerts", **options}).refuse(molecules)


@pytest.mark.parametrize("smiles", ACCEPTORS)
def test_electron_acceptors_that_chemists_keep_in_bottles_pass(smiles):
    assert refuse([smiles]) == [None]


@pytest.mark.parametrize("group", REFUSED)
def test_groups_of_the_list_are_refused(group):
    (reason,) = refuse([REFUSED[group]])
    assert reason is not None, f"{group} passed"
    assert reason.endswith(".")


def test_an_allowed_alert_does_not_refuse():
    assert refuse(["CN=[N+]=[N-]"])[0].startswith("Alert azide:")
    assert not (refuse(["CN=[N+]=[N-]"], allow=["azide"])[0] or "").startswith("Alert azide:")


def test_an_allowed_name_that_is_no_alert_is_an_error_with_the_nearest_one():
    with pytest.raises(ComponentError, match="Did you mean 'azide'"):
        build("screen", {"kind": "alerts", "allow": ["azid"]})


def test_an_invalid_text_is_refused():
    assert "no valid SMILES" in refuse(["C1CC"])[0]


def test_every_row_has_a_unique_name_a_count_and_a_reason_of_a_known_class():
    with files("data.resources").joinpath("alerts_reactive.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["name"] for row in rows}) == len(rows) == len(alerts())
    for row in rows:
        assert re.match(r"[a-z, -]*(energetic|unstable|reactive|strained|toxic|air-sensitive)", row["reason"]), row


@settings(deadline=None)
@given(st.permutations(list(range(9))), st.sampled_from([*ACCEPTORS, *REFUSED.values()]))
def test_the_verdict_does_not_depend_on_how_the_molecule_is_written(order, smiles):
    from rdkit import Chem

    mol = parse(smiles)
    atoms = [i for i in order if i < mol.GetNumAtoms()]
    atoms += [i for i in range(mol.GetNumAtoms()) if i not in atoms]
    rewritten = Chem.MolToSmiles(Chem.RenumberAtoms(mol, atoms), canonical=False)
    assert refuse([rewritten]) == refuse([smiles])
