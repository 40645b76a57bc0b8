import json
import re
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from data.config import ProxyConfig
from models.registry import (
    GROUPS,
    Component,
    ComponentError,
    FolderPath,
    Options,
    _modules,
    build,
    find,
    kinds,
    located,
)


class Doubling(Component):
    """Doubles; registered by being defined."""

    group = "acquisition"
    kind = "doubling_for_the_registry_test"

    class Options(Options):
        factor: float = Field(default=2.0, gt=0)


class Weighed(Component):
    """Reads a file of the user's, which has no option name known elsewhere."""

    group = "acquisition"
    kind = "weighed_for_the_registry_test"

    class Options(Options):
        weights: FolderPath = Path("weights.pt")
        other: FolderPath | None = None
        table: FolderPath = Path("table.csv")


ROWS = Path(__file__).parent / "featurisers" / "rows.csv"
PLANT = Path(__file__).parent.parent.parent / "campaigns" / "interventions" / "observed.csv"
EVERY_KIND = [
    (group, kind) for group in GROUPS for kind, cls in kinds(group).items() if cls.__module__.startswith("models.")
]
REQUIRED: dict[tuple[str, str], dict[str, Any]] = {
    ("oracle", "python"): {"function": "math:sqrt"},
    ("oracle", "pmo"): {"task": "qed"},
    ("proxy", "neural_process"): {"table": "/earlier.csv"},
    ("screen", "property_range"): {"descriptor": "MolLogP", "max": 5},
    ("screen", "filter_catalog"): {"catalogs": ["BRENK"]},
    ("reward", "python"): {"function": "math:sqrt"},
    ("density", "python"): {"function": "math:sqrt", "dimensions": 2},
    ("oracle", "table"): {"source": "electron_affinities"},
    ("oracle", "command"): {"command": ["python", "measure.py"]},
    ("generator", "pool"): {"source": "electron_affinities"},
    **{("source", kind): {"path": "molecules"} for kind in ("csv", "parquet", "sdf", "smiles", "fasta")},
    ("space", "sequences"): {"alphabet": "dna", "length": 8},
    ("space", "subsets"): {"n": 5},
    ("space", "dags"): {"n": 4},
    ("space", "vectors"): {"variables": {"temperature": [20, 120]}},
    ("space", "torsions"): {"smiles": "CCCC"},
    ("space", "compositions"): {"elements": ["Fe", "O"]},
    ("space", "interventions"): {"data": str(PLANT)},
    ("featuriser", "settings"): {"space": {"data": str(PLANT)}},
    ("space", "table"): {"path": "rows.csv", "columns": ["size"]},
    ("featuriser", "angles"): {"names": ["phi"]},
    ("featuriser", "elements"): {"elements": ["Fe", "O"]},
    ("featuriser", "variables"): {"space": {"variables": {"temperature": [20, 120]}}},
    ("featuriser", "rows"): {"space": {"path": str(ROWS), "key": "name", "columns": ["size"]}},
    ("construction", "plain"): {"environment": {"kind": "hypergrid"}},
    ("environment", "selection"): {"items": 4},
    ("environment", "vertex_sets"): {"named": "petersen"},
    ("environment", "vectors"): {"variables": [{"kind": "real"}]},
    ("generator", "composed"): {"members": [{"from": "earlier"}]},
    ("generator", "union"): {"members": [{"share": 1.0, "generator": {"kind": "random"}}]},
}
"""Options without which a kind cannot be built."""


def test_defining_a_class_registers_it():
    assert kinds("acquisition")[Doubling.kind] is Doubling


def test_a_path_among_options_starts_at_the_folder_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "ann"))
    spec = {"kind": Weighed.kind, "weights": "w.pt"}
    options = build("acquisition", spec, base=tmp_path).options
    assert (options.weights, options.other, options.table) == (tmp_path / "w.pt", None, tmp_path / "table.csv")
    assert build("acquisition", spec).options.weights == Path("w.pt")
    assert build("acquisition", spec | {"other": "/x"}, base=tmp_path).options.other == Path("/x")
    assert build("acquisition", spec | {"other": "~/x"}, base=tmp_path).options.other == tmp_path / "ann" / "x"
    assert located("acquisition", spec, tmp_path) == spec | {
        "weights": str(tmp_path / "w.pt"),
        "table": str(tmp_path / "table.csv"),
    }


def test_a_path_of_a_member_of_a_union_starts_there_too(tmp_path):
    member = {"generator": {"kind": "random", "vocabulary": "v.json"}}
    union = build("generator", {"kind": "union", "members": [member]}, base=tmp_path)
    assert union.options.members[0].generator["vocabulary"] == str(tmp_path / "v.json")


def test_one_kind_is_found_without_importing_its_neighbours_or_the_plugins():
    code = (
        "import sys; from models.registry import find; cls = find('oracle', 'python');"
        "print(cls.kind, sorted(name for name in sys.modules if name.startswith('models.oracles.')), 'pandas' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("python ['models.oracles.")
    assert not {"models.oracles.xtb", "models.oracles.table", "models.oracles.rdkit_scores"} & set(
        ran.stdout.replace("'", " ").split()
    )
    assert ran.stdout.rstrip().endswith("False")


@pytest.mark.parametrize(("group", "kind"), EVERY_KIND)
def test_every_shipped_kind_is_named_by_the_text_of_its_module(group, kind):
    assert find(group, kind).__module__ in _modules(GROUPS[group])[kind]


def test_every_kind_that_the_pages_name_is_listed():
    docs = Path(__file__).resolve().parents[2] / "docs"
    pages = (docs / "parts.md").read_text() + (docs / "samplers.md").read_text()
    known = {kind for group in GROUPS for kind in kinds(group)}
    fields = set(typing.get_args(ProxyConfig.model_fields["calibration"].annotation))
    rows = re.findall(
        r"^\| (?:proxy|features|acquisition|selector|candidates|measurement|environment|backward policy"
        r"|conditioning|calibration) \| (.*) \|$",
        pages,
        re.MULTILINE,
    )
    named = {name for row in rows for name in re.findall(r"`([a-z_0-9]+)`", row)}
    assert len(named) > 40
    assert named - known - fields == set()


CHOSEN = {
    "parts.md": (
        "space",
        "source",
        "proxy",
        "acquisition",
        "selector",
        "generator",
        "screen",
        "buying",
        "tuner",
        "oracle",
    ),
    "samplers.md": ("environment", "construction", "objective", "backward_policy", "policy", "replay", "conditioning"),
}


@pytest.mark.parametrize(("page", "group"), [(page, group) for page, groups in CHOSEN.items() for group in groups])
def test_every_kind_that_can_be_chosen_is_on_the_page_that_helps_to_choose(page, group):
    text = (Path(__file__).resolve().parents[2] / "docs" / page).read_text()
    ours = {kind for kind, cls in kinds(group).items() if cls.__module__.startswith("models.")}
    assert {kind for kind in ours if f"`{kind}`" not in text} == set()


def test_an_unknown_kind_is_refused_with_the_nearest_spelling():
    with pytest.raises(ComponentError, match=r"no proxy of kind 'gausian_process'.*Did you mean 'gaussian_process'"):
        find("proxy", "gausian_process")


def test_an_unknown_group_is_refused_with_the_groups():
    with pytest.raises(ComponentError, match=r"no component group 'proxies'.*Did you mean 'proxy'"):
        kinds("proxies")


def test_an_unknown_option_is_refused_with_the_options():
    with pytest.raises(ComponentError, match=r"no option 'facto'; its options are factor. Did you mean 'factor'"):
        build("acquisition", {"kind": Doubling.kind, "facto": 3})


def test_options_that_do_not_go_together_are_refused_as_those_of_their_component():
    with pytest.raises(ComponentError, match="The options of source 'csv': `relation` and `unit_column` belong"):
        build("source", {"kind": "csv", "path": "a.csv", "relation": "sign"})


def test_an_option_out_of_range_is_refused_with_what_it_got():
    with pytest.raises(ComponentError, match=r"Option 'factor'.*greater than 0.*Got -1"):
        build("acquisition", {"kind": Doubling.kind, "factor": -1})


def test_a_configuration_without_a_kind_is_refused():
    with pytest.raises(ComponentError, match="needs a `kind`"):
        build("proxy", {"beta": 1})


@pytest.mark.parametrize(("group", "kind"), EVERY_KIND)
def test_every_component_is_rebuilt_from_its_configuration(group, kind):
    component = build(group, {"kind": kind, **REQUIRED.get((group, kind), {})})
    config = json.loads(json.dumps(component.config()))
    again = build(group, config)
    assert type(again) is type(component)
    assert again.config() == component.config()


@pytest.mark.parametrize(("group", "kind"), EVERY_KIND)
def test_every_component_says_what_it_is(group, kind):
    assert len((find(group, kind).__doc__ or "").strip()) > 20
