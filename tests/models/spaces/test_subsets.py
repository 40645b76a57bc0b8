"""Subsets: items and graph files, sizes, conflicts, draws, edits, GraphML."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from data.objects import NotStandardError, listed, unlisted
from models.registry import ComponentError, build
from models.spaces.subsets import Subsets

# A path a - b - c - d - e, and f alone.
PATH = "source,target\na,b\nb,c\nc,d\nd,e\n"
NODES = "name,depth\na,1\nb,1\nc,1\nd,1\ne,1\nf,1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "graph.csv").write_text(PATH)
    (tmp_path / "nodes.csv").write_text(NODES)
    return tmp_path


def space_of(folder: Path | None = None, **options: Any) -> Subsets:
    space: Subsets = build("space", {"kind": "subsets", **options}, base=folder)
    return space


def on_path(folder: Path, **options: Any) -> Subsets:
    return space_of(folder, graph="graph.csv", nodes="nodes.csv", **options)


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b c"], ["a,b", ' "', "{}"], ["{}"], ["a=b", "ü\n"], ["{}", "{}"]])
def test_lists_of_names_read_back(names: list[str]) -> None:
    assert unlisted(listed(names)) == names


@pytest.mark.parametrize("text", ["a,", ",", "a,,b", '"a', '"a"b, c', '"", a'])
def test_what_is_no_list_of_names_is_refused(text: str) -> None:
    with pytest.raises(NotStandardError):
        unlisted(text)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "one of `items`, `n` and `graph`"),
        ({"items": ["a", "b"], "n": 2}, "one of `items`, `n` and `graph`"),
        ({"items": []}, "expected 1 to 5000 items, got 0"),
        ({"items": ["a", "b", "a"]}, "the item 'a' stands there twice"),
        ({"items": ["a", " b"]}, "a name is empty or has blanks at its ends"),
        ({"n": 0}, "greater than or equal to 1"),
        ({"n": 4, "size": 5}, "Subsets of 5 members are asked for, and there are 4 items"),
        ({"n": 4, "size": 2, "max_size": 3}, "not both"),
        ({"n": 4, "min_size": 3, "max_size": 2}, "min_size (3) is above max_size (2)"),
        ({"n": 4, "max_size": 0}, "min_size (1) is above max_size (0)"),
        ({"n": 4, "constraint": "independent_set"}, "`constraint: independent_set` belongs to a graph"),
        ({"n": 4, "constraint": "independent"}, "'any', 'independent_set' or 'clique'"),
        ({"graph": "graph.csv", "n": 4}, "leave `n` out"),
        ({"graph": "graph.csv", "items": ["a"], "nodes": "nodes.csv"}, "`items` and `nodes` both name the items"),
        ({"graph": "graf.csv"}, "Did you mean 'graph.csv'?"),
        ({"graph": "graph.csv", "columns": ["from", "to"]}, "has no column 'from'; it has 'source', 'target'"),
        ({"graph": "graph.csv", "nodes": "nodes.csv", "node_column": "site"}, "has no column 'site'"),
        ({"graph": "graph.csv", "items": ["a", "b", "c", "d"]}, "Line 5 of"),
    ],
)
def test_options_that_make_no_space_are_refused_in_a_sentence(folder: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ComponentError, match=re.escape(told)):
        space_of(folder, **options)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("g.csv", "", "is empty; expected a header line"),
        ("g.csv", "source,target\n", "names no item"),
        ("g.csv", "source,target\na,b\nb,b\n", "Line 3 of .* joins 'b' to itself"),
        ("g.csv", "source,target\na,b\nb\n", "Line 3 of .* 1 cells where the header has 2"),
        ("g.csv", "source,target\na,b\nb, \n", "Line 3 of .* has an empty cell"),
        ("g.csv", "a,b\nb,c\n", "has no column 'source'; it has 'a', 'b'.*The first line is the header"),
        ("g.txt", "source,target\na,b\n", "no ending that tells its format"),
        ("g.graphml", "<graphml><graph><node id='a'/>", "is no whole XML file"),
        ("g.graphml", "<svg/>", "its first element is 'svg'; expected GraphML"),
        ("g.graphml", "<graphml><graph>\n<node id='a'/>\n<edge source='a' target='x'/></graph></graphml>", "Line 3 of .* edge to 'x', which is not among the 1 items"),
        ("g.graphml", "<graphml><graph><node id='a'/>\n<node id='a'/></graph></graphml>", "Line 2 of .* the id 'a' again, as line 1"),
        ("g.graphml", "<graphml><graph><node/></graph></graphml>", "a node without an id"),
        ("g.graphml", "<graphml><graph><node id='a'/><edge source='a'/></graph></graphml>", "an edge without source or target"),
    ],
)  # fmt: skip
def test_a_graph_file_that_cannot_be_used_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ComponentError, match=told):
        space_of(tmp_path, graph=name)


def test_an_edge_to_what_is_no_item_is_refused_with_its_line(folder: Path) -> None:
    (folder / "graph.csv").write_text(PATH + "\ne,g\n")
    with pytest.raises(ComponentError, match=r"Line 7 of .* has an edge to 'g', which is not among the 6 items"):
        on_path(folder)
    (folder / "nodes.csv").write_text(NODES + "c,2\n")
    with pytest.raises(ComponentError, match=r"Line 8 of .* has 'c' again, as line 4"):
        on_path(folder)


def test_graphs_are_read_from_graphml_and_edge_lists_alike(folder: Path) -> None:
    (folder / "graph.graphml").write_text(
        '<?xml version="1.0"?><g:graphml xmlns:g="http://graphml.graphdrawing.org/xmlns"><g:graph edgedefault="directed">'
        + "".join(f'<g:node id="{name}"><g:data key="d">1</g:data></g:node>' for name in "abcdef")
        + "".join(f'<g:edge source="{one}" target="{other}"/>' for one, other in ("ba", "bc", "dc", "de", "ed"))
        + "</g:graph></g:graphml>"
    )
    (folder / "graph.tsv").write_text("weight\ttarget\tsource\n1\ta\tb\n1\tb\tc\n1\td\tc\n1\te\td\n")
    whole = on_path(folder)
    other = space_of(folder, graph="graph.graphml")
    assert other.graph.edges == whole.graph.edges == ((0, 1), (1, 2), (2, 3), (3, 4))
    assert other.key() == whole.key() == space_of(folder, graph="graph.tsv", items=list("abcdef")).key()
    assert "with 4 edges, 1 given again" in other.told()
    assert "given again" not in whole.told()


def test_without_a_list_of_nodes_the_items_are_those_of_the_edges(folder: Path) -> None:
    assert space_of(folder, graph="graph.csv").items == ("a", "b", "c", "d", "e")


def test_the_key_is_of_what_the_file_says_not_of_where_it_is(folder: Path, tmp_path_factory: Any) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("graph.csv", "nodes.csv"):
        (elsewhere / name).write_bytes((folder / name).read_bytes())
    before = on_path(folder)
    assert on_path(elsewhere).key() == before.key()
    assert on_path(elsewhere).content() == before.content() != ""
    (folder / "graph.csv").write_text(PATH.replace("d,e", "d,f"))
    assert on_path(folder).key() != before.key()
    assert on_path(folder).content() != before.content()
    assert on_path(elsewhere, max_size=3).key() != before.key()
    assert on_path(elsewhere, constraint="clique").key() != before.key()
    assert space_of(n=3).content() == ""


@pytest.mark.parametrize(
    ("constraint", "text", "reason"),
    [
        ("independent_set", "d, a, c", "the items 'c' and 'd', which an edge joins"),
        ("clique", "a, b, c", "the items 'a' and 'c', which no edge joins"),
        ("any", "a, b, c, d", "4 members, more than 3"),
        ("any", "{}", "0 members, fewer than 1"),
        ("any", "a, g", "the item 'g', none of the 6 items"),
        ("any", "a, b, a", "the item 'a', which stands there twice"),
        ("any", "", "no items in this row; the empty subset is written {}"),
    ],
)
def test_the_reason_names_the_items_that_conflict_or_the_size(
    folder: Path, constraint: str, text: str, reason: str
) -> None:
    with pytest.raises(NotStandardError) as refused:
        on_path(folder, constraint=constraint, max_size=3).admit(text)
    assert str(refused.value) == reason


def test_members_stand_in_the_order_of_the_items_and_are_a_list_to_functions(folder: Path) -> None:
    space = on_path(folder)
    assert space.admit(" f,b , d") == "b, d, f"
    assert space.value("b, d, f") == ["b", "d", "f"]
    assert space.text(["f", "b"]) == "b, f"
    with pytest.raises(NotStandardError, match="no list of names"):
        space.text("b, f")
    empty = space_of(n=3, min_size=0)
    assert empty.admit(" {} ") == "{}"
    assert empty.value("{}") == []
    assert empty.text([]) == "{}"


def test_all_independent_sets_and_cliques_of_a_small_graph_are_drawn(folder: Path) -> None:
    edges = {("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")}
    sets = [names for size in range(7) for names in combinations("abcdef", size)]
    independent = [s for s in sets if not any(pair in edges for pair in combinations(s, 2))]
    cliques = [s for s in sets if all(pair in edges for pair in combinations(s, 2))]
    # Fibonacci: a path of 5 nodes has 13 independent sets, each with or without the node that is alone.
    assert len(independent) == 26
    for constraint, expected in (("independent_set", independent), ("clique", cliques), ("any", sets)):
        drawn = on_path(folder, constraint=constraint, min_size=0).random(100, 0)
        assert len(drawn) == len(set(drawn))
        assert set(drawn) == {", ".join(names) or "{}" for names in expected}


def test_subsets_without_a_constraint_are_uniform_over_the_space() -> None:
    space = space_of(n=40, min_size=3, max_size=5)  # 9,880 of 3 members, 91,390 of 4, 658,008 of 5
    sizes = Counter(len(space.value(one)) for one in space.random(3000, 0))
    share = 658008 / (658008 + 91390 + 9880)
    assert abs(sizes[5] - 3000 * share) < 4 * (3000 * share * (1 - share)) ** 0.5
    sizes = Counter(len(space.value(one)) for one in space.design(3000, 0))
    assert all(abs(sizes[size] - 1000) < 4 * (3000 * 2 / 9) ** 0.5 for size in (3, 4, 5))


def test_a_large_graph_is_drawn_from_greedily(folder: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = {tuple(sorted(rng.choice(400, 2, replace=False))) for _ in range(4000)}
    (folder / "large.csv").write_text("source,target\n" + "".join(f"{a},{b}\n" for a, b in sorted(pairs)))
    space = space_of(folder, graph="large.csv", constraint="independent_set", min_size=5, max_size=12)
    drawn = space.random(200, 3)
    assert len(set(drawn)) == 200
    assert [space.outside(one) for one in drawn] == [None] * 200
    assert {len(space.value(one)) for one in drawn} == set(range(5, 13))
    assert space.draw(drawn[0]) is None
    assert not space.draws()


def test_a_space_without_a_subset_gives_none(folder: Path) -> None:
    assert list(on_path(folder, constraint="clique", size=3).random(5, 0)) == []


def test_mutants_exchange_add_or_drop_one_item(folder: Path) -> None:
    space = on_path(folder, constraint="independent_set", max_size=3)
    rng = np.random.default_rng(0)
    edits = space.variation(())
    found = Counter(edits.mutate("a, c", rng) for _ in range(300))
    # Dropped: a; c. Added: e, f. Exchanged: c for d, e or f; a for e or f (d is in conflict with c).
    assert set(found) == {"a", "c", "a, c, e", "a, c, f", "a, d", "a, e", "a, f", "c, e", "c, f"}
    one_size = on_path(folder, constraint="independent_set", size=2).variation(())
    assert {one_size.mutate("a, c", rng) for _ in range(100)} == {"a, d", "a, e", "a, f", "c, e", "c, f"}


def test_children_keep_what_both_parents_have_and_are_repaired(folder: Path) -> None:
    space = on_path(folder, constraint="independent_set", min_size=2, max_size=3)
    rng = np.random.default_rng(1)
    children = {space.variation(()).crossover("a, c, f", "b, d, f", rng) for _ in range(200)}
    assert None not in children
    assert all("f" in space.value(str(child)) and space.outside(str(child)) is None for child in children)
    assert "a, d, f" in children
    assert space_of(n=2, size=1).variation(()).crossover("0", "1", rng) is None


def test_nearness_is_jaccard_and_facts_count_members_and_edges(folder: Path) -> None:
    space = on_path(folder)
    np.testing.assert_allclose(space.nearness(["a, b, c"], ["b, c, d", "e, f", "c"]), [[2 / 4, 0, 1 / 3]])
    assert space.facts_of("a, b, c, e") == {"size": 4.0, "edges": 2.0}
    assert on_path(folder, constraint="clique", size=2).facts_of("a, b") == {}


def test_a_drawing_marks_and_names_the_members(folder: Path) -> None:
    (folder / "graph.csv").write_text("source,target\na,b & c\nb & c,d\n")
    space = space_of(folder, graph="graph.csv")
    drawn = space.draw("a, b & c")
    assert drawn is not None
    root = ElementTree.fromstring(drawn)
    names = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert names == ["a", "b & c"]
    assert len(list(root.iter("{http://www.w3.org/2000/svg}line"))) == 2
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 3
    assert space_of(n=3).draw("0, 1") is None


def test_graphml_reads_back_as_the_graph_and_as_each_candidate(folder: Path) -> None:
    (folder / "graph.csv").write_text('source,target\na,"x, <y>"\n"x, <y>",c\n')
    space = space_of(folder, graph="graph.csv", min_size=0)
    rows = [
        {"id": "m1", "subset": space.admit('c, "x, <y>"'), "value": 2.5, "unit": "1"},
        {"id": "m2", "subset": "{}", "value": None, "unit": "1"},
    ]
    (folder / "best.graphml").write_text(space.exports["graphml"](rows))
    again = space_of(folder, graph="best.graphml", min_size=0)
    assert again.key() == space.key()
    tag = "{http://graphml.graphdrawing.org/xmlns}"
    root = ElementTree.parse(folder / "best.graphml").getroot()
    names = {key.get("id"): key.get("attr.name") for key in root.iter(f"{tag}key")}
    chosen = {
        (names[data.get("key")], node.get("id"))
        for node in root.iter(f"{tag}node")
        for data in node.iter(f"{tag}data")
        if data.text == "true"
    }
    assert list(names.values()) == ["m1", "m2"]
    assert chosen == {("m1", "x, <y>"), ("m1", "c")}
    assert root[0].findtext(f"{tag}desc") == '"x, <y>", c: 2.5 1'
