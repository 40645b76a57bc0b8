"""The scripts of jobs, rendered by dask-jobqueue: no batch system is here."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from data.engine_config import ClusterConfig
from tasks.engines.jobs import job_script, jobs_of

QUEUE = {"slurm": "#SBATCH -p long", "pbs": "#PBS -q long", "lsf": "#BSUB -q long", "sge": "#$ -q long"}
ACCOUNT = {"slurm": "#SBATCH -A p12", "pbs": "#PBS -A p12", "lsf": '#BSUB -P "p12"', "sge": "#$ -P p12"}
TIME = {
    "slurm": "#SBATCH -t 12:30:00",
    "pbs": "#PBS -l walltime=12:30:00",
    "lsf": "#BSUB -W 12:30",
    "sge": "#$ -l h_rt=12:30:00",
}
CORES = {
    "slurm": "#SBATCH --cpus-per-task=8",
    "pbs": "#PBS -l select=1:ncpus=8:mem=16GB",
    "lsf": "#BSUB -n 8",
    "sge": "#$ -pe smp 8",
}


@pytest.mark.parametrize("kind", ["slurm", "pbs", "lsf", "sge"])
def test_a_job_asks_for_what_the_file_says_and_starts_the_same_interpreter(kind, tmp_path):
    extra = {"directives": ["-pe smp 8"]} if kind == "sge" else {}
    told = {"queue": "long", "account": "p12", "cores": 8, "units": 2, "memory": "16GB", "walltime": "12:30:00"}
    script = job_script(ClusterConfig(kind=kind, prologue=["module load orca"], **told, **extra), tmp_path)
    lines = script.splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    for wanted in (QUEUE, ACCOUNT, TIME, CORES):
        assert wanted[kind] in lines
    assert lines.index("module load orca") > lines.index(TIME[kind])
    worker = shlex.split(lines[-1] or lines[-2])
    assert worker[:4] == [sys.executable, "-m", "distributed.cli.dask_worker", "tls://SCHEDULER:PORT"]
    assert worker[worker.index("--nthreads") + 1] == "2"


@settings(max_examples=30, deadline=None)
@given(days=st.integers(0, 9), hours=st.integers(0, 23), minutes=st.integers(1, 59), yaml=st.booleans())
def test_a_time_is_the_same_however_it_is_written(days, hours, minutes, yaml):
    """YAML takes 12:30:00 for the number 45000."""
    total = (24 * days + hours) * 3600 + minutes * 60
    cluster = ClusterConfig(kind="slurm", walltime=total if yaml else f"{days}-{hours:02d}:{minutes:02d}:00")
    told = [int(part) for part in cluster.walltime.split(":")]
    assert (told[0] * 60 + told[1]) * 60 + told[2] == total


def test_the_command_prints_a_script_that_can_be_put_into_a_file(bench, monkeypatch):
    cluster = {"kind": "slurm", "queue": "long", "cores": 4, "walltime": "02:00:00", "tls": False, "logs": "logs"}
    bench.write_config(engine={"kind": "dask", "workers": 10, "cluster": cluster})
    told = bench.discover("engine", str(bench.file), "--script")
    assert told.exit == 0, told.message
    assert told.out == job_script(ClusterConfig(**cluster), bench.folder).rstrip() + "\n"
    assert "tcp://SCHEDULER:PORT" in told.out
    assert f"#SBATCH -o {bench.folder / 'logs'}/" in told.out
    shown = bench.discover("engine", str(bench.file)).message
    assert "3 jobs of slurm, 4 units at once in each; no TLS" in shown


def test_the_script_of_the_page_is_the_one_that_its_campaign_gives():
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "engines.md").read_text()
    (keys,) = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.S) if "slurm" in block]
    (script,) = re.findall(r"```text\n(.*?)```", page, re.S)
    cluster = ClusterConfig(**yaml.safe_load(keys)["engine"]["cluster"])
    assert job_script(cluster, Path()).strip() == script.strip()


def test_so_many_jobs_are_handed_in_as_give_the_wanted_places():
    assert jobs_of(ClusterConfig(kind="slurm", cores=8), 16) == 2
    assert jobs_of(ClusterConfig(kind="slurm", cores=8, units=1), 3) == 3


@pytest.mark.parametrize("thread", ["main", "another"])
def test_ctrl_c_stays_the_campaigns_also_where_jobs_are_handed_in(thread):
    """dask_jobqueue takes SIGINT when it is imported, which a thread other than the main one cannot do."""
    code = """
import signal, sys, threading
from pathlib import Path
from data.engine_config import ClusterConfig
from tasks.engines.jobs import job_script
render = lambda: made.append(job_script(ClusterConfig(kind="slurm"), Path()))
made, before = [], signal.getsignal(signal.SIGINT)
if sys.argv[1] == "main":
    render()
else:
    one = threading.Thread(target=render)
    one.start()
    one.join()
assert made and signal.getsignal(signal.SIGINT) is before
"""
    ran = subprocess.run([sys.executable, "-c", code, thread], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
