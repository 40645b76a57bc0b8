"""The compiled loop that draws trajectories of a tabulated environment from a multilayer perceptron.

A batch of sixteen takes some twenty sequential steps of a few dozen tensor operations each, and their dispatch costs
more than their arithmetic; compiled, a step is its matrix products. Each distinct state of a step is judged once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Tables(NamedTuple):
    """The environment: V states, A actions.

    Attributes:
        hot: (V, K) places of ones; the number of features where there are fewer.
        legal: (V, A).
        following: (V, A) state that a legal action leads to.
        undo: (V, A) backward action that takes it back.
        done: (V,).
        choice: (V,) whether a state has several parents.
    """

    hot: Integers
    legal: Flags
    following: Integers
    undo: Integers
    done: Flags
    choice: Flags


class Network(NamedTuple):
    """The policy: first layer (F, H) as a sum of rows, then layers (in, out)."""

    first: Floats
    bias: Floats
    shift: Floats
    """(B, H) what the condition of each trajectory adds; (0, 0) without conditioning."""
    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]


class Buffers(NamedTuple):
    """Room for what is computed; N rows of the network or N transitions at most.

    Attributes:
        hidden: activations (N, width) of each hidden layer.
        out: (N, n_out).
        law: (N, A) log-probabilities of the policy.
        states: (N,) of the rows.
        owner: (N,) trajectory of the rows where they are conditioned.
        before, after: (N,) rows of the states around each transition; `after` is -1 where an only parent is certain.
        origin, target, action, back, time, row: (N,) the transitions.
        log_law: (N,) log-probability of each action when it was drawn.
        stamp, slot: (V,) scratch.
    """

    hidden: tuple[Floats, ...]
    out: Floats
    law: Floats
    states: Integers
    owner: Integers
    before: Integers
    after: Integers
    origin: Integers
    target: Integers
    action: Integers
    back: Integers
    time: Integers
    row: Integers
    log_law: Floats
    stamp: Integers
    slot: Integers


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _judge(start: int, end: int, tables: Tables, network: Network, room: Buffers) -> None:
    """Run the network on the rows start .. end - 1.

    Element by element: expressions of whole rows run no faster compiled, and take twice as long to compile.
    """
    x, shift, table, zero = room.hidden[0], network.shift, network.first, np.float32(0.0)
    n_features, width = table.shape[0] - 1, table.shape[1]
    for r in range(start, end):
        s = room.states[r]
        for j in range(width):
            x[r, j] = network.bias[j]
        for k in range(tables.hot.shape[1]):
            hot = tables.hot[s, k]
            if hot < n_features:
                for j in range(width):
                    x[r, j] += table[hot, j]
        if shift.shape[0]:
            for j in range(width):
                x[r, j] += shift[room.owner[r], j]
        for j in range(width):
            if x[r, j] < zero:  # NaN stays NaN, so that a network that has diverged is found out
                x[r, j] = zero
    depth = len(network.weights)
    for layer in range(depth):
        x = room.hidden[layer]
        y = room.out if layer == depth - 1 else room.hidden[layer + 1]
        bias = network.biases[layer]
        np.dot(x[start:end], network.weights[layer], y[start:end])
        for r in range(start, end):
            for j in range(len(bias)):
                y[r, j] += bias[j]
                if layer < depth - 1 and y[r, j] < zero:
                    y[r, j] = zero


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _log_softmax(start: int, end: int, tables: Tables, room: Buffers) -> None:
    """Fill in the laws of the rows start .. end - 1."""
    n = room.law.shape[1]
    for r in range(start, end):
        s = room.states[r]
        top = -np.inf
        for a in range(n):
            if tables.legal[s, a] and room.out[r, a] > top:
                top = room.out[r, a]
        total = 0.0
        for a in range(n):
            if tables.legal[s, a]:
                total += np.exp(room.out[r, a] - top)
        total = np.log(total) + top
        for a in range(n):
            room.law[r, a] = room.out[r, a] - total if tables.legal[s, a] else -np.inf


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _explored(
    r: int, tables: Tables, room: Buffers, epsilon: float, temperature: float, early_stop: float, stop: int
) -> Any:
    """Return the probabilities (A,) that row r draws from; see `Exploration`."""
    s, n = room.states[r], room.law.shape[1]
    p = np.zeros(n)
    count, top = 0, -np.inf
    for a in range(n):
        if tables.legal[s, a]:
            count += 1
            top = max(top, room.law[r, a])
    for a in range(n):
        if tables.legal[s, a]:
            p[a] = np.exp((room.law[r, a] - top) / temperature)
    total = p.sum()
    halt = early_stop if stop >= 0 and tables.legal[s, stop] else 0.0
    for a in range(n):
        if tables.legal[s, a]:
            p[a] = (1.0 - halt) * ((1.0 - epsilon) * p[a] / total + epsilon / count)
    if halt > 0.0:
        p[stop] += halt
    return p


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def roll_out(
    noise: Any,
    tables: Tables,
    network: Network,
    room: Buffers,
    epsilon: float,
    temperature: float,
    early_stop: float,
    stop: int,
    ends: bool,
) -> tuple[int, int]:
    """Draw one trajectory for each column of the noise.

    Args:
        noise: (T, B) float64, uniform in [0, 1); T the longest trajectory.
        tables: the environment.
        network: the policy.
        room: where everything is written.
        epsilon: see `Exploration`.
        temperature: likewise.
        early_stop: likewise.
        stop: the stop action, -1 where there is none.
        ends: whether terminal states with several parents are judged too.

    Returns:
        The number of rows of the network and of transitions; (-1, -1) if probabilities are not finite.
    """
    longest, n = noise.shape
    actions, conditioned = room.law.shape[1], network.shift.shape[0] > 0
    plain = epsilon == 0.0 and temperature == 1.0 and early_stop == 0.0
    state, row = np.zeros(n, np.int64), np.arange(n)
    last, where = np.full(n, -1), np.empty(n, np.int64)
    end = np.zeros(n, np.int64)
    room.stamp[:] = -1
    alive, rows, moves = n, 0, 0
    for time in range(longest):
        if alive == 0:
            break
        start = rows
        for i in range(alive):
            s = state[i]
            if conditioned or room.stamp[s] != time:
                room.stamp[s], room.slot[s] = time, rows
                room.states[rows], room.owner[rows] = s, row[i]
                rows += 1
            where[i] = room.slot[s]
            if last[row[i]] >= 0:
                room.after[last[row[i]]] = where[i]
        _judge(start, rows, tables, network, room)
        _log_softmax(start, rows, tables, room)
        kept = 0
        for i in range(alive):
            r, s, b = where[i], state[i], row[i]
            u, total, chosen, mass = noise[time, b], 0.0, -1, 0.0
            if plain:
                for a in range(actions):
                    if tables.legal[s, a]:
                        p = np.exp(np.float64(room.law[r, a]))
                        if p > 0.0:
                            total, chosen, mass = total + p, a, p
                            if u < total:
                                break
            else:
                law = _explored(r, tables, room, epsilon, temperature, early_stop, stop)
                for a in range(actions):
                    if law[a] > 0.0:
                        total, chosen, mass = total + law[a], a, law[a]
                        if u < total:
                            break
            if chosen < 0 or not total > 0.0:
                return -1, -1
            following = tables.following[s, chosen]
            room.before[moves], room.origin[moves], room.target[moves] = r, s, following
            room.action[moves], room.back[moves] = chosen, tables.undo[s, chosen]
            room.time[moves], room.row[moves] = time, b
            room.after[moves], room.log_law[moves] = -1, np.log(mass)
            last[b] = moves
            moves += 1
            if tables.done[following]:
                end[b] = following
            else:
                state[kept], row[kept] = following, b
                kept += 1
        alive = kept
    if alive > 0:
        return -1, -1
    if ends:
        start = rows
        for b in range(n):
            s = end[b]
            if tables.choice[s]:
                if conditioned or room.stamp[s] != longest:
                    room.stamp[s], room.slot[s] = longest, rows
                    room.states[rows], room.owner[rows] = s, b
                    rows += 1
                room.after[last[b]] = room.slot[s]
        if rows > start:
            _judge(start, rows, tables, network, room)
            room.law[start:rows] = np.float32(0.0)
    return rows, moves
