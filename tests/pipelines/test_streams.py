"""Commands whose streams are closed, full, or read by nobody end with an exit code and no traceback."""

import os
import shlex
import subprocess
import sys

import pytest

DISCOVER = shlex.join([sys.executable, "-m", "pipelines"])


def shell(command: str, home, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell with `discover` in it."""
    line = f'discover() {{ {DISCOVER} "$@"; }}; {command}'
    environment = {**os.environ, "DISCOVER_HOME": str(home), **environment}
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(
    ("command", "exit"),
    [
        ("discover status >&-", 0),
        ("discover status 2>&-", 0),
        ("discover status <&- >&- 2>&-", 0),
        ("discover status nope 2>&-", 2),
        ("discover status nope >&- 2>&-", 2),
        ("discover --help >&-", 0),
        ("discover --help | head -1 >/dev/null; exit ${PIPESTATUS[0]}", 0),
        ("discover example | true; exit ${PIPESTATUS[0]}", 0),
    ],
)
def test_a_closed_stream_changes_no_exit_code(tmp_path, command, exit):
    ran = shell(command, tmp_path)
    assert ran.returncode == exit, ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("command", ["status", "example", "--help", "data"])
def test_a_full_disk_behind_the_output_is_a_sentence(tmp_path, command):
    ran = shell(f"discover {command} >/dev/full", tmp_path)
    assert ran.returncode == 2, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "cannot be written (No space left on device). Free space there" in ran.stderr


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("postgresql+psycopg://me:hunter22@127.0.0.1:bad/db", ["hunter22"]),
        ("postgresql+psycopg://me:hun@ter9/22@127.0.0.1:1/db", ["hun@", "ter9/22"]),
        ("host=127.0.0.1 password=hunter22 user=me", ["hunter22"]),
        ("postgresql+psycopg://me@127.0.0.1:1/db?password=hunter22", ["hunter22"]),
    ],
)
def test_a_ledger_s_address_that_is_wrong_is_a_sentence_without_its_password(tmp_path, url, secrets):
    ran = shell("discover status", tmp_path, DISCOVER_LEDGER=url)
    assert ran.returncode == 2, ran.stderr
    assert "cannot be opened" in ran.stderr
    assert not [secret for secret in secrets if secret in ran.stdout + ran.stderr], ran.stderr
