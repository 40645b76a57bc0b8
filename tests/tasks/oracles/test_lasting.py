"""Processes of oracles that wait for the next round."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from models.registry import find, kinds
from tasks.oracles.lasting import dismiss
from tasks.oracles.pool import OraclePool

CONFIG = {"kind": "rdkit", "property": "logp"}


@pytest.fixture(autouse=True)
def _nobody_waits_afterwards() -> Iterator[None]:
    yield
    dismiss()


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def measured(identity: str | None, config: dict[str, Any] = CONFIG, fail: bool = False) -> dict[str, float | None]:
    found: dict[str, float | None] = {}

    def note(key: str, measurement: Any) -> None:
        found[key] = measurement.value
        if fail:
            raise RuntimeError("the caller gives up")

    with OraclePool(config, workers=1, lasting=identity) as pool:
        pool.run([("a", "CCO"), ("b", "c1ccccc1")], lambda keys: None, note)
    return found


def test_the_next_pool_of_the_same_oracle_has_the_process_of_the_last_one() -> None:
    before = children()
    first, waiting = measured("one"), children() - before
    assert len(waiting) == 1
    assert measured("one") == first == measured(None)
    assert children() - before == waiting
    dismiss()
    assert children() == before


@pytest.mark.parametrize(("identity", "config"), [("two", CONFIG), ("one", {**CONFIG, "property": "qed"})])
def test_an_oracle_of_another_identity_or_with_other_options_has_another_process(identity: str, config: Any) -> None:
    before = children()
    measured("one")
    waiting = children() - before
    measured(identity, config)
    assert len(children() - before) == 1
    assert not waiting & children()


def test_no_process_waits_after_a_run_that_failed_or_for_an_oracle_that_does_not_say_so() -> None:
    before = children()
    with pytest.raises(RuntimeError, match="gives up"):
        measured("one", fail=True)
    measured(None)
    assert children() == before


def test_a_process_that_died_while_it_waited_is_replaced() -> None:
    before = children()
    first = measured("one")
    (waiting,) = children() - before
    psutil.Process(waiting).kill()
    os.waitid(os.P_PID, waiting, os.WEXITED | os.WNOWAIT)  # until it is dead; it is not reaped
    assert measured("one") == first


def test_code_of_the_user_and_programs_never_wait() -> None:
    assert {kind for kind in kinds("oracle") if getattr(find("oracle", kind), "lasting", False)} == {
        "conformer_energy",
        "pmo",
        "rdkit",
        "table",
    }
