"""The network of `geel`: an LSTM that says which word follows, its training on a library and under a reward.

Reference: Jang, Lee and Ahn, A simple and scalable representation for graph generation, ICLR 2024. Each word is
embedded with the number of its node, as theirs is; the bonds that are left, and those that the next node has, are ours:
the network then learns valences in some hundred steps. The fine-tuning is relative trajectory balance, here
log P(sentence) = log P_library(sentence) + log R(molecule) - log Z.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.generators.geel_grammar import BEGIN, PAD, Grammar
from models.gflownet.objectives.relative_trajectory_balance import RelativeTrajectoryBalance
from models.gflownet.policies.base import draw
from models.gflownet.training.trajectories import Trajectories

Memory = tuple[Tensor, Tensor]
COUNTS = 3
"""Numbers that `Grammar.counts` tells."""


@dataclass(frozen=True)
class Lesson:
    """Sentences, and what the grammar says of the places in them.

    Attributes:
        sentences: (B, T), padded at the end.
        counts: (B, T, 3) what there is before each word.
    """

    sentences: Tensor
    counts: Tensor

    @classmethod
    def of(cls, grammar: Grammar, sentences: Tensor) -> Lesson:
        """Return what the grammar says of sentences (B, T)."""
        at, counts = grammar.begin(len(sentences)), []
        for word in sentences.T:
            counts.append(grammar.counts(at))
            at = grammar.follow(at, word)
        return cls(sentences, torch.stack(counts, 1))

    def __getitem__(self, rows: Tensor) -> Lesson:
        """Select sentences, and cut what is padding in all of them."""
        chosen = self.sentences[rows]
        longest = int((chosen != PAD).sum(1).max())
        return Lesson(chosen[:, :longest], self.counts[rows, :longest])


class WordNetwork(nn.Module):
    """Logits of the next word.

    Args:
        grammar: that tells words and nodes.
        width: of embeddings and layers.
        layers: of the LSTM.
        generator: source of the initial weights.
    """

    def __init__(self, grammar: Grammar, width: int, layers: int, generator: torch.Generator) -> None:
        super().__init__()
        with torch.device("meta"):
            self.word = nn.Embedding(grammar.words, width)
            self.counts = nn.ModuleList(nn.Embedding(grammar.most + 1, width) for _ in range(COUNTS))
            self.lstm = nn.LSTM(width, width, layers, batch_first=True)
            self.out = nn.Linear(width, grammar.words)
        self.to_empty(device="cpu")
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-(width**-0.5), width**-0.5, generator=generator)

    def forward(
        self, words: Tensor, counts: Tensor, memory: Memory | None = None, kept: Tensor | None = None
    ) -> tuple[Tensor, Memory]:
        """Return the logits (B, T, words) of what follows words (B, T), and the memory after them.

        Args:
            words: so far.
            counts: what there is up to each, (B, T, 3).
            memory: after earlier words.
            kept: (B, T, width) factors of the embeddings, for dropout.
        """
        x = self.word(words)
        for place, table in enumerate(self.counts):
            x = x + table(counts[:, :, place])
        x, memory = self.lstm(x if kept is None else x * kept, memory)
        return self.out(x), memory

    def teach(self, lesson: Lesson, kept: Tensor | None = None) -> Tensor:
        """Return the logits (B, T, words) of the words of sentences (B, T), each from those before it."""
        sentences = lesson.sentences
        before = torch.cat([torch.full_like(sentences[:, :1], BEGIN), sentences[:, :-1]], 1)
        logits: Tensor = self(before, lesson.counts, kept=kept)[0]
        return logits


def batch_of(sentences: Sequence[Sequence[int]]) -> Tensor:
    """Return sentences as rows (B, T), padded at the end."""
    longest = max(map(len, sentences))
    return torch.tensor([[*one, *[PAD] * (longest - len(one))] for one in sentences])


def imitate(
    network: WordNetwork,
    library: Lesson,
    generator: torch.Generator,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    dropout: float,
    report: Callable[[int, float], None],
) -> None:
    """Fit a network to a library by maximum likelihood, in place; the learning rate falls to zero by half a cosine.

    `report` is called after every step with its number and the mean negative log-likelihood of a word, in nats.
    """
    n, optimizer = len(library.sentences), torch.optim.Adam(network.parameters(), lr=learning_rate)
    for step in range(1, steps + 1):
        lesson = library[torch.randint(n, (min(batch_size, n),), generator=generator)]
        words = lesson.sentences
        kept = None
        if dropout:
            shape = (*words.shape, network.word.embedding_dim)
            kept = (torch.rand(shape, generator=generator) >= dropout) / (1.0 - dropout)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - 1) / steps))
        optimizer.zero_grad()
        loss = functional.cross_entropy(network.teach(lesson, kept).flatten(0, 1), words.flatten(), ignore_index=PAD)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        report(step, loss.item())


@torch.no_grad()
def sentences_of(
    network: WordNetwork, grammar: Grammar, n: int, generator: torch.Generator, *, valence: bool = True
) -> Tensor:
    """Draw n sentences (n, T) word by word, each of those that may follow, padded at the end."""
    at, memory = grammar.begin(n), None
    word, drawn = torch.full((n,), BEGIN), []
    while not at.over:
        logits, memory = network(word[:, None], grammar.counts(at)[:, None], memory)
        masked = logits[:, 0].masked_fill(~grammar.allowed(at, valence=valence), -torch.inf)
        word = draw(masked.log_softmax(1), generator)
        at = grammar.follow(at, word)
        drawn.append(word)
    return torch.stack(drawn, 1)


def masks_of(grammar: Grammar, sentences: Tensor) -> Tensor:
    """Return what may stand at each place of sentences, (B, T, words) bool."""
    at, masks = grammar.begin(len(sentences)), []
    for word in sentences.T:
        masks.append(grammar.allowed(at))
        at = grammar.follow(at, word)
    return torch.stack(masks, 1)


def log_probs(network: WordNetwork, lesson: Lesson, masks: Tensor) -> Tensor:
    """Return the log-probability (B, T) of each word of sentences under the grammar, 0 behind their ends."""
    sentences = lesson.sentences
    law = network.teach(lesson).masked_fill(~masks, -torch.inf).log_softmax(2)
    return law.gather(2, sentences[:, :, None])[:, :, 0].masked_fill(sentences == PAD, 0.0)


class Tuning:
    """Fine-tuning of a network towards P_library R, by relative trajectory balance.

    Args:
        network: trained in place.
        prior: the network of the library, which stays.
        learning_rate: of the network; log Z has a hundred times as much.
    """

    def __init__(self, network: WordNetwork, prior: WordNetwork, grammar: Grammar, learning_rate: float) -> None:
        self.network, self.prior, self.grammar = network, prior, grammar
        self.log_z = nn.Parameter(torch.zeros(()))
        self._started = False
        self._objective = RelativeTrajectoryBalance(residual="huber")
        self._optimizer = torch.optim.Adam(
            [
                {"params": list(network.parameters()), "lr": learning_rate},
                {"params": [self.log_z], "lr": 100.0 * learning_rate},
            ]
        )

    def step(self, sentences: Tensor, log_reward: Tensor) -> float:
        """Take a step on sentences (B, T) with log-rewards (B,); return the loss."""
        lesson, masks = Lesson.of(self.grammar, sentences), masks_of(self.grammar, sentences)
        with torch.no_grad():
            log_prior = log_probs(self.prior, lesson, masks).T
        log_pf = log_probs(self.network, lesson, masks).T
        if not self._started:
            with torch.no_grad():
                self.log_z.fill_((log_reward + (log_prior - log_pf).sum(0)).mean())
            self._started = True
        zeros = torch.zeros_like(log_prior)
        self._optimizer.zero_grad()
        loss = self._objective.loss(
            Trajectories(
                log_pf=log_pf,
                log_pb=zeros,
                log_flow=torch.cat([self.log_z.expand(1, len(sentences)), zeros[1:]]),
                alive=sentences.T != PAD,
                log_reward=log_reward,
                condition=zeros.new_zeros((len(sentences), 0)),
                log_behaviour=torch.full_like(log_reward, math.nan),
                log_prior=log_prior,
            )
        )
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        return loss.item()
