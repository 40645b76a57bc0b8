"""The neural process as a proxy: what it learns is the table's, what it predicts with are the campaign's labels."""

from __future__ import annotations

import itertools
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.component import ComponentError
from models.proxies import latent_process
from models.proxies.earlier_assays import FEWEST, EarlierTasks, read_earlier
from models.proxies.gaussian_process import GaussianProcess
from models.registry import build
from models.spaces.sequences import Sequences
from tests.models.proxies.problems import agree, reloaded, rmse

OBJECTS = ["".join(letters) for letters in itertools.product("ACGT", repeat=4)]
FEATURES = {"kind": "one_hot", "length": 4}
SPACE = Sequences(alphabet="dna", length=4)


def assay(seed: int) -> np.ndarray:
    """Values that depend on one letter and the place where it stands: what all assays share is that."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((4, 4))
    weights[rng.integers(4)] = rng.normal(size=4)
    table = np.array([sum(weights[i]["ACGT".index(a)] for i, a in enumerate(one)) for one in OBJECTS])
    return np.asarray(table + 0.02 * rng.normal(size=len(OBJECTS)))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("earlier") / "earlier.csv"
    write(path, np.stack([assay(seed) for seed in range(20)], axis=1))
    return path


def write(path: Path, values: np.ndarray, objects: list[str] = OBJECTS) -> None:
    lines = [",".join(["object", *(f"a{k}" for k in range(values.shape[1]))])]
    lines += [",".join([obj, *("" if np.isnan(v) else f"{v:.4f}" for v in row)])
              for obj, row in zip(objects, values, strict=True)]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")


def made(table: Path, **options: Any) -> Any:
    small = {"steps": 30, "width": 16, "layers": 1, "latents": 4}
    return build("proxy", {"kind": "neural_process", "features": FEATURES, "table": str(table), **small, **options})


ROWS = np.random.default_rng(5).choice(len(OBJECTS), 100, replace=False)
TRAIN, TEST = [OBJECTS[i] for i in ROWS[:24]], [OBJECTS[i] for i in ROWS[24:]]
Y, Y_TEST = assay(99)[ROWS[:24]], assay(99)[ROWS[24:]]


@cache
def standard(table: Path) -> Any:
    proxy = made(table)
    proxy.fit(TRAIN, Y, seed=0)
    return proxy


def test_it_predicts_in_the_unit_of_the_labels_whatever_their_order(table: Path) -> None:
    plain, other = standard(table).predict(TEST), made(table)
    other.fit(TRAIN[::-1], 1000.0 + 250.0 * Y[::-1], seed=0)
    moved = other.predict(TEST)
    np.testing.assert_allclose((moved.mean - 1000.0) / 250.0, plain.mean, atol=1e-3)
    np.testing.assert_allclose(moved.std / 250.0, plain.std, atol=1e-3)
    assert (plain.std > 0).all()


def test_an_object_is_predicted_alike_in_any_company(table: Path) -> None:
    together, alone = standard(table).predict(TEST), standard(table).predict(TEST[7:8])
    assert together.mean[7] == alone.mean[0]
    assert together.std[7] == alone.std[0]
    assert len(standard(table).predict([])) == 0


def test_the_state_has_the_network_so_that_the_table_may_go(table: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.csv"
    gone.write_bytes(table.read_bytes())
    proxy = made(gone)
    proxy.fit(TRAIN, Y, seed=0)
    state, expected = reloaded(proxy.state()), proxy.predict(TEST)
    gone.unlink()
    again = build("proxy", proxy.config())
    again.load_state(state)
    agree(again.predict(TEST), expected, atol=0)
    other = made(gone, width=32)
    with pytest.raises(ValueError, match="of a network of another shape"):
        other.load_state(state)


def test_a_table_is_read_once_for_all_seeds_and_folds_and_again_when_it_is_edited(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = []
    train = latent_process.trained_process
    monkeypatch.setattr(
        latent_process, "trained_process", lambda *a, **more: trainings.append(more["seed"]) or train(*a, **more)
    )
    copy = tmp_path / "copy.csv"
    copy.write_bytes(table.read_bytes())
    one, two = made(copy), made(copy)
    one.fit(TRAIN, Y, seed=0)
    two.fit(TRAIN[:12], Y[:12], seed=1)
    assert len(trainings) == 1
    assert one.content() == made(table).content()
    write(copy, np.stack([assay(seed) for seed in range(3)], axis=1))
    assert one.content() != made(table).content()
    made(copy).fit(TRAIN, Y, seed=0)
    assert len(set(trainings)) == 2


def test_of_many_labels_it_reads_as_many_as_it_learnt_to_read(table: Path) -> None:
    proxy = made(table)
    proxy.fit(OBJECTS, assay(99), seed=3)
    assert len(proxy.state()["z"]) == 64
    same = made(table)
    same.fit(OBJECTS, assay(99), seed=3)
    agree(same.predict(TEST), proxy.predict(TEST), atol=0)


def test_values_of_a_draw_are_scaled_by_the_shown_ones_and_missing_ones_are_never_drawn() -> None:
    import torch

    values = np.stack([assay(0), assay(1)], axis=1)
    values[FEWEST + 5 :, 1] = np.nan
    tasks = EarlierTasks.of(np.eye(len(OBJECTS)), values)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        draw = tasks.draw(6, generator)
        assert torch.isfinite(draw.y).all()
        shown = draw.y[:, : draw.shown]
        torch.testing.assert_close(shown.mean(1), torch.zeros(6), atol=1e-5, rtol=0)
        torch.testing.assert_close(shown.std(1), torch.ones(6), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("text", "told"), [
    ("sequence,a\nACGT,1\n", "has no column 'object'; it has sequence, a"),
    ("object,a\nACGT,1\n", "no column of 40 numbers or more that differ"),
    ("object,a\n" + "ACGT,1\n" * 50, "no column of 40 numbers or more that differ"),
    ("object,a\n" + "ACGT,1\n" * 3 + "ACGT,\"1,5\"\n", "line 5, has '1,5' in the column 'a'; expected a number"),
    ("object,a\nACGT,1\nACGA,inf\n", "line 3, has 'inf' in the column 'a'"),
    ("object,a\nACGT,1\nACGA,2,3\n", "Line 3 of .* cannot be read: 3 cells where the header has 2"),
    ("object;a\nACGT;1,234\nACGA;2,345\n", "may part thousands or decimals"),
    ("object;a;b\nACGT;1,5;\nACGA;;2.5\n", "which mark is that of decimals cannot be told"),
    ("\xe9", "is not UTF-8 text"),
])  # fmt: skip
def test_a_table_that_cannot_be_used_is_refused_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "earlier.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ComponentError, match=told):
        read_earlier(path, "object")


def test_semicolons_and_decimal_commas_are_read_as_they_are_and_said(table: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(table.read_text().replace(",", ";").replace(".", ","))
    plain, read = read_earlier(table, "object"), read_earlier(other, "object")
    np.testing.assert_array_equal(read.values, plain.values)
    assert read.objects == plain.objects
    assert read.told == ("cells are separated by ';'", "numbers have decimal commas")
    assert not plain.told


def test_a_missing_table_a_foreign_object_and_a_path_from_nowhere_are_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="cannot be read"):
        made(tmp_path / "none.csv").check_space(SPACE)
    foreign = tmp_path / "foreign.csv"
    write(foreign, np.ones((1, 1)) * np.arange(60)[:, None], [*OBJECTS[:59], "ACGU!"])
    with pytest.raises(ComponentError, match="line 61, has 'ACGU!'"):
        made(foreign).check_space(SPACE)
    with pytest.raises(ComponentError, match="a path that starts nowhere"):
        made(Path("earlier.csv"))
    made(table).check_space(SPACE)


def test_columns_that_teach_nothing_are_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "earlier.csv"
    values = np.stack([assay(0), np.ones(len(OBJECTS))], axis=1)
    write(path, values)
    earlier = read_earlier(path, "object")
    assert earlier.names == ("a0",)
    assert earlier.told == ("a1: fewer than 40 values, or all alike; left out",)


@pytest.mark.trial
def test_where_earlier_assays_are_alike_they_teach_what_few_labels_do_not() -> None:
    """The shipped campaign's: means over eight new proteins of its four families, 24 labels each."""
    folder = Path(__file__).resolve().parents[3] / "campaigns" / "earlier_assays"
    simulated = runpy.run_path(str(folder / "assays.py"), run_name="simulated")
    features = {"kind": "one_hot", "length": 8}
    earlier = read_earlier(folder / "earlier.csv", "sequence")
    options = {"column": "sequence", "features": features, "steps": 800, "width": 64, "layers": 4, "latents": 8}
    proxy, process = made(folder / "earlier.csv", **options), GaussianProcess(features=features)
    mine, theirs = [], []
    for k in range(8):
        likes = simulated["_likes"](1000 + k, simulated["FAMILIES"][k % 4])
        new = np.array([simulated["_bound"](one, likes) for one in earlier.objects])
        rows = np.random.default_rng(k).permutation(len(new))
        labels, questions = ([earlier.objects[i] for i in part] for part in (rows[:24], rows[24:]))
        for learner, errors in ((proxy, mine), (process, theirs)):
            learner.fit(labels, new[rows[:24]], seed=0)
            errors.append(rmse(learner.predict(questions), new[rows[24:]]) / new.std())
    assert np.mean(mine) < 0.8 * np.mean(theirs)
