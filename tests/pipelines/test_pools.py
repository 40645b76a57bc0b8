"""What the command line says of a library that is bought from: its rows, what is left of it, and its end."""

import pytest

from tasks.workspace import Workspace

FIRST_DESIGN = [f"CC(C){letter}" for letter in ("O", "N", "C", "F", "Cl", "S")]
POOL = [f"CCC{tail}" for tail in ("CO", "CN", "CF", "CCl", "CS", "CC", "C=O", "C#N", "CCO", "CCN", "CCF", "CCCl")]


@pytest.fixture
def screening(bench):
    """A campaign that buys from the members of a file, six of which are asked for in its initial design."""
    bench.write_library(*FIRST_DESIGN)
    bench.write_config(
        space={"max_heavy_atoms": 9, "min_heavy_atoms": 3, "elements": ["H", "C", "N", "O", "F", "S", "Cl"]},
        data={"kind": "csv", "path": "library.csv", "initial": 6},
        generator={"kind": "pool", "path": "pool.csv", "proposals": 40},
        control={"fraction": 0},
        screens=[],
        rounds=2,
        batch_size=4,
        budget={"calls": 100},
    )
    write_pool(bench, *POOL)
    return bench


def write_pool(bench, *rows, header="smiles"):
    (bench.folder / "pool.csv").write_text("\n".join([header, *rows]) + "\n")


def stages_of(bench):
    """Metrics of all stages by round and name."""
    ledger = Workspace(bench.home).ledger()
    stages = {(stage.round, stage.name): stage.metrics for stage in ledger.stages(ledger.campaign("tiny").id)}
    ledger.close()
    return stages


def test_a_campaign_goes_on_where_nothing_can_be_cached(screening, caplog):
    screening.home.mkdir()
    (screening.home / "cache").write_text("in the way")
    told = screening.run()
    assert told.exit == 0, told.message
    assert len(screening.calls()) == 6 + 2 * 4
    assert caplog.text.count("The library in standard form cannot be kept") == 1


LINE = (
    "pool.csv: 17 rows read: 12 molecules kept, 2 rows merged into them, 3 refused: no valid SMILES (2); element P "
    "outside the space (1)."
)
FIRST = "Refused in pool.csv: line 3 ('nothing'): no valid SMILES; line 9 ('CCP'): element P outside the space; line 18"


@pytest.mark.parametrize("place", ["generator", "union", "control"])
def test_validate_run_status_and_page_tell_what_became_of_the_rows_of_a_library(screening, place):
    write_pool(screening, POOL[0], "nothing", *POOL[1:6], "CCP", *POOL[6:], "SCCCC", "OCCCC", "?")
    screening.write_config(rounds=1)
    genetic = {"kind": "genetic", "generations": 1, "offspring": 8}
    if place == "union":
        members = [{"generator": {"kind": "pool", "path": "pool.csv"}}, {"generator": genetic}]
        screening.write_config(generator={"kind": "union", "proposals": 40, "members": members})
    elif place == "control":
        screening.write_config(generator={**genetic, "proposals": 40})
        screening.write_config(control={"kind": "pool", "path": "pool.csv", "fraction": 0.25})
    told = screening.discover("validate", str(screening.file))
    assert told.exit == 0, told.message
    assert f"pool {LINE} pool {FIRST}" in told.message
    told = screening.run()
    assert told.exit == 0, told.message
    assert f"pool {LINE}" in told.message.partition("round 0 measure")[0]  # before anything is bought
    assert told.message.count(LINE) == 1
    assert f"pool {LINE} pool {FIRST}" in screening.discover("status", screening.config["name"]).message
    (page,) = screening.home.glob("campaigns/*/report/candidates.html")
    assert f"Pool {LINE}" in page.read_text(encoding="utf-8")


def test_a_wrong_column_of_which_some_cells_are_molecules_is_warned_of(screening):
    rows = [f"{smiles},{name}" for smiles, name in zip(POOL, ["CCO", "CCN", *"abcdefgh"], strict=False)]
    write_pool(screening, *rows, header="smiles,Name")
    screening.write_config(generator={**screening.config["generator"], "smiles": "Name"})
    told = screening.discover("validate", str(screening.file))
    assert "warning Most rows of pool.csv were refused, 8 of 10. Its molecules are read from 'Name'" in told.message
    screening.write_config(generator={**screening.config["generator"], "smiles": "smiles"})
    assert "warning" not in screening.discover("validate", str(screening.file)).message


def test_a_large_library_is_read_by_run_and_validate_says_so(screening, monkeypatch):
    monkeypatch.setattr("pipelines.validation.LARGEST_READ", 50)
    told = screening.discover("validate", str(screening.file))
    assert "pool The rows of pool.csv were not read, as it has" in told.message
    assert "pool pool.csv: 12 rows read: 12 molecules kept, 0 rows merged" in screening.run().message


def test_repeats_are_counted_across_the_parts_of_a_library(screening, monkeypatch):
    monkeypatch.setattr("data.tables.prepared.PART_ROWS", 5)
    write_pool(screening, *POOL, *POOL[:3])
    told = screening.discover("validate", str(screening.file))
    assert "15 rows read: 12 molecules kept, 3 rows merged into them, 0 refused." in told.message


def test_a_table_of_values_is_told_as_a_source_tells_it(bench):
    (bench.folder / "values.csv").write_text(
        "smiles,value\nCCO,1\nCCO,1000\nOCC,5\nCCN,2\nCCC,3\nCCF,4\nCCCl,5\nCCCC,6\nCCCF,7\nnothing,9\nCCCO,>3\n"
    )
    bench.write_library("CCO", "CCN", "CCC", "CCF", "CCCl", "CCCC")
    look_up = {"kind": "table", "path": "values.csv"}
    bench.write_config(objectives=[{"name": "affinity", "oracle": look_up}], rounds=0, screens=[])
    bench.write_config(data={"kind": "csv", "path": "library.csv", "initial": 6})
    line = (
        "table values.csv (values 'value'): 11 rows read: 7 molecules kept (7 with a value), 2 rows merged into them, "
        "2 refused: no valid SMILES (1); the value is a bound or an estimate, no measured value (1)."
    )
    first = "Refused in values.csv (values 'value'): line 11 ('nothing'): no valid SMILES; line 12 ('CCCO'): the value"
    apart = "The replicates of 1 molecule differ; their mean was kept. Furthest apart: lines 2, 3 and 4, CCO (1 to 1000"
    for told in (bench.discover("validate", str(bench.file)), bench.run(), bench.discover("status", "tiny")):
        assert told.exit == 0, told.message
        assert line in told.message
        assert first in told.message
        assert f"warning values.csv (values 'value'): {apart}" in told.message
        assert "of 1 differ more than 10-fold" in told.message
        assert "The option `replicate` chooses" in told.message
    (page,) = bench.home.glob("campaigns/*/report/candidates.html")
    assert apart in page.read_text(encoding="utf-8")
    bench.write_config(objectives=[{"name": "affinity", "oracle": look_up | {"replicate": 1}}], name="second")
    told = bench.discover("validate", str(bench.file))
    assert "6 of 7 molecules with a value have no replicate 1" in told.message
    assert "their replicate 1 was kept" in told.message


def test_a_batch_that_is_short_is_counted_and_said_and_validate_says_it_before(screening):
    screening.write_config(batch_size=10, rounds=2, generator={**screening.config["generator"], "proposals": 7})
    told = screening.discover("validate", str(screening.file))
    assert "warning generator.proposals is 7, and a batch takes 10 of them" in told.message
    assert "warning The library pool.csv has 12 molecules, fewer than the 20 that 2 rounds would take" in told.message
    short = (
        "Batches were short by 8 in all: round 1 by 3 (7 of 7 proposals passed), round 2 by 5 (5 of 5 proposals passed)"
    )
    left = "When round 2 proposed, 7 of 12 were in the campaign; 5 left."
    told = screening.run()
    assert told.exit == 0, told.message
    assert f"pool {left} warning {short}" in told.message
    assert f"pool {left} warning {short}" in screening.discover("status", "tiny").message
    (page,) = screening.home.glob("campaigns/*/report/candidates.html")
    assert short in page.read_text(encoding="utf-8")
    stages = stages_of(screening)
    assert [stages[round, "select_batch"]["short"] for round in (1, 2)] == [3, 5]


def test_a_whole_batch_is_not_remarked_on(screening):
    assert "warning" not in screening.discover("validate", str(screening.file)).message
    assert "short" not in screening.run().message
    assert "short" not in stages_of(screening)[1, "select_batch"]


def test_members_that_failed_are_not_proposed_again_and_the_end_of_a_library_is_told(screening):
    screening.write_oracle("value(smiles) if smiles not in ('CCCCO', 'CCCCN') else None")
    objective = screening.config["objectives"][0] | {"tolerated_failure_rate": 0.9}
    screening.write_config(objectives=[objective], batch_size=6, rounds=3)
    told = screening.run()
    assert told.exit == 3, told.message
    assert (
        "Round 3: all 12 molecules of the library pool.csv have been bought (2 of them failed). Nothing is left to "
        "propose." in told.message
    )
    stages = stages_of(screening)
    assert [stages[round, "propose"]["proposals"] for round in (1, 2, 3)] == [12, 6, 0]
    assert len(screening.calls()) == len(set(screening.calls())) == 6 + 12


def test_the_end_of_other_generators_is_told_too(screening):
    screening.write_oracle("float(len(smiles))")
    screening.write_config(
        space={"kind": "sequences", "alphabet": "AC", "min_length": 1, "max_length": 2},
        data={"kind": "random", "initial": 6},
        generator={"kind": "random", "proposals": 40},
        batch_size=4,
    )
    told = screening.run()
    assert told.exit == 3, told.message
    assert "new to offer" in told.message or "proposed nothing" in told.message


def test_a_member_whose_share_is_too_small_for_a_proposal_has_a_row_of_its_own(screening):
    pool = {"kind": "pool", "path": "pool.csv"}
    genetic = {"kind": "genetic", "generations": 1, "offspring": 8}
    members = [{"generator": genetic, "share": 1e-6}, {"generator": pool, "share": 1.0}]
    screening.write_config(rounds=1, generator={"kind": "union", "proposals": 8, "members": members, "adapt": False})
    told = screening.run()
    assert told.exit == 0, told.message
    rows = [line.split() for line in screening.discover("status", "tiny").out.splitlines()]
    assert ["genetic", "0", "0", "0", "-", "-", "0"] in rows
