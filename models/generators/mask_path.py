"""The mask path: a letter of the data is seen with probability t at the time t, and is masked before.

With kappa(t) = t a masked letter is unmasked at the rate kappa' / (1 - kappa) = 1 / (1 - t), and is then drawn from its
posterior given the letters that are seen. Over a step dt, with the posterior of the step's begin, its probability is
dt / (1 - t): places that are unmasked in one step are drawn independently, which is all that a step's length costs.

References: Gat et al., Discrete flow matching, NeurIPS 2024, arXiv:2407.15595; Campbell et al., ICML 2024,
arXiv:2402.04997.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from models.generators.letter_paths import LetterPath, Reader


class MaskPath(LetterPath):
    """Letters are masked, and come out at even times."""

    def noised(self, letters: Tensor, kinds: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Mask each letter of a row with the same probability, uniform over rows; masked places are learnt from."""
        t = torch.rand((len(letters), 1), generator=generator)
        hidden = torch.rand(letters.shape, generator=generator) >= t
        return _likelihoods(letters, hidden, kinds), hidden

    @torch.no_grad()
    def followed(self, read: Reader, n: int, length: int, kinds: int, steps: int, generator: torch.Generator) -> Tensor:
        """Unmask letters until none is masked."""
        letters, hidden = torch.zeros((n, length), dtype=torch.int64), torch.ones((n, length), dtype=torch.bool)
        for step in range(steps):
            chosen = hidden & (torch.rand((n, length), generator=generator) < unmasked_share(step, steps))
            rows = chosen.any(1).nonzero()[:, 0]
            if not len(rows):
                continue
            weights = read(_likelihoods(letters[rows], hidden[rows], kinds)).softmax(2).flatten(0, 1)
            drawn = torch.multinomial(weights, 1, generator=generator).view(-1, length)
            letters[rows] = torch.where(chosen[rows], drawn, letters[rows])
            hidden &= ~chosen
        return letters


def unmasked_share(step: int, steps: int) -> float:
    """Return with what probability a masked letter is unmasked in a step; in the last one it is."""
    return 1.0 / (steps - step)


def _likelihoods(letters: Tensor, hidden: Tensor, kinds: int) -> Tensor:
    return torch.where(hidden[..., None], torch.tensor(1.0 / kinds), one_hot(letters, kinds).float())


@torch.no_grad()
def law(read: Reader, length: int, kinds: int, steps: int) -> Tensor:
    """Return the probabilities (kinds^length,) float64 of all rows of letters, in lexical order, without drawing any.

    All (kinds + 1)^length states with masks are gone through: for few short places.

    Args:
        read: the posterior.
        length: places of a row.
        kinds: of letters.
        steps: of the path that `followed` would take.
    """
    states = torch.tensor(list(itertools.product(range(kinds + 1), repeat=length)))
    hidden = states == kinds
    posterior = read(_likelihoods(states.clamp(max=kinds - 1), hidden, kinds)).double().softmax(2)
    mass = torch.zeros(len(states), dtype=torch.float64)
    mass[-1] = 1.0
    for step in range(steps):
        share = unmasked_share(step, steps)
        # What becomes of a place: a letter that is seen stays, a masked one may become any letter or stay masked.
        moves = torch.zeros((len(states), length, kinds + 1), dtype=torch.float64)
        moves[..., :kinds] = torch.where(
            hidden[..., None], share * posterior, one_hot(states.clamp(max=kinds - 1), kinds).double()
        )
        moves[..., kinds] = (1.0 - share) * hidden.double()
        joint = mass[:, None]
        for place in range(length):
            joint = (joint[:, :, None] * moves[:, place, None, :]).flatten(1)
        mass = joint.sum(0)
    return mass[~hidden.any(1)]
