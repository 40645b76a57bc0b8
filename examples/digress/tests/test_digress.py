"""Noise and its way back are exact, the network knows no order of nodes, and the generator keeps what one promises."""

import itertools

import networkx as nx
import numpy as np
import pytest
import torch

from data.chemistry.labelled_graphs import LabelledGraph, labelled_graph, molecule
from data.tables.shipped import labelled_library
from discovery_digress.diffusion import Diffusion
from discovery_digress.generator import drawn_from
from discovery_digress.graphs import Alphabet, Graphs, told
from discovery_digress.network import GraphNetwork, cycles
from discovery_digress.noise import Noise, draw
from models.protocols import GenerationContext
from models.registry import ComponentError, build, find
from models.spaces.molecules import Molecules

SPACE = Molecules()
MOLECULES = tuple(labelled_library()["smiles"][:300])
LIBRARY = ("CCO", "CCC", "CCN", "COC", "CCF", "CNC", "FCF", "CCCC", "CCCO", "COCC", "CC(C)F", "CCCF", "FCCF", "CCOC")
SMALL = {"kind": "digress", "width": 16, "layers": 1, "noise_steps": 6, "pretrain_steps": 30, "fine_tune": 3}
NOISE = Noise(torch.tensor([5.0, 3.0, 2.0]), 7)


def test_noise_of_t_steps_is_the_product_of_t_steps_and_ends_at_the_shares():
    product = torch.eye(3, dtype=torch.float64)
    for t in range(1, 8):
        product = product @ NOISE.step(t)
        torch.testing.assert_close(product, NOISE.until(t), rtol=0, atol=1e-14)
    torch.testing.assert_close(product, NOISE.shares.expand(3, 3), rtol=0, atol=1e-14)


def test_noise_keeps_the_shares():
    for t in range(1, 8):
        torch.testing.assert_close(NOISE.shares @ NOISE.step(t), NOISE.shares, rtol=0, atol=1e-14)


def test_the_state_before_is_that_of_all_paths():
    law = {}
    for path in itertools.product(range(3), repeat=5):  # x_0, ..., x_4
        p = 1.0
        for t, (one, other) in enumerate(itertools.pairwise(path), 1):
            p *= float(NOISE.step(t)[one, other])
        key = path[0], path[3], path[4]
        law[key] = law.get(key, 0.0) + p
    found = NOISE.posterior(4)
    for x0, xt in itertools.product(range(3), repeat=2):
        whole = sum(law[x0, z, xt] for z in range(3))
        for z in range(3):
            assert float(found[xt, x0, z]) == pytest.approx(law[x0, z, xt] / whole, abs=1e-14)


def test_one_step_before_the_end_of_the_way_back_is_the_guess():
    torch.testing.assert_close(NOISE.posterior(1), torch.eye(3, dtype=torch.float64).expand(3, 3, 3))


def test_with_the_true_posterior_the_way_back_gives_the_data():
    p0 = torch.tensor([0.7, 0.1, 0.2], dtype=torch.float64)  # not the shares
    law = NOISE.shares.clone()
    for t in range(7, 0, -1):
        joint = p0[:, None] * NOISE.until(t)  # (x_0, x_t)
        guess = (joint / joint.sum(0)).T
        law = law @ torch.einsum("xk,xkz->xz", guess, NOISE.posterior(t))
    torch.testing.assert_close(law, p0, rtol=0, atol=1e-12)


def test_a_category_without_probability_is_never_drawn():
    drawn = draw(torch.tensor([0.0, 0.25, 0.0, 0.75, 0.0]).expand(4000, 5), torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn, minlength=5)
    assert counts[[0, 2, 4]].tolist() == [0, 0, 0]
    assert counts[1] / 4000 == pytest.approx(0.25, abs=0.03)


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="positive share"):
        Noise(torch.tensor([1.0, 0.0]), 5)


@pytest.fixture(scope="module")
def library():
    graphs, refused = told(MOLECULES)
    assert not refused
    return Alphabet.of(graphs), graphs


def test_molecules_come_back_from_their_tensors(library):
    alphabet, graphs = library
    flat = [molecule(graph.labels, graph.bonds) for graph in graphs]
    assert Graphs.of(graphs, alphabet).smiles(alphabet) == flat


def test_a_molecule_in_pieces_is_none(library):
    alphabet, _ = library
    graphs = Graphs.of([labelled_graph("CCOCC"), labelled_graph("CCC")], alphabet)
    edges = graphs.edges.clone()
    edges[0, 1, 2] = edges[0, 2, 1] = 0
    parted = Graphs(graphs.nodes, edges, graphs.sizes)
    assert parted.whole.tolist() == [False, True]
    assert parted.smiles(alphabet) == [None, "CCC"]


def test_cycles_are_those_of_enumeration():
    graphs = [nx.gnp_random_graph(8, 0.45, seed=seed) for seed in range(5)]
    found = cycles(torch.stack([torch.tensor(nx.to_numpy_array(graph)) for graph in graphs]))
    for graph, rows in zip(graphs, found, strict=True):
        rings = [ring for ring in nx.simple_cycles(graph, length_bound=5) if len(ring) > 2]
        counts = [[sum(node in ring for ring in rings if len(ring) == k) for k in (3, 4, 5)] for node in range(8)]
        np.testing.assert_allclose(rows, counts, atol=1e-9)


def test_the_network_knows_no_order_of_nodes_and_no_padding(library):
    alphabet, graphs = library
    network = GraphNetwork(alphabet.valences, 32, 3, 8, torch.Generator().manual_seed(0))
    several = Graphs.of(graphs[:20], alphabet)
    time = torch.linspace(0.1, 1.0, 20)
    nodes, edges = network(several, time)
    assert torch.equal(edges, edges.transpose(1, 2))
    for row in range(20):
        n = int(several.sizes[row])
        order = torch.randperm(n, generator=torch.Generator().manual_seed(row))
        one = several[torch.tensor([row])]
        moved = Graphs(one.nodes[:, order], one.edges[:, order][:, :, order], one.sizes)
        of_nodes, of_edges = network(moved, time[row : row + 1])
        torch.testing.assert_close(of_nodes[0], nodes[row, order], rtol=0, atol=1e-5)
        torch.testing.assert_close(of_edges[0], edges[row, order][:, order], rtol=0, atol=1e-5)


# C-C 1/2, C=O 1/4, C-N 1/4: the label of one node and the order depend on the label of the other.
PAIRS = {(0, 0, 1): 0.5, (0, 2, 2): 0.125, (2, 0, 2): 0.125, (0, 1, 1): 0.125, (1, 0, 1): 0.125}


def error_of_two_nodes(steps):
    """The total variation where the guess of each node and of the pair is exact, by all 36 states."""
    nodes, edges = Noise(torch.tensor([6.0, 1.0, 1.0]), steps), Noise(torch.tensor([1.0, 3.0, 1.0, 1.0]), steps)
    states = list(itertools.product(range(3), range(3), range(4)))
    law = torch.stack([nodes.shares[a] * nodes.shares[b] * edges.shares[c] for a, b, c in states])
    for t in range(steps, 0, -1):
        before = torch.zeros_like(law)
        for p, (a, b, c) in zip(law, states, strict=True):
            guess = [torch.zeros(k, dtype=torch.float64) for k in (3, 3, 4)]
            for found, weight in PAIRS.items():
                weight = (
                    weight * nodes.until(t)[found[0], a] * nodes.until(t)[found[1], b] * edges.until(t)[found[2], c]
                )
                for one, category in zip(guess, found, strict=True):
                    one[category] += weight
            first, second, pair = (one / one.sum() for one in guess)
            back = [first @ nodes.posterior(t)[a], second @ nodes.posterior(t)[b], pair @ edges.posterior(t)[c]]
            before += p * torch.einsum("a,b,c->abc", *back).flatten()
        law = before
    return sum(abs(float(p) - PAIRS.get(state, 0.0)) for p, state in zip(law, states, strict=True)) / 2


def test_guesses_of_each_part_alone_give_the_law_of_the_whole_as_steps_become_many():
    found = [error_of_two_nodes(steps) for steps in (6, 12, 24)]
    assert found[0] == pytest.approx(0.0819, abs=1e-4)
    assert found[1] < found[0] / 2
    assert found[2] < found[1] / 2


def test_a_law_of_two_nodes_is_learnt():
    labels, valences = ("C", "N", "O"), (4, 3, 2)
    graphs = [
        LabelledGraph((labels[a], labels[b]), (valences[a], valences[b]), {(0, 1): order})
        for (a, b, order), weight in PAIRS.items()
        for _ in range(round(8 * weight))
    ]
    alphabet = Alphabet.of(graphs)
    learnt = Graphs.of(graphs, alphabet)
    generator = torch.Generator().manual_seed(0)
    diffusion = Diffusion(alphabet, GraphNetwork(alphabet.valences, 16, 2, 2, generator), 12)
    batches = drawn_from(learnt, 64)
    diffusion.train(batches, generator, steps=400, learning_rate=1e-2, report=lambda *_: None)
    drawn = diffusion.draw(4000, generator).smiles(alphabet)
    law = {"CC": 0.5, "C=O": 0.25, "CN": 0.25}
    shares = {text: drawn.count(text) / 4000 for text in {*drawn, *law}}
    # Shares of nodes and orders alone, which the noise ends in, are 0.51 away.
    assert sum(abs(share - law.get(text, 0.0)) for text, share in shares.items()) / 2 < 0.12


def fluorines(objects):
    return np.array([float(text.count("F")) for text in objects])


def context(**more):
    known = tuple(sorted(LIBRARY[:8], key=lambda text: -text.count("F")))
    return GenerationContext(
        SPACE,
        fluorines,
        **{"seed": 1, "known": known, "known_log_reward": fluorines(known), "library": LIBRARY, **more},
    )


def test_the_same_context_gives_the_same_candidates_and_so_does_the_state(tmp_path):
    find("generator", "digress")
    first, second, third = (build("generator", SMALL) for _ in range(3))
    first.fit(context(cache=tmp_path))
    second.fit(context(cache=tmp_path))  # the library's network is kept
    assert len(list(tmp_path.rglob("*.pt"))) == 1
    torch.save(first.state(), tmp_path / "state")
    third.load_state(torch.load(tmp_path / "state", weights_only=True), context())
    proposed = [[one.object for one in generator.sample(1, seed=3)] for generator in (first, second, third)]
    assert proposed[0] == proposed[1] == proposed[2]
    assert first.history() == second.history() == third.history()
    assert not {*proposed[0]} & {*context().known}
    assert all(SPACE.admit(text) == text for text in proposed[0])


def test_steps_towards_the_best_measured_change_what_is_guessed_and_none_leaves_the_library_alone():
    plain, tuned, still = (build("generator", {**SMALL, "fine_tune": n}) for n in (0, 3, 3))
    plain.fit(context())
    tuned.fit(context())
    still.fit(context(known=(), known_log_reward=np.zeros(0)))
    weights = [one.state()["weights"]["node_in.weight"] for one in (plain, tuned, still)]
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])


def test_without_a_library_it_says_what_to_give():
    with pytest.raises(ValueError, match="Give `pretrain`"):
        build("generator", SMALL).fit(context(library=("C",), known=(), known_log_reward=np.zeros(0)))


def test_an_option_out_of_range_is_refused():
    with pytest.raises(ComponentError, match="noise_steps"):
        build("generator", {"kind": "digress", "noise_steps": 1})
