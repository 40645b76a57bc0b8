"""Make the classifiers that are shipped for the tasks drd2, gsk3b and jnk3 of the oracle `pmo`.

    pip download --no-deps molscore==1.9.5
    .venv/bin/python benchmarks/pmo_classifiers.py molscore-1.9.5-py3-none-any.whl

The wheel holds scikit-learn's pickles. They are read by an unpickler that knows numpy's arrays only: objects of
scikit-learn become empty shells with their attributes, so that neither scikit-learn nor any code of the file is run.
What decides a prediction is written as plain arrays; the same wheel gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import pickle
import platform
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
MODELS = "molscore/data/models/molopt/"
NUMPY = {("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numpy", "ndarray"), ("numpy", "dtype")}
"""Last part of the module and name of what the unpickler makes; all of it is arrays."""

BITS = 2048
MOMENT = (2020, 1, 1, 0, 0, 0)
"""Time of the members of the archive, so that it depends on the arrays only."""


class Shell:
    """Stands for any object of scikit-learn: it keeps what the pickle says of it."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Keep the attributes."""
        self.state = state


class Arrays(pickle.Unpickler):
    """Reads arrays and shells, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what makes an object."""
        if module.partition(".")[0] == "sklearn":
            return Shell
        if module.partition(".")[0] == "numpy" and (module.rpartition(".")[2], name) in NUMPY:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"The model names {module}.{name}; expected arrays and scikit-learn's classes.")


def forest(model: Shell) -> dict[str, np.ndarray]:
    """Return the arrays of a random forest over bits (see `models.pmo.classifiers.Forest`)."""
    trees = [tree.state["tree_"].state for tree in model.state["estimators_"]]
    features, shares = [], []
    for tree in trees:
        nodes = tree["nodes"]
        inner = nodes["feature"] >= 0
        in_order = np.array_equal(nodes["left_child"][inner], np.flatnonzero(inner) + 1)
        if not in_order or not np.all(nodes["threshold"][inner] == 0.5) or nodes["feature"].max() >= BITS:
            raise ValueError(f"Expected trees in preorder that split at 0.5 over {BITS} bits; this one is another.")
        features.append(np.where(inner, nodes["feature"], -1).astype(np.int16))
        counts = tree["values"][~inner, 0, :]
        shares.append(counts[:, 1] / counts.sum(axis=1))
    return {"feature": np.concatenate(features), "share": np.concatenate(shares)}


def support_vectors(model: Shell) -> dict[str, np.ndarray]:
    """Return the arrays of a classifier with Gaussian kernel (see `models.pmo.classifiers.SupportVectors`)."""
    state = model.state
    vectors = state["support_vectors_"]
    rows, columns = np.nonzero(vectors)
    counts = vectors[rows, columns]
    if state["kernel"] != "rbf" or vectors.shape[1] != BITS or not np.array_equal(counts, counts.astype(np.uint8)):
        raise ValueError(f"Expected a Gaussian kernel over {BITS} counts below 256; this model is another.")
    settings = [state["_intercept_"][0], state["_gamma"], state["_probA"][0], state["_probB"][0]]
    return {
        "rows": rows.astype(np.int16),
        "columns": columns.astype(np.int16),
        "counts": counts.astype(np.uint8),
        "weights": state["_dual_coef_"][0].astype(np.float64),
        "settings": np.array(settings, dtype=np.float64),
    }


READERS = {"drd2": support_vectors, "gsk3b": forest, "jnk3": forest}


def archive(arrays: dict[str, np.ndarray]) -> bytes:
    """Return the bytes of a compressed npz; equal arrays give equal bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, array in sorted(arrays.items()):
            member = io.BytesIO()
            np.save(member, array, allow_pickle=False)
            about = zipfile.ZipInfo(f"{name}.npy", MOMENT)
            packed.writestr(about, member.getvalue(), zipfile.ZIP_DEFLATED, 9)
    return out.getvalue()


def main(arguments: list[str]) -> int:
    """Read the wheel and write arrays and provenance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="wheel of molscore 1.9.5")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "resources", help="folder of the arrays")
    given = parser.parse_args(arguments)
    arrays, sources = {}, {}
    with zipfile.ZipFile(given.wheel) as wheel:
        (licence,) = (name for name in wheel.namelist() if name.endswith("dist-info/licenses/LICENSE"))
        text = wheel.read(licence).decode("utf-8")
        for name, read in READERS.items():
            content = wheel.read(f"{MODELS}{name}_current.pkl")
            sources[f"{MODELS}{name}_current.pkl"] = hashlib.sha256(content).hexdigest()
            model = Arrays(io.BytesIO(content), encoding="latin1").load()
            arrays |= {f"{name}.{key}": array for key, array in read(model).items()}
    packed = archive(arrays)
    told = {
        "name": "pmo_classifiers",
        "summary": "classifiers of the tasks drd2, gsk3b and jnk3 of PMO as plain arrays",
        "sha256": hashlib.sha256(packed).hexdigest(),
        "source": f"{given.wheel.name} (PyPI), the models that PyTDC downloads for these oracles; sha256 of each below",
        "files": sources,
        "references": {
            "drd2": "Olivecrona, Blaschke, Engkvist, Chen, J. Cheminformatics 2017, 9, 48: support vectors, ExCAPE-DB",
            "gsk3b, jnk3": "Li, Zhang, Liu, J. Cheminformatics 2018, 10, 33: random forests, ExCAPE-DB",
        },
        "made_by": "python benchmarks/pmo_classifiers.py WHEEL",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "licence": text,
    }
    (given.out / "pmo_classifiers.npz").write_bytes(packed)
    lines = json.dumps(told, indent=2, ensure_ascii=False)
    (given.out / "pmo_classifiers.json").write_text(lines + "\n", encoding="utf-8")
    print(f"{given.out / 'pmo_classifiers.npz'}: {len(packed)} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
