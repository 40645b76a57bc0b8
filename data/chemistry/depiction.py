"""Molecules as compact SVG: transparent, one bond length for all, colours that a page can override."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from typing import Any

from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from data.chemistry.molecules import parse

_COLOURS = {
    "#000000": "c",
    "#0000FF": "n",
    "#FF0000": "o",
    "#33CCCC": "f",
    "#00CC00": "cl",
    "#7F4C19": "br",
    "#A01EEF": "i",
    "#CCCC00": "s",
    "#FF7F00": "p",
}
"""RDKit's colours of the elements -> the class (`mol-n` ...) by which a style sheet sets others."""

_PATH = re.compile(r"<path\b[^>]*?/>")
_DATA = re.compile(r"\bd='([^']*)'")
_STROKE = re.compile(r"stroke:(#[0-9A-Fa-f]{6})")
_FILL = re.compile(r"fill(?::|=')(#[0-9A-Fa-f]{6})")
_COMMAND = re.compile(r"([MLQCZ])([^MLQCZ]*)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_POINTS = {"M": 1, "L": 1, "Q": 2, "C": 3}
"""Points of a step of each kind."""


WIDTH, HEIGHT, BOND = 180, 130, 32.0
"""Of a picture, in pixels."""


def _drawing(smiles: str, width: int, height: int, bond: float) -> str:
    return str(_drawn(smiles, width, height, bond).GetDrawingText())


def _drawn(smiles: str, width: int, height: int, bond: float) -> rdMolDraw2D.MolDraw2DSVG:
    mol = parse(smiles)
    if mol is None:
        raise ValueError(f"{smiles!r} is no valid SMILES; a depiction needs a molecule that RDKit can read.")
    rdDepictor.Compute2DCoords(mol)
    rdDepictor.StraightenDepiction(mol)
    canvas = rdMolDraw2D.MolDraw2DSVG(width, height)
    options: Any = canvas.drawOptions()
    options.clearBackground = False
    # RDKit's unit of length is an angstrom of its layout, where a bond has 1.5.
    options.fixedBondLength = bond / 1.5
    options.bondLineWidth = 1.5
    options.padding = 0.03
    canvas.DrawMolecule(rdMolDraw2D.PrepareMolForDrawing(mol, addChiralHs=False))
    canvas.FinishDrawing()
    return canvas


@lru_cache(maxsize=4096)
def atom_places(smiles: str) -> tuple[tuple[float, float], ...]:
    """Return where the atoms of a molecule are in its picture, x and y in pixels, to a tenth; in its order of atoms.

    Raises:
        ValueError: the text is no valid molecule.
    """
    canvas, mol = _drawn(smiles, WIDTH, HEIGHT, BOND), parse(smiles)
    points = [canvas.GetDrawCoords(atom) for atom in range(mol.GetNumAtoms() if mol else 0)]
    return tuple((round(point.x, 1), round(point.y, 1)) for point in points)


def _relative(data: str) -> str:
    """Return path data of absolute M, L, Q, C and Z with relative coordinates: the same points in half of the letters.

    Points are told to a tenth, as RDKit writes them, so that nothing adds up on the way.
    """
    out: list[str] = []
    at = start = (0, 0)
    last = ""
    for letter, numbers in _COMMAND.findall(data):
        if letter == "Z":
            out.append("z")
            at, last = start, ""
            continue
        tenths = [round(10 * float(number)) for number in _NUMBER.findall(numbers)]
        points = list(zip(tenths[::2], tenths[1::2], strict=True))
        size = _POINTS[letter]
        for first in range(0, len(points), size):
            told = _numbers(
                [step - here for point in points[first : first + size] for step, here in zip(point, at, strict=True)]
            )
            # Behind an `m` follow lines without a letter of their own.
            own = "" if last == letter.lower() or (last == "m" and letter == "L") else letter.lower()
            gap = "" if own or told.startswith("-") else " "
            out.append(f"{own}{gap}{told}")
            at = points[first + size - 1]
            start = at if letter == "M" else start
            last = "" if letter == "M" and len(points) > 1 else ("l" if last == "m" and not own else letter.lower())
    return "".join(out)


def _numbers(tenths: list[int]) -> str:
    """Return numbers with as little between them as a reader of paths needs."""
    told = ""
    for number in tenths:
        whole, rest = divmod(abs(number), 10)
        text = f"{'-' if number < 0 else ''}{whole or ('' if rest else 0)}{f'.{rest}' if rest else ''}"
        told += text if not told or text.startswith("-") else f" {text}"
    return told


def _merged(drawing: str) -> Iterator[str]:
    """Yield one path per colour and kind, where RDKit writes one, with all its style, per half bond and letter."""
    strokes: dict[tuple[str, str], list[str]] = {}
    for element in _PATH.findall(drawing):
        data, stroke, fill = _DATA.search(element), _STROKE.search(element), _FILL.search(element)
        if data is None or not (stroke or fill):
            continue
        kind, colour = ("fill", fill.group(1)) if fill else ("stroke", stroke.group(1) if stroke else "#000000")
        strokes.setdefault((kind, colour.upper()), []).append(data.group(1))
    for (kind, colour), parts in strokes.items():
        name = f' class="mol-{_COLOURS[colour]}"' if colour in _COLOURS else ""
        paint = f'fill="{colour}" stroke="none"' if kind == "fill" else f'stroke="{colour}" fill="none"'
        yield f'<path{name} {paint} d="{_relative(" ".join(parts))}"/>'


@lru_cache(maxsize=4096)
def depict(smiles: str, *, width: int = WIDTH, height: int = HEIGHT, bond: float = BOND) -> str:
    """Return the structure as an `<svg>` element of about 2 kB, background transparent.

    Args:
        smiles: the molecule; the text is the picture's accessible name.
        width: of the view box, in pixels.
        height: of the view box, in pixels.
        bond: length of a bond in pixels; less where the molecule would not fit.

    Raises:
        ValueError: the text is no valid molecule.
    """
    paths = "".join(_merged(_drawing(smiles, width, height, bond)))
    return (
        f'<svg class="mol" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(smiles)}" stroke-width="1.5" stroke-linecap="round">{paths}</svg>'
    )
