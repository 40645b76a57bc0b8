"""`discover compare`: campaigns of one quantity beside one another, and groups of them with a paired interval."""

import re

import pytest
from scipy.stats import ttest_rel

from data.config import parse_config
from data.ledger.book import OracleBook
from data.ledger.comparing import Scored, common_reference, paired, purchases
from data.pareto import hypervolume
from data.records import Measurement
from tasks.workspace import Workspace

ORACLE = {"kind": "python", "function": "tiny_oracle:measure", "unit": "eV"}


def objectives(*goals, **more):
    return [{"name": f"goal{k}" if k else "score", "goal": goal, "oracle": ORACLE | more | ({"timeout": 60 + k})}
            for k, goal in enumerate(goals)]  # fmt: skip


@pytest.fixture
def begun(bench):
    """Begins a campaign whose calls were answered so: round -> arm -> the values of each call, None where it failed."""
    ledger = Workspace(bench.home).ledger()

    def begin(name, rounds, goals=("maximise",), oracle="o", seed=7, fresh=False, **more):
        bench.write_config(name=name, seed=seed, objectives=objectives(*goals, **more))
        campaign = ledger.begin_campaign(parse_config(bench.config), bench.folder, fresh=fresh)
        books = [OracleBook(ledger, campaign.id, f"{oracle}{k}", "1", part=str(k or "")) for k in range(len(goals))]
        number = 0
        for round, arms in enumerate(rounds):
            told = [(arm, value) for arm, values in arms.items() for value in values]
            ids = [f"{campaign.slug}-{number + i}" for i in range(len(told))]
            number += len(told)
            ledger.add_candidates(campaign.id, round, [
                {"object_id": i, "object": "C" * (number + 1), "arm": arm, "source": "g"}
                for i, (arm, _) in zip(ids, told, strict=True)
            ])  # fmt: skip
            for k, book in enumerate(books):
                book.reserve(round, [(i, i) for i in ids], cost=2.0)
                book.submit(ids)
                for i, (_, value) in zip(ids, told, strict=True):
                    one = value[k] if isinstance(value, tuple) else value
                    book.complete(i, Measurement(i, one, error="timeout" if one is None else None))
        return campaign

    yield begin
    ledger.close()


def plain(*values):
    return [{"initial": values[:4]}, {"acquisition": values[4:]}]


def test_campaigns_stand_beside_one_another(bench, begun):
    begun("a", [{"initial": [1.0, 2.0]}, {"acquisition": [5.0, 4.0], "control": [0.5]}])
    begun("b", [{"initial": [1.0, None, 3.0]}, {"acquisition": [2.0]}])
    told = bench.discover("compare", "a", "b")
    assert told.exit == 0, told.message
    table = [re.split(r"  +", line.strip()) for line in told.out.splitlines()]
    assert table[0] == ["campaign", "state", "seed", "calls", "cost", "best (eV)", "top-10 mean",
                        "top-10 mean at 4 calls", "gain over control"]  # fmt: skip
    assert table[1][0] == "a"
    assert table[1][3:] == ["5", "10", "5.000", "2.500", "3.000", "+4.000"]
    assert table[2][3:] == ["4", "8", "3.000", "2.000", "2.000", "-"]
    assert "An interval needs at least two campaigns in each of two groups" in told.message


def test_small_values_are_better_where_that_is_the_goal(bench, begun):
    for name, worse in (("a1", 1.0), ("a2", 3.0), ("b1", 0.5), ("b2", 2.0)):
        begun(name, plain(worse, worse + 1.0), goals=("minimise",))
    told = bench.discover("compare", "a1,a2", "b1,b2")
    assert "+0.7500 eV (positive is better)" in told.message
    assert re.search(r"^a1 .* 1\.000 +1\.500 +-$", told.out, re.M)


def test_the_interval_is_that_of_the_paired_t_test_at_equal_calls(bench, begun):
    values = {
        "a1": (1.0, 2.0, 3.0, 4.0), "a2": (2.0, 1.5, 3.5, 4.5), "a3": (0.0, 2.0, 2.5, 1.0),
        "b1": (1.5, 2.5, 3.9, 4.0, 99.0), "b2": (2.5, 2.5, 3.5, 4.9), "b3": (0.5, 2.6, 2.5, 1.7),
    }  # fmt: skip
    for name, of in values.items():
        begun(name, plain(*of))
    told = bench.discover("compare", "a1,a2,a3", "b1,b2,b3")
    means = {name: sum(of[:4]) / 4 for name, of in values.items()}
    first, second = ([means[f"{group}{k}"] for k in (1, 2, 3)] for group in "ab")
    wanted = ttest_rel(second, first).confidence_interval(0.95)
    found = re.search(r"at 4 calls: mean of the 10 best (\S+) eV .* interval (\S+) to (\S+):", told.message)
    assert found, told.message
    mean, low, high = map(float, found.groups())
    assert mean == pytest.approx(sum(second) / 3 - sum(first) / 3, rel=1e-3)
    assert (low, high) == (pytest.approx(wanted.low, rel=1e-2), pytest.approx(wanted.high, rel=1e-2))
    assert "b1 with a1, b2 with a2, b3 with a3; of one seed each" in told.message


def test_an_interval_covers_the_truth_as_often_as_it_says():
    from random import Random

    random, inside = Random(0), 0
    for _ in range(2000):
        shared = [random.gauss(0, 5) for _ in range(4)]
        found = paired([s + random.gauss(0, 1) for s in shared], [s + random.gauss(0.5, 1) for s in shared])
        inside += found.low <= 0.5 <= found.high
    assert inside / 2000 == pytest.approx(0.95, abs=0.015)


def test_groups_of_other_sizes_make_no_pairs_and_that_is_said(bench, begun):
    for name in ("a1", "a2", "b1"):
        begun(name, plain(1.0, 2.0))
    told = bench.discover("compare", "a1,a2", "b1")
    assert told.exit == 0
    assert "The groups a1,a2 (2) and b1 (1) make no pairs. An interval needs as many campaigns in one" in told.message


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"goals": ("minimise",)}, "their goals differ, maximise score and minimise score"),
        ({"unit": "kcal/mol"}, "their units differ, eV and kcal/mol"),
        ({"goals": ("maximise", "minimise")}, "their objectives differ, score and score, goal1"),
        ({"oracle": "another"}, "score is measured by oracles that are not the same"),
    ],
)
def test_another_quantity_is_refused(bench, begun, other, told):
    begun("a", plain(1.0, 2.0))
    begun("b", [{"initial": [(1.0, 2.0)]}], **other)
    refused = bench.discover("compare", "a", "b")
    assert refused.exit == 2
    assert "a and b cannot be compared" in refused.message
    assert told in refused.message


def test_campaigns_of_two_oracles_that_ran_are_refused_and_of_one_are_not(bench):
    bench.write_config(rounds=0)
    assert bench.run().exit == 0
    bench.write_config(name="alike", seed=8)
    assert bench.run().exit == 0
    assert bench.discover("compare", "tiny", "alike").exit == 0
    bench.write_oracle("2 * value(smiles)")
    bench.write_config(name="doubled")
    assert bench.run().exit == 0
    assert "oracles that are not the same" in bench.discover("compare", "tiny", "doubled").message


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a"], "takes at least two campaigns, got a alone"),
        ([], "takes at least two campaigns, got none"),
        (["a", "a"], "a stands twice"),
        (["a,,b"], "is no group"),
        (["a", "none"], "no campaign 'none'"),
        (["a", "b", "--out", "x.pdf"], "ends in .svg or .png"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_sentence(bench, begun, names, told):
    begun("a", plain(1.0))
    begun("b", plain(1.0))
    refused = bench.discover("compare", *names)
    assert refused.exit == 2
    assert told in refused.message


def test_generations_of_one_name_are_compared_by_names_that_tell_them_apart(bench, begun):
    begun("a", plain(1.0, 2.0))
    begun("a", plain(3.0, 4.0), seed=8, fresh=True)
    told = bench.discover("compare", "a~1", "a~2")
    assert told.exit == 0, told.message
    assert re.search(r"^a~1 .* 2\.000 +1\.500", told.out, re.M)
    assert re.search(r"^a~2 .* 4\.000 +3\.500", told.out, re.M)


def test_hypervolumes_have_one_reference_for_all(bench, begun):
    both = ("maximise", "minimise")
    a = begun("a", [{"initial": [(1.0, 1.0), (2.0, 3.0)]}, {"acquisition": [(3.0, 2.0)]}], goals=both)
    b = begun("b", [{"initial": [(0.0, 5.0), (1.0, 4.0)]}, {"acquisition": [(4.0, 1.0)]}], goals=both)
    told = bench.discover("compare", "a", "b")
    assert told.exit == 0, told.message
    reference = (-0.2, -5.4)  # the worst of all initial designs less a tenth of their ranges
    wanted = [hypervolume([(1.0, -1.0), (2.0, -3.0), (3.0, -2.0)], reference), hypervolume([(4.0, -1.0)], reference)]
    found = [float(re.split(r"  +", line.strip())[-2]) for line in told.out.splitlines()[1:3]]
    assert found == pytest.approx(wanted, rel=1e-3)
    assert "one reference point for all" in told.message
    ledger = Workspace(bench.home).ledger()
    rows = [ledger.candidates(one.id) for one in (a, b)]
    goals = ledger.campaign("a").goals
    assert common_reference(rows, goals) == pytest.approx(reference)
    assert [at for at, _ in purchases(rows[0])] == [2, 4, 6]  # two oracles are asked for each
    assert Scored(goals, reference).after(rows[0], 5) < wanted[0]
    ledger.close()


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_figure_is_drawn_with_the_same_bytes(bench, begun, tmp_path, ending):
    for name, of in {"a1": (1.0, 2.0, 3.0), "a2": (2.0, 3.0), "b1": (1.0, 5.0), "b2": (0.5, 0.6)}.items():
        begun(name, plain(*of))
    files = [tmp_path / f"{k}.{ending}" for k in (1, 2)]
    for file in files:
        told = bench.discover("compare", "a1,a2", "b1,b2", "--out", str(file))
        assert told.exit == 0, told.message
    assert files[0].read_bytes() == files[1].read_bytes()
    assert (b"<svg" if ending == "svg" else b"PNG") in files[0].read_bytes()[:1000]
    inside = bench.discover("compare", "a1", "b1", "--out", str(bench.home / f"x.{ending}"))
    assert inside.exit == 2
    assert not (bench.home / f"x.{ending}").exists()


def test_a_campaign_without_calls_is_shown_beside_others(bench, begun, tmp_path):
    begun("a", plain(1.0))
    begun("empty", [])
    told = bench.discover("compare", "a", "empty", "--out", str(tmp_path / "x.svg"))
    assert told.exit == 0, told.message
    assert re.search(r"^empty .* 0 +0 +- +- +- +-$", told.out, re.M)
