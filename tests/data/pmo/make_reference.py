"""Make `reference.csv`: the scores of `molecules.smi` on the 23 tasks of PMO by TDC's own code and models.

In an environment of its own, not the project's (PyTDC asks for older versions; its package cannot be imported without
all of its dependencies, so that its one file of oracles is run with stand-ins for what it does not use):

    pip download --no-deps --no-binary :all: PyTDC==1.1.15 ; tar xzf pytdc-1.1.15.tar.gz
    pip download --no-deps molscore==1.9.5
    pip install rdkit==2023.9.6 "numpy<2" scikit-learn==1.2.2 "scipy<1.14" networkx "setuptools<70" packaging
    python make_reference.py pytdc-1.1.15 molscore-1.9.5-py3-none-any.whl

The models are scikit-learn's pickles of the wheel: running this trusts them.
"""

import argparse
import csv
import hashlib
import json
import os
import platform
import sys
import tempfile
import types
import warnings
import zipfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
TASKS = [
    "albuterol_similarity",
    "amlodipine_mpo",
    "celecoxib_rediscovery",
    "deco_hop",
    "drd2",
    "fexofenadine_mpo",
    "gsk3b",
    "isomers_c7h8n2o2",
    "isomers_c9h10n2o2pf2cl",
    "jnk3",
    "median1",
    "median2",
    "mestranol_similarity",
    "osimertinib_mpo",
    "perindopril_mpo",
    "qed",
    "ranolazine_mpo",
    "scaffold_hop",
    "sitagliptin_mpo",
    "thiothixene_rediscovery",
    "troglitazone_rediscovery",
    "valsartan_smarts",
    "zaleplon_mpo",
]


def stand_ins():
    """Let TDC's file of oracles be imported alone."""
    six = types.ModuleType("rdkit.six")
    six.iteritems = lambda mapping: iter(mapping.items())
    sys.modules["rdkit.six"] = six
    for name in ("tdc", "tdc.chem_utils", "tdc.chem_utils.oracle", "tdc.utils"):
        module = types.ModuleType(name)
        module.__path__ = []
        sys.modules[name] = module
    sys.modules["tdc.utils"].oracle_load = sys.modules["tdc.utils"].print_sys = sys.modules["tdc.utils"].install = None


def fresh(source):
    """TDC's oracles as a new module: two of its tasks share global variables and must not meet."""
    module = types.ModuleType("tdc.chem_utils.oracle.oracle")
    module.__package__ = "tdc.chem_utils.oracle"
    exec(compile(source, "oracle.py", "exec"), module.__dict__)
    return module


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pytdc", type=Path)
    parser.add_argument("molscore", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "reference.csv")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    source = (given.pytdc / "tdc" / "chem_utils" / "oracle" / "oracle.py").read_text()
    molecules = (HERE / "molecules.smi").read_text().split()
    stand_ins()
    columns = {}
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(given.molscore) as wheel:
            for name in ("drd2", "gsk3b", "jnk3"):
                target = Path(folder, "oracle", f"{name}_current.pkl")
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(wheel.read(f"molscore/data/models/molopt/{name}_current.pkl"))
        out = given.out.resolve()
        os.chdir(folder)
        for task in TASKS:
            score = getattr(fresh(source), task)
            score = score() if task == "jnk3" else score
            columns[task] = [float(score(smiles)) for smiles in molecules]
        os.chdir(HERE)
    with out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["smiles", *TASKS])
        for row, smiles in enumerate(molecules):
            writer.writerow([smiles, *(f"{columns[task][row]:.10g}" for task in TASKS)])
    told = {
        "made_by": "python make_reference.py PYTDC MOLSCORE",
        "code": "PyTDC 1.1.15, tdc/chem_utils/oracle/oracle.py, MIT",
        "code_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "models": given.molscore.name,
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("rdkit", "numpy", "scipy", "scikit-learn")},
    }
    out.with_suffix(".json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
