"""The fragment GFlowNet with QED as reward, on-policy, and where its CPU time goes.

    python benchmarks/peers/ours_fragments.py --dim 64 --layers 3 --batch 64 --steps 20

Prints one line of JSON: trajectories, CPU-seconds, and CPU-seconds by phase.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import torch
from rdkit import Chem
from rdkit.Chem import QED

from models.gflownet.environments.fragments import FragmentEnvironment, FragmentStates
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.transformer import FragmentTransformer
from models.gflownet.training.trainer import Trainer, TrainerOptions

WARM_UP = 2
MAX_HEAVY_ATOMS = 20
SHARPNESS = 5.0
FLOOR = -10.0


class Clock:
    """CPU-seconds by phase; what runs inside another phase counts for the inner one only."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._stack: list[str] = []
        self._last = time.process_time()

    def _switch(self) -> None:
        now = time.process_time()
        self.seconds[self._stack[-1] if self._stack else "rest"] += now - self._last
        self._last = now

    def watch(self, owner: Any, name: str, phase: str) -> None:
        """Count the time of a method of an object for a phase."""
        method: Callable[..., Any] = getattr(owner, name)

        def watched(*args: Any, **options: Any) -> Any:
            self._switch()
            self._stack.append(phase)
            try:
                return method(*args, **options)
            finally:
                self._switch()
                self._stack.pop()

        setattr(owner, name, watched)

    def reset(self) -> None:
        """Begin to count."""
        self._switch()
        self.seconds.clear()

    def read(self) -> dict[str, float]:
        """Return CPU-seconds by phase since the reset."""
        self._switch()
        return dict(self.seconds)


class Reward:
    """log R = 5 log QED, each molecule judged once."""

    def __init__(self, env: FragmentEnvironment) -> None:
        self.env = env
        self.known: dict[str | None, float] = {None: FLOOR}

    def judge(self, molecules: list[str | None]) -> list[float]:
        """Return the log-rewards."""
        for smiles in molecules:
            if smiles not in self.known:
                score = torch.tensor(QED.qed(Chem.MolFromSmiles(smiles)))
                self.known[smiles] = max(FLOOR, SHARPNESS * float(score.clamp(min=1e-6).log()))
        return [self.known[smiles] for smiles in molecules]

    def __call__(self, terminal: FragmentStates) -> tuple[torch.Tensor, list[str | None]]:
        """Judge terminal states."""
        molecules = self.env.decode(terminal)
        return torch.tensor(self.judge(molecules)), molecules


def main() -> None:
    """Train and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("dim", 64), ("layers", 3), ("batch", 64), ("steps", 20), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    task = parser.parse_args()
    torch.set_num_threads(1)
    env = FragmentEnvironment(max_heavy_atoms=MAX_HEAVY_ATOMS)
    generator = torch.Generator().manual_seed(task.seed)
    policy = FragmentTransformer(env, dim=task.dim, layers=task.layers, heads=4, prior=0.5, generator=generator)
    reward = Reward(env)
    options = TrainerOptions(steps=task.steps + WARM_UP, batch_size=task.batch, replay_share=0.0)
    trainer = Trainer(
        env,
        policy,
        reward,
        objective=TrajectoryBalance(),
        backward=UniformBackward(),
        options=options,
        generator=generator,
    )
    clock = Clock()
    for owner, method, phase in (
        (policy, "sample", "policy"),
        (policy, "score", "loss"),
        (env, "fillable", "masks"),
        (env, "attachable", "masks"),
        (env, "may_stop", "masks"),
        (env, "backward_mask", "masks"),
        (env, "step", "steps"),
        (env, "undo", "steps"),
        (env, "decode", "decode"),
        (env, "log_correction", "loss"),
        (reward, "judge", "reward"),
        (trainer.objective, "loss", "loss"),
        (trainer, "_descend", "backward"),
    ):
        clock.watch(owner, method, phase)
    for _ in range(WARM_UP):
        trainer.step()
    clock.reset()
    while trainer.done < options.steps:
        trainer.step()
    phases = clock.read()
    lengths = [row["length"] for row in trainer.history[WARM_UP:]]
    print(
        json.dumps(
            {
                "trajectories": task.batch * task.steps,
                "cpu_seconds": sum(phases.values()),
                "phases": phases,
                "length": sum(lengths) / len(lengths),
                "parameters": sum(value.numel() for value in policy.parameters()),
                **vars(task),
            }
        )
    )


if __name__ == "__main__":
    main()
