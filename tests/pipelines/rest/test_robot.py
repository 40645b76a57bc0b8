"""The example of a client, against a campaign that waits."""

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

from tests.pipelines.rest.conftest import READER, ROBOT

EXAMPLE = Path(__file__).parents[3] / "examples" / "robot" / "robot.py"


def robot(url, token=ROBOT):
    return subprocess.run(
        [sys.executable, str(EXAMPLE), url, "lab"],
        env={**os.environ, "ROBOT_TOKEN": token, "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_robot_measures_all_that_is_asked_for_and_then_nothing(served):
    asked = served.batch()
    told = robot(served.url)
    assert told.returncode == 0, told.stderr
    assert [line.partition(":")[0] for line in told.stdout.splitlines() if line.startswith("m")] == [
        one["id"] for one in asked
    ]
    assert served.batch() == []
    failed = [one for one in asked if "S" in one["object"]]
    assert served.get("/lab/candidates?state=failed").body["total"] == len(failed) > 0
    assert "all 8 results are there" in robot(served.url).stdout


def test_the_robot_sends_again_what_was_taken_while_its_receipt_was_lost(served):
    """A proxy passes the first requests on and drops the answer to the first post."""
    port = int(served.url.rpartition(":")[2])
    dropped = []

    def pass_on(connection):
        with connection, socket.create_connection(("127.0.0.1", port)) as onward:
            request = b""
            while not request.partition(b"\r\n\r\n")[1]:
                request += connection.recv(100_000)
            head, _, body = request.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.I)
            while length and len(body) < int(length[1]):
                body += connection.recv(100_000)
            onward.sendall(head + b"\r\n\r\n" + body)
            onward.settimeout(60)
            answer = b""
            while part := onward.recv(100_000):
                answer += part
            if request.startswith(b"POST") and not dropped:
                dropped.append(answer)
            else:
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def serve():
            try:
                while True:
                    pass_on(proxy.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        told = robot(f"http://127.0.0.1:{proxy.getsockname()[1]}")
        proxy.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert told.returncode == 0, told.stderr
    assert b'"new":1' in dropped[0]
    assert "Trying again in 1 s" in told.stderr
    assert "0 answers taken; 1 known already" in told.stdout
    assert served.batch() == []


def test_the_robot_ends_at_a_refusal_and_shows_it(served):
    told = robot(served.url, READER)
    assert (told.returncode, "is for reading" in told.stderr) == (2, True)
