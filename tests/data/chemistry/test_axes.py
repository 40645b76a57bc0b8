"""Axes of chirality, which canonical SMILES cannot write: their mirror images never become one molecule."""

import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import rdDepictor, rdDistGeom

from data.chemistry.standardise import standardise
from data.objects import NotStandardError
from models.oracles.table import Table
from models.sources.base import read_source
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=40, min_heavy_atoms=1, elements=("H", "C", "N", "O", "F", "Cl", "Br"))
ALLENES = ("CC=[C@]=CC", "CC=[C@@]=CC")
BIARYL = "Cc1cccc(Br)c1-c1c(C)cccc1Cl"
BIARYLS = (f"{BIARYL} |wU:7.8|", f"{BIARYL} |wD:7.8|")


def mirrored(smiles):
    """Return the mol blocks of a molecule in space and of its mirror image."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, 7) == 0
    image = Chem.Mol(mol)
    for at, place in enumerate(mol.GetConformer().GetPositions()):
        image.GetConformer().SetAtomPosition(at, (-place[0], place[1], place[2]))
    return Chem.MolToMolBlock(mol), Chem.MolToMolBlock(image)


def flat(smiles, begin, end, mark):
    """Return the flat mol block of a molecule with a wedge (1: towards the reader, 6: away) from one atom to another."""
    mol = Chem.MolFromSmiles(smiles)
    rdDepictor.Compute2DCoords(mol)
    lines = Chem.MolToMolBlock(mol).splitlines()
    ends = (f"{begin + 1:3d}{end + 1:3d}", f"{end + 1:3d}{begin + 1:3d}")
    (at,) = (i for i, line in enumerate(lines) if line[:6] in ends and len(line) == 12)
    lines[at] = f"{ends[0]}{lines[at][6:9]}{mark:3d}"
    return "\n".join(lines) + "\n"


def read(folder, blocks):
    text = "".join(f"{block}>  <y>\n{value}\n\n$$$$\n" for value, block in enumerate(blocks))
    (folder / "a.sdf").write_text(f"{mirrored('CCO')[0]}>  <y>\n7\n\n$$$$\n{text}")
    return read_source({"kind": "sdf", "path": "a.sdf", "value": "y"}, base=folder, space=SPACE)


@pytest.mark.parametrize(
    "text",
    [
        *(*ALLENES, "[C@](=CC)=CC", "CC=[C@AL1]=CC", "[H]C(C)=[C@]=CC", "OC[C@H](F)C=[C@@]=CC", "C/C=C=C=C/C"),
        *(*BIARYLS, "CC(O)F |wU:1.0|", "C[C@H](O)F |r|", "C[C@H](O)F |$a;;;$,r|"),
    ],
)
def test_a_text_that_says_more_than_its_canonical_form_is_refused(text):
    with pytest.raises(NotStandardError, match="mirror images"):
        standardise(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("CC=C=CC", "CC=C=CC"),
        ("C/C=C=C/C", "CC=C=CC"),  # an allene has no cis and no trans
        ("CC(C)=[C@]=C(C)C", "CC(C)=C=C(C)C"),  # and one with equal groups at an end no mirror image
        ("C[C@H](O)C=C=CC", "CC=C=C[C@H](C)O"),
        ("C/C=C/C=C=C", "C=C=C/C=C/C"),
        (BIARYL, "Cc1cccc(Cl)c1-c1c(C)cccc1Br"),
        ("C[C@H](O)F |wU:1.0|", "C[C@H](O)F"),
        ("CCO |r|", "CCO"),
        ("CCO |$r;;,r,$|", "CCO"),
    ],
)
def test_a_text_whose_canonical_form_says_as_much_is_taken(text, canonical):
    assert Chem.MolToSmiles(standardise(text)) == canonical


@pytest.mark.parametrize(
    "blocks",
    [
        mirrored(BIARYL),
        mirrored("CC=C=CC"),
        [flat(BIARYL, 7, 1, mark) for mark in (1, 6)],
        [flat("CC=C=CC", 1, 0, mark) for mark in (1, 6)],
    ],
)
def test_drawings_of_two_mirror_images_are_both_refused(tmp_path, blocks):
    library = read(tmp_path, blocks)
    assert list(library.frame["object"]) == ["CCO"]
    assert [refusal.reason.startswith("the configuration of an axis") for refusal in library.refused] == [True, True]


@pytest.mark.parametrize(
    "smiles",
    [
        *("Cc1ccccc1-c1ccccc1C", "Cc1cccc(C)c1-c1c(C)cccc1Cl", "CC=C=C(C)C", "C[C@H](O)F"),
        "Cc1cccc(F)c1-c1c(F)cccc1Cl",  # two of its four neighbours are fluorine: it turns
    ],
)
def test_a_drawing_in_space_without_a_fixed_axis_is_taken(tmp_path, smiles):
    library = read(tmp_path, mirrored(smiles)[:1])
    assert list(library.frame["object"]) == ["CCO", Chem.CanonSmiles(smiles)]


def test_the_table_oracle_answers_for_neither_mirror_image(tmp_path):
    pd.DataFrame({"smiles": [*ALLENES, "CCO"], "value": (1, 9, 5)}).to_csv(tmp_path / "a.csv", index=False)
    allene, ethanol = Table(path=tmp_path / "a.csv").evaluate(["CC=C=CC", "CCO"], keys=["a", "b"])
    assert (allene.value, allene.error, ethanol.value) == (None, "missing", 5)
