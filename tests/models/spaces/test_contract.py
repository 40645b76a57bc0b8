"""What every space promises, whatever its objects are; a new kind is put in by its examples."""

import inspect
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.objects import NotStandardError
from models.registry import ComponentError, build, kinds
from models.spaces.base import BaseSpace, require_space

CAMPAIGNS = Path(__file__).resolve().parent.parent.parent.parent / "campaigns"
EXAMPLES = {
    "molecules": {
        "space": {"max_heavy_atoms": 12},
        "inside": ["CCO", "OCC", "c1ccccc1O", "CC(=O)[O-].[Na+]", "Oc1ccccn1", "O=c1cccc[nH]1", "C/C=C/C", "C/C=C\\C"],
        "outside": ["C" * 13, "[Xe]CC", "CC.c1ccccc1"],
        "nothing": ["", "no molecule", "C1CC", "C" * 13 + "("],
    },
    "sequences": {
        "space": {"alphabet": "dna", "min_length": 3, "max_length": 9, "pattern": "[ACGT]*A[ACGT]*"},
        "inside": ["ACGT", "acgt", " GATTACA ", "TTTTTTTTA", "AAA", "CCA", "GATTACAGA"],
        "outside": ["AC", "ACGTACGTAC", "TTTT", "A"],
        "nothing": ["", "  ", "ACXT", "AC GT", "AC-T", "ACGU"],
        "texts": st.text("acgtACGT", min_size=3, max_size=9),
    },
    "subsets": {
        "space": {"items": ["a", "b", "c d", "e,f", "{}", "=g"], "max_size": 3},
        "inside": ["a", "b, a", "a,b", '"e,f", b', '"{}"', '=g, "c d"', "c d, =g", "a, b, c d"],
        "outside": ["{}", 'a, b, c d, "e,f"'],
        "nothing": ["", "h", "a, a", "a,,b", "a b", "e,f", '"e,f'],
        "texts": st.lists(st.sampled_from(["a", "b", '"c d"', '"e,f"', '"{}"', '"=g"']), unique=True).map(", ".join),
    },
    "dags": {
        "space": {"variables": ["a", "b", "c d", "=e"], "max_parents": 2},
        "inside": ["a>b", "{}", "a>b, a>c d", "a>c d,a > b", "b>a", "=e>a, a>b, b>c d", "c d>=e, a>=e", "=e>a, =e>b"],
        "outside": ["a>b, b>a", "a>b, b>c d, c d>a", "a>=e, b>=e, c d>=e"],
        "nothing": ["", "a", "a>a", "a>f", "a>b, a>b", "a>b>c d", "a>b,", "a->b", ">", "a b"],
        "texts": st.lists(
            st.sampled_from(["a>b", "b>a", "a>c d", "c d>=e", "=e>b", "b>c d"]), min_size=1, unique=True
        ).map(", ".join),
    },
    "vectors": {
        "space": {
            "variables": {
                "temperature": [20, 120],
                "cycles": {"integer": [1, 9]},
                "solvent": ["water", "dmf", "2,2-dmb"],
            },
            "fractions": {"resin": [0.2, 0.8], "oil": [0.1, 0.7]},
        },
        "inside": [
            "temperature=80, cycles=3, solvent=dmf, resin=0.4, oil=0.6",
            "oil=0.600, resin=.4, solvent=DMF, cycles=3.0, temperature=80.01",
            "temperature=20, cycles=1, solvent=water, resin=0.8, oil=0.2",
            'temperature=120, cycles=9, solvent="2,2-dmb", resin=0.666, oil=0.33',
        ],
        "outside": [
            "temperature=19, cycles=3, solvent=dmf, resin=0.4, oil=0.6",
            "temperature=80, cycles=2.5, solvent=dmf, resin=0.4, oil=0.6",
            "temperature=80, cycles=3, solvent=acetone, resin=0.4, oil=0.6",
            "temperature=80, cycles=3, solvent=dmf, resin=0.4, oil=0.4",
            "temperature=80, cycles=3, solvent=dmf, resin=0.1, oil=0.9",
        ],
        "nothing": [
            "",
            "80",
            "temperature=warm, cycles=3, solvent=dmf, resin=0.4, oil=0.6",
            "temperature=80, cycles=3",
        ],
    },
    "torsions": {
        "space": {"smiles": "CC(=O)N[C@@H](C)C(=O)NC", "bonds": {"phi": [1, 3, 4, 6], "psi": [3, 4, 6, 8]}, "step": 5},
        "inside": ["phi=-75, psi=60", "psi = 60, phi=285", "phi=180, psi=-180", "phi=1e3, psi=-2.4", "phi=0, psi=119"],
        "outside": [],
        "nothing": ["", "60", "phi=60", "phi=60, psi=up", "phi=60, psi=nan", "phi=60, psi=0, chi=3", "phi=1, phi=2"],
        "texts": st.tuples(st.integers(-400, 400), st.integers(-400, 400)).map("phi={0[0]}, psi={0[1]}".format),
    },
    "table": {
        "space": {
            "path": str(CAMPAIGNS / "rows" / "alloys.csv"),
            "key": "alloy",
            "columns": ["Si", "Cu", "Mg", "Zn", "temper", "ageing_h"],
        },
        "inside": ["A001", " A002 ", "A003", "A004", "A005"],
        "outside": ["A000", "a001"],
        "nothing": ["", "A201"],
    },
    "interventions": {
        "space": {
            "data": str(CAMPAIGNS / "interventions" / "observed.csv"),
            "settings": {"feed": [10, 14], "rate": [2.5]},
        },
        "inside": [
            "feed=10",
            " feed = 10.0",
            "feed=14, run=2",
            "rate=2.50",
            "watch",
            "watch, run=3",
            "rate=2.5,run=01",
        ],
        "outside": ["feed=11", "purity=96", "rate=2.5, run=21", "watch, run=50"],
        "nothing": ["", "flow=1", "feed", "feed=10, rate=2.5", "feed=hot", "watch, feed=10", "feed=10, run=0", "run=2"],
    },
    "compositions": {
        "space": {"elements": ["Fe", "Ca", "Ti", "H", "O", "S"], "max_count": 6},
        "inside": ["Fe2O3", "O6Fe4", "Ca(OH)2", "CaTiO3", "Fe3O4", "FeS", "TiO2", "CaO"],
        "outside": ["FeO7", "NaCl", "CaO2", "Fe", "CaFeTiO5H2"],
        "nothing": ["", "Xx2O", "fe2o3", "Fe2(O3", "Fe0.5O", "FeO)"],
    },
}
"""By kind: options, texts inside (some may mean one object), texts of objects outside, texts without an object.

`texts` is what hypothesis makes texts by, inside and outside; without it, it takes those inside.
"""


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


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_identities_are_equal_exactly_for_equal_objects(kind):
    about = EXAMPLES[kind]
    space = build("space", {"kind": kind, **about["space"]})
    texts = about.get("texts", st.sampled_from(about["inside"]))

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(texts, texts)
    def judge(one, other):
        try:
            first, second = space.admit(one), space.admit(other)
        except NotStandardError:
            return
        assert space.standard(first) == first
        same = space.value(first) == space.value(second)
        assert same == (first == second) == (space.identity(first) == space.identity(second))

    judge()


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


def test_the_nearest_outside_a_fold_is_the_nearest_of_the_other_folds(space, objects, monkeypatch):
    monkeypatch.setattr("models.featurisers.nearness._CHUNK", 3)  # several chunks of few objects
    near, one_by_one = space.nearness(objects, objects), list(range(len(objects)))
    halves = [place % 2 for place in one_by_one]
    for fold, told in zip(
        (halves, one_by_one), space.nearness.nearest_outside(objects, halves, one_by_one), strict=True
    ):
        outside = np.not_equal.outer(fold, fold)
        np.testing.assert_array_equal(told, np.where(outside, near, 0.0).max(1))
    (alone,) = space.nearness.nearest_outside(objects, [0] * len(objects))
    np.testing.assert_array_equal(alone, 0.0)


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


def test_random_objects_are_inside_without_repeats_and_the_same_under_one_seed(space):
    for draw in (space.random, space.design):
        drawn = draw(40, 5)
        if drawn is None:
            continue
        assert len(drawn) == len(set(drawn)) == 40
        assert [space.admit(obj) for obj in drawn] == list(drawn)
        assert list(draw(40, 5)) == list(drawn)
        assert list(draw(40, 6)) != list(drawn)
        assert list(draw(0, 5)) == []


def test_a_value_leads_back_to_its_object(space, objects):
    assert [space.text(json.loads(json.dumps(space.value(obj)))) for obj in objects] == objects


def test_a_drawing_is_well_formed_and_names_what_it_shows(space, objects):
    for obj in objects:
        drawn = space.draw(obj)
        if drawn is not None:
            root = ElementTree.fromstring(drawn)
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert root.get("aria-label")


def test_facts_are_numbers_under_the_keys_that_are_announced(space, objects):
    for obj in objects:
        facts = space.facts_of(obj)
        assert list(facts) == list(space.facts)
        assert all(isinstance(fact, float) and np.isfinite(fact) for fact in facts.values())


def test_proxies_and_nearness_get_features_of_every_object(space, objects):
    for spec in (space.features, space.neighbours):
        features = build("featuriser", json.loads(json.dumps(dict(spec))))(objects)
        assert len(features) == len(objects)
        assert features.dense.shape[1] + features.counts.shape[1] > 0


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
