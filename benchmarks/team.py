"""Two people on one team's servers: campaigns side by side over PostgreSQL, one of them killed at random moments.

    .venv/bin/python benchmarks/team.py --rounds 30 --kills 10

Starts a PostgreSQL of its own (Debian's) in a temporary folder, `discover serve`, and a campaign of each person with
the same oracle; asks the REST interface all the while. At the end it compares the ledger with the oracle and with the
log of its calls, MLflow's runs with the rounds, and looks whether Prefect has flow runs that never ended. Prints what
happened and the servers' memory, and ends with 1 where a campaign did not end, a request failed, something disagrees,
or more calls were made twice than were in flight at the kills (the oracle is pure).
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import pwd
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import psutil
import sqlalchemy as sa
import yaml
from rdkit import Chem
from rdkit.Chem import Crippen

ROOT = Path(__file__).resolve().parent.parent
ADMIN, AUTH, TOKEN, OWN = "admin-password-1", "team:prefect-password-1", "t" * 40, "person-password-1"
ORACLE = """
import os, time
from rdkit import Chem
from rdkit.Chem import Crippen

def measure(molecules):
    with open(os.environ["CALL_LOG"], "a") as file:
        file.writelines(f"{smiles}\\n" for smiles in molecules)
    time.sleep(0.05)
    return [Crippen.MolLogP(Chem.MolFromSmiles(smiles)) for smiles in molecules]
"""
PEOPLE = ("anna", "ben")


def campaign(person, rounds, seed):
    oracle = {"kind": "python", "function": "team_oracle:measure", "unit": "a.u."}
    return {
        "name": f"{person}-load",
        "seed": seed,
        "space": {"max_heavy_atoms": 14, "min_heavy_atoms": 3, "elements": ["H", "C", "N", "O", "F", "S", "Cl"]},
        "objectives": [{"name": "score", "oracle": oracle}],
        "data": {"kind": "csv", "path": "library.csv", "initial": 8},
        "generator": {"kind": "genetic", "generations": 2, "offspring": 20, "proposals": 40},
        "control": {"kind": "random", "fraction": 0.25},
        "rounds": rounds,
        "batch_size": 4,
        "budget": {"calls": 8 + 4 * rounds},
    }


class Postgres:
    """A cluster of Debian's PostgreSQL at a socket of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        self.call("initdb", "-D", "data", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")
        settings = f"-k {folder} -c listen_addresses= -c max_connections=100"
        self.call("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", settings, "start")
        for name in ("ledger", "mlflow", "users", "prefect"):
            self.call("createdb", "-h", str(folder), name)

    def call(self, program, *arguments):
        """Run a program of PostgreSQL's."""
        words = [str(self.programs / program), *arguments]
        words = ["runuser", "-u", "postgres", "--", *words] if os.getuid() == 0 else words
        with (self.folder / "told").open("a") as told:
            subprocess.run(words, cwd=self.folder, stdout=told, stderr=subprocess.STDOUT, check=True)

    def url(self, name, driver="postgresql"):
        """Return the address of a database."""
        return f"{driver}://{self.user}@/{name}?host={self.folder}"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def served(folder, postgres):
    """Start `discover serve`; returns its process and the addresses."""
    for name, text in (
        ("secrets.env", f"DISCOVER_MLFLOW_ADMIN_PASSWORD={ADMIN}\nDISCOVER_PREFECT_AUTH_STRING={AUTH}\n"),
        ("tokens", f"load tell {TOKEN}\n"),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    ports = {name: free_port() for name in ("mlflow", "prefect", "rest")}
    mlflow = {
        "database": postgres.url("mlflow"),
        "users": postgres.url("users"),
        "artifacts": str(folder / "artifacts"),
    }
    config = {
        "folder": str(folder / "served"),
        "secrets": str(folder / "secrets.env"),
        "ledger": postgres.url("ledger"),
        "mlflow": mlflow | {"port": ports["mlflow"]},
        "prefect": {"database": postgres.url("prefect"), "port": ports["prefect"]},
        "rest": {"tokens": str(folder / "tokens"), "port": ports["rest"]},
    }
    (folder / "team.yaml").write_text(yaml.safe_dump(config))
    out = folder / "serve.out"
    with out.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines", "serve", "--config", str(folder / "team.yaml")],
            stdout=file, stderr=subprocess.STDOUT, cwd=ROOT,
        )  # fmt: skip
    while "Ctrl-C or SIGTERM" not in out.read_text():
        if process.poll() is not None:
            sys.exit(out.read_text())
        time.sleep(0.2)
    return process, {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}


def request(url, body=None, **headers):
    content = None if body is None else json.dumps(body).encode()
    made = urllib.request.Request(url, content, {"Content-Type": "application/json", **headers})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(made, timeout=120) as answer:
        return json.load(answer)


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class Person:
    """Whoever runs a campaign: a folder, a workspace, and the settings that lead to the servers."""

    def __init__(self, name, folder, urls, ledger, rounds, seed):
        self.name, self.folder, self.runs, self.process = name, folder / name, 0, None
        self.folder.mkdir()
        self.log = folder / "calls.log"
        (self.folder / "campaign.yaml").write_text(yaml.safe_dump(campaign(name, rounds, seed)))
        (self.folder / "team_oracle.py").write_text(ORACLE)
        shutil.copy(ROOT / "tests" / "chaos" / "library.csv", self.folder / "library.csv")
        request(
            f"{urls['mlflow']}/api/2.0/mlflow/users/create",
            {"username": name, "password": OWN},
            **basic("admin", ADMIN),
        )
        self.environment = os.environ | {
            "DISCOVER_HOME": str(self.folder / "home"),
            "DISCOVER_LEDGER": ledger,
            "DISCOVER_WORKERS": "1",
            "MLFLOW_TRACKING_URI": urls["mlflow"],
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": OWN,
            "PREFECT_API_URL": f"{urls['prefect']}/api",
            "PREFECT_API_AUTH_STRING": AUTH,
            "CALL_LOG": str(self.log),
        }

    def start(self):
        """Run the campaign, or continue it."""
        self.runs += 1
        with (self.folder / f"run-{self.runs}.out").open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipelines", "run", str(self.folder / "campaign.yaml")],
                stdout=out, stderr=subprocess.STDOUT, env=self.environment, start_new_session=True, cwd=ROOT,
            )  # fmt: skip

    def kill(self):
        """Kill the campaign and all that it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def asked(url, ended, seconds, failures):
    """Ask the REST interface again and again, and note how long each answer took."""
    token = {"Authorization": f"Bearer {TOKEN}"}
    while not ended.is_set():
        paths = ["", *(f"/{name}-load/{what}" for name in PEOPLE for what in ("rounds", "candidates?limit=50"))]
        for path in paths:
            began = time.perf_counter()
            try:
                request(f"{url}/api/v1/campaigns{path}", **token)
            except urllib.error.HTTPError as error:
                with error:
                    failures += [] if error.code == 404 else [f"{path}: {error.code} {error.read()[:200]!r}"]
            except OSError as error:
                failures.append(f"{path}: {error}")
            seconds.append(time.perf_counter() - began)
        ended.wait(2.0)


def memory(servers, peaks):
    """Note the largest resident memory of each server so far, in MB."""
    for child in servers.children(recursive=True):
        try:
            words, size = child.cmdline(), child.memory_info().rss / 1e6
        except psutil.Error:
            continue
        if "pipelines.team.child" in words:
            name = words[words.index("pipelines.team.child") + 1]
            peaks[name] = max(peaks.get(name, 0.0), size)


def ledger_checked(url, calls):
    """Return the counts of the ledger, and what is wrong in it."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text("select c.name, o.object, o.state, o.origin, o.attempts, o.value, o.object_id from oracle_calls o "
                    "join campaigns c on c.id = o.campaign_id")
        ).all()  # fmt: skip
        locked = connection.execute(sa.text("select count(*) from locks")).scalar()
    engine.dispose()
    wrong = [f"{locked} locks are left"] if locked else []
    wrong += [f"{row.object} of {row.name} is {row.state}" for row in rows if row.state not in ("done", "failed")]
    wrong += [
        f"{row.object} is {row.value!r} in the ledger of {row.name}"
        for row in rows
        if row.value is not None and row.value != Crippen.MolLogP(Chem.MolFromSmiles(row.object))
    ]
    wrong += [f"{key} is there {n} times" for key, n in Counter((r.name, r.object_id) for r in rows).items() if n > 1]
    bought = [row for row in rows if row.origin == "called"]
    wrong += [f"{row.object} was never measured" for row in bought if row.object not in calls]
    told = {f"{name} {origin}": n for (name, origin), n in sorted(Counter((r.name, r.origin) for r in rows).items())}
    return told | {"attempts": sum(row.attempts for row in rows)}, wrong


def tracking_checked(urls, rounds):
    """Return the counts of MLflow's and Prefect's runs, and what is wrong in them."""
    mlflow, admin = f"{urls['mlflow']}/api/2.0/mlflow", basic("admin", ADMIN)
    experiments = request(f"{mlflow}/experiments/search", {"max_results": 100}, **admin)["experiments"]
    counts, wrong = {}, []
    for one in experiments:
        body = {"experiment_ids": [one["experiment_id"]], "max_results": 1000}
        runs = request(f"{mlflow}/runs/search", body, **admin).get("runs", [])
        if not runs:
            continue
        tags = [tag for run in runs for tag in run["data"].get("tags", [])]
        shown = Counter(tag["value"] for tag in tags if tag["key"] == "mlflow.discovery.round")
        counts[f"mlflow {one['name']}"] = len(runs)
        wrong += [f"{one['name']}: round {place} has {n} runs" for place, n in shown.items() if n > 1]
        lacking = [str(k) for k in range(rounds + 1) if str(k) not in shown]
        wrong += [f"{one['name']}: no run of round {', '.join(lacking)}"] if lacking else []
        wrong += [
            f"{one['name']}: run {run['info']['run_name']} is {run['info']['status']}"
            for run in runs
            if run["info"]["status"] != "FINISHED"
        ]
    states, offset = Counter(), 0
    while found := request(
        f"{urls['prefect']}/api/flow_runs/filter", {"limit": 200, "offset": offset}, **basic(*AUTH.split(":", 1))
    ):
        states.update(run["state_type"] for run in found)
        offset += len(found)
    wrong += [f"{n} flow runs are {state}" for state, n in states.items() if state in ("RUNNING", "PENDING")]
    return counts | {f"prefect {state.lower()}": n for state, n in sorted(states.items())}, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--kills", type=int, default=10, help="times that the first person's campaign is killed")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    folder = Path(tempfile.mkdtemp(prefix="team-", dir="/tmp"))  # short: the path of a unix socket has 107 bytes
    folder.chmod(0o755)
    (folder / "pg").mkdir()
    postgres = Postgres(folder / "pg")
    servers, urls = served(folder, postgres)
    ended, seconds, failures, peaks, people = threading.Event(), [], [], {}, []
    try:
        ledger = postgres.url("ledger", "postgresql+psycopg")
        people = [Person(name, folder, urls, ledger, given.rounds, 11 + k) for k, name in enumerate(PEOPLE)]
        began = time.monotonic()
        asking = threading.Thread(target=asked, args=(urls["rest"], ended, seconds, failures))
        asking.start()
        for person in people:
            person.start()
        kills = 0
        while any(person.process.poll() is None for person in people):
            if kills < given.kills:
                until = time.monotonic() + draw.uniform(5, 40)
                while people[0].process.poll() is None and time.monotonic() < until:
                    time.sleep(0.1)
                if people[0].process.poll() is None:
                    people[0].kill()
                    people[0].start()
                    kills += 1
                    continue
            memory(psutil.Process(servers.pid), peaks)
            time.sleep(0.5)
        wall = time.monotonic() - began
        ended.set()
        asking.join()
        token = {"Authorization": f"Bearer {TOKEN}"}
        shown = {one["name"]: one for one in request(f"{urls['rest']}/api/v1/campaigns", **token)["campaigns"]}
        calls = (folder / "calls.log").read_text().split()
        seconds.sort()
        booked, wrong = ledger_checked(ledger, set(calls))
        shown_runs, wrong_runs = tracking_checked(urls, given.rounds)
        told = {
            "rounds": given.rounds,
            "seed": given.seed,
            "kills": kills,
            "wall_seconds": round(wall, 1),
            "states": {name: one["state"] for name, one in shown.items()},
            "calls_booked": {name: one["calls"] for name, one in shown.items()},
            "calls_made": len(calls),
            "molecules_measured": len(set(calls)),
            "rest_requests": len(seconds),
            "rest_failures": failures[:5],
            "rest_median_seconds": round(statistics.median(seconds), 3),
            "rest_p95_seconds": round(seconds[int(0.95 * len(seconds))], 3),
            "rest_longest_seconds": round(seconds[-1], 3),
            "ledger": booked,
            "runs": shown_runs,
            "wrong": (wrong + wrong_runs)[:20],
            "peak_megabytes": {name: round(size) for name, size in sorted(peaks.items())},
            "exit_codes": [person.process.returncode for person in people],
        }
        print(json.dumps(told, indent=1))
        repeated = len(calls) - len(set(calls))
        sound = set(told["states"].values()) <= {"done", "budget_exhausted"} and len(shown) == len(people)
        sound = sound and not told["wrong"]
        return 0 if sound and not failures and repeated <= 8 * kills and told["exit_codes"] == [0, 0] else 1
    finally:
        ended.set()
        for person in people:
            if person.process is not None and person.process.poll() is None:
                person.kill()
        servers.terminate()
        servers.wait(90)
        postgres.call("pg_ctl", "-D", "data", "-w", "-m", "fast", "stop")
        print(f"Logs are in {folder}.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
