"""`discover sampler` with `graphs`: one network learns from many graphs, is judged on others, and solves the user's."""

import json
from pathlib import Path

import networkx as nx
import pandas as pd
import pytest
import yaml

from pipelines.cli import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from tasks.progress import listening

TRAINING = {"steps": 4, "batch_size": 4, "evaluate_every": 2, "checkpoint_every": 1}
CONFIG = {
    "environment": {"kind": "vertex_sets", "random": {"nodes": [7, 9], "density": [0.3, 0.4]}},
    "graphs": {"train": 5, "test": 3, "draws": 4},
    "policy": {"kind": "gin", "dim": 8, "layers": 1},
    "objective": {"kind": "forward_looking_detailed_balance"},
    "training": TRAINING,
}
PATH = "source,target\na,b\nb,c\nc,d\nd,e\n"


@pytest.fixture
def sampler(bench, monkeypatch):
    """Writes a sampler file with graphs and runs it; pictures of the course are empty."""
    monkeypatch.setattr("tasks.samplers.plots.learning", lambda _: None)
    for module in ("train", "summary"):
        monkeypatch.setattr(f"tasks.samplers.{module}.png", lambda _: b"")
    file = bench.folder / "many.yaml"
    (bench.folder / "path.csv").write_text(PATH)

    def run(**keys):
        file.write_text(yaml.safe_dump(CONFIG | keys))
        return bench.discover("sampler", str(file), "--plain")

    run.home, run.folder = bench.home, bench.folder
    return run


def results(home):
    (folder,) = Path(home).glob("samplers/*/seed-0")
    return json.loads((folder / "result.json").read_text())["metrics"], pd.read_csv(folder / "solutions.csv")


def test_held_out_graphs_are_judged_beside_greedy_rules_and_the_optimum(sampler):
    told = sampler()
    assert told.exit == 0, told.message
    assert "judged on 3 graphs that were held out, by the best of 4 draws; trained on 5 others" in told.message
    figures, table = results(sampler.home)
    assert max(figures["gain"], figures["greedy_gain"], figures["random_gain"]) <= figures["optimum"]
    assert figures["gap"] >= 0.0
    assert table["gain"].tolist() == [len(chosen.split(", ")) for chosen in table["chosen"]]
    assert (table["gain"] <= table["optimum"]).all()
    assert len(table) == 3


def test_a_set_is_printed_for_each_graph_that_it_is_wanted_for(sampler):
    told = sampler(graphs=CONFIG["graphs"] | {"solve": ["path.csv"], "draws": 40})
    assert told.exit == 0, told.message
    assert "path: 3, at random 3, the optimum 3: a, c, e" in told.message
    assert results(sampler.home)[1]["chosen"].tolist() == ["a, c, e"]


@pytest.mark.parametrize(("problem", "figures"), [("clique", {"gain", "gap"}), ("dominating_set", {"gain"})])
def test_a_folder_of_ones_own_graphs_is_learnt_and_partly_held_out(sampler, problem, figures):
    folder = sampler.folder / "mine"
    folder.mkdir()
    for number in range(5):
        nx.write_graphml(nx.gnp_random_graph(8, 0.5, seed=number), folder / f"g{number}.graphml")
    environment = {"kind": "vertex_sets", "problem": problem, "folder": "mine"}
    told = sampler(environment=environment, graphs={"test": 2, "draws": 3})
    assert told.exit == 0, told.message
    assert "judged on 2 graphs that were held out, by the best of 3 draws; trained on 3 others" in told.message
    metrics, table = results(sampler.home)
    assert metrics.keys() & {"gain", "gap"} == figures
    assert set(table["graph"]) < {f"g{number}" for number in range(5)}


def test_a_killed_training_goes_on_to_the_same_end(sampler):
    class Killed(KeyboardInterrupt):
        pass

    def kill(event):
        if event.done == 3:
            raise Killed

    with listening(kill):
        assert sampler().exit == EXIT_INTERRUPTED
    assert sampler().exit == 0
    interrupted, table = results(sampler.home)
    sampler(seeds=[0], graphs=CONFIG["graphs"] | {"exact": 69})  # another file, so nothing is taken over
    (other,) = [
        path for path in Path(sampler.home).glob("samplers/*/seed-0/result.json")
        if json.loads(path.read_text())["details"]["graphs"]["exact"] == 69
    ]  # fmt: skip
    assert json.loads(other.read_text())["metrics"] == interrupted
    assert pd.read_csv(other.parent / "solutions.csv").equals(table)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"objective": {"kind": "trajectory_balance"}},
            "expected forward_looking_detailed_balance or detailed_balance",
        ),
        ({"environment": {"kind": "hypergrid"}}, "those of an environment of kind 'vertex_sets'"),
        ({"environment": {"kind": "vertex_sets", "named": "petersen"}}, "the environment has one graph"),
        ({"environment": {"kind": "vertex_sets", "folder": "none"}}, "has no graphs"),
        ({"policy": {"kind": "mlp"}}, "reads the graph"),
        ({"backward_policy": {"kind": "tied"}}, "leave `backward_policy` out"),
    ],
)
def test_what_does_not_go_with_many_graphs_is_refused(sampler, keys, message):
    told = sampler(**keys)
    assert told.exit == EXIT_BAD_INPUT
    assert message in " ".join(told.message.split())


def test_a_folder_of_graphs_is_not_trained_as_if_it_were_one(sampler):
    folder = sampler.folder / "mine"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.csv").write_text(PATH)
    environment = {"kind": "vertex_sets", "folder": "mine"}
    told = sampler(environment=environment, graphs=None, training={"steps": 2, "batch_size": 2})
    assert told.exit == EXIT_BAD_INPUT
    assert "The environment has 2 graphs" in told.message
