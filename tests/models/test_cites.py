"""What parts cite: keys that exist, and the same as what they and their docstrings say in words."""

import inspect
import re

import pytest

from data.references import plain, references
from data.tables.public_tables import TABLES
from data.tables.shipped import SHIPPED, provenance
from models.proxies.calibration import CITES
from models.registry import GROUPS, Component, build, kinds

ENTRIES = references()
EVERY = [
    pytest.param(cls, id=f"{group}-{kind}")
    for group in GROUPS
    for kind, cls in kinds(group).items()
    if cls.__module__.startswith("models.")
]
IN_NO_FILE = {("screen", "alerts")}
"""Parts whose reference is this project."""


def own_words(cls):
    """The reference that a class gives in words of its own, with the class that gives it."""
    found = [(base.__dict__["reference"], base) for base in cls.__mro__ if "reference" in base.__dict__]
    return found[0] if isinstance(found[0][0], str) else ("", Component)


@pytest.mark.parametrize("cls", EVERY)
def test_what_a_part_cites_is_in_the_file_and_what_has_a_reference_cites(cls):
    assert isinstance(cls.cites, tuple)
    assert [key for key in cls.cites if key not in ENTRIES] == []
    assert len(set(cls.cites)) == len(cls.cites)
    assert bool(cls.reference) == bool(cls.cites) or (cls.group, cls.kind) in IN_NO_FILE


@pytest.mark.parametrize("cls", EVERY)
def test_words_of_its_own_agree_with_what_it_cites(cls):
    words, base = own_words(cls)
    if not words or (cls.group, cls.kind) in IN_NO_FILE:
        return
    cited = [ENTRIES[key] for key in cls.cites]
    assert "cites" in base.__dict__, "words that are inherited must be of what is cited"
    for number in re.findall(r"\d{4}\.\d{4,5}", words):
        assert number in {entry.fields.get("eprint") for entry in cited}
    for year in re.findall(r"\b(?:19|20)\d\d\b", words):
        assert year in {entry.fields.get("year") for entry in cited}
    assert any(name in plain(words) or name.replace("Á", "A") in words for one in cited for name in one.surnames) or (
        "RDKit" in words and "rdkit" in cls.cites
    )


@pytest.mark.parametrize("cls", EVERY)
def test_numbers_of_arxiv_in_its_docstring_are_in_the_file(cls):
    numbers = re.findall(r"arXiv[: ](\d{4}\.\d{4,5})", inspect.getdoc(cls) or "")
    assert set(numbers) <= {entry.fields.get("eprint") for entry in ENTRIES.values()}


def test_tables_and_calibrations_cite_what_is_in_the_file():
    keys = [key for table in TABLES.values() for key in table.cites]
    keys += [key for name in SHIPPED for key in provenance(name)["cites"]]
    keys += [key for ways in CITES.values() for key in ways]
    assert [key for key in keys if key not in ENTRIES] == []
    assert all(table.cites for table in TABLES.values())


@pytest.mark.parametrize(
    ("group", "spec", "there", "absent"),
    [
        ("oracle", {"kind": "xtb"}, "asgeirsson2017ipea1", "bannwarth2019gfn2"),
        ("oracle", {"kind": "xtb", "geometry": "adiabatic"}, "bannwarth2019gfn2", ""),
        ("oracle", {"kind": "xtb", "method": "GFN2-xTB"}, "bannwarth2019gfn2", "asgeirsson2017ipea1"),
        ("oracle", {"kind": "pmo", "task": "drd2"}, "olivecrona2017denovo", "li2018multiobjective"),
        ("oracle", {"kind": "rdkit", "property": "logp"}, "wildman1999crippen", "bickerton2012qed"),
        ("screen", {"kind": "filter_catalog", "catalogs": ["PAINS_A"]}, "baell2010pains", "brenk2008lessons"),
        ("objective", {"kind": "detailed_balance"}, "bengio2023foundations", "hu2025beyond"),
        ("objective", {"kind": "detailed_balance", "residual": "shifted_cosh"}, "hu2025beyond", ""),
        ("environment", {"kind": "hypergrid", "reward": "sparse"}, "pan2023gafn", ""),
        ("environment", {"kind": "hypergrid"}, "bengio2021flow", "pan2023gafn"),
        ("policy", {"kind": "mlp", "scale_logits": True}, "kim2024logits", ""),
        ("policy", {"kind": "graph"}, "fey2019pyg", ""),
        ("proxy", {"kind": "mlp_ensemble"}, "oza2001online", "yao2022cmixup"),
        ("proxy", {"kind": "mlp_ensemble", "mixup": 1.0, "refit": "replay"}, "yao2022cmixup", ""),
        ("proxy", {"kind": "gnn_ensemble", "refit": "replay"}, "das2023accelerating", ""),
        ("proxy", {"kind": "random_forest"}, "pedregosa2011sklearn", ""),
        ("proxy", {"kind": "gaussian_process"}, "ralaivola2005kernels", "hvarfner2024vanilla"),
        ("proxy", {"kind": "gaussian_process", "length_scales": "each"}, "hvarfner2024vanilla", ""),
        ("conditioning", {"kind": "preference", "scalarisation": "chebyshev"}, "steuer1983tchebycheff", ""),
        ("conditioning", {"kind": "preference"}, "das1998nbi", "steuer1983tchebycheff"),
        ("selector", {"kind": "lcmd", "features": "gradient"}, "holzmuller2023framework", ""),
        ("generator", {"kind": "gflownet", "local_search": {}}, "kim2024local", "jain2023mogfn"),
        ("generator", {"kind": "pool", "source": "electron_affinities"}, "", "kool2019beams"),
        ("space", {"kind": "molecules", "strained_rings": "allow"}, "rdkit", "fawcett1950bredt"),
    ],
)
def test_options_decide_what_is_cited(group, spec, there, absent):
    cited = build(group, spec).cited()
    assert set(cited) <= set(ENTRIES)
    assert there in cited or not there
    assert absent not in cited
