import json
from typing import Any

import pytest
from pydantic import Field

from models.registry import GROUPS, Component, ComponentError, Options, build, find, kinds


class Doubling(Component):
    """Doubles; registered by being defined."""

    group = "acquisition"
    kind = "doubling_for_the_registry_test"

    class Options(Options):
        factor: float = Field(default=2.0, gt=0)


EVERY_KIND = [(group, kind) for group in GROUPS for kind in kinds(group) if kind != Doubling.kind]
REQUIRED: dict[tuple[str, str], dict[str, Any]] = {
    ("oracle", "python"): {"function": "math:sqrt"},
    ("screen", "property_range"): {"descriptor": "MolLogP", "max": 5},
    ("screen", "filter_catalog"): {"catalogs": ["BRENK"]},
    ("reward", "python"): {"function": "math:sqrt"},
    ("oracle", "table"): {"source": "electron_affinities"},
    ("oracle", "command"): {"command": ["python", "measure.py"]},
    ("generator", "pool"): {"source": "electron_affinities"},
    ("generator", "union"): {"members": [{"share": 1.0, "generator": {"kind": "random"}}]},
}
"""Options without which a kind cannot be built."""


def test_defining_a_class_registers_it():
    assert kinds("acquisition")[Doubling.kind] is Doubling


def test_an_unknown_kind_is_refused_with_the_nearest_spelling():
    with pytest.raises(ComponentError, match=r"no proxy of kind 'gausian_process'.*Did you mean 'gaussian_process'"):
        find("proxy", "gausian_process")


def test_an_unknown_group_is_refused_with_the_groups():
    with pytest.raises(ComponentError, match=r"no component group 'proxies'.*Did you mean 'proxy'"):
        kinds("proxies")


def test_an_unknown_option_is_refused_with_the_options():
    with pytest.raises(ComponentError, match=r"no option 'facto'; its options are factor. Did you mean 'factor'"):
        build("acquisition", {"kind": Doubling.kind, "facto": 3})


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
