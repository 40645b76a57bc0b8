"""Make the pictures of a campaign in the documentation: the quickstart is run, and a headless Chromium looks at it.

    .venv/bin/python docs/screenshots.py [WORKSPACE]

It writes `candidates`, `best_so_far`, `reached_for_cost`, `lineage` and `mlflow` (`.png`) into `docs/images`. A
workspace that is given is used and kept, so that a second run need not measure; otherwise one is made and removed. What
a run finds depends on the processor.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
CAMPAIGN = ROOT / "campaigns" / "electron_acceptors.yaml"
NAME = "electron-acceptors"
DISCOVER = [sys.executable, "-m", "pipelines"]

sys.path.insert(0, str(ROOT))

from tests.e2e.browser import Browser  # noqa: E402


def main(home: Path) -> None:
    """Run the campaign in a workspace, or find it done, and write the pictures."""
    environment = {**os.environ, "DISCOVER_HOME": str(home)}
    subprocess.run([*DISCOVER, "run", str(CAMPAIGN)], env=environment, cwd=ROOT, check=True)
    report = home / "campaigns" / NAME / "report"
    for name in ("best_so_far.png", "reached_for_cost.png"):
        (IMAGES / name).write_bytes((report / "plots" / name).read_bytes())  # with the rights of any file of ours
    lineage = [*DISCOVER, "lineage", NAME, "1", "--out", str(IMAGES / "lineage.png")]
    subprocess.run(lineage, env=environment, cwd=ROOT, check=True)
    with Browser(width=1360, height=1440) as browser:
        browser.open(report / "candidates.html")
        browser.wait_for("document.querySelectorAll('td.structure svg').length > 100")
        browser.screenshot(IMAGES / "candidates.png")
    with served(environment) as addresses, Browser(width=1360, height=1000) as browser:
        browser.open(addresses["mlflow"])
        browser.wait_for("location.hash.startsWith('#/experiments')", 60)
        run = addresses[NAME].split("/artifacts/")[0]
        browser.open(f"{run}?workflowType=machine_learning")
        for text in ("top10_mean", "round 3", "initial design"):
            browser.wait_for(f"document.body?.innerText.includes({text!r})", 90)
        browser.screenshot(IMAGES / "mlflow.png")


@contextmanager
def served(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """Serve a workspace; yield what `discover ui` prints: name -> address."""
    process = subprocess.Popen([*DISCOVER, "ui"], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found: dict[str, str] = {}
        for line in process.stdout:
            match = re.match(r"(\S+?):?\s+(http://127\.0\.0\.1:\S+)$", line)
            if match:
                found[match[1]] = match[2]
            elif found:
                break
        yield found
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder) / "workspace")
