"""What every space promises, whatever its objects are; a new kind is put in by its examples."""

import inspect

import numpy as np
import pytest

from data.objects import NotStandardError
from models.registry import ComponentError, build, kinds
from models.spaces.base import BaseSpace, require_space

EXAMPLES = {
    "molecules": {
        "space": {"max_heavy_atoms": 12},
        "inside": ["CCO", "OCC", "c1ccccc1O", "CC(=O)[O-].[Na+]", "Oc1ccccn1", "O=c1cccc[nH]1", "C/C=C/C", "C/C=C\\C"],
        "outside": ["C" * 13, "[Xe]CC", "CC.c1ccccc1"],
        "nothing": ["", "no molecule", "C1CC", "C" * 13 + "("],
    },
}
"""By kind: options, texts inside (some may mean one object), texts of objects outside, texts without an object."""


def test_every_space_that_is_shipped_has_examples():
    shipped = {kind for kind, cls in kinds("space").items() if cls.__module__.startswith("models.")}
    assert shipped == set(EXAMPLES)


@pytest.fixture(params=sorted(EXAMPLES))
def about(request):
    return EXAMPLES[request.param]


@pytest.fixture
def space(request, about):
    return build("space", {"kind": request.node.callspec.params["about"], **about["space"]})


@pytest.fixture
def objects(space, about):
    return list(dict.fromkeys(space.admit(text) for text in about["inside"]))


def test_a_standard_form_is_its_own_standard_form(space, objects):
    assert [space.standard(obj) for obj in objects] == objects
    assert [space.admit(obj) for obj in objects] == objects


def test_equal_objects_have_one_identity_and_others_another(space, objects):
    names = [space.identity(obj) for obj in objects]
    assert len(set(names)) == len(objects)
    assert names == [space.identity(obj) for obj in objects]
    assert all(0 < len(name) <= 64 for name in names)


def test_what_is_outside_is_refused_with_a_phrase(space, about):
    for text in about["outside"]:
        with pytest.raises(NotStandardError) as refused:
            space.admit(text)
        reason = str(refused.value)
        assert reason
        assert not reason.endswith(".")
        assert reason[0].islower() or reason[0].isdigit()


def test_a_text_that_means_nothing_is_refused(space, about):
    for text in about["nothing"]:
        with pytest.raises(NotStandardError):
            space.admit(text)


def test_a_glance_refuses_nothing_that_is_inside(space, about, objects):
    assert [text for text in [*about["inside"], *objects] if space.glance(text) is not None] == []


def test_nearness_is_symmetric_with_one_on_the_diagonal(space, objects):
    near = space.nearness(objects, objects)
    np.testing.assert_array_equal(near, near.T)
    np.testing.assert_array_equal(np.diag(near), 1.0)
    assert ((near >= 0) & (near <= 1)).all()
    known = space.nearness.features(objects[:2])
    np.testing.assert_array_equal(space.nearness.nearest(objects, known), near[:, :2].max(1))
    assert space.nearness.nearest([], known).shape == (0,)
    np.testing.assert_array_equal(space.nearness.nearest(objects, space.nearness.features([])), 0.0)


def test_variation_stays_inside_and_changes_something(space, objects):
    variation = space.variation(objects)
    if variation is None:
        return
    rng = np.random.default_rng(0)
    mutants = [variation.mutate(obj, rng) for obj in objects for _ in range(20)]
    children = [variation.crossover(one, other, rng) for one in objects for other in objects for _ in range(3)]
    made = [obj for obj in (*mutants, *children) if obj is not None]
    assert len(set(made) - set(objects)) > len(objects)
    assert [obj for obj in made if space.outside(obj) is not None or space.standard(obj) != obj] == []


def test_equal_options_make_equal_spaces_with_one_key(space, about):
    twin = type(space)(**about["space"])
    assert space == twin
    assert hash(space) == hash(twin)
    assert space.key() == twin.key()
    assert type(space).from_config(space.config()).key() == space.key()


def test_what_is_told_of_it_names_its_objects(space):
    assert space.nouns[1] in space.told()
    assert all(noun == noun.lower() for noun in space.nouns)


def test_a_part_for_other_objects_is_refused_by_name():
    class Letters(BaseSpace):
        kind = "letters_for_the_contract_test"
        nouns = ("word", "words")

        def told(self):
            return "words"

        def standard(self, text):
            return text

        def outside(self, obj):
            return None

    with pytest.raises(ComponentError, match="The screen 'alerts' is for molecules; this campaign's space is 'letters"):
        require_space(build("screen", {"kind": "alerts"}), Letters())
    with pytest.raises(ComponentError, match="The featuriser 'both' is for molecules"):
        require_space(build("proxy", {"kind": "gaussian_process"}), Letters())
    require_space(build("proxy", {"kind": "gaussian_process", "features": "one_hot"}), Letters())


def test_every_part_that_reads_molecules_says_so():
    """Whoever imports the room of chemistry is for molecules."""
    silent = []
    for group in ("screen", "oracle", "featuriser", "proxy", "generator", "acquisition", "selector"):
        for kind, cls in kinds(group).items():
            source = inspect.getsource(inspect.getmodule(cls))
            if (
                "from data.chemistry" in source
                and cls.__module__.startswith("models.")
                and "molecules" not in cls.spaces
            ):
                silent.append(f"{group} {kind}")
    assert silent == []
