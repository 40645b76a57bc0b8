"""Make the network of the proxy `prior_fitted`: some four CPU-minutes, once.

    .venv/bin/python benchmarks/prior_fitted.py [--steps 3000] [--out data/resources]

Writes `prior_fitted.npz` (weights in half precision, buckets in single precision) and `prior_fitted.json`.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

from models.proxies.prior_fitted_network import ManyProcesses, fitted_network  # noqa: E402
from models.threads import single_thread  # noqa: E402

SEED, SETS, WIDTH, LAYERS, HEADS = 0, 24, 96, 4, 4


def main(arguments: list[str] | None = None) -> None:
    """Train, and write weights and provenance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "resources")
    given = parser.parse_args(arguments)
    prior, begin, losses = ManyProcesses(), time.process_time(), list[float]()

    def progress(step: int, loss: float) -> None:
        losses.append(loss)
        if step % 100 == 0:
            print(f"{step} of {given.steps}: {np.mean(losses[-100:]):.4f}", file=sys.stderr)

    with single_thread():
        network = fitted_network(
            prior, seed=SEED, steps=given.steps, sets=SETS, width=WIDTH, layers=LAYERS, progress=progress
        )
    write(network.state_dict(), given.out, given.steps, float(np.mean(losses[-500:])), time.process_time() - begin)


def write(weights: dict[str, torch.Tensor], out: Path, steps: int, loss: float, seconds: float) -> None:
    """Write the weights and what is told of them."""
    packed = io.BytesIO()
    exact = {"bars.edges"}
    arrays = {name: one.numpy().astype(np.float32 if name in exact else np.float16) for name, one in weights.items()}
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]  # names are those of the weights
    prior = ManyProcesses()
    told = {
        "name": "prior_fitted",
        "summary": "a transformer trained on draws of Gaussian processes, for the proxy prior_fitted",
        "sha256": sha256(packed.getvalue()).hexdigest(),
        "network": {"width": WIDTH, "layers": LAYERS, "heads": HEADS},
        "prior": {
            "draws": "models.proxies.prior_fitted_network.ManyProcesses",
            "features": prior.features,
            "labels": [prior.fewest, prior.most],
        },
        "training": {"seed": SEED, "steps": steps, "sets": SETS, "loss": round(loss, 4), "cpu_seconds": round(seconds)},
        "made_by": "python benchmarks/prior_fitted.py",
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
    (out / "prior_fitted.npz").write_bytes(packed.getvalue())
    (out / "prior_fitted.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
