"""The sum over all objects that converts outcome-conditioned flows to a reward, learnt by a network instead of taken.

Reference: Pan et al., Pre-training and fine-tuning generative flow networks, ICLR 2024, arXiv:2310.03419, which calls
it the amortised predictor. The numerator N(s' | s) and the posterior of the object Q(y | s, s') are trained together:

    loss(s, s', y) = (log N(s' | s) + log Q(y | s, s') - log r(y) - log F(s | y) - log P(s' | s, y))^2.

Where it is 0 for every y, the sum over y of both sides gives N(s' | s) = sum_y r(y) F(s | y) P(s' | s, y), as Q sums to
1: the policy N / sum N is that of the sum. A step asks for a few y per transition only; r, F and P are not trained.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.gflownet.environments.base import Environment, States
from models.gflownet.policies.base import Exploration, initialise
from models.gflownet.policies.flat import FlatPolicy
from models.gflownet.training.trajectories import sample_forward

S = TypeVar("S", bound=States)
C = TypeVar("C", bound=States, contravariant=True)
_EPSILON = 0.1
"""Share of actions, and of objects, that is drawn evenly: the paper does not say how either is explored."""


class ObjectPosterior(Protocol[C]):
    """Q(y | s, s'): which object a transition is on the way to."""

    def __call__(self, before: C, actions: Tensor) -> Tensor:
        """Return the log-probabilities (P, K) of K objects, of P transitions."""


class PosteriorNetwork(nn.Module, Generic[S]):
    """A perceptron with a logit for each of K objects, over the k-hot features of a state and its action.

    Args:
        env: an environment with `k_hot` features.
        objects: K.
        hidden: width of the two hidden layers.
        generator: source of the initial weights.
    """

    def __init__(self, env: Environment[S], objects: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.env = env
        with torch.device("meta"):
            self.state = nn.Embedding(env.n_features + 1, hidden, padding_idx=env.n_features)
            self.action = nn.Embedding(env.n_actions, hidden)
            self.middle, self.last = nn.Linear(hidden, hidden), nn.Linear(hidden, objects)
        self.to_empty(device="cpu")
        initialise(self, generator)
        with torch.no_grad():
            self.state.weight[env.n_features] = 0.0
            self.last.weight.mul_(0.1)

    def forward(self, before: S, actions: Tensor) -> Tensor:
        """Return the log-probabilities (P, K), differentiably."""
        hot = self.env.k_hot(before)
        x = functional.embedding_bag(hot, self.state.weight, mode="sum", padding_idx=self.env.n_features)
        x = self.middle((x + self.action(actions)).relu())
        out: Tensor = self.last(x.relu())
        return out.log_softmax(1)


class Distillation(Generic[S]):
    """Trains the numerators and the posterior for one reward over K objects.

    Args:
        towards: the policy for each object, with flows; its weights are not touched.
        conditions: (K, C) encoded, what that policy sees of each object.
        log_reward: (K,) of the objects.
        numerators: whose logits are log N(s' | s), relative to the largest reward; afterwards a policy for the reward.
        posterior: Q.
        generator: source of transitions and objects.
    """

    def __init__(
        self,
        towards: FlatPolicy[S],
        conditions: Tensor,
        log_reward: Tensor,
        *,
        numerators: FlatPolicy[S],
        posterior: ObjectPosterior[S],
        generator: torch.Generator,
    ) -> None:
        self.towards, self.conditions, self.generator = towards, conditions, generator
        self.log_reward = log_reward.double() - log_reward.double().max()
        self.numerators, self.posterior = numerators, posterior

    @torch.no_grad()
    def wanted(self, before: S, actions: Tensor, objects: Tensor) -> Tensor:
        """Return log r(y) + log F(s | y) + log P(s' | s, y), (P,), of transitions and numbers of objects (P,).

        The flow of the source is 1: every object is reached from it.
        """
        answer = self.towards.score(before, actions, None, self.conditions[objects])
        log_flow = torch.where(self.towards.env.is_source(before), 0.0, answer.log_flow.double())
        return self.log_reward[objects] + log_flow + answer.log_pf.double()

    def residuals(self, before: S, actions: Tensor, objects: Tensor) -> Tensor:
        """Return what the loss squares, (P, m), of P transitions and the numbers (P, m) of m objects for each."""
        m = objects.shape[1]
        row = torch.arange(len(actions)).repeat_interleave(m)
        wanted = self.wanted(before[row], actions[row], objects.flatten()).view(-1, m)
        log_n = self.numerators.edge_values(before, actions)[:, None]
        return log_n + self.posterior(before, actions).gather(1, objects) - wanted

    def train(self, steps: int, *, batch_size: int = 64, objects: int = 8, learning_rate: float = 3e-3) -> list[float]:
        """Train both networks on transitions that the numerators draw themselves; return the losses.

        Args:
            steps: of gradient descent; the learning rate falls to a hundredth as a cosine.
            batch_size: trajectories per step.
            objects: drawn per transition from Q, a tenth of them evenly.
            learning_rate: at first.
        """
        parts = [part for part in (self.numerators, self.posterior) if isinstance(part, nn.Module)]
        parameters = [p for part in parts for p in part.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
        course = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, learning_rate / 100)
        losses = []
        for _ in range(steps):
            paths = sample_forward(
                self.numerators.env,
                self.numerators,
                batch_size,
                self.generator,
                exploration=Exploration(epsilon=_EPSILON),
            )
            drawn = self._objects(paths.before, paths.forward, objects)
            # Of Huber, not squares: what leads nowhere has logarithms far below all others.
            loss = functional.huber_loss(
                self.residuals(paths.before, paths.forward, drawn), torch.zeros(()).double().expand(drawn.shape)
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, 10.0)
            optimizer.step()
            course.step()
            losses.append(loss.item())
        return losses

    @torch.no_grad()
    def _objects(self, before: S, actions: Tensor, m: int) -> Tensor:
        law = self.posterior(before, actions).exp()
        law = law.lerp(torch.full_like(law, 1.0 / law.shape[1]), _EPSILON)
        return torch.multinomial(law, m, replacement=True, generator=self.generator)
