from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config import CampaignConfig, ConfigError, derive_seed, load_config, parse_config

MINIMAL = {"name": "x", "objectives": [{"name": "affinity", "oracle": {"kind": "xtb"}}]}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "campaign.yaml"
    path.write_text(text)
    return path


def test_an_unknown_key_is_refused_with_the_nearest_spelling():
    with pytest.raises(ConfigError, match=r"unknown key 'bugdet'.*Did you mean 'budget'\?"):
        parse_config(MINIMAL | {"bugdet": {"calls": 3}})


def test_an_unknown_key_inside_a_section_is_refused_with_the_keys_of_that_section():
    with pytest.raises(
        ConfigError, match=r"unknown key 'budget.cals'; expected one of calls, cost, stalled, wall_time"
    ):
        parse_config(MINIMAL | {"budget": {"cals": 3}})


def test_an_unknown_key_of_an_objective_is_found():
    broken = {"name": "x", "objectives": [{"name": "a", "oracle": {"kind": "xtb"}, "gaol": "minimise"}]}
    with pytest.raises(ConfigError, match=r"objectives.0.gaol.*Did you mean 'goal'") as caught:
        parse_config(broken)
    assert "at least 1 item" not in str(caught.value)


def test_every_mistake_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_config({"name": "a b", "objectives": [], "rounds": -1})
    assert all(word in str(caught.value) for word in ("name", "objectives", "rounds"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no campaign file.*nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("text", ["[1, 2]", "name: [", "a: 1\na: 2", ""])
def test_what_is_no_mapping_of_unique_keys_is_refused(tmp_path, text):
    with pytest.raises(ConfigError):
        load_config(written(tmp_path, text))


def test_overrides_reach_nested_keys_and_list_elements(tmp_path):
    path = written(tmp_path, "name: x\nobjectives: [{name: a, oracle: {kind: xtb}}]\n")
    config = load_config(path, ["budget.calls=7", "objectives.0.goal=minimise", "generator.kind=genetic"])
    assert (config.budget.calls, config.objective.goal, config.generator.kind) == (7, "minimise", "genetic")


@pytest.mark.parametrize("text", [",", "%", "@home", "a: b: c", "; ,"])
def test_an_override_that_is_no_yaml_is_plain_text(tmp_path, text):
    path = written(tmp_path, "name: x\nobjectives: [{name: a, oracle: {kind: xtb}}]\n")
    assert load_config(path, [f"objectives.0.oracle.mark={text}"]).objective.oracle["mark"] == text


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("budget=", "budget: expected a section with keys among calls, cost, stalled, wall_time (got None)."),
        (
            "space=3",
            "space: expected a section with keys among kind and options of that kind (got 3)",
        ),
        ("proxy.domain=x", "proxy.domain: expected a section with keys among min_similarity (got 'x')"),
        (
            "objectives.0=1",
            "objectives.0: expected a section with keys among at_least, at_most, goal, name, oracle, output, replicates, target, "
            "tolerated_failure_rate",
        ),
        ("acquisition=best", "acquisition: expected keys with values, {key: value} (got 'best')"),
        ("objectives=1", "objectives: expected a list, [a, b] (got 1)"),
    ],
)
def test_what_is_no_section_is_refused_in_words_of_the_file(tmp_path, override, told):
    path = written(tmp_path, "name: x\nobjectives: [{name: a, oracle: {kind: xtb}}]\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, [override])
    assert told in str(caught.value)


@pytest.mark.parametrize("override", ["rounds", "=3", "name.x=1", "objectives.9.goal=minimise", "a..b=1"])
def test_an_override_that_leads_nowhere_is_refused(tmp_path, override):
    path = written(tmp_path, "name: x\nobjectives: [{name: a, oracle: {kind: xtb}}]\n")
    with pytest.raises(ConfigError, match="Override"):
        load_config(path, [override])


def test_options_of_a_component_pass_the_schema_without_the_campaigns_own_keys():
    config = parse_config(MINIMAL | {"generator": {"kind": "gflownet", "proposals": 5, "steps": 9}})
    assert config.generator.component() == {"kind": "gflownet", "steps": 9}
    assert config.generator.proposals == 5


def test_rounds_and_budget_extend_a_campaign_and_anything_else_makes_another():
    base = parse_config(MINIMAL)
    assert parse_config(MINIMAL | {"rounds": 9, "budget": {"calls": 1}}).identity() == base.identity()
    assert parse_config(MINIMAL | {"seed": 1}).identity() != base.identity()
    assert parse_config(MINIMAL | {"generator": {"kind": "gflownet", "steps": 9}}).identity() != base.identity()


@given(
    rounds=st.integers(0, 50),
    batch=st.integers(1, 500),
    fraction=st.floats(0, 0.9),
    seed=st.integers(0, 2**40),
)
def test_a_configuration_survives_json(rounds, batch, fraction, seed):
    config = parse_config(
        MINIMAL | {"rounds": rounds, "batch_size": batch, "control": {"fraction": fraction}, "seed": seed}
    )
    again = CampaignConfig.model_validate(config.to_json())
    assert again == config
    assert again.identity() == config.identity()


@given(batch=st.integers(1, 1000), fraction=st.floats(0, 0.9))
def test_the_control_arm_leaves_room_for_the_acquisition(batch, fraction):
    size = parse_config(MINIMAL | {"control": {"fraction": fraction}}).control.size(batch)
    assert 0 <= size < max(batch, 1)
    assert (size > 0) == (fraction > 0 and batch > 1)


def test_seeds_differ_by_purpose_and_repeat():
    seeds = {derive_seed(0, round, stage) for round in range(20) for stage in ("a", "b")}
    assert len(seeds) == 40
    assert derive_seed(3, "x") == derive_seed(3, "x") != derive_seed(4, "x")


AFFINITY = {"name": "affinity", "oracle": {"kind": "xtb"}}


@pytest.mark.parametrize(
    ("objectives", "told"),
    [
        ([AFFINITY, AFFINITY], "two objectives are called 'affinity'"),
        ([{**AFFINITY, "goal": "satisfy"}], "the goal 'satisfy' needs a limit"),
        ([{**AFFINITY, "goal": "satisfy", "at_least": 1}], "nothing is to be improved"),
        ([{**AFFINITY, "goal": "target"}], "the goal 'target' needs the value to come close to"),
        ([{**AFFINITY, "target": 3}], "`target` is of the goal 'target', and the goal is 'maximise'"),
        ([{**AFFINITY, "goal": "target", "target": 3, "at_most": 4}], "at_most beside a target"),
        ([{**AFFINITY, "at_least": 3, "at_most": 2}], "allows values from 3 to 2, which are none"),
        ([{**AFFINITY, "levels": [{"kind": "xtb"}]}], "write `oracle` as a list from cheap to true"),
        ([{**AFFINITY, "replicates": 2}, {**AFFINITY, "name": "b"}], "replicates of 1 and 2"),
    ],
)
def test_objectives_that_say_nothing_or_two_things_are_refused(objectives: list[dict[str, object]], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config({"name": "x", "objectives": objectives})
    assert told in str(refused.value)


def test_the_goals_of_a_campaign_are_signs_limits_and_targets() -> None:
    objectives = [
        {**AFFINITY, "name": "a", "goal": "satisfy", "at_least": -4},
        {**AFFINITY, "name": "b", "goal": "minimise", "at_most": 0.3},
        {**AFFINITY, "name": "c", "goal": "target", "target": 7.4},
    ]
    config = parse_config({"name": "x", "objectives": objectives})
    assert config.goals.signs == (0, -1, 1)
    assert config.goals.improved == (1, 2)
    assert config.goals.main.name == config.objective.name == "b"
    assert config.goals.signed([-5, 0.2, 7.0]) == pytest.approx((-5, -0.2, -0.4))
    assert config.goals.feasible({"a": -4, "b": 0.3, "c": 0})
    assert not config.goals.feasible({"a": -4.1, "b": 0.3, "c": 7.4})
    assert not config.goals.feasible({"a": -4, "c": 7.4})


def test_to_observe_an_oracle_is_to_observe_each_of_its_outputs():
    oracle = {"kind": "laboratory", "outputs": {"feed": "kg/h", "rate": ""}}
    config = parse_config({"name": "x", "objectives": [{"name": "plant", "goal": "observe", "oracle": oracle}]})
    assert [(one.name, one.output, one.goal) for one in config.objectives] == [
        ("feed", "feed", "observe"),
        ("rate", "rate", "observe"),
    ]
    assert parse_config(config.sparse()).identity() == config.identity()
    with pytest.raises(ConfigError, match="the goal 'observe' has no limits; leave out at_most"):
        parse_config(
            {"name": "x", "objectives": [{"name": "plant", "goal": "observe", "oracle": oracle, "at_most": 3}]}
        )
