"""Equivariant networks: blind to rotation, reflection, shift and the order of atoms; not to shape."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from models.featurisers.geometries import Geometries, Geometry, geometry
from models.proxies.egnn import BatchedEgnn
from models.registry import build
from models.systems.equivariant_graphs import anisotropy

MOLECULES = ["CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "C", "CCO"]
TURNED = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
MIRROR = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))


def network(moving: bool = True) -> BatchedEgnn:
    made = BatchedEgnn(2, 8, 3, 1, moving, 9.0, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():  # positions of an untrained network hardly move
        for name, one in made.named_parameters():
            if ".move.layers.1" in name:
                one.mul_(300.0)
    return made


def moved(one: Geometry, matrix: torch.Tensor, shift: float = 0.0) -> Geometry:
    return Geometry(one.atoms, one.positions @ matrix + shift, one.ends, one.bonds)


def renumbered(one: Geometry, order: torch.Tensor) -> Geometry:
    place = torch.argsort(order)
    return Geometry(one.atoms[order], one.positions[order], place[one.ends], one.bonds)


def pooled(made: BatchedEgnn, geometries: list[Geometry]) -> torch.Tensor:
    with torch.no_grad():
        return made.pooled(Geometries.of(geometries, torch.float64))


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("matrix", [TURNED, MIRROR, TURNED @ MIRROR], ids=["rotation", "reflection", "both"])
def test_turned_shifted_or_mirrored_a_molecule_is_the_same(matrix: torch.Tensor, moving: bool) -> None:
    made, known = network(moving), [geometry(smiles) for smiles in MOLECULES]
    there = [moved(one, matrix, 5.0) for one in known]
    torch.testing.assert_close(pooled(made, there), pooled(made, known), rtol=0, atol=1e-5)


def test_positions_turn_with_the_molecule() -> None:
    made, known = network(), [geometry(smiles) for smiles in MOLECULES]
    with torch.no_grad():
        before = made.atoms_of(Geometries.of(known, torch.float64))[1]
        after = made.atoms_of(Geometries.of([moved(one, TURNED, 5.0) for one in known], torch.float64))[1]
    torch.testing.assert_close(after, before @ TURNED + 5.0, rtol=0, atol=1e-5)
    assert (before - torch.cat([one.positions for one in known])).abs().max() > 1e-3


def test_the_order_of_atoms_does_not_matter() -> None:
    made = network()
    for smiles in MOLECULES:
        one = geometry(smiles)
        order = torch.randperm(len(one.atoms), generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(pooled(made, [renumbered(one, order)]), pooled(made, [one]), rtol=0, atol=1e-5)


def test_the_shape_of_a_molecule_matters_its_hand_does_not() -> None:
    made, one = network(), geometry(MOLECULES[0])
    longer = Geometry(one.atoms, one.positions * 1.2, one.ends, one.bonds)
    assert (pooled(made, [longer]) - pooled(made, [one])).abs().max() > 1e-3
    left, right = geometry("C[C@H](N)C(=O)O"), geometry("C[C@@H](N)C(=O)O")
    mirrored = moved(left, MIRROR)
    torch.testing.assert_close(pooled(made, [mirrored]), pooled(made, [left]), rtol=0, atol=1e-9)
    assert left.positions.shape == right.positions.shape


def test_a_molecule_in_company_is_as_it_is_alone() -> None:
    made, known = network(), [geometry(smiles) for smiles in MOLECULES]
    together = pooled(made, known)
    for i, one in enumerate(known):
        torch.testing.assert_close(pooled(made, [one])[:, 0], together[:, i], rtol=0, atol=1e-10)


def test_geometries_are_of_the_molecule_that_is_read() -> None:
    one = geometry("CCO")
    lengths = (one.positions[one.ends[0]] - one.positions[one.ends[1]]).norm(dim=1)
    assert lengths[one.bonds.sum(1) > 0].tolist() == pytest.approx([1.5, 1.5, 1.4, 1.4], abs=0.1)
    assert one.ends.shape == (2, 6)
    assert geometry("C").ends.shape == (2, 0)


def test_what_has_no_conformer_lies_flat_and_this_is_told(caplog: pytest.LogCaptureFixture) -> None:
    geometry.cache_clear()  # another test may have asked
    with caplog.at_level(logging.WARNING):
        flat = geometry("[Na+].[Cl-]")
    assert "has no conformer" in caplog.text
    np.testing.assert_array_equal(flat.positions[:, 2], 0.0)


def test_geometries_are_predicted_as_their_molecules_are() -> None:
    proxy = build("proxy", {"kind": "egnn", "steps": 5, "members": 2, "width": 8, "layers": 2})
    proxy.fit(["CO", "CC", "CCN", *MOLECULES], np.arange(7.0), seed=0)
    told = proxy.of_geometries([geometry(one) for one in MOLECULES])
    np.testing.assert_allclose(told.mean(0), proxy.predict(MOLECULES).mean, atol=1e-5)
    there = proxy.of_geometries([moved(geometry(one), TURNED @ MIRROR, 5.0) for one in MOLECULES])
    np.testing.assert_allclose(there, told, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([[0, 0, 0], [1, 1, 1], [3, 3, 3]], 1.0),
        ([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], 0.0),
        ([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], 0.25),
        ([[2, 0, 0]], 0.0),
    ],
    ids=["line", "octahedron", "square", "atom"],
)
def test_anisotropy_is_that_of_the_body(positions: list[list[float]], expected: float) -> None:
    empty = torch.zeros(0)
    one = Geometry(empty, torch.tensor(positions, dtype=torch.float64), empty, empty)
    assert anisotropy(one) == pytest.approx(expected, abs=1e-12)


def test_it_reads_molecules_only() -> None:
    with pytest.raises(ValueError, match="egnn reads molecules"):
        build("proxy", {"kind": "egnn", "features": "identity"})
