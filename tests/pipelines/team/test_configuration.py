"""What a team's services refuse before anything is started."""

import os

import pytest
import yaml

from data.config import ConfigError

SECRETS = {
    "DISCOVER_MLFLOW_ADMIN_PASSWORD": "a-long-password",
    "DISCOVER_PREFECT_AUTH_STRING": "team:a-long-password",
    "DISCOVER_API_TOKENS": "robot tell " + "x" * 32,
}


@pytest.fixture
def team(tmp_path, monkeypatch):
    """Returns what `discover serve --check` says to a configuration that is changed."""
    from tests.conftest import Bench

    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "db").mkdir()
    databases = {name: f"sqlite:///{tmp_path}/db/{name}.db" for name in ("ledger", "mlflow", "users", "prefect")}
    mlflow = {"port": 15000, "database": databases["mlflow"], "users": databases["users"]}
    plain = {
        "folder": str(tmp_path / "served"),
        "ledger": databases["ledger"],
        "mlflow": mlflow | {"artifacts": str(tmp_path / "artifacts")},
        "prefect": {"port": 14200, "database": databases["prefect"]},
        "rest": {"port": 18000},
    }
    bench = Bench(tmp_path)

    def told(change=lambda config: None):
        config = yaml.safe_load(yaml.safe_dump(plain))
        change(config)
        file = tmp_path / "team.yaml"
        file.write_text(yaml.safe_dump(config))
        return bench.discover("serve", "--config", str(file), "--check")

    return told


def test_a_configuration_that_can_be_served_is_said_to_be(team):
    told = team()
    assert told.exit == 0, told.message
    assert "can be served: REST, MLflow, Prefect." in told.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("ledger"), "ledger is missing."),
        (lambda c: c.update(legder="x"), "There is no key 'legder'."),
        (lambda c: c.update(folder="here"), "Folder is 'here'; expected an absolute one"),
        (lambda c: c.update(ledger="postgresql://u:hunter2@h/d"), "ledger: it holds a password"),
        (lambda c: c.update(ledger="postgresql://u@h/d?password=hunter2"), "ledger: it holds a password"),
        (lambda c: c.update(ledger="mysql://u@h/d"), "ledger: it begins with 'mysql'; expected postgresql://"),
        (lambda c: c.update(ledger="sqlite:///ledger.db"), "ledger: it names no database; expected"),
        (lambda c: c["prefect"].update(database=c["ledger"]), "Ledger and prefect.database are one database"),
        (lambda c: c["prefect"].update(port=18000), "expected one for each server"),
        (lambda c: c["rest"].update(port=0), "rest.port is 0; expected greater than or equal to 1"),
        (lambda c: [c.pop(name) for name in ("mlflow", "prefect", "rest")], "No server is named"),
        (lambda c: c["mlflow"].update(artifacts="artifacts"), "mlflow.artifacts: expected an absolute folder, or s3:"),
        (lambda c: c["mlflow"].update(endpoint="https://key:hunter2@store"), "mlflow.endpoint is"),
        (lambda c: c.update(host="192.0.2.77"), "no address of this machine"),
        (lambda c: c.update(secrets="/nowhere/secrets"), "/nowhere/secrets with secrets cannot be read"),
        (lambda c: c["rest"].update(tokens="/nowhere/tokens"), "/nowhere/tokens with tokens"),
    ],
)
def test_a_configuration_that_cannot_be_served_is_refused_in_words(team, change, said):
    told = team(change)
    assert told.exit == 2
    assert said in told.message
    if "endpoint" not in said:
        assert "hunter2" not in told.message


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "DISCOVER_MLFLOW_ADMIN_PASSWORD",
            "",
            "DISCOVER_MLFLOW_ADMIN_PASSWORD, password of MLflow's user 'admin', is not",
        ),
        ("DISCOVER_MLFLOW_ADMIN_PASSWORD", "short", "has 5 characters; expected at least 12"),
        ("DISCOVER_PREFECT_AUTH_STRING", "no-colon-in-this-one", "is no USER:PASSWORD"),
        ("DISCOVER_API_TOKENS", "", "DISCOVER_API_TOKENS has no token"),
    ],
)
def test_a_secret_that_is_missing_or_weak_is_refused_and_not_shown(team, monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    told = team()
    assert told.exit == 2
    assert said in told.message
    assert value == "" or value not in told.message


def test_secrets_are_read_from_a_file_of_mode_600_only(team, tmp_path, monkeypatch):
    for name in SECRETS:
        monkeypatch.delenv(name)
    file = tmp_path / "secrets.env"
    file.write_text("# of the team\n" + "".join(f"{name}='{value}'\n" for name, value in SECRETS.items()))
    file.chmod(0o644)
    told = team(lambda config: config.update(secrets=str(file)))
    assert (told.exit, "has mode 644" in told.message) == (2, True)
    file.chmod(0o600)
    assert team(lambda config: config.update(secrets=str(file))).exit == 0
    for name in SECRETS:
        os.environ.pop(name, None)


def test_a_workspace_of_campaigns_is_not_served_as_the_servers_own(team, tmp_path):
    (tmp_path / "served" / "campaigns").mkdir(parents=True)
    assert "is a workspace with campaigns" in team().message


def test_the_example_is_a_configuration(bench, tmp_path):
    from pipelines.team.configuration import team_config

    told = bench.discover("serve", "--example")
    file = tmp_path / "team.yaml"
    file.write_text(told.out)
    assert set(team_config(file).parts) == {"mlflow", "prefect", "rest"}
    assert "expected --config FILE" in bench.discover("serve").message
    with pytest.raises(ConfigError, match="cannot be read"):
        team_config(tmp_path / "none.yaml")
