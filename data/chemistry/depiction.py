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
_SPACE = re.compile(r"\s*([MLQCZ,])\s*")
_ZERO = re.compile(r"\.0(?!\d)")


def _drawing(smiles: str, width: int, height: int, bond: float) -> str:
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
    return str(canvas.GetDrawingText())


def _compact(data: str) -> str:
    return _ZERO.sub("", _SPACE.sub(r"\1", data).strip())


def _merged(drawing: str) -> Iterator[str]:
    """Yield one path per colour and kind, where RDKit writes one, with all its style, per half bond and letter."""
    strokes: dict[tuple[str, str], list[str]] = {}
    for element in _PATH.findall(drawing):
        data, stroke, fill = _DATA.search(element), _STROKE.search(element), _FILL.search(element)
        if data is None or not (stroke or fill):
            continue
        kind, colour = ("fill", fill.group(1)) if fill else ("stroke", stroke.group(1) if stroke else "#000000")
        strokes.setdefault((kind, colour.upper()), []).append(_compact(data.group(1)))
    for (kind, colour), parts in strokes.items():
        name = f' class="mol-{_COLOURS[colour]}"' if colour in _COLOURS else ""
        paint = f'fill="{colour}" stroke="none"' if kind == "fill" else f'stroke="{colour}" fill="none"'
        yield f'<path{name} {paint} d="{"".join(parts)}"/>'


@lru_cache(maxsize=4096)
def depict(smiles: str, *, width: int = 180, height: int = 130, bond: float = 32.0) -> str:
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
