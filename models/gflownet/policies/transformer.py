"""Dense transformer over the nodes of a fragment tree, with heads for stop, site, attachment, flow and leaves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rdkit import Chem
from torch import Tensor, nn
from torch.nn import functional

from data.chemistry.molecules import morgan_counts
from models.gflownet.environments.fragments import STOP, FragmentEnvironment, FragmentStates
from models.gflownet.policies.base import Answer, Exploration, Policy, draw, initialise

_FEATURES = 128
_DISTANCES = 8
"""Bonds between two sites of a fragment, 7 standing for more."""
_MULTIPLIER = 6364136223846793005
"""Makes another odd number of the hash of a root, modulo 2^64."""
_RELATIONS = 5
"""Attention bias: other node, itself, its parent, its child, to or from the summary token."""


@dataclass(frozen=True)
class _Encoding:
    """Hidden states of the U distinct states of a batch: summary (U, d), nodes (U, n, d); `where` (S,) finds them."""

    states: FragmentStates
    summary: Tensor
    nodes: Tensor
    where: Tensor


@dataclass(frozen=True)
class _Places:
    """Logits (U, 1 + n K) of stop and sites; features (R, d) of the R open sites; `number` (U, 1 + n K) finds them."""

    logits: Tensor
    here: Tensor
    number: Tensor


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        self.relation = nn.Embedding(_RELATIONS, heads)

    def forward(self, x: Tensor, relation: Tensor, absent: Tensor) -> Tensor:
        batch, length, dim = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.relation(relation).permute(0, 3, 1, 2).masked_fill(absent[:, None, None, :], -torch.inf)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, dim))
        out: Tensor = x + self.down(functional.gelu(self.up(self.norm2(x))))
        return out


class FragmentTransformer(Policy[FragmentStates]):
    """Policy over fragment trees; invariant to the order of insertion.

    Fragments, sites and attachments are embedded by chemistry (folded Morgan counts, site type) plus a free part, so
    that what is learnt about one carries over to its like. Initial logits follow the frequency of the fragments in the
    vocabulary's source, times `prior`.

    Args:
        env: the environment; its vocabulary fixes the shapes.
        dim: width.
        layers: transformer blocks.
        heads: attention heads.
        prior: weight of the log-frequencies; 0: uniform.
        conditions: numbers in the encoded condition; 0 without conditioning.
        generator: source of the initial weights.
    """

    def __init__(
        self,
        env: FragmentEnvironment,
        *,
        dim: int,
        layers: int,
        heads: int,
        prior: float,
        generator: torch.Generator,
        conditions: int = 0,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"The width of the policy, dim, is {dim}; expected a multiple of its {heads} heads.")
        self._env = env
        tables = env.tables
        with torch.device("meta"):
            self.chemistry = nn.Linear(_FEATURES, dim, bias=False)
            self.fragment = nn.Embedding(env.n_fragments, dim)
            self.site = nn.Embedding(env.n_fragments * tables.n_sites, dim)
            self.orbit = nn.Embedding(env.n_attachments, dim)
            self.kind = nn.Embedding(len(tables.pair_bits), dim)
            self.distance, self.gate = nn.Embedding(_DISTANCES, dim), nn.Embedding(_DISTANCES, dim)
            self.message, self.pattern = nn.Linear(dim, dim), nn.Linear(_DISTANCES, dim)
            self.role = nn.Embedding(3, dim)
            self.heavy = nn.Embedding(env.options.max_heavy_atoms + 1, dim)
            self.size = nn.Embedding(env.options.max_fragments + 1, dim)
            self.blocks = nn.ModuleList(_Block(dim, heads) for _ in range(layers))
            self.norm = nn.LayerNorm(dim)
            self.stop, self.flow, self.leaf = nn.Linear(dim, 1), nn.Linear(dim, 1), nn.Linear(dim, 1)
            self.place, self.place_summary = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False)
            self.place_out, self.query = nn.Linear(dim, 1), nn.Linear(dim, dim)
            self.key = nn.Linear(dim, dim)
            self.root = nn.Linear(dim, 1)
            self.root_bias = nn.Embedding(env.n_fragments, 1)
            self.attachment_bias = nn.Embedding(env.n_attachments, 1)
            self.condition = nn.Linear(conditions, dim) if conditions else None
        self.to_empty(device="cpu")
        initialise(self, generator)
        self._set_prior(prior)
        self.register_buffer("features", _features(env), persistent=False)
        self.features: Tensor
        self.register_buffer("distances", _distances(env), persistent=False)
        self.distances: Tensor
        noise = torch.randint(-(2**62), 2**62, (4, env.options.max_fragments), generator=generator)
        self.register_buffer("hashes", noise, persistent=False)
        self.hashes: Tensor

    @torch.no_grad()
    def _set_prior(self, prior: float) -> None:
        counts = torch.tensor([float(f.count) for f in self._env.vocabulary.fragments]).log()
        self.root_bias.weight[:, 0] = prior * (counts - counts.mean())
        # Sites of one fragment share its frequency.
        owner = self._env.tables.att_fragment
        share = counts - torch.bincount(owner, minlength=len(counts)).log()
        self.attachment_bias.weight[:, 0] = prior * (share[owner] - share.mean())
        # Free parts start small: what symmetry and chemistry share is learnt first.
        self.site.weight.mul_(0.1)
        self.fragment.weight.mul_(0.3)
        for head in (self.stop, self.place_out, self.root, self.query, self.leaf, self.flow):
            head.weight.mul_(0.1)

    def _fragments(self) -> Tensor:
        """Return the embeddings of all fragments (F, d)."""
        out: Tensor = self.chemistry(self.features) + self.fragment.weight
        return out

    def _site_of(self, fragment: Tensor, site: Tensor) -> Tensor:
        tables = self._env.tables
        orbit = self.orbit(tables.att_index[fragment, site])
        out: Tensor = orbit + self.site(fragment * tables.n_sites + site) + self.kind(tables.types[fragment, site])
        return out

    def _pattern(self, states: FragmentStates, row: Tensor, node: Tensor, site: Tensor) -> Tensor:
        """Return (E, d): how far apart the attachments of a node are, seen from E of its used sites."""
        used = states.used[row, node].to(self.pattern.weight.dtype)
        apart = self.distances[states.fragment[row, node], site]
        out: Tensor = self.pattern(used.new_zeros((len(row), _DISTANCES)).scatter_add(1, apart, used))
        return out

    def _surroundings(self, encoding: _Encoding, row: Tensor, node: Tensor, site: Tensor) -> Tensor:
        """Return (R, d): what is attached to the same node, by its distance from each of R open sites."""
        states, hidden = encoding.states, encoding.nodes
        tables = self._env.tables
        content = hidden.new_zeros((*hidden.shape[:2], tables.n_sites, hidden.shape[2]))
        child, below = (states.parent[:, : hidden.shape[1]] >= 0).nonzero(as_tuple=True)
        above, at, own = (v[child, below] for v in (states.parent, states.parent_site, states.own_site))
        message = self.message(hidden)
        content = content.index_put((child, above, at), message[child, below], accumulate=True)
        content = content.index_put((child, below, own), message[child, above], accumulate=True)
        apart = self.distances[states.fragment[row, node], site]
        used = states.used[row, node]
        open_site, other = (used > 0).nonzero(as_tuple=True)
        distance, many = apart[open_site, other], used[open_site, other].float()
        seen = content[row[open_site], node[open_site], other]
        terms = self.gate(distance) * seen + self.distance(distance) * many[:, None]
        return hidden.new_zeros((len(row), hidden.shape[2])).index_add(0, open_site, terms)

    def _encode(self, states: FragmentStates, fragments: Tensor, condition: Tensor | None) -> _Encoding:
        """Embed non-empty states, each distinct one once."""
        parts = torch.stack([states.fragment, states.parent, states.parent_site, states.own_site])
        keys = (parts * self.hashes[:, None, :]).sum((0, 2))
        if condition is not None:
            number = torch.unique(condition, dim=0, return_inverse=True)[1]
            keys = keys + (self.hashes[0, 0] * _MULTIPLIER + 1) * number
        where: Tensor = torch.unique(keys, return_inverse=True)[1]
        first = torch.full((int(where.max()) + 1,), len(states)).scatter_reduce(
            0, where, torch.arange(len(states)), "amin"
        )
        unique = states[first]
        x, relation, absent = self._tokens(unique, fragments)
        if self.condition is not None and condition is not None:
            x = torch.cat([x[:, :1] + self.condition(condition[first])[:, None], x[:, 1:]], 1)
        for block in self.blocks:
            x = block(x, relation, absent)
        x = self.norm(x)
        return _Encoding(unique, x[:, 0], x[:, 1:], where)

    def _tokens(self, states: FragmentStates, fragments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens (U, 1 + n, d), relations (U, 1 + n, 1 + n) and absent tokens (U, 1 + n)."""
        n = int(states.nodes.max())
        fragment, parent = states.fragment[:, :n], states.parent[:, :n]
        absent, child = fragment < 0, parent >= 0
        row, node = child.nonzero(as_tuple=True)
        up, site, own = parent[row, node], states.parent_site[row, node], states.own_site[row, node]
        x = fragments[fragment.clamp(min=0)]
        below = self._site_of(fragment[row, node], own) + self._pattern(states, row, node, own) + self.role.weight[0]
        above = self._site_of(fragment[row, up], site) + self._pattern(states, row, up, site)
        x = x.index_put((row, node), below + above, accumulate=True)
        x = x.index_put((row, up), above + self.role.weight[1], accumulate=True)
        summary = self.heavy(states.heavy) + self.size(states.nodes) + self.role.weight[2]
        relation = torch.zeros((len(states), n, n), dtype=torch.int64)
        relation.diagonal(dim1=1, dim2=2).fill_(1)
        relation[row, node, up], relation[row, up, node] = 2, 3
        relation = functional.pad(relation, (1, 0, 1, 0), value=4)
        return torch.cat([summary[:, None], x], 1), relation, functional.pad(absent, (1, 0))

    def _places(self, encoding: _Encoding) -> _Places:
        """Judge stop and the open sites of the distinct states."""
        states, env = encoding.states, self._env
        n = encoding.nodes.shape[1]
        row, node, site = env.fillable(states)[:, :n].nonzero(as_tuple=True)
        here = encoding.nodes[row, node] + self._site_of(states.fragment[row, node], site)
        here = here + self._surroundings(encoding, row, node, site)
        here = functional.gelu(self.place(here) + self.place_summary(encoding.summary)[row])
        stop = self.stop(encoding.summary).masked_fill(~env.may_stop(states)[:, None], -torch.inf)
        index = (row, 1 + node * env.tables.n_sites + site)
        logits = functional.pad(stop, (0, n * env.tables.n_sites), value=-torch.inf)
        logits = logits.index_put(index, self.place_out(here)[:, 0])
        number = torch.zeros(logits.shape, dtype=torch.int64).index_put(index, torch.arange(len(row)))
        return _Places(logits, here, number)

    def _weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return fragment embeddings (F, d), root logits (F,) and attachment keys (M, d)."""
        if self._memory is not None and "weights" in self._memory:
            known: tuple[Tensor, Tensor, Tensor] = self._memory["weights"]
            return known
        tables = self._env.tables
        fragments = self._fragments()
        root = (self.root(fragments) + self.root_bias.weight)[:, 0].masked_fill(~tables.root_ok, -torch.inf)
        keys = self.key(fragments[tables.att_fragment] + self._site_of(tables.att_fragment, tables.att_site))
        if self._memory is not None:
            self._memory["weights"] = (fragments, root, keys)
        return fragments, root, keys

    def _roots(self, root: Tensor, fragments: Tensor, condition: Tensor | None, n: int) -> Tensor:
        """Return the logits (n, F) of the first fragment."""
        if self.condition is None or condition is None:
            return root.expand(n, -1)
        out: Tensor = root + self.condition(condition) @ fragments.T / fragments.shape[1]
        return out

    def _attachment_logits(
        self, states: FragmentStates, node: Tensor, site: Tensor, here: Tensor, keys: Tensor
    ) -> Tensor:
        logits: Tensor = self.query(here) @ keys.T + self.attachment_bias.weight[:, 0]
        return logits.masked_fill(~self._env.attachable(states, node, site), -torch.inf)

    def score(
        self, before: FragmentStates, actions: Tensor, after: FragmentStates | None, condition: Tensor | None = None
    ) -> Answer:
        """Judge legal transitions in one packed pass over their distinct states."""
        env = self._env
        fragments, root, keys = self._weights()
        started = (before.nodes > 0).nonzero()[:, 0]
        follow = None if after is None else (~after.done).nonzero()[:, 0]
        parts = [before[started]] + ([] if after is None or follow is None else [after[follow]])
        first = (before.nodes == 0).nonzero()[:, 0]
        roots = self._roots(root, fragments, None if condition is None else condition[first], len(first))
        begun = roots.log_softmax(1).gather(1, (actions[first] - 1)[:, None])[:, 0]
        log_pf = begun.new_zeros(len(before)).index_put((first,), begun)
        log_flow = self.flow.bias.expand(len(before))
        joint = FragmentStates.cat(parts)
        if not len(joint):
            return Answer(log_pf, log_flow, None if after is None else log_pf.new_zeros((len(before), env.n_backward)))
        given = None
        if condition is not None:
            given = condition[started] if follow is None else torch.cat([condition[started], condition[follow]])
        encoding = self._encode(joint, fragments, given)
        where = encoding.where[: len(started)]
        places = self._places(encoding)
        chosen = actions[started]
        node, site, attachment = env.split(chosen)
        grow = (chosen != STOP).nonzero()[:, 0]
        place = torch.where(chosen == STOP, 0, 1 + node * env.tables.n_sites + site)
        stage = places.logits.log_softmax(1)[where, place]
        here = places.here[places.number[where, place][grow]]
        logits = self._attachment_logits(before[started[grow]], node[grow], site[grow], here, keys)
        stage = stage.index_put((grow,), logits.log_softmax(1).gather(1, attachment[grow, None])[:, 0], accumulate=True)
        log_pf = log_pf.index_put((started,), stage)
        log_flow = log_flow.index_put((started,), self.flow(encoding.summary)[where, 0])
        if after is None or follow is None:
            return Answer(log_pf, log_flow, None)
        leaves = self._leaves(encoding)[encoding.where[len(started) :]]
        return Answer(log_pf, log_flow, leaves.new_zeros((len(after), env.n_backward)).index_put((follow,), leaves))

    def _leaves(self, encoding: _Encoding) -> Tensor:
        """Return (U, n_backward) logits; 0 for taking a stop back and for absent nodes."""
        leaves = self.leaf(encoding.nodes)[..., 0]
        leaves = leaves.masked_fill(encoding.states.fragment[:, : leaves.shape[1]] < 0, 0.0)
        return functional.pad(leaves, (1, self._env.n_backward - 1 - leaves.shape[1]))

    def backward_logits(self, states: FragmentStates, condition: Tensor | None = None) -> Tensor:
        """Return (S, n_backward); zeros where terminal or empty, where there is no choice."""
        row = (~states.done & (states.nodes > 0)).nonzero()[:, 0]
        out = torch.zeros((len(states), self._env.n_backward))
        if not len(row):
            return out
        encoding = self._encode(states[row], self._weights()[0], None if condition is None else condition[row])
        return out.index_put((row,), self._leaves(encoding)[encoding.where])

    def state_values(self, states: FragmentStates, condition: Tensor | None = None) -> Tensor:
        """Return the log-flow (S,), of terminal states too."""
        started = (states.nodes > 0).nonzero()[:, 0]
        values = self.flow.bias.expand(len(states))
        if not len(started):
            return values
        given = None if condition is None else condition[started]
        encoding = self._encode(states[started], self._weights()[0], given)
        return values.index_put((started,), self.flow(encoding.summary)[encoding.where, 0])

    @torch.no_grad()
    def sample(
        self,
        states: FragmentStates,
        generator: torch.Generator,
        exploration: Exploration,
        condition: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw root, or stop or site, then attachment, with the log-probabilities; see `Exploration`."""
        env = self._env
        fragments, root, keys = self._weights()
        explore = torch.rand(len(states), generator=generator) < exploration.epsilon
        started = (states.nodes > 0).nonzero()[:, 0]
        actions, laws = torch.zeros(len(states), dtype=torch.int64), _Laws(len(states))
        empty = (states.nodes == 0).nonzero()[:, 0]
        roots = self._roots(root, fragments, None if condition is None else condition[empty], len(empty))
        actions[empty] = 1 + laws.draw(empty, roots, explore, exploration, generator)
        if not len(started):
            return actions, laws.log_prob(exploration)
        encoding = self._encode(states[started], fragments, None if condition is None else condition[started])
        places = self._places(encoding)
        logits = places.logits[encoding.where]
        halted = None
        if exploration.early_stop:
            halted = torch.rand(len(started), generator=generator) < exploration.early_stop
            halted &= logits[:, 0] > -torch.inf
        place = laws.draw(started, logits, explore, exploration, generator, halted)
        grow = (place > 0).nonzero()[:, 0]
        node, site = (place[grow] - 1) // env.tables.n_sites, (place[grow] - 1) % env.tables.n_sites
        here = places.here[places.number[encoding.where[grow], place[grow]]]
        row = started[grow]
        attach = self._attachment_logits(states[row], node, site, here, keys)
        actions[row] = env.encode(node, site, laws.draw(row, attach, explore, exploration, generator))
        return actions, laws.log_prob(exploration, started, logits[:, 0], place == 0)


class _Laws:
    """Draws in stages, with the probability that the explored law gives to what was drawn."""

    def __init__(self, n: int) -> None:
        self._policy, self._uniform = torch.zeros(n), torch.zeros(n)

    def draw(
        self,
        row: Tensor,
        logits: Tensor,
        explore: Tensor,
        exploration: Exploration,
        generator: torch.Generator,
        halted: Tensor | None = None,
    ) -> Tensor:
        """Draw one stage (R,) for the states `row` from logits (R, A); 0 where `halted`."""
        logits = logits / exploration.temperature
        drawn = draw(_flatten(logits, explore[row]), generator)
        drawn = drawn if halted is None else drawn.masked_fill(halted, 0)
        self._policy[row] += logits.log_softmax(1).gather(1, drawn[:, None])[:, 0]
        self._uniform[row] -= (logits > -torch.inf).sum(1).log()
        return drawn

    def log_prob(
        self,
        exploration: Exploration,
        row: Tensor | None = None,
        stop: Tensor | None = None,
        stopped: Tensor | None = None,
    ) -> Tensor:
        """Return (S,) log-probabilities; `row` may stop early where its `stop` logit is finite."""
        if exploration.none:
            return self._policy
        law = self._policy.exp().lerp(self._uniform.exp(), exploration.epsilon)
        if exploration.early_stop and row is not None and stop is not None and stopped is not None:
            share = exploration.early_stop * (stop > -torch.inf).to(law.dtype)
            law[row] = law[row] * (1.0 - share) + share * stopped
        return law.log()


def _flatten(logits: Tensor, explore: Tensor) -> Tensor:
    """Make the rows to explore uniform over what is legal."""
    return torch.where(explore[:, None], torch.where(logits == -torch.inf, -torch.inf, 0.0), logits)


def _features(env: FragmentEnvironment) -> Tensor:
    """Return (F, 128) folded Morgan counts of the fragments, damped and scaled to unit mean square."""
    counts = morgan_counts([fragment.smiles for fragment in env.vocabulary.fragments])
    folded = torch.from_numpy(counts).view(len(counts), -1, _FEATURES).sum(1)
    damped: Tensor = folded.float().log1p()
    out: Tensor = damped / damped.square().sum(1, keepdim=True).mean().sqrt().clamp(min=1e-6) * _FEATURES**0.5
    return out


def _distances(env: FragmentEnvironment) -> Tensor:
    """Return (F, K, K) bonds between the sites of each fragment, cut off at `_DISTANCES` - 1."""
    out = torch.zeros((env.n_fragments, env.tables.n_sites, env.tables.n_sites), dtype=torch.int64)
    for number, fragment in enumerate(env.vocabulary.fragments):
        bonds = torch.from_numpy(Chem.GetDistanceMatrix(Chem.MolFromSmiles(fragment.smiles)))
        k, atoms = len(fragment.atoms), torch.tensor(fragment.atoms)
        out[number, :k, :k] = bonds[atoms][:, atoms].long().clamp(max=_DISTANCES - 1)
    return out
