"""Make `docs/systems.md`: each published system, its claim, how it is tried, and the shipped verdict.

    .venv/bin/python docs/systems.py [--check]

A verdict is shipped by `discover reproduce NAME --seeds N --out data/resources/verdicts/NAME.json`.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "systems.md"

sys.path.insert(0, str(ROOT))

from pipelines.reproducing import shipped_verdict, systems  # noqa: E402

HEAD = """# Published systems

Each system is a part that a campaign or a sampler file can name, and a claim that anybody can try here:

```bash
discover reproduce --list
discover reproduce sub_trajectory_balance --seeds 3
```

A bound on a figure is kept by the mean over the seeds. Where two figures are compared, the 95 % interval (Student) of
the paired differences must lie beyond the bound; where it says medians, those over the seeds keep it. *Shown*: all
checks hold; *shown in part*: some do. Figures are means over the seeds where no median is told, on one thread of a
two-core machine. This page is made by `docs/systems.py`.
"""


def page() -> str:
    """Return the text of the page."""
    rows, parts = [], []
    for kind, system in systems().items():
        found = shipped_verdict(kind)
        state = "not tried" if found is None else found["verdict"]
        effort = "" if found is None else f"{len(found['seeds'])} seeds, {found['cpu_minutes']:g} CPU-minutes"
        rows.append(f"| [{system.title}](#{kind.replace('_', '-')}) | {state} | {effort} |")
        parts += [f"\n## {kind.replace('_', ' ').capitalize()}\n"]
        parts += [f"**{system.title}: {state}.** {system.reference}.\n", f"*Claim.* {system.claim}\n"]
        parts += [f"*Protocol.* {system.protocol}\n"]
        settings = [*(f"{group}: {{kind: {part}}}" for group, part in system.parts), *system.settings]
        if system.example:
            parts += [f"*In a file.* {', '.join(f'`{one}`' for one in settings)}, as in "
                      f"[{system.example}](../{system.example}).\n"]  # fmt: skip
        if found is not None:
            parts += ["| holds | what | found | wanted |", "|---|---|---|---|"]
            for one in found["checks"]:
                holds = {True: "yes", False: "no", None: "-"}[one["holds"]]
                parts.append(f"| {holds} | {one['told']} | {one['found']} | {one['wanted']} |")
    table = ["", "| system | verdict | tried with |", "|---|---|---|", *rows]
    return "\n".join([HEAD.rstrip(), *table, *parts]) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == page() else "docs/systems.md is out of date.")
    PAGE.write_text(page(), encoding="utf-8")
