"""RDKit's scores as an oracle."""

import pytest

from models.registry import build


def measure(molecules, score):
    oracle = build("oracle", {"kind": "rdkit", "property": score})
    return list(oracle.evaluate(molecules, keys=molecules))


@pytest.mark.parametrize(
    ("score", "smiles", "expected"),
    [
        ("qed", "CC(=O)Oc1ccccc1C(=O)O", 0.55),  # aspirin, RDKit's documentation
        ("logp", "c1ccccc1", 1.69),  # Wildman and Crippen 1999
        ("synthetic_accessibility", "CC(=O)Oc1ccccc1C(=O)O", 1.58),
    ],
)
def test_scores_are_those_of_the_literature(score, smiles, expected):
    assert measure([smiles], score)[0].value == pytest.approx(expected, abs=0.01)


def test_a_text_that_is_no_molecule_fails_alone():
    bad, good = measure(["C1CC", "CCO"], "logp")
    assert bad.error == "invalid"
    assert good.error is None


def test_each_score_is_a_measurement_of_its_own():
    assert len({build("oracle", {"kind": "rdkit", "property": p}).version for p in ("qed", "logp")}) == 2
