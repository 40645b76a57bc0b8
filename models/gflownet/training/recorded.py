"""On-policy batches of a tabulated environment and a multilayer perceptron, judged while they are drawn.

Sampling has to run the network on every state anyway. Between sampling and the loss no weight changes, so the loss
takes the outputs and activations of sampling instead of a second forward pass: same values, same gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.gflownet.environments.tabulated import IndexStates, Tabulated
from models.gflownet.policies.base import ON_POLICY, Exploration, PolicyDiverged
from models.gflownet.policies.mlp import MLP
from models.gflownet.training.assessment import Assessor, Padding
from models.gflownet.training.rollout import Buffers, Network, Tables, roll_out
from models.gflownet.training.trajectories import Paths, Scores


@dataclass(frozen=True)
class _Tape:
    """What was computed while drawing: R rows of the network and P transitions.

    Attributes:
        number: which drawing it was; the buffers below belong to the last one.
        index: (R,) states of the rows.
        hidden: activations (R, width) of each hidden layer.
        out, law: (R, n_out) outputs and (R, A) log-probabilities.
        condition: (R, C), or None.
        before, after: (P,) rows of the states around each transition; `after` is -1 where P_B is 1.
        action, backward: (P,).
        place: (P,) where each transition is in (T, B), flat.
        shape: (T, B).
    """

    number: int
    index: Tensor
    hidden: list[Tensor]
    out: Tensor
    law: Tensor
    condition: Tensor | None
    before: Tensor
    after: Tensor
    action: Tensor
    backward: Tensor
    place: Tensor
    shape: tuple[int, int]


class Recorder:
    """Draws trajectories from an MLP over a tabulated environment and scores them with what drawing has computed.

    Gradients must be taken before the next drawing: activations live in buffers that are used again.

    Args:
        env: the environment.
        policy: the policy that draws and is trained.
        assessor: says what the backward policy is.
    """

    def __init__(self, env: Tabulated, policy: MLP[IndexStates], assessor: Assessor[IndexStates]) -> None:
        self.env, self.policy, self.assessor = env, policy, assessor
        self.tied = assessor.backward.network == "tied"
        self.drawings = 0
        self._longest = int(env.graph.level.max())
        hot = env.k_hot(IndexStates(env.done, torch.arange(len(env.done))))
        self._tables = Tables(
            hot=hot.numpy(),
            legal=env.legal.numpy(),
            following=env.following.numpy(),
            undo=env.undoing.numpy(),
            done=env.done.numpy(),
            choice=(env.parents.sum(1) > 1).numpy(),
        )
        self.ones = torch.zeros((len(hot), env.n_features + 1)).scatter_(1, hot, 1.0)[:, :-1].contiguous()
        self.parentless = torch.zeros(env.parents.shape).masked_fill_(
            ~env.parents & env.parents.any(1, keepdim=True), -torch.inf
        )
        self._room: Buffers | None = None

    @staticmethod
    def suits(env: Any, policy: Any) -> bool:
        """Whether the parts can be recorded: a table and an MLP in float32, in main memory."""
        if not isinstance(env, Tabulated) or not isinstance(policy, MLP):
            return False
        weight = policy.bias
        return weight.device.type == "cpu" and weight.dtype == torch.float32 and env.done.device.type == "cpu"

    def draw(
        self,
        n: int,
        generator: torch.Generator,
        *,
        exploration: Exploration = ON_POLICY,
        condition: Tensor | None = None,
    ) -> tuple[Paths[IndexStates], Scores]:
        """Return n trajectories and what the policies say of them, differentiably.

        Args:
            n: trajectories.
            generator: source of all randomness.
            exploration: see there.
            condition: (n, C), or None.

        Raises:
            PolicyDiverged: the policy's probabilities are not finite.
        """
        noise = torch.rand((self._longest, n), generator=generator, dtype=torch.float64).numpy()
        room = self._buffers(n)
        rows, moves = roll_out(
            noise,
            self._tables,
            self._network(condition),
            room,
            float(exploration.epsilon),
            float(exploration.temperature),
            float(exploration.early_stop),
            -1 if self.env.stop is None else self.env.stop,
            self.tied,
        )
        if rows < 0:
            raise PolicyDiverged
        self.drawings += 1
        paths = self._paths(n, moves, room, condition)
        tape = self._tape(paths, rows, moves, room)
        log_pf, log_pb, log_flow = _Recorded.apply(self, tape, *self._parameters())  # type: ignore[no-untyped-call]
        alive = torch.zeros(tape.shape, dtype=torch.bool)
        alive.view(-1)[tape.place] = True
        if not self.tied:
            log_pb = Padding(paths)(self.assessor.log_pb(paths, None).to(log_pf.dtype))
        elif self.env.corrected:
            correction = self.env.log_correction(paths.before, paths.forward, paths.after)
            log_pb = log_pb + Padding(paths)(correction.to(log_pb.dtype))
        return paths, Scores(log_pf, log_pb, log_flow, alive)

    def _parameters(self) -> list[Tensor]:
        policy = self.policy
        extra = [] if policy.condition is None else [policy.condition.weight]
        layers = [parameter for layer in policy.dense for parameter in (layer.weight, layer.bias)]
        return [policy.first.weight, policy.bias, *extra, *layers]

    @torch.no_grad()
    def _network(self, condition: Tensor | None) -> Network:
        policy = self.policy
        shift = torch.empty((0, 0))
        if condition is not None and policy.condition is not None:
            shift = policy.condition(condition)
        return Network(
            first=policy.first.weight.detach().numpy(),
            bias=policy.bias.detach().numpy(),
            shift=shift.numpy(),
            weights=tuple(layer.weight.detach().numpy().T for layer in policy.dense),
            biases=tuple(layer.bias.detach().numpy() for layer in policy.dense),
        )

    def _buffers(self, n: int) -> Buffers:
        """Return room for n trajectories, made once for each size."""
        size = (self._longest + 1) * n
        if self._room is None or len(self._room.states) != size:
            widths = [layer.in_features for layer in self.policy.dense]
            names = ("states", "owner", "before", "after", "origin", "target", "action", "back", "time", "row")
            self._room = Buffers(
                hidden=tuple(np.empty((size, width), np.float32) for width in widths),
                out=np.empty((size, self.policy.dense[-1].out_features), np.float32),
                law=np.empty((size, self.env.n_actions), np.float32),
                log_law=np.empty(size, np.float32),
                stamp=np.empty(len(self.env.done), np.int64),
                slot=np.empty(len(self.env.done), np.int64),
                **{name: np.empty(size, np.int64) for name in names},
            )
        return self._room

    def _paths(self, n: int, moves: int, room: Buffers, condition: Tensor | None) -> Paths[IndexStates]:
        origin, target, action, back, time, row, log_law = (
            torch.from_numpy(part[:moves].copy())
            for part in (room.origin, room.target, room.action, room.back, room.time, room.row, room.log_law)
        )
        done = self.env.done.take(target)
        ends = done.nonzero()[:, 0]
        terminal = torch.empty(n, dtype=torch.int64).index_copy_(0, row.take(ends), target.take(ends))
        return Paths(
            before=IndexStates(torch.zeros_like(done), origin),
            after=IndexStates(done, target),
            forward=action,
            backward=back,
            time=time,
            row=row,
            terminal=IndexStates(torch.ones(n, dtype=torch.bool), terminal),
            log_behaviour=log_law.new_zeros(n).index_add_(0, row, log_law),
            condition=condition,
        )

    def _tape(self, paths: Paths[IndexStates], rows: int, moves: int, room: Buffers) -> _Tape:
        owner = torch.from_numpy(room.owner[:rows].copy())
        shape = (int(paths.time[-1]) + 1, len(paths))
        return _Tape(
            number=self.drawings,
            index=torch.from_numpy(room.states[:rows]),
            hidden=[torch.from_numpy(layer[:rows]) for layer in room.hidden],
            out=torch.from_numpy(room.out[:rows]),
            law=torch.from_numpy(room.law[:rows]),
            condition=None if paths.condition is None else paths.condition[owner],
            before=torch.from_numpy(room.before[:moves]),
            after=torch.from_numpy(room.after[:moves]),
            action=paths.forward,
            backward=paths.backward,
            place=paths.time * shape[1] + paths.row,
            shape=shape,
        )


class _Recorded(torch.autograd.Function):
    """(T, B) log P_F, log P_B of a tied policy and log-flows, as recorded, with the gradient of the weights by hand.

    One node instead of some thirty: at small batches the cost of autograd is the number of its nodes.
    """

    @staticmethod
    def forward(ctx: Any, recorder: Recorder, tape: _Tape, *parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a = tape.law.shape[1]

        def pad(values: Tensor) -> Tensor:
            flat = values.new_zeros(tape.shape[0] * tape.shape[1])
            return flat.index_copy_(0, tape.place, values).view(tape.shape)

        ctx.set_materialize_grads(False)
        ctx.recorder, ctx.tape, ctx.parameters = recorder, tape, parameters
        log_pf = pad(tape.law.view(-1).take(tape.before * a + tape.action))
        log_flow = pad(tape.out[:, -1].take(tape.before))
        if not recorder.tied:
            return log_pf, torch.zeros_like(log_pf), log_flow
        ctx.back = (tape.out[:, a:-1] + recorder.parentless.index_select(0, tape.index)).log_softmax(1)
        ctx.chosen = tape.after >= 0
        ctx.place = tape.after.clamp(min=0) * ctx.back.shape[1] + tape.backward
        return log_pf, pad(torch.where(ctx.chosen, ctx.back.view(-1).take(ctx.place), 0.0)), log_flow

    @staticmethod
    def backward(
        ctx: Any, log_pf: Tensor | None, log_pb: Tensor | None, log_flow: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        recorder, tape = ctx.recorder, ctx.tape
        if tape.number != recorder.drawings:
            raise RuntimeError(
                "Trajectories were drawn again before the gradient of the last ones was taken: their activations are "
                "gone. Call backward first, or use `sample_forward` and `Assessor.score`."
            )
        a = tape.law.shape[1]
        gradient = torch.zeros_like(tape.out)
        if log_pf is not None:
            gradient[:, :a] = _of_logits(tape.law, tape.before * a + tape.action, log_pf.reshape(-1).take(tape.place))
        if log_pb is not None and recorder.tied:
            gradient[:, a:-1] = _of_logits(ctx.back, ctx.place, log_pb.reshape(-1).take(tape.place) * ctx.chosen)
        if log_flow is not None:
            gradient[:, -1].index_add_(0, tape.before, log_flow.reshape(-1).take(tape.place))
        grads: list[Tensor] = []
        for weight, x in zip(reversed(ctx.parameters[-2 * len(tape.hidden) :: 2]), reversed(tape.hidden), strict=True):
            grads[:0] = [gradient.T @ x, gradient.sum(0)]
            gradient = (gradient @ weight).mul_(x > 0)
        first = torch.zeros_like(ctx.parameters[0])
        torch.mm(recorder.ones.index_select(0, tape.index).T, gradient, out=first[:-1])
        extra = [] if tape.condition is None else [gradient.T @ tape.condition]
        return (None, None, first, gradient.sum(0), *extra, *grads)


def _of_logits(law: Tensor, chosen: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient (R, A) of logits whose log-softmax is `law`, of the chosen flat entries (P,)."""
    out = torch.zeros_like(law)
    out.view(-1).index_add_(0, chosen, gradient)
    return out.addcmul_(law.exp(), out.sum(1, keepdim=True), value=-1.0)
