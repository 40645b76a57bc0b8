"""The HyperGrid task with gfnx (JAX): its environment, reward and rollout; rollout, loss and Adam in one compiled loop.

As its baseline does it: fixed-length rollouts (dims * height + 1 steps, padded), a second network pass over them for
the loss, Adam with two learning rates, and all iterations inside one `fori_loop`. Left out, because no other worker
has it either: progress bar, log callback, metric buffer. Compilation happens before the clock starts.
"""

from __future__ import annotations

import os

# These flags alone still leave two threads; the benchmark binds workers to one core, by hand use `taskset -c 0`.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

from importlib.metadata import version
from typing import Any, NamedTuple

import equinox as eqx
import gfnx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from common import HIDDEN, LAYERS, LEARNING_RATE, LOG_Z_LEARNING_RATE, R0, R1, R2, IntArray, Task, measure, report
from gfnx.reward.hypergrid import GeneralHypergridRewardModule

WARM_UP = 3
Trained = dict[str, Any]
"""The network's arrays ("network") and log Z ("log_z")."""


class Progress(NamedTuple):
    """What the compiled loop carries."""

    trained: Trained
    optimizer: Any
    key: jax.Array
    transitions: jax.Array


class Gfnx:
    """A training with gfnx, compiled and warmed up at construction."""

    def __init__(self, task: Task) -> None:
        self.batch, self.dims = task.batch, task.dims
        self.env = gfnx.environment.HypergridEnvironment(
            GeneralHypergridRewardModule(R0=R0, R1=R1, R2=R2), dim=task.dims, side=task.height
        )
        key, network_key, env_key = jax.random.split(jax.random.PRNGKey(task.seed), 3)
        self.env_params = self.env.init(env_key)
        inputs = self.env.observation_space.shape[0]
        network = eqx.nn.MLP(inputs, 2 * task.dims + 1, width_size=HIDDEN, depth=LAYERS, key=network_key)
        arrays, self.static = eqx.partition(network, eqx.is_array)
        trained = {"network": arrays, "log_z": jnp.zeros(())}
        self.adam = optax.multi_transform(
            {"network": optax.adam(LEARNING_RATE), "log_z": optax.adam(LOG_Z_LEARNING_RATE)},
            {"network": jax.tree.map(lambda _: "network", arrays), "log_z": "log_z"},
        )
        self.progress = Progress(trained, self.adam.init(trained), key, jnp.zeros((), jnp.int32))
        loop = jax.jit(lambda n, progress: jax.lax.fori_loop(0, n, self._step, progress), donate_argnums=1)
        self.loop = loop.lower(jnp.asarray(1, jnp.int32), self.progress).compile()
        copy = jax.tree.map(jnp.copy, self.progress)  # the loop takes its argument's memory
        jax.block_until_ready(self.loop(jnp.asarray(WARM_UP, jnp.int32), copy))

    def _answer(self, arrays: Any, observations: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Forward logits (..., dims + 1) and backward logits (..., dims) of observations (..., inputs)."""
        network = eqx.combine(arrays, self.static)
        rows = jax.vmap(network)(observations.reshape(-1, observations.shape[-1]))
        out = rows.reshape(*observations.shape[:-1], -1)
        return out[..., : self.dims + 1], out[..., self.dims + 1 :]

    def _policy(self, key: jax.Array, observations: jax.Array, arrays: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        del key
        forward, backward = self._answer(arrays, observations)
        return forward, {"forward_logits": forward, "backward_logits": backward}

    def _loss(self, trained: Trained, paths: gfnx.utils.TrajectoryData) -> jax.Array:
        """Mean of (log Z + log P_F - log R - log P_B)^2."""
        forward, backward = self._answer(trained["network"], paths.obs)
        paths = paths.replace(info={"forward_logits": forward, "backward_logits": backward})
        log_pf, log_pb = gfnx.utils.forward_trajectory_log_probs(self.env, paths, self.env_params)
        log_reward = jnp.where(paths.pad, 0.0, paths.log_gfn_reward).sum(1)
        return jnp.square(trained["log_z"] + log_pf - log_pb - log_reward).mean()

    def _step(self, _: jax.Array, progress: Progress) -> Progress:
        key, sample_key = jax.random.split(progress.key)
        paths, info = gfnx.utils.forward_rollout(
            sample_key, self.batch, self._policy, progress.trained["network"], self.env, self.env_params
        )
        gradient = jax.grad(self._loss)(progress.trained, paths)
        updates, optimizer = self.adam.update(gradient, progress.optimizer, progress.trained)
        trained = optax.apply_updates(progress.trained, updates)
        return Progress(trained, optimizer, key, progress.transitions + info["trajectory_length"].sum())

    def run(self, iterations: int) -> None:
        """Take gradient steps; JAX returns early, so wait for the result."""
        self.progress = jax.block_until_ready(self.loop(jnp.asarray(iterations, jnp.int32), self.progress))

    def transitions(self) -> int:
        """Return the transitions sampled so far."""
        return int(self.progress.transitions)

    def parameters(self) -> int:
        """Return the size of the network."""
        return sum(value.size for value in jax.tree.leaves(self.progress.trained["network"]))

    def logits(self, states: IntArray) -> npt.NDArray:
        """Return the forward logits of states."""
        source = self.env.get_init_state(len(states)).replace(state=jnp.asarray(states, jnp.int32))
        forward, _ = self._answer(self.progress.trained["network"], self.env.get_obs(source, self.env_params))
        return np.asarray(forward)


def main() -> None:
    """Compile, then measure."""
    task = Task.parse()
    figures = measure(Gfnx(task), task)
    report(figures, {name: version(name) for name in ("gfnx", "jax", "jaxlib", "equinox", "optax", "numpy")})


if __name__ == "__main__":
    main()
