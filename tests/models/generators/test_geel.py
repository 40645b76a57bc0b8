"""geel writes molecules in sentences that come back, that a grammar keeps valid, and that follow a reward."""

import gzip
import logging

import numpy as np
import pytest
import torch

from data.chemistry.labelled_graphs import labelled_graph, molecule
from data.chemistry.molecules import canonical, shared
from data.objects import NotStandardError
from data.tables.rows import SourceError
from data.tables.shipped import labelled_library
from models.generators.geel import taught
from models.generators.geel_grammar import PAD, Grammar, Numbered
from models.generators.geel_network import Lesson, WordNetwork, batch_of, log_probs, masks_of, sentences_of
from models.protocols import GenerationContext
from models.registry import ComponentError, build
from models.spaces.molecules import Molecules

SPACE = Molecules()
LIBRARY = tuple(labelled_library()["smiles"][:400])
SMALL = {"kind": "geel", "width": 16, "pretrain_steps": 30, "batch_size": 16, "fine_tune": 3}


def fluorines(objects):
    return np.array([float(text.count("F")) - 3.0 for text in objects])


def context(**more):
    known = tuple(sorted(LIBRARY[:30], key=lambda text: -text.count("F")))
    told = {"seed": 1, "known": known, "known_log_reward": fluorines(known), "library": LIBRARY, **more}
    return GenerationContext(SPACE, fluorines, **told)


@pytest.fixture(scope="module")
def said():
    return taught(LIBRARY, SPACE, None)


@pytest.mark.parametrize(
    "smiles",
    [
        "C",
        "c1ccc2[nH]ccc2c1",
        "C[N+](=O)[O-]",
        "O=S(=O)(N)c1ccccc1",
        "CP(=O)(O)O",
        "N#CC1=C(F)CC12CC2",
        "[O-][n+]1ccccc1",
        "BrC1CC1",
    ],
)
def test_a_molecule_comes_back_from_its_sentence(smiles):
    graph = labelled_graph(smiles)
    numbered = Numbered.of(graph)
    grammar = Grammar.learnt([graph], max(numbered.bandwidth, 1), 1, 14)
    sentence = grammar.encode(numbered)
    assert grammar.decode(sentence) == numbered
    assert len(sentence) == len(numbered.labels) + 2 * len(numbered.bonds) + loops(numbered) + 1
    assert molecule(numbered.labels, numbered.bonds) == canonical(smiles)


def loops(numbered):
    return len(numbered.labels) - len({i for i, _ in numbered.bonds})


@pytest.mark.slow
@pytest.mark.parametrize("smiles", [labelled_library()["smiles"]], ids=["electron_affinities"])
def test_every_shipped_molecule_comes_back_and_none_is_refused(smiles):
    told = taught(list(smiles), SPACE, None)
    assert (len(told.sentences), told.refused.total(), told.flattened) == (5761, 0, 3278)
    for sentence, text in zip(told.sentences, smiles, strict=True):
        graph = told.grammar.decode(sentence)
        assert molecule(graph.labels, graph.bonds) == molecule(labelled_graph(text).labels, labelled_graph(text).bonds)


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [("C[13CH3]", "isotopes"), ("C[CH2]", "radicals"), ("C.O", "fragments"), ("nothing", "SMILES")],
)
def test_what_cannot_be_said_is_refused_with_its_reason(smiles, reason):
    with pytest.raises(NotStandardError, match=reason):
        labelled_graph(smiles)
    told = taught(["CCO", smiles], SPACE, None)
    assert (len(told.sentences), told.refused.total()) == (1, 1)


def test_a_band_refuses_the_molecules_that_are_wider_and_counts_them():
    wide = taught(LIBRARY, SPACE, None)
    narrow = taught(LIBRARY, SPACE, 2)
    widths = [Numbered.of(labelled_graph(text)).bandwidth for text in LIBRARY]
    assert wide.grammar.width == max(widths)
    assert narrow.refused == {"an edge longer than the band of 2": sum(width > 2 for width in widths)}
    assert narrow.grammar.words == wide.grammar.words - 2 * (max(widths) - 2)


def test_the_grammar_allows_every_word_of_the_library(said):
    sentences = batch_of(said.sentences)
    masks = masks_of(said.grammar, sentences)
    assert masks.gather(2, sentences[:, :, None]).all()


@pytest.mark.parametrize("valence", [True, False])
def test_whatever_is_drawn_is_a_connected_graph_and_with_valences_a_molecule(said, valence):
    untrained = WordNetwork(said.grammar, 8, 1, torch.Generator().manual_seed(0))
    drawn = sentences_of(untrained, said.grammar, 300, torch.Generator().manual_seed(1), valence=valence)
    texts = []
    for row in drawn.tolist():
        graph = said.grammar.decode(row)
        met = {0}
        for i, j in sorted(graph.bonds):
            assert i in met
            met.add(j)
        assert len(met) == len(graph.labels) <= 14
        texts.append(molecule(graph.labels, graph.bonds))
    assert (None not in texts) == valence


def test_the_probabilities_of_all_sentences_sum_to_one():
    grammar = Grammar({"C": 4, "N": 3, "O": 2, "F": 1}, 1, 1, 2)
    network = WordNetwork(grammar, 8, 1, torch.Generator().manual_seed(0))
    open_sentences, whole = [[]], []
    while open_sentences:
        following = []
        for sentence in open_sentences:
            at = grammar.begin(1)
            for word in sentence:
                at = grammar.follow(at, torch.tensor([word]))
            words = grammar.allowed(at)[0].nonzero()[:, 0].tolist()
            if words == [PAD]:
                whole.append(sentence)
            else:
                following += [[*sentence, word] for word in words]
        open_sentences = following
    sentences = batch_of(whole)
    law = log_probs(network, Lesson.of(grammar, sentences), masks_of(grammar, sentences)).sum(1)
    # Each of 4 nodes alone, and as many words as pairs of nodes have orders: 1, and 2 and 3 where both can.
    assert len(whole) == 4 + sum(min(a, b, 3) for a in (4, 3, 2, 1) for b in (4, 3, 2, 1))
    assert law.exp().sum().item() == pytest.approx(1.0, abs=1e-5)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    generator = build("generator", SMALL)
    generator.fit(context(cache=tmp_path_factory.mktemp("cache")))
    return generator


def test_candidates_are_distinct_inside_the_space_and_not_known(fitted, caplog):
    with caplog.at_level(logging.INFO):
        found = fitted.sample(40, seed=3)
    assert len({one.id for one in found}) == len(found) == 40
    assert all(SPACE.outside(one.object) is None and SPACE.standard(one.object) == one.object for one in found)
    assert not {one.id for one in found} & set(map(SPACE.identity, context().known))
    assert "for 40 candidates: 0 were none" in caplog.text
    assert fitted.sample(40, seed=3) == found
    assert fitted.sample(40, seed=4) != found


def test_a_state_gives_the_same_candidates_and_the_prior_is_learnt_once(fitted, tmp_path):
    again = build("generator", SMALL)
    again.load_state(fitted.state(), context())
    assert again.sample(20, seed=0) == fitted.sample(20, seed=0)
    steps = []
    for _ in range(2):
        once = build("generator", SMALL)
        once.fit(context(cache=tmp_path, progress=lambda done, _total, told: steps.append((done, *told))))
        assert all(
            torch.equal(a, b)
            for a, b in zip(once.state()["weights"].values(), fitted.state()["weights"].values(), strict=True)
        )
        assert once.history() == fitted.history()
    assert sum("prior_loss" in told for told in steps) == 30
    assert len(list((tmp_path / "priors").iterdir())) == 1


def test_a_round_goes_on_from_the_network_of_the_last(fitted, tmp_path):
    torch.save(fitted.state(), tmp_path / "state.pt")
    options = {**SMALL, "fine_tune": 0}
    fresh, carried = build("generator", options), build("generator", options)
    fresh.fit(context())
    carried.fit(context(warm_start=tmp_path / "state.pt"))
    assert torch.equal(carried.state()["weights"]["out.bias"], fitted.state()["weights"]["out.bias"])
    assert not torch.equal(fresh.state()["weights"]["out.bias"], fitted.state()["weights"]["out.bias"])


def test_the_course_tells_the_loss_of_the_library_and_what_was_drawn(fitted):
    learning, tuning = fitted.history()[:-3], fitted.history()[-3:]
    assert learning[-1]["prior_loss"] < learning[0]["prior_loss"]
    assert [row["step"] for row in tuning] == [31, 32, 33]
    assert all(row["valid"] == 1.0 for row in tuning)
    met = fitted.best(5)
    assert list(met.values()) == sorted(met.values(), reverse=True)
    assert met == {text: float(fluorines([text])[0]) for text in met}


def test_it_learns_from_a_file(tmp_path):
    (tmp_path / "mine.csv.gz").write_bytes(
        gzip.compress(("name,drawn\n" + "\n".join(f"a,{text}" for text in LIBRARY[:40])).encode())
    )
    options = {**SMALL, "pretrain": "mine.csv.gz", "smiles": "drawn", "fine_tune": 0}
    generator = build("generator", options, base=tmp_path)
    generator.check(SPACE)
    generator.fit(context(library=()))
    elements = {atom.GetSymbol() for text in LIBRARY[:40] for atom in shared(text).GetAtoms()}
    assert {"".join(filter(str.isalpha, label)) for label in generator.state()["grammar"]["valences"]} == elements
    (tmp_path / "mine.csv.gz").write_bytes(gzip.compress(b"name,drawn\na,nothing\n"))
    with pytest.raises(SourceError, match="None of the 1 rows"):
        generator.check(SPACE)


def test_what_it_cannot_be_used_for_is_refused():
    with pytest.raises(ValueError, match="'geel' learns from a library, and none of 0 molecules"):
        build("generator", SMALL).fit(context(library=(), known=(), known_log_reward=np.zeros(0)))
    with pytest.raises(RuntimeError, match="has learnt nothing yet"):
        build("generator", SMALL).sample(1, seed=0)
    with pytest.raises(ComponentError, match="Molecules are asked for"):
        build("generator", SMALL).fit(GenerationContext(build("space", {"kind": "subsets", "n": 5}), fluorines, seed=0))


@pytest.mark.slow
def test_tuning_brings_what_is_written_towards_the_reward():
    generator = build(
        "generator", {**SMALL, "width": 64, "pretrain_steps": 200, "fine_tune": 60, "batch_size": 64, "beta": 2.0}
    )
    generator.fit(context())
    found = [one.object for one in generator.sample(200, seed=0)]
    assert fluorines(found).mean() > fluorines(LIBRARY).mean() + 0.5
