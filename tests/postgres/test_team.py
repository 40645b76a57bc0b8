"""`discover serve` over PostgreSQL: a team's servers as users and strangers meet them, and how they end."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest
import sqlalchemy as sa
import yaml

from tests.e2e.test_dead_server import Run, stopped_in_its_third_call

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ADMIN, AUTH, TOKEN = "admin-password-1", "team:prefect-password-1", "t" * 40
SECRETS = f"DISCOVER_MLFLOW_ADMIN_PASSWORD={ADMIN}\nDISCOVER_PREFECT_AUTH_STRING={AUTH}\n"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def status(url, *, basic=None, body=None, **headers):
    """Return status and text of an answer."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if basic:
        given["Authorization"] = f"Basic {base64.b64encode(basic.encode()).decode()}"
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"} | given)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Team:
    """The servers of a team, started by the command itself."""

    def __init__(self, folder, config):
        self.folder, self.config, self.out = folder, config, folder / "out"
        self.file = folder / "team.yaml"
        self.file.write_text(yaml.safe_dump(config))
        served = [name for name in ("mlflow", "prefect", "rest") if name in config]
        self.url = {name: f"http://127.0.0.1:{config[name]['port']}" for name in served}
        with self.out.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipelines", "serve", "--config", str(self.file)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in os.environ.items() if not name.startswith(("DISCOVER", "MLFLOW"))},
            )

    def until(self, condition, seconds=200.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.out.read_text()
            time.sleep(0.1)

    def wait(self):
        self.until(lambda: "Ctrl-C or SIGTERM" in self.out.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.out.read_text()

    def children(self):
        return [
            one
            for one in psutil.process_iter()
            if "pipelines.team.child" in cmdline(one) and cwd(one) == str(self.folder / "served")
        ]


def cmdline(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def cwd(process):
    try:
        return process.cwd()
    except psutil.Error:
        return ""


@pytest.fixture(scope="module")
def databases(cluster):
    """Databases of all servers; making their tables takes long."""
    names = ("ledger", "mlflow", "users", "prefect")
    engine = sa.create_engine(cluster.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in names:
            connection.exec_driver_sql(f"CREATE DATABASE team_{name}")
    engine.dispose()
    plain = cluster.url.replace("postgresql+psycopg", "postgresql")
    return {name: plain.replace("/postgres?", f"/team_{name}?") for name in names}


@pytest.fixture
def team(databases, tmp_path):
    for name, text in (("secrets.env", SECRETS), ("tokens", f"robot tell {TOKEN}\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    artifacts = str(tmp_path / "artifacts")
    config = {
        "folder": str(tmp_path / "served"),
        "secrets": str(tmp_path / "secrets.env"),
        "ledger": databases["ledger"],
        "mlflow": {
            "database": databases["mlflow"],
            "users": databases["users"],
            "artifacts": artifacts,
            "port": free_port(),
        },
        "prefect": {"database": databases["prefect"], "port": free_port(), "names": ["prefect.lab.example"]},
        "rest": {"tokens": str(tmp_path / "tokens"), "port": free_port()},
    }
    team = Team(tmp_path, config)
    yield team
    team.process.kill()
    team.process.wait()
    team.until(lambda: not team.children(), 60)


def test_a_team_is_served_to_those_who_are_known_and_ends_in_order(team):
    team.wait()
    mlflow, prefect, rest = (team.url[name] for name in ("mlflow", "prefect", "rest"))
    runs = f"{mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    assert status(runs)[0] == 401
    assert status(runs, basic=f"admin:{ADMIN}")[0] == 200
    ann = {"username": "ann", "password": "ann-password-1"}
    assert status(f"{mlflow}/api/2.0/mlflow/users/create", basic=f"admin:{ADMIN}", body=ann)[0] == 200
    assert status(f"{mlflow}/api/2.0/mlflow/users/create", basic="ann:ann-password-1", body=ann)[0] == 403
    assert status(runs, basic="ann:ann-password-1", Host="evil.example")[0] == 403
    assert status(f"{mlflow}/api/2.0/mlflow/gateway/x", basic=f"admin:{ADMIN}", body={})[0] == 404

    flows = f"{prefect}/api/flows/count"
    assert status(f"{prefect}/runs")[0] == 401
    assert status(flows, body={})[0] == 401
    assert status(flows, basic=AUTH, body={})[0] == 200
    assert status(flows, basic=AUTH, body={}, Origin="http://evil.example")[0] == 403
    assert (
        status(flows, basic=AUTH, body={}, Host="prefect.lab.example", Origin="https://prefect.lab.example")[0] == 200
    )

    campaigns = f"{rest}/api/v1/campaigns"
    assert status(campaigns)[0] == 401
    assert status(campaigns, Authorization=f"Bearer {TOKEN}") == (200, '{"campaigns":[]}')

    secrets = (ADMIN, AUTH.partition(":")[2], TOKEN)
    seen = [team.out.read_text(), *(" ".join(cmdline(one)) for one in team.children())]
    seen += [file.read_text(errors="replace") for file in (team.folder / "served").rglob("*") if file.is_file()]
    assert not [secret for secret in secrets if any(secret in text for text in seen)]

    team.process.send_signal(signal.SIGTERM)
    assert team.process.wait(60) == 0
    assert team.children() == []
    assert team.out.read_text().endswith("Ended.\n")


def test_where_one_server_ends_by_itself_all_end_and_it_is_said_which(team):
    team.wait()
    dead = next(one for one in team.children() if "prefect" in one.cmdline())
    dead.kill()
    assert team.process.wait(60) == 2
    assert "The prefect server ended by itself" in team.out.read_text()
    assert team.children() == []


def test_the_servers_end_with_a_command_that_is_killed(team):
    team.wait()
    team.process.kill()
    team.until(lambda: not team.children(), 60)


@pytest.fixture
def store(monkeypatch):
    """A store that speaks S3, with a bucket; in this process."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, **keys)
    client.create_bucket(Bucket="models")
    yield url, client
    client.close()
    server.stop()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # moto's
def test_artifacts_go_through_mlflow_into_an_s3_store(databases, tmp_path, store):
    url, client = store
    keys = "AWS_ACCESS_KEY_ID=k\nAWS_SECRET_ACCESS_KEY=s\nAWS_DEFAULT_REGION=us-east-1\n"
    (tmp_path / "secrets.env").write_text(SECRETS + keys)
    (tmp_path / "secrets.env").chmod(0o600)
    mlflow = {"database": databases["mlflow"], "users": databases["users"], "port": free_port()}
    config = {
        "folder": str(tmp_path / "served"),
        "secrets": str(tmp_path / "secrets.env"),
        "ledger": databases["ledger"],
        "mlflow": mlflow | {"artifacts": "s3://models/team", "endpoint": url},
    }
    team = Team(tmp_path, config)
    try:
        team.wait()
        address = f"{team.url['mlflow']}/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/note.txt"
        request = urllib.request.Request(address, b"kept", method="PUT")
        request.add_header("Authorization", f"Basic {base64.b64encode(f'admin:{ADMIN}'.encode()).decode()}")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()
        assert client.get_object(Bucket="models", Key="team/1/run/artifacts/note.txt")["Body"].read() == b"kept"
        elsewhere = {"name": "stolen", "artifact_location": "s3://another-bucket/x"}
        told = status(f"{team.url['mlflow']}/api/2.0/mlflow/experiments/create", basic=f"admin:{ADMIN}", body=elsewhere)
        assert told[0] == 403
    finally:
        team.process.terminate()
        assert team.process.wait(60) == 0


def test_a_ledger_on_postgresql_is_backed_up_and_restored_into_another_database(
    cluster, bench, url, tmp_path, monkeypatch
):
    monkeypatch.setenv("DISCOVER_LEDGER", url)
    bench.write_config(rounds=2, budget={"calls": 12})
    assert bench.run().exit in (0, 3)
    before, calls = bench.candidates(), bench.calls()
    file = tmp_path / "backup.tar.gz"
    assert bench.discover("backup", "--out", str(file)).exit == 0
    told = bench.discover("restore", str(file), "--to", str(tmp_path / "again"))
    assert (told.exit, "has campaigns; expected an empty database" in told.message) == (2, True)
    engine = sa.create_engine(cluster.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE restored_ledger")
    engine.dispose()
    monkeypatch.setenv("DISCOVER_LEDGER", cluster.url.replace("/postgres?", "/restored_ledger?"))
    told = bench.discover("restore", str(file), "--to", str(tmp_path / "again"))
    assert told.exit == 0, told.message
    monkeypatch.setenv("DISCOVER_HOME", str(tmp_path / "again"))
    assert bench.candidates() == before
    assert bench.run("--set", "budget.calls=20").exit == 0  # new rows have ids of their own
    assert bench.calls()[: len(calls)] == calls
    assert len(set(bench.calls())) == len(bench.calls()) == 16


def test_a_campaign_whose_team_servers_are_killed_goes_on_and_is_shown_whole_once_they_are_back(
    team, databases, tmp_path, monkeypatch
):
    bench = stopped_in_its_third_call(tmp_path / "ann")
    team.wait()
    for name, value in (
        ("DISCOVER_LEDGER", databases["ledger"].replace("postgresql:", "postgresql+psycopg:")),
        ("MLFLOW_TRACKING_URI", team.url["mlflow"]),
        ("MLFLOW_TRACKING_USERNAME", "admin"),
        ("MLFLOW_TRACKING_PASSWORD", ADMIN),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"),
        ("PREFECT_API_URL", f"{team.url['prefect']}/api"),
        ("PREFECT_API_AUTH_STRING", AUTH),
    ):
        monkeypatch.setenv(name, value)
    run = Run(bench)
    try:
        run.until("waits")
        for one in (team.process, *team.children()):
            one.kill()
        (bench.folder / "go on").touch()
        code, printed = run.ended()
    finally:
        run.end()
    told = " ".join(printed.split())
    assert code == 0, printed
    assert "Traceback" not in printed
    assert len(bench.calls()) == len(set(bench.calls())) == 16
    again = Team(tmp_path, team.config)
    try:
        again.wait()
        assert bench.discover("run", str(bench.file)).exit == 0
        assert len(bench.calls()) == 16
        search = f"{team.url['mlflow']}/api/2.0/mlflow/runs/search"
        number = json.loads(
            status(
                f"{team.url['mlflow']}/api/2.0/mlflow/experiments/get-by-name?experiment_name=tiny",
                basic=f"admin:{ADMIN}",
            )[1]
        )["experiment"]["experiment_id"]
        runs = json.loads(status(search, basic=f"admin:{ADMIN}", body={"experiment_ids": [number]})[1])["runs"]
        assert {one["info"]["status"] for one in runs} == {"FINISHED"}
        rounds = [tag["value"] for one in runs for tag in one["data"]["tags"] if tag["key"] == "mlflow.discovery.round"]
        assert sorted(rounds) == ["0", "1", "2", "campaign"], told
    finally:
        again.process.terminate()
        assert again.process.wait(60) == 0
