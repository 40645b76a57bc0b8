"""RDKit's two-dimensional descriptors, those that are cheap: some 0.3 ms for a molecule of 14 heavy atoms.

`rdkit.Chem.Descriptors` calculates each of its 217 numbers from nothing: all of them cost 12 ms for such a molecule,
because the 10 to 14 bins of a surface-area family, say, repeat the same atomic contributions. Here a family's
contributions are calculated once, patterns are looked for where their element is present, rings where there are any,
and the atoms are asked once; names and values are RDKit's own (the tests compare them).

Left out, with the microseconds of one alone for molecules of at most 14 heavy atoms on one core:

* for their cost: `qed` (770), the eight `BCUT2D_*` (270 to 340), `BertzCT` (140), `SPS` (130), `Ipc` and `AvgIpc`
  (100; the former also grows without bound), `BalabanJ` (50), `NumValenceElectrons` (40), `NumRadicalElectrons` (20),
  `NumRotatableBonds` (50), `Kappa3` (30), `Phi` (15), `FpDensityMorgan2` (20, between its neighbours 1 and 3);
* the twelve connectivity indices `Chi*` (250 together): leaving them out changed the scaffold-held-out error of a
  Gaussian process on electron affinities by less than 1 % (training sets of 48 and 120);
* all but 23 of the 85 fragment counts `fr_*` (4 to 17 each): most repeat another one or occur in less than 1 % of
  ZINC, and the error of the same Gaussian process without them was the same within 1 %.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import Fragments, rdFingerprintGenerator, rdMolDescriptors, rdPartialCharges

from data.chemistry.crippen import contributions
from data.chemistry.molecules import atoms_of, parse
from data.chemistry.pharmacophores import acceptor_count
from data.records import FloatArray

_WHOLE = (
    *("MolWt", "HeavyAtomMolWt", "ExactMolWt", "TPSA", "LabuteASA", "FractionCSP3", "HallKierAlpha", "Kappa1"),
    *("Kappa2", "HeavyAtomCount", "NHOHCount", "NOCount", "NumHeteroatoms", "NumHAcceptors", "NumHDonors"),
    "NumAmideBonds",
)
_RINGS: dict[str, Callable[[Chem.Mol], float]] = {
    "RingCount": rdMolDescriptors.CalcNumRings,
    "NumAromaticRings": rdMolDescriptors.CalcNumAromaticRings,
    "NumAliphaticRings": rdMolDescriptors.CalcNumAliphaticRings,
    "NumSaturatedRings": rdMolDescriptors.CalcNumSaturatedRings,
    "NumHeterocycles": rdMolDescriptors.CalcNumHeterocycles,
    "NumAromaticCarbocycles": rdMolDescriptors.CalcNumAromaticCarbocycles,
    "NumAliphaticCarbocycles": rdMolDescriptors.CalcNumAliphaticCarbocycles,
    "NumSaturatedCarbocycles": rdMolDescriptors.CalcNumSaturatedCarbocycles,
    "NumAromaticHeterocycles": rdMolDescriptors.CalcNumAromaticHeterocycles,
    "NumAliphaticHeterocycles": rdMolDescriptors.CalcNumAliphaticHeterocycles,
    "NumSaturatedHeterocycles": rdMolDescriptors.CalcNumSaturatedHeterocycles,
    "NumBridgeheadAtoms": rdMolDescriptors.CalcNumBridgeheadAtoms,
    "NumSpiroAtoms": rdMolDescriptors.CalcNumSpiroAtoms,
}
_STEREO = ("NumAtomStereoCenters", "NumUnspecifiedAtomStereoCenters")
_FRAGMENTS = {
    **{"fr_Al_OH": "O", "fr_Ar_N": "N", "fr_Ar_OH": "O", "fr_C_O": "O", "fr_C_S": "S", "fr_N_O": "NO", "fr_NH0": "N"},
    **{"fr_NH1": "N", "fr_NH2": "N", "fr_aldehyde": "O", "fr_alkyl_halide": "X", "fr_aniline": "N", "fr_azo": "NN"},
    **{"fr_ester": "OO", "fr_ether": "O", "fr_halogen": "X", "fr_imide": "NOO", "fr_ketone": "O", "fr_nitrile": "N"},
    **{"fr_nitro": "NOO", "fr_quatN": "N", "fr_sulfonamd": "NSOO", "fr_sulfone": "SOO"},
}
"""Fragments that are counted, each with the atoms that it has (X: a halogen); where they are not, it is not sought."""
_HALOGENS = frozenset({9, 17, 35, 53})

_LOGP_BINS = np.array([-0.4, -0.2, 0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6])
_REFRACTIVITY_BINS = np.array([1.29, 1.82, 2.24, 2.45, 2.75, 3.05, 3.63, 3.8, 4.0])
_CHARGE_BINS = np.array([-0.3, -0.25, -0.2, -0.15, -0.1, -0.05, 0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3])
_AREA_BINS = np.array([4.78, 5.0, 5.41, 5.74, 6.0, 6.07, 6.45, 7.0, 11.0])
_ESTATE_BINS = np.array([-0.39, 0.29, 0.717, 1.165, 1.54, 1.807, 2.05, 4.69, 9.17, 15.0])
_LIMIT = 1e6
"""No descriptor of a molecule that fits in a campaign comes near; what is beyond, or infinite, is set to it."""

_morgan = [rdFingerprintGenerator.GetMorganGenerator(radius=radius) for radius in (1, 3)]
_table = Chem.GetPeriodicTable()


def _numbered(family: str, n: int) -> list[str]:
    return [f"{family}{i}" for i in range(1, n + 1)]


NAMES: tuple[str, ...] = (
    *_WHOLE,
    *_RINGS,
    *_STEREO,
    *_FRAGMENTS,
    *["MolLogP", "MolMR"],
    *_numbered("SlogP_VSA", 12),
    *_numbered("SMR_VSA", 10),
    *_numbered("PEOE_VSA", 14),
    *["MaxPartialCharge", "MinPartialCharge", "MaxAbsPartialCharge", "MinAbsPartialCharge"],
    *_numbered("EState_VSA", 11),
    *_numbered("VSA_EState", 10),
    *["MaxEStateIndex", "MinEStateIndex", "MaxAbsEStateIndex", "MinAbsEStateIndex"],
    *["FpDensityMorgan1", "FpDensityMorgan3"],
)
"""Names of the descriptors in the order of the columns; they are those of `rdkit.Chem.Descriptors`."""


def _family(name: str) -> str:
    if name.startswith("fr_"):
        return "functional groups"
    if name in _RINGS:
        return "rings"
    if name in _STEREO:
        return "stereocentres"
    if name in ("MolWt", "HeavyAtomMolWt", "ExactMolWt", "LabuteASA", "HeavyAtomCount", "MolMR"):
        return "size"
    if name.startswith(("HallKier", "Kappa", "FractionCSP3", "FpDensity")):
        return "shape"
    if name in ("NOCount", "NHOHCount", "NumHeteroatoms", "NumHAcceptors", "NumHDonors", "NumAmideBonds"):
        return "heteroatoms"
    if "PartialCharge" in name or name.startswith("PEOE"):
        return "charges"
    if "EState" in name:
        return "E-states"
    return "lipophilicity" if name == "MolLogP" or name.startswith("SlogP") else name.rstrip("0123456789")


FAMILIES: tuple[str, ...] = tuple(map(_family, NAMES))
"""What each descriptor tells of, in a chemist's words; several of one family mean little one by one."""


@cache
def _sought(nitrogen: int, oxygen: int, sulphur: int, halogen: int) -> list[tuple[int, Chem.Mol]]:
    """Return the patterns that a molecule with so many atoms may have, each with its place among the fragments."""
    present = Counter({"N": nitrogen, "O": oxygen, "S": sulphur, "X": halogen})
    return [
        (place, getattr(Fragments, name).__defaults__[1])  # RDKit's function holds its pattern as a default
        for place, (name, needed) in enumerate(_FRAGMENTS.items())
        if Counter(needed) <= present
    ]


def _fragment_counts(mol: Chem.Mol, numbers: list[int]) -> list[int]:
    counts = [0] * len(_FRAGMENTS)
    nitrogen, oxygen = min(numbers.count(7), 2), min(numbers.count(8), 2)
    for place, pattern in _sought(nitrogen, oxygen, int(16 in numbers), int(not _HALOGENS.isdisjoint(numbers))):
        counts[place] = len(mol.GetSubstructMatches(pattern))
    return counts


def _kappa2(mol: Chem.Mol, degrees: list[int], alpha: float) -> float:
    """Return the second shape index (Hall and Kier, Rev. Comput. Chem. 2, 367, 1991), paths counted from degrees."""
    size = mol.GetNumHeavyAtoms()
    paths = float(sum(degree * (degree - 1) // 2 for degree in degrees))
    denominator = (paths + alpha) * (paths + alpha)
    return (size + alpha - 1) * (size + alpha - 2) * (size + alpha - 2) / denominator if denominator else 0.0


def _singles(mol: Chem.Mol, numbers: list[int], degrees: list[int]) -> FloatArray:
    """Return what is a number of the whole molecule, or a count."""
    made = rdMolDescriptors
    alpha = made.CalcHallKierAlpha(mol)
    values: list[float] = [
        made._CalcMolWt(mol),
        made._CalcMolWt(mol, True),
        made.CalcExactMolWt(mol),
        made.CalcTPSA(mol),
        made.CalcLabuteASA(mol),
        made.CalcFractionCSP3(mol),
        alpha,
        made.CalcKappa1(mol),
        made.CalcKappa2(mol) if 1 in numbers else _kappa2(mol, degrees, alpha),
        mol.GetNumHeavyAtoms(),
        made.CalcNumLipinskiHBD(mol),
        made.CalcNumLipinskiHBA(mol),
        len(numbers) - numbers.count(6) - numbers.count(1),
        acceptor_count(mol),
        made.CalcNumHBD(mol),
        made.CalcNumAmideBonds(mol) if 7 in numbers else 0,
    ]
    values += [count(mol) for count in _RINGS.values()] if mol.GetRingInfo().NumRings() else [0] * len(_RINGS)
    values += [made.CalcNumAtomStereoCenters(mol), made.CalcNumUnspecifiedAtomStereoCenters(mol)]
    return np.array(values + _fragment_counts(mol, numbers), dtype=np.float64)


def _binned(values: NDArray[Any], weights: NDArray[Any], bins: NDArray[Any]) -> FloatArray:
    at = bins.searchsorted(values, side="right")
    return np.bincount(at, weights=weights, minlength=len(bins) + 1).astype(np.float64, copy=False)


def _crippen(mol: Chem.Mol, atoms: list[Chem.Atom], numbers: list[int], areas: FloatArray) -> list[FloatArray]:
    every = contributions(mol, atoms, numbers)
    own = every[: len(numbers)]
    return [
        every.sum(0),
        _binned(own[:, 0], areas, _LOGP_BINS),
        _binned(own[:, 1], areas, _REFRACTIVITY_BINS),
    ]


def _charges(mol: Chem.Mol, atoms: list[Chem.Atom], areas: FloatArray) -> list[FloatArray]:
    rdPartialCharges.ComputeGasteigerCharges(mol)
    charges = np.array([atom.GetDoubleProp("_GasteigerCharge") for atom in atoms])
    # Gasteiger has no parameters for some elements (mercury among them) and says NaN or infinity: no charge is known.
    charges = np.where(np.isfinite(charges), charges, 0.0)
    low, high = float(charges.min()), float(charges.max())
    extremes = np.array([high, low, max(abs(low), abs(high)), min(abs(low), abs(high))])
    return [_binned(charges, areas, _CHARGE_BINS), extremes]


@cache
def _shell(number: int) -> tuple[float, int]:
    """Return 4 / (principal quantum number)^2 and the outer electrons of an element."""
    return 4.0 / (bisect_left((2, 10, 18, 36, 54, 86), number) + 1) ** 2, _table.GetNOuterElecs(number)


@cache
def _intrinsic(number: int, hydrogens: int, degree: int) -> float:
    if not degree:
        return 0.0
    weight, outer = _shell(number)
    return (weight * (outer - hydrogens) + 1.0) / degree


def _electrotopological(mol: Chem.Mol, intrinsic: FloatArray, areas: FloatArray) -> list[FloatArray]:
    """Bins and extremes of the E-state index (Hall, Mohney and Kier, J. Chem. Inf. Comput. Sci. 31, 76, 1991)."""
    distance = Chem.GetDistanceMatrix(mol) + 1.0
    # RDKit writes 1e8 for the distance between parts that no bond connects: their weight is nought.
    weight = np.where(distance < 1e6, 1.0 / np.square(distance), 0.0)
    index = intrinsic * (1.0 + weight.sum(1)) - (weight * intrinsic).sum(1)
    size = np.abs(index)
    return [
        _binned(index, areas, _ESTATE_BINS),
        _binned(areas, index, _AREA_BINS),
        np.array([index.max(), index.min(), size.max(), size.min()]),
    ]


def descriptors_of(mol: Chem.Mol) -> FloatArray:
    """Return the descriptors of one molecule, shape `(len(NAMES),)`, in the order of `NAMES`.

    Every value is finite: what RDKit cannot say (NaN: the charge of an atom without parameters) is 0, and values
    beyond +-1e6 are set to that limit.
    """
    atoms = atoms_of(mol)
    numbers = [atom.GetAtomicNum() for atom in atoms]
    hydrogens = [atom.GetTotalNumHs() for atom in atoms]
    degrees = [atom.GetDegree() for atom in atoms]
    intrinsic = np.array(list(map(_intrinsic, numbers, hydrogens, degrees)))
    labute = rdMolDescriptors._CalcLabuteASAContribs(mol)[0]
    areas = np.array(list(map(labute.__getitem__, range(len(atoms)))))  # to iterate over RDKit's vector takes twice
    density = [make.GetSparseFingerprint(mol).GetNumOnBits() for make in _morgan]
    parts: list[FloatArray] = [
        _singles(mol, numbers, degrees),
        *_crippen(mol, atoms, numbers, areas),
        *_charges(mol, atoms, areas),
        *_electrotopological(mol, intrinsic, areas),
        np.array(density) / max(mol.GetNumHeavyAtoms(), 1),
    ]
    out: FloatArray = np.concatenate(parts)
    out[np.isnan(out)] = 0.0
    return out.clip(-_LIMIT, _LIMIT)


def descriptors(molecules: Sequence[str]) -> FloatArray:
    """Return the descriptors of n molecules, shape `(n, len(NAMES))`, finite float64.

    Raises:
        ValueError: one of the texts is no valid molecule.
    """
    out = np.zeros((len(molecules), len(NAMES)))
    for row, smiles in enumerate(molecules):
        mol = parse(smiles)
        if mol is None:
            raise ValueError(f"{smiles!r} is no valid SMILES; descriptors need molecules that RDKit can read.")
        out[row] = descriptors_of(mol)
    return out
