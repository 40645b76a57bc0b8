"""Chemistry has its rooms: no other names RDKit, InChI, SMILES, Morgan counts or scaffolds, in code or to people."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from models.registry import GROUPS, Component, kinds

ROOT = Path(__file__).resolve().parent.parent
WORDS = re.compile(r"(?i:rdkit|inchi|scaffold|morgan|chemi)|SMILES")
ROOMS = ("data/chemistry/", "models/spaces/", "data/migrations/")
HELPERS = {
    "models/featurisers/cache.py": "features of molecules",
    "models/featurisers/geometries.py": "features of molecules",
    "models/featurisers/graphs.py": "features of molecules",
    "models/generators/geel_grammar.py": "molecules as sentences",
    "models/gflownet/environments/atom_molecules.py": "molecules atom by atom",
    "models/gflownet/environments/fragment_symmetry.py": "molecules of fragments",
    "models/gflownet/environments/fragment_tables.py": "molecules of fragments",
    "models/gflownet/environments/fragments.py": "molecules of fragments",
    "models/gflownet/policies/transformer.py": "how a policy reads fragments",
    "models/oracles/conformer.py": "geometries for xtb",
    "models/systems/graph_edge_lists.py": "a claim that is tried on molecules",
    "models/systems/shapley_attribution.py": "a claim that is tried on molecules",
    "models/pmo/classifiers.py": "tasks of pmo",
    "models/pmo/pharmacophores.py": "tasks of pmo",
    "models/pmo/quantities.py": "tasks of pmo",
    "models/pmo/tasks.py": "tasks of pmo",
    "data/tables/public_tables.py": "a table of molecules that is offered for download",
    "pipelines/catalogue.py": "`discover vocabulary`, a command of fragments",
    "pipelines/doctor.py": "versions of what is installed",
    "pipelines/refusals.py": "names of classes of errors",
    "models/gflownet/judging/metrics.py": "to be moved: a distance of molecules",
}
"""Modules that serve parts for molecules only, and why they may name chemistry."""
OPTIONS = {
    "models/library_options.py": "the option `smiles`",
    "models/sources/base.py": "the option `smiles`",
    "models/proxies/base.py": "featurisers that can be named",
    "models/gflownet/exploration/replay_diverse.py": "a featuriser that can be named",
}
"""Modules that name chemistry in the description of an option only."""


def modules():
    paths = (path for package in ("data", "models", "tasks", "pipelines") for path in (ROOT / package).rglob("*.py"))
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def for_molecules():
    """Modules that define a component which says that it is for molecules, or for conformers of one."""
    for group in GROUPS:
        kinds(group)
    found, open_classes = set(), [Component]
    while open_classes:
        cls = open_classes.pop()
        open_classes += cls.__subclasses__()
        if cls.spaces in (("molecules",), ("torsions",)) and isinstance(cls.spaces, tuple):
            found.add(cls.__module__.replace(".", "/") + ".py")
    return found


def named(text):
    """Words of chemistry in the identifiers and texts of a module, comments and docstrings aside, with their lines."""
    tree = ast.parse(text)
    passed_over = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        words = [getattr(node, key, None) for key in ("id", "attr", "name", "arg", "module", "asname")]
        if isinstance(node, ast.Constant) and id(node) not in passed_over:
            words.append(node.value)
        for word in words:
            if isinstance(word, str) and WORDS.search(word):
                yield getattr(node, "lineno", 0), word


def test_only_the_rooms_of_chemistry_name_it():
    allowed = for_molecules() | HELPERS.keys() | OPTIONS.keys()
    others = [module for module in modules() if not module.startswith(ROOMS) and module not in allowed]
    assert {module: found for module in others if (found := list(named((ROOT / module).read_text())))} == {}


@pytest.mark.parametrize("module", sorted({**HELPERS, **OPTIONS}))
def test_an_exception_is_needed(module):
    assert list(named((ROOT / module).read_text()))


@pytest.mark.parametrize("module", sorted(OPTIONS))
def test_a_module_with_an_option_for_molecules_imports_no_chemistry(module):
    assert not re.search(r"^\s*(from|import) (rdkit|data\.chemistry)", (ROOT / module).read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "found"), [("import rdkit", 1), ("x = 'a SMILES'", 1), ("'''rdkit'''\nsmiles = 1", 0)]
)
def test_words_are_found_in_code_and_texts_and_not_in_docstrings(text, found):
    assert len(list(named(text))) == found


def test_a_campaign_over_other_objects_needs_no_chemistry():
    """What every campaign imports, whatever its objects are."""
    import subprocess
    import sys

    rooms = [
        "models.parts",
        "models.spaces.base",
        "models.oracles.table",
        "models.oracles.command",
        "tasks.oracles.worker",
    ]
    code = (
        f"import sys, importlib; [importlib.import_module(room) for room in {rooms}]; sys.exit('rdkit' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    assert importlib.util.find_spec("rdkit") is not None
