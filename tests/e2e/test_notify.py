"""A receiver on loopback is told of warnings and ends, by an automation of a real Prefect server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.e2e.test_flow import discover, waited_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def receiver():
    """Yields the address of a receiver, and the list of what it was sent."""
    posts = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            posts.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hooks/me?key=secret", posts
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_receiver_is_told_how_a_campaign_ends_and_what_is_amiss_until_it_is_removed(receiver, bench):
    url, posts = receiver
    bench.write_oracle("1.0")
    bench.write_config(rounds=3, budget={"calls": 40})
    told = discover("notify", url, home=bench.home)
    assert told.returncode == 0, told.stderr
    assert "secret" not in told.stdout
    (line,) = [line for line in discover("notifications", home=bench.home).stdout.splitlines() if "127-0-0-1" in line]
    assert discover("run", str(bench.file), home=bench.home).returncode == 0
    waited_for(lambda: [one for one in posts if one["event"] == "discovery.campaign.ended"], 60)
    assert {one["campaign"] for one in posts} == {"tiny"}
    kinds = {one["told"].get("kind") for one in posts}
    assert "stalled" in kinds
    ended = next(one for one in posts if one["event"] == "discovery.campaign.ended")
    assert ended["told"]["state"] == "done"
    assert discover("notifications", "--remove", line.split()[0], home=bench.home).returncode == 0
    assert "Nobody is notified" in discover("notifications", home=bench.home).stdout
