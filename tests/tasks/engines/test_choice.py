"""Which engine a campaign has, and that it is no part of what the campaign is."""

from pathlib import Path

import pytest

from data.config import ConfigError, parse_config
from data.engine_config import EngineConfig, engine_of_environment
from tasks.engines.opening import check_engine, engine_of, places

MINIMAL = {"name": "x", "objectives": [{"name": "affinity", "oracle": {"kind": "xtb"}}]}
DONE, BAD_INPUT = 0, 2


def test_the_engine_is_no_part_of_what_a_campaign_is():
    there = parse_config(MINIMAL | {"engine": {"kind": "dask", "workers": 4}})
    assert there.identity() == parse_config(MINIMAL).identity()


def test_the_file_comes_before_the_environment_and_both_before_this_machine(monkeypatch):
    monkeypatch.delenv("DISCOVER_ENGINE", raising=False)
    assert engine_of(parse_config(MINIMAL)).kind == "local"
    monkeypatch.setenv("DISCOVER_ENGINE", "{kind: ray, workers: 3}")
    assert engine_of(parse_config(MINIMAL)) == EngineConfig(kind="ray", workers=3)
    assert engine_of(parse_config(MINIMAL | {"engine": {"kind": "local"}})).kind == "local"


@pytest.mark.parametrize(
    ("text", "engine"),
    [
        ("dask", EngineConfig(kind="dask")),
        ("tls://head:8786", EngineConfig(kind="dask", address="tls://head:8786")),
        ("", None),
    ],
)
def test_the_environment_may_name_a_kind_or_an_address(text, engine):
    assert engine_of_environment({"DISCOVER_ENGINE": text}) == engine


@pytest.mark.parametrize("text", ["dusk", "3", "[1", "{kind: dask, wrokers: 3}"])
def test_a_variable_that_names_no_engine_is_refused_by_its_name(text):
    with pytest.raises(ConfigError, match=r"\$DISCOVER_ENGINE"):
        engine_of_environment({"DISCOVER_ENGINE": text})


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        ({"kind": "local", "address": "tcp://a:1"}, "the engine local has no address"),
        ({"kind": "ray", "cluster": {"kind": "slurm"}}, "a cluster of jobs is for kind: dask"),
        ({"kind": "dask", "address": "tcp://a:1", "cluster": {"kind": "slurm"}}, "are two places"),
        ({"kind": "dask", "cluster": {"kind": "slurm", "walltime": "soon"}}, "as HH:MM:SS, such as 02:30:00"),
        ({"kind": "dask", "wrokers": 2}, "Did you mean 'workers'"),
    ],
)
def test_what_cannot_be_an_engine_is_refused(engine, told):
    with pytest.raises(ConfigError, match=told):
        parse_config(MINIMAL | {"engine": engine})


@pytest.mark.parametrize(("kind", "missing"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_extra_is_told_with_the_command_before_anything_is_bought(bench, monkeypatch, kind, missing):
    monkeypatch.setattr("tasks.engines.base.find_spec", lambda name: None)
    for command in ("validate", "engine"):
        told = bench.discover(command, str(bench.file), "--set", f"engine.kind={kind}")
        assert told.exit == BAD_INPUT
        assert f"The engine {kind} needs the package {missing}, which is not installed" in told.message
        assert f"pip install 'discovery-flows[{kind}]'" in told.message
    assert bench.run("--set", f"engine.kind={kind}").exit == BAD_INPUT
    assert bench.calls() == []


def test_an_address_without_a_protocol_is_refused_with_the_right_one():
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="tcp://head:8786"):
        check_engine(parse_config(MINIMAL | {"engine": {"kind": "dask", "address": "head:8786"}}))


def test_a_number_of_workers_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("DISCOVER_WORKERS", "many")
    with pytest.raises(ConfigError, match=r"\$DISCOVER_WORKERS is 'many'"):
        places(EngineConfig())
    assert places(EngineConfig(workers=3)) == 3


def test_the_command_shows_who_asks_and_what_a_death_costs(bench):
    told = bench.discover("engine", str(bench.file))
    assert told.exit == DONE
    assert "1 process of this machine" in told.message
    bench.config["objectives"][0]["oracle"]["semantics"] = "unsafe"
    bench.write_config(engine={"kind": "dask", "address": "tcp://head:8786"})
    pytest.importorskip("distributed")
    told = bench.discover("engine", str(bench.file))
    assert "those of the scheduler at tcp://head:8786" in told.message
    assert "1 object in a unit; a worker that dies has its unit left in doubt" in told.message
    assert str(Path(bench.folder).resolve()) in told.message
    assert bench.discover("engine", str(bench.file), "--script").exit == BAD_INPUT
