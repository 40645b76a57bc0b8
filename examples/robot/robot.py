"""A laboratory's robot: asks a campaign what to measure, measures it, and tells. Only Python's standard library.

    ROBOT_TOKEN=... python robot.py https://discovery.lab.example CAMPAIGN [--every SECONDS]

Put your instrument into `measure`. The rest is what every client has to get right: an answer whose receipt was lost is
sent again as it was (the server counts it as known), and one that is refused is shown to a person, not changed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

TRIES = 6
"""How often a request is sent before the robot gives up."""
FIRST_PAUSE = 1.0
"""Seconds before the second try; each later pause is twice as long."""


class RefusedError(Exception):
    """The server understood a request and refused it: sending it again would not help."""


def measure(smiles: str) -> dict[str, float]:
    """Return what the instrument measures of a molecule, by name of the output. This one only counts letters.

    Raises:
        RuntimeError: the measurement failed; its message is told as the reason.
    """
    if "S" in smiles:
        raise RuntimeError("precipitated")
    return {"yield": 50.0 + smiles.count("C"), "ee": 90.0 + smiles.count("N")}


class Server:
    """The REST interface of `discover serve`.

    Args:
        url: of the server, without a path.
        token: with the role `tell`.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url.rstrip("/"), token

    def get(self, path: str) -> dict[str, Any]:
        """Return what an address shows."""
        return self._asked("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send something, and return the receipt. Sent again after an error, it is the same to the server."""
        return self._asked("POST", path, json.dumps(body).encode())

    def _asked(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        pause = FIRST_PAUSE
        for left in reversed(range(TRIES)):
            request = urllib.request.Request(f"{self._url}/api/v1{path}", body, headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    told: dict[str, Any] = json.load(answer)
                    return told
            except urllib.error.HTTPError as error:
                with error:
                    text = error.read().decode(errors="replace")
                if error.code not in (408, 429) and error.code < 500:
                    raise RefusedError(_detail(text)) from error
                pause = max(pause, float(error.headers.get("Retry-After") or 0))
                reason = f"{error.code}: {_detail(text)}"
            except OSError as error:  # no connection, or one that was lost: whether it was taken, nobody knows
                reason = str(error)
            if not left:
                break
            print(f"Trying again in {pause:.0f} s ({reason})", file=sys.stderr)
            time.sleep(pause)
            pause *= 2
        raise ConnectionError(f"{self._url} did not answer {TRIES} times; the last time: {reason}")


def _detail(text: str) -> str:
    """Return the sentences of a problem; what a proxy says instead is cut short."""
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return text[:200]


def answer_to(asked: dict[str, Any], units: dict[str, str]) -> dict[str, Any]:
    """Return the answer to one thing that is asked for: values, or why there are none."""
    named = {"id": asked["id"], "replicate": asked["replicate"]}
    try:
        values = measure(asked["object"])
    except RuntimeError as error:
        return {**named, "failed": True, "message": str(error)}
    wanted = {one["name"]: values[one["name"]] for one in asked["wanted"]}
    return {**named, "values": wanted, "units": {name: units[name] for name in wanted}}


def measure_batch(server: Server, campaign: str) -> int:
    """Measure all that is asked for now, and tell each answer as soon as it is there; returns how many."""
    units = {one["name"]: one["unit"] for one in server.get(f"/campaigns/{campaign}")["outputs"]}
    batch = server.get(f"/campaigns/{campaign}/batch")["batch"]
    for asked in batch:
        answer = answer_to(asked, units)
        receipt = server.post(f"/campaigns/{campaign}/answers", {"answers": [answer]})
        print(f"{asked['id']}: {receipt['told']}")
        for note in receipt["notes"]:
            print(f"  {note}")
    return len(batch)


def main() -> int:
    """Measure what is asked for, once or again and again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of the server, such as https://discovery.lab.example")
    parser.add_argument("campaign", help="name of the campaign")
    parser.add_argument("--every", type=float, help="look again after so many seconds, until interrupted")
    given = parser.parse_args()
    token = os.environ.get("ROBOT_TOKEN", "")
    if not token:
        parser.error("ROBOT_TOKEN is not set; put the token there, where the process list does not show it")
    server = Server(given.url, token)
    try:
        while True:
            if not measure_batch(server, given.campaign):
                print(server.get(f"/campaigns/{given.campaign}/pending")["message"])
            if given.every is None:
                return 0
            time.sleep(given.every)
    except RefusedError as refused:
        print(refused, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
