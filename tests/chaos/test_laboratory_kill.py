"""A laboratory whose answers come in any order, late and corrected, to runs that are killed: the same bytes."""

import random
import re
import signal
from pathlib import Path

import pytest

from tests.chaos.conftest import HERE, results

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ORACLE = "oracle: {kind: laboratory, outputs: {value: a.u.}, protocol: chaos}\n    output: value"
KILLED_AT = (1, 2, 4, 6, 3, 5, 9)


@pytest.fixture
def campaign(tmp_path):
    """The campaign of this folder, measured by people."""
    text = re.sub(r"oracle: \{kind: python.*?\}", ORACLE, (HERE / "campaign.yaml").read_text(), flags=re.S)
    (tmp_path / "campaign.yaml").write_text(text)
    (tmp_path / "library.csv").write_text((HERE / "library.csv").read_text())
    return tmp_path / "campaign.yaml"


class Course:
    """A campaign of two rounds: half of the answers come in time, the others and a correction in the next round."""

    def __init__(self, arena, home: Path, campaign: Path, *, killed: bool, seed: int) -> None:
        self.arena, self.home, self.campaign, self.killed = arena, home, campaign, killed
        self.draw = random.Random(seed)
        self.kills = 0

    def run(self) -> str:
        """Run the campaign until it waits or is done, killed on the way where this course is disturbed."""
        for kill in (*KILLED_AT, 100_000) if self.killed else (100_000,):
            answer = self.arena.run(self.home, self.campaign, kill=kill, set=["wait_for=0.5"])
            if answer["signal"] is None:
                return answer["state"]
            assert answer["signal"] == signal.SIGKILL
            self.kills += 1
        raise AssertionError("it was killed at every moment")

    def tell(self, rows, **options):
        """Tell the values of rows of the table, in any order, in several files."""
        from pipelines.asking import tell_results
        from tasks.workspace import Workspace

        order = list(rows.index)
        self.draw.shuffle(order)
        for part in (order[: len(order) // 3], order[len(order) // 3 :]):
            if part:
                table = rows.loc[part, ["id", "smiles"]].assign(value=[worth(one) for one in rows.loc[part, "smiles"]])
                tell_results("chaos", table, workspace=Workspace(self.home), by="Ada", **options)

    def asked(self):
        from pipelines.asking import ask
        from tasks.workspace import Workspace

        return ask("chaos", Workspace(self.home)).sort_values("id").reset_index(drop=True)

    def whole(self) -> dict[str, bytes]:
        late = None
        while (state := self.run()) == "waiting":
            rows = self.asked()
            new = rows if late is None else rows[~rows["id"].isin(late["id"])]
            if late is not None and len(late):
                self.tell(late)
                self.correct(late.head(1))
            first = new.head((len(new) + 1) // 2)
            self.tell(first)
            late = new.drop(first.index)
        assert state == "done"
        return results(self.home)

    def correct(self, rows):
        from pipelines.asking import tell_results
        from tasks.workspace import Workspace

        table = rows[["id"]].assign(value=99.0)
        tell_results("chaos", table, workspace=Workspace(self.home), by="Ada", correct=True)


def worth(smiles: str) -> float:
    return len(smiles) + smiles.count("C") / 3


def test_answers_in_any_order_late_corrected_and_killed_between_give_the_same_bytes(arena, campaign, tmp_path):
    undisturbed = Course(arena, tmp_path / "calm", campaign, killed=False, seed=0).whole()
    disturbed = Course(arena, tmp_path / "stormy", campaign, killed=True, seed=1)
    assert disturbed.whole() == undisturbed
    assert disturbed.kills > 10
    assert "round-002/measure/dataset.parquet" in undisturbed
