"""Common groups and rings of molecules by plain names, as people look for them; each is a SMARTS pattern."""

from __future__ import annotations

from functools import lru_cache

from rdkit import Chem

from data.chemistry.molecules import parse

GROUPS = {
    # oxygen
    "alcohol": "[OX2H][CX4;!$(C([OX2H])[O,S,#7,#15])]",
    "phenol": "[OX2H]c",
    "ether": "[OX2;!$(O~[!#6])]([#6;!$(C=[O,S,N])])[#6;!$(C=[O,S,N])]",
    "epoxide": "C1OC1",
    "peroxide": "[OX2][OX2]",
    "aldehyde": "[CX3H1](=O)[#6,#1]",
    "ketone": "[#6][CX3](=O)[#6]",
    "quinone": "O=C1[#6]~[#6]C(=O)[#6]~[#6]1",
    "carboxylic acid": "[CX3](=O)[OX2H1]",
    "ester": "[CX3;$(C[#6]),$([CX3H1])](=O)[OX2][#6;!$(C=[O,S,N])]",
    "lactone": "[CX3;R](=O)[OX2;R][#6]",
    "carbonate": "[OX2][CX3](=O)[OX2]",
    "acid anhydride": "[CX3](=O)[OX2][CX3](=O)",
    # nitrogen
    "amine, primary": "[NX3H2;!$(N[C,S,P]=[O,S,N]);!$(N-[!#6])][#6;!$(C#N)]",
    "amine, secondary": "[NX3H1;!$(N[C,S,P]=[O,S,N]);!$(N-[!#6])]([#6;!$(C#N)])[#6]",
    "amine, tertiary": "[NX3H0;!$(N[C,S,P]=[O,S,N]);!$(N-[!#6])]([#6;!$(C#N)])([#6])[#6]",
    "aniline": "[NX3;H2,H1,H0;!$(N[C,S,P]=[O,S,N]);!$(N-[!#6])]c",
    "amide": "[NX3][CX3](=O)[#6,#1]",
    "lactam": "[NX3;R][CX3;R](=O)",
    "imide": "[CX3](=O)[NX3][CX3](=O)",
    "urea": "[NX3][CX3](=O)[NX3]",
    "carbamate": "[NX3][CX3](=O)[OX2]",
    "imine": "[CX3;!$(C(=N)[#7,O,S])]=[NX2;!$(N[#7,O])]",
    "amidine": "[NX3][CX3;!$(C(N)(=N)N)]=[NX2]",
    "guanidine": "[NX3][CX3](=[NX2])[NX3]",
    "hydrazine": "[NX3;!$(N=*)]-[NX3;!$(N=*)]",
    "hydrazone": "[CX3]=[NX2][NX3]",
    "oxime": "[CX3]=[NX2][OX2]",
    "azo": "[#6][NX2]=[NX2][#6]",
    "azide": "[NX1]~[NX2]~[NX2,NX1]",
    "nitrile": "[CX2]#[NX1]",
    "isocyanate": "[NX2]=C=O",
    "nitro": "[$([NX3](=O)=O),$([NX3+](=O)[O-])]",
    "nitroso": "[#6][NX2]=O",
    "N-oxide": "[#7+;!$(N=O);!$([#7+](=O)[O-])][O-]",
    # sulfur, phosphorus, boron
    "thiol": "[SX2H]",
    "thioether": "[SX2;!$(S~[!#6])]([#6])[#6;!$(C=[O,S,N])]",
    "disulfide": "[SX2][SX2]",
    "thiocarbonyl": "[CX3]=[SX1]",
    "sulfoxide": "[$([SX3]=O),$([SX3+][O-])]([#6])[#6]",
    "sulfone": "[SX4](=O)(=O)([#6])[#6]",
    "sulfonamide": "[SX4](=O)(=O)[NX3]",
    "sulfonic acid": "[SX4](=O)(=O)[OX2H]",
    "phosphorus": "[#15]",
    "boron": "[#5]",
    # halogens
    "fluorine": "[F]",
    "chlorine": "[Cl]",
    "bromine": "[Br]",
    "iodine": "[I]",
    "trifluoromethyl": "[CX4](F)(F)F",
    "aryl halide": "[F,Cl,Br,I]c",
    "acyl halide": "[CX3](=O)[F,Cl,Br,I]",
    # carbon
    "alkene": "[CX3;!$(C=[!#6])]=[CX3]",
    "alkyne": "[CX2]#[CX2]",
    "Michael acceptor": "[CX3;!$(C=O)]=[CX3][$(C=O),$(C#N),$([NX3+](=O)[O-]),$(S(=O)=O)]",
    "tert-butyl": "[CX4]([CH3])([CH3])[CH3]",
    # rings
    "benzene ring": "c1ccccc1",
    "pyridine ring": "n1ccccc1",
    "diazine ring": "[$(n1ncccc1),$(n1cnccc1),$(n1ccncc1)]",
    "triazine ring": "[$(n1ncncc1),$(n1nnccc1),$(n1cncnc1)]",
    "pyrrole ring": "[nX3]1cccc1",
    "imidazole or pyrazole ring": "[$([nX3]1cncc1),$([nX3]1nccc1)]",
    "triazole or tetrazole ring": "[$([nX3]1nncc1),$([nX3]1cnnc1),$([nX3]1ncnc1),$(n1nnnc1)]",
    "furan ring": "o1cccc1",
    "thiophene ring": "s1cccc1",
    "oxazole or thiazole ring, isomers too": "[$([o,s]1cncc1),$([o,s]1nccc1)]",
    "thiadiazole or oxadiazole ring": "[$([o,s]1nncc1),$([o,s]1ncnc1),$([o,s]1nccn1),$([o,s]1cnnc1)]",
    "fused aromatic rings": "[c,n;R2]:[c,n;R2]",
    "saturated N ring": "[NX3;R;!$(N-C=O)]([CX4;R])[CX4;R]",
    "three-membered ring": "[r3]",
}
"""Name -> SMARTS; each finds at least what its name says, and one atom may be in several."""


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[str, Chem.Mol], ...]:
    return tuple((name, Chem.MolFromSmarts(smarts)) for name, smarts in GROUPS.items())


@lru_cache(maxsize=20_000)
def groups_in(smiles: str) -> tuple[str, ...]:
    """Return the names of the groups that a molecule has, in the order of `GROUPS`; none where it is no molecule."""
    mol = parse(smiles)
    return () if mol is None else tuple(name for name, pattern in _patterns() if mol.HasSubstructMatch(pattern))
