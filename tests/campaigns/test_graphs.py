"""A campaign over directed acyclic graphs, judged by a function of the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tasks.select_batch
from tests.conftest import Bench

ORACLE = """
from pathlib import Path
LOG = Path(__file__).with_name("calls.log")
TRUE = {("rain", "wet"), ("sprinkler", "wet"), ("wet", "slip")}
def measure(graphs):
    with LOG.open("a") as file:
        file.writelines(str(edges) + "\\n" for edges in graphs)
    return [float(-len(TRUE ^ {tuple(edge) for edge in edges})) for edges in graphs]
"""


@pytest.fixture
def networks(bench: Bench) -> Bench:
    (bench.folder / "network_oracle.py").write_text(ORACLE)
    (bench.folder / "gauges.csv").write_text("rain,sprinkler,wet,slip\n1,2,3,4\n")
    bench.write_config(
        name="networks",
        space={"kind": "dags", "data": "gauges.csv", "max_parents": 2},
        objectives=[{"name": "score", "oracle": {"kind": "python", "function": "network_oracle:measure"}}],
        data={"kind": "random", "initial": 12, "size": 60},
        screens=[],
        proxy={"kind": "gaussian_process"},
        generator={"kind": "genetic", "generations": 2, "offspring": 20, "proposals": 40},
        control={"kind": "genetic", "fraction": 0.25},
        rounds=1,
        batch_size=4,
    )
    return bench


def test_a_campaign_over_graphs_that_is_broken_off_goes_on_and_shows_them(
    networks: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checked = networks.discover("validate", str(networks.file))
    assert checked.exit == 0, checked.message
    assert "directed acyclic graphs of 4 variables, at most 2 edges to one" in checked.message
    select, broken = tasks.select_batch._select, [True]

    def once(*given: object) -> object:
        if broken.pop() if broken else False:
            raise KeyboardInterrupt
        return select(*given)

    monkeypatch.setattr(tasks.select_batch, "_select", once)
    assert networks.run().exit == 130
    assert len(networks.calls()) == 12
    told = networks.run()
    assert told.exit == 0, told.message
    assert len(networks.calls()) == len(set(networks.calls())) == 16
    rows = networks.candidates()
    assert {str([edge.split(">") for edge in row["graph"].split(", ") if ">" in edge]) for row in rows} == set(
        networks.calls()
    )
    report = networks.home / "campaigns" / "networks" / "report"
    page = (report / "candidates.html").read_text()
    assert "Graph and id" in page
    assert f'aria-label="{rows[0]["graph"]}"'.replace(">", "&gt;") in page
    assert {"edges"} <= set(json.loads((report / "candidates.json").read_text())[0])
    out = tmp_path / "best.dot"
    assert networks.discover("candidates", "networks", "--out", str(out)).exit == 0
    assert out.read_text().count("digraph") == 16
