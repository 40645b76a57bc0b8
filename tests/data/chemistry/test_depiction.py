from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from data.chemistry.cores import LARGEST, core_places
from data.chemistry.depiction import _drawing, atom_places, depict

MOLECULES = [
    "C",
    "c1ccccc1",
    "N#CC(C#N)=C(C#N)C#N",
    "C[C@H](N)C(=O)O",
    "FC(Cl)(Br)I",
    "CS(=O)(=O)c1ccccc1P",
    "[Na+].[Cl-]",
]
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def absolute(data: str) -> list[tuple[float, float]]:
    """The points of a path of relative steps, as a reader of SVG takes it."""
    points, at, start = [], (0.0, 0.0), (0.0, 0.0)
    for letter, told in re.findall(r"([mlqcz])([^mlqcz]*)", data):
        if letter == "z":
            at = start
            continue
        steps = [float(number) for number in re.findall(r"-?(?:\d+(?:\.\d+)?|\.\d+)", told)]
        size = {"m": 1, "l": 1, "q": 2, "c": 3}[letter]
        pairs = list(zip(steps[::2], steps[1::2], strict=True))
        assert len(pairs) % size == 0
        for first in range(0, len(pairs), size):
            own = [(round(at[0] + x, 1), round(at[1] + y, 1)) for x, y in pairs[first : first + size]]
            points += own
            at = own[-1]
            start = at if letter == "m" and first == 0 else start
            size = 1 if letter == "m" else size
    return points


@pytest.mark.parametrize("smiles", MOLECULES)
def test_every_stroke_of_the_drawing_is_in_the_picture(smiles: str) -> None:
    drawn = re.findall(r"\bd='([^']*)'", _drawing(smiles, 180, 130, 32.0))
    svg = ElementTree.fromstring(depict(smiles))
    kept = [point for path in svg for point in absolute(path.attrib["d"])]
    numbers = [float(number) for path in drawn for number in NUMBER.findall(path)]
    assert sorted(kept) == sorted(zip(numbers[::2], numbers[1::2], strict=True))


@pytest.mark.parametrize("smiles", MOLECULES)
def test_the_picture_is_well_formed_compact_and_named(smiles: str) -> None:
    text = depict(smiles)
    svg = ElementTree.fromstring(text)
    assert svg.attrib["aria-label"] == smiles
    assert svg.attrib["viewBox"] == "0 0 180 130"
    # One path per colour and kind.
    looks = [(path.attrib["fill"], path.attrib["stroke"]) for path in svg]
    assert len(looks) == len(set(looks))
    assert len(text) < 6000
    assert "rect" not in text


def test_elements_have_the_classes_of_their_colours() -> None:
    assert {p.attrib["class"] for p in ElementTree.fromstring(depict("N#CC(=O)Cl"))} == {
        "mol-c",
        "mol-n",
        "mol-o",
        "mol-cl",
    }


def test_bonds_have_one_length_in_small_and_larger_molecules() -> None:
    def bond(smiles: str) -> float:
        path = ElementTree.fromstring(depict(smiles))[0].attrib["d"]
        (x0, y0), (x1, y1), *_ = absolute(path)
        return ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5

    assert bond("CC") == pytest.approx(bond("CCCC"), abs=0.2)
    assert bond("CC") == pytest.approx(32.0, abs=0.2)


def test_a_text_that_is_no_molecule_is_refused() -> None:
    with pytest.raises(ValueError, match="no valid SMILES"):
        depict("C1CC")


def test_atoms_are_where_the_picture_has_them() -> None:
    ends = absolute(ElementTree.fromstring(depict("CC"))[0].attrib["d"])
    assert set(atom_places("CC")) <= set(ends)


def test_the_common_core_is_marked_in_the_other_molecule_with_whole_rings_only() -> None:
    places = atom_places("Cc1ccccc1")
    assert sorted(core_places("Clc1ccccc1", "Cc1ccccc1")) == sorted(places[1:])
    assert core_places("C1CCCCC1", "Cc1ccccc1") == ()
    assert core_places("C" * (LARGEST + 1), "CCCC") == ()
    assert core_places("no molecule", "CCCC") == ()
