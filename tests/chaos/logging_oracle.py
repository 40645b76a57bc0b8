"""An oracle that logs every call it completes, and that can be told to kill the campaign in the middle of one."""

import os
import signal
from pathlib import Path

from rdkit import Chem
from rdkit.Chem import Crippen


def measure(molecules: list[str]) -> list[float]:
    log = Path(os.environ["CALL_LOG"])
    fatal = os.environ.get("KILL_CAMPAIGN_AT_CALL")
    for smiles in molecules:
        done = len(log.read_text().splitlines()) if log.exists() else 0
        if fatal is not None and done == int(fatal):
            os.kill(os.getppid(), signal.SIGKILL)
            signal.pause()  # ended by the death of the campaign, half-way through this call
        with log.open("a") as file:
            file.write(f"{smiles}\n")
    return [Crippen.MolLogP(Chem.MolFromSmiles(smiles)) for smiles in molecules]
