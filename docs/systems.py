"""Make `docs/systems.md`: each published system, its claim, how it is tried, and the shipped verdict.

    .venv/bin/python docs/systems.py [--check]

A verdict is shipped by `discover reproduce NAME --seeds N --out data/resources/verdicts/NAME.json`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "systems.md"

sys.path.insert(0, str(ROOT))

from models.systems.base import System  # noqa: E402
from pipelines.reproducing import shipped_verdict, systems, used_in  # noqa: E402

HEAD = """# Published systems

Each system is a part that a campaign or a sampler file can name, and a claim that anybody can try here:

```bash
discover reproduce --list
discover reproduce sub_trajectory_balance --seeds 3
```

A bound on a figure is kept by the mean over the seeds. Where two figures are compared, the 95 % interval (Student) of
the paired differences must lie beyond the bound; where it says medians, those over the seeds keep it. *Shown*: all
checks hold; *shown in part*: some do. Ten seeds are taken where they cost less than eight CPU-minutes. Figures are
means over the seeds where no median is told, on one thread of a
two-core machine. This page is made by `docs/systems.py`.
"""

TAIL = """
## Beside the four folders

[examples/digress](../examples/digress/README.md) is a package of its own that adds a generator and a system by the
entry point for plug-ins: DiGress, which draws molecular graphs out of noise. `pip install ./examples/digress`, and
`discover reproduce digress --seeds 3` tries it beside the edge lists of `geel`. Its verdict is *shown in part*: after
about 30 CPU seconds of training each, 0.52 of its draws are molecules without correction, and 0.96 of the edge lists;
500 draws cost 10 CPU seconds, and 0.1.

## Not built

Generators of graphs and sequences that were read and left out. The samplers here are judged by the exact law of what
they draw; denoising (DiGress) has a bound of it only, and for those below we know of none.

- *GDSS*, a joint stochastic differential equation of node features and adjacency, with networks of scores and a
  predictor-corrector sampler: continuous states for what is discrete. DiGress takes its place.
- *GruM*, a mixture of diffusion bridges whose network predicts the final graph: again a continuous relaxation,
  rounded to a graph at the end; guidance by a reward is added ad hoc. On molecules as graphs it would be a second
  `digress`.
- *Bayesian flow networks* (of molecules ChemBFN and GeoBFN; they update parameters of a law over tokens by Bayes'
  rule): they need much data, or weights that were trained beforehand, and the latter are not to be had where nothing
  is downloaded.
- *Interleaved Gibbs diffusion*, which denoises discrete and continuous elements by turns: the idea is near to the
  local search of `gflownet`, which goes some steps back and forth again.

A draw by denoising takes as many passes through the network as there are steps of noise; the README of
`examples/digress` tells the seconds of its training and of its draws.
"""


def page() -> str:
    """Return the text of the page."""
    rows, parts = [], []
    ours = {kind: system for kind, system in systems().items() if type(system).__module__.startswith("models.")}
    for kind, system in ours.items():
        found = shipped_verdict(kind)
        state = "not tried" if found is None else found["verdict"]
        effort = "" if found is None else f"{len(found['seeds'])} seeds, {found['cpu_minutes']:g} CPU-minutes"
        rows.append(f"| [{system.title}](#{kind.replace('_', '-')}) | {state} | {effort} |")
        parts += [f"\n## {kind.replace('_', ' ').capitalize()}\n"]
        parts += [f"**{system.title}: {state}.** {system.reference}.\n", f"*Claim.* {system.claim}\n"]
        parts += [f"*Protocol.* {system.protocol}\n"]
        if system.where:
            parts += [f"*Without a key.* {system.where}\n"]
        elif system.parts:
            parts += [_in_a_file(system)]
        elif system.example:
            parts += [
                f"*A study.* No campaign or sampler names it; the code is [{system.example}](../{system.example}).\n"
            ]
        if found is not None:
            parts += ["| holds | what | found | wanted |", "|---|---|---|---|"]
            for one in found["checks"]:
                holds = {True: "yes", False: "no", None: "-"}[one["holds"]]
                parts.append(f"| {holds} | {one['told']} | {one['found']} | {one['wanted']} |")
    table = ["", "| system | verdict | tried with |", "|---|---|---|", *rows]
    return "\n".join([HEAD.rstrip(), *table, *parts, TAIL.rstrip()]) + "\n"


def _in_a_file(system: System[Any]) -> str:
    """Return how a file names a system, and which shipped file does."""
    link = f"[{system.example}](../{system.example})"
    commands = [one for one in system.settings if one.startswith("discover ")]
    if commands:
        return f"*By a command.* `{commands[0]}`, for example with {link}.\n"
    settings = [*(f"{group}: {{kind: {part}}}" for group, part in system.parts), *system.settings]
    there = [one for one in settings if used_in(ROOT / system.example, one)]
    told = f"*In a file.* {', '.join(f'`{one}`' for one in there)}, as in {link}."
    more = [f"`{one}`" for one in settings if one not in there]
    return f"{told} Not in that file: {', '.join(more)}.\n" if more else f"{told}\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == page() else "docs/systems.md is out of date.")
    PAGE.write_text(page(), encoding="utf-8")
