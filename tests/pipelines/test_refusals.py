"""Bad input gets a clear error and the right exit code, and nothing is lost."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from data.ledger.lock import campaign_lock
from tasks.workspace import Workspace

DONE, BAD_INPUT, STOPPED, INTERRUPTED = 0, 2, 3, 130


def refused(told, *words):
    """The command was refused before anything was spent; the message has these words."""
    assert told.exit == BAD_INPUT
    for word in words:
        assert word in told.message
    return True


def stopped(told, state, *words):
    """The campaign was stopped by a named limit; the message has these words."""
    assert told.exit == STOPPED, told.message
    assert f"stopped: {state.replace('_', ' ')}" in told.message
    for word in words:
        assert word in told.message
    return True


def test_a_table_that_cannot_be_loaded_is_refused_before_a_campaign_is_begun_and_can_be_mended(bench):
    rows = [line.partition(",")[0] for line in (bench.folder / "library.csv").read_text().splitlines()[1:]]
    table = "".join(f"{smiles},{number},{'nM' if number % 2 else 'uM'}\n" for number, smiles in enumerate(rows))
    (bench.folder / "values.csv").write_text("smiles,value,unit\n" + table)
    look_up = {"kind": "table", "path": "values.csv"}
    bench.write_config(objectives=[{"name": "affinity", "oracle": look_up}], rounds=0)
    for command in (bench.run, lambda: bench.discover("validate", str(bench.file))):
        assert refused(command(), "in 2 units by the column 'unit'", "`unit_column`")
    assert "No campaign yet" in bench.discover("status").out
    look_up |= {"unit_column": "unit", "unit": "uM"}
    lenient = {"name": "affinity", "oracle": look_up, "tolerated_failure_rate": 1.0}
    bench.write_config(objectives=[lenient])
    told = bench.run()
    assert told.exit == DONE, told.message


# -- what is written in the campaign file ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "nearest"),
    [
        ("budgets.calls=3", "budget"),
        ("budget.call=3", "calls"),
        ("space.max_heavy_atom=9", "max_heavy_atoms"),
        ("objectives.0.oracel={kind: python}", "oracle"),
        ("objectives.0.oracle.kind=pyton", "python"),
        ("objectives.0.oracle.untis=eV", "unit"),
        ("data.kind=csw", "csv"),
        ("data.smile=text", "smiles"),
        ("screens=[{kind: synthetic_accesibility}]", "synthetic_accessibility"),
        ("screens=[{kind: synthetic_accessibility, maxx: 3}]", "max"),
        ("proxy.kind=gausian_process", "gaussian_process"),
        ("acquisition.kind=upper_confidence", "upper_confidence_bound"),
        ("selector.kind=maxmin", "max_min"),
        ("generator.kind=genetics", "genetic"),
        ("generator.offsprings=4", "offspring"),
        ("control.kind=randon", "random"),
    ],
)
def test_an_unknown_key_or_component_is_refused_with_the_nearest_spelling(bench, change, nearest):
    assert refused(bench.run("--set", change), f"Did you mean {nearest!r}?")
    assert bench.calls() == []
    assert "No campaign yet" in bench.discover("status").out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("batch_size=many", "batch_size"),
        ("rounds=-1", "rounds"),
        ("space.min_heavy_atoms=12", "above max_heavy_atoms"),
        ("objectives.0.tolerated_failure_rate=2", "tolerated_failure_rate"),
        ("objectives.0.oracle.function=measure", "module:function"),
        ("name=../elsewhere", "name"),
        ("budget.calls", "key.key=value"),
        ("budget.calls=[", "'budget.calls=[' has no valid value"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(bench, change, told):
    assert refused(bench.run("--set", change), told)
    assert bench.calls() == []


def test_a_campaign_file_that_is_missing_is_refused(bench):
    assert refused(bench.discover("run", "nowhere.yaml", "--plain"), "no campaign file 'nowhere.yaml'")


@pytest.mark.parametrize("text", ["name: [", "just text", "", "name: a\nname: b", "\x00"])
def test_a_campaign_file_that_is_no_mapping_of_yaml_is_refused(bench, text):
    bench.file.write_text(text)
    assert refused(bench.run(), "campaign.yaml" if "\nname" not in text else "twice")


# -- what the campaign file names ------------------------------------------------------------------------------------


def test_a_data_file_that_is_missing_is_refused_with_the_nearest_name(bench):
    assert refused(bench.run("--set", "data.path=libary.csv"), "no file", "Did you mean 'library.csv'?")


def test_a_table_without_the_named_column_is_refused_with_those_it_has(bench):
    bench.write_library(*(f"{smiles},1" for smiles in ("CCO", "CCN")), header="SMILES,affinity")
    assert refused(bench.run(), "no column 'smiles'", "'SMILES', 'affinity'", "Did you mean 'SMILES'?")
    told = bench.run("--set", "data.smiles=SMILES", "--set", "data.value=afinity")
    assert refused(told, "no column 'afinity'", "Did you mean 'affinity'?")


def test_rows_that_cannot_be_used_are_reported_by_line_and_the_others_kept(bench):
    rows = [f"{smiles},{number}" for number, smiles in enumerate(LIBRARY_HEAD)]
    rows[2:2] = ["C1CC,3.0", "CCCO,high", "CCCN,nan", "CCCF,1e300"]  # lines 4 to 7
    bench.write_library(*rows, "c1ccccc1", header="smiles,value")
    bench.write_config(data={"kind": "csv", "path": "library.csv", "value": "value", "initial": 0})
    assert bench.run("--set", "rounds=0").exit == DONE
    with next(bench.home.rglob("refused.csv")).open() as file:
        reasons = {int(row["line"]): row["reason"] for row in csv.DictReader(file)}
    assert sorted(reasons) == [4, 5, 6, 7, len(rows) + 2]
    assert "SMILES" in reasons[4]
    assert "'high' is not a finite number" in reasons[5]
    assert "'nan' is not a finite number" in reasons[6]
    assert "'1e300' is larger than 1e+100" in reasons[7]
    assert "1 cells where the header has 2" in reasons[len(rows) + 2]
    kept = [row for row in bench.candidates() if row["round"] == 0]
    assert len(kept) == len(LIBRARY_HEAD)


LIBRARY_HEAD = ("CCOCCO", "CCCCN", "CCSCC", "CC(C)Cl", "CCC(=O)OC", "CC1CC1C", "OCCCl", "CNCCS")


def test_a_table_of_which_no_row_can_be_used_is_refused(bench):
    bench.write_library("C1CC", "none", "")
    assert refused(bench.run(), "All 2 rows", "line 2: 'C1CC'")
    assert bench.calls() == []


def test_a_campaign_that_bought_nothing_may_be_corrected(bench):
    assert refused(bench.run("--set", "data.initial=40", "--set", "budget.calls=50"), "Set data.initial to 32")
    assert bench.run("--set", "data.initial=10", "--set", "rounds=0").exit == DONE


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "no module 'tiny_oracle'"),
        ("import nowhere_at_all", "nowhere_at_all"),
        ("def mesure(molecules): return []", "Did you mean 'mesure'?"),
        ("raise SystemExit(4)", "SystemExit: 4"),
    ],
)
def test_a_module_of_the_user_that_cannot_be_imported_is_refused(bench, text, told):
    module = bench.folder / "tiny_oracle.py"
    module.unlink()
    if text is not None:
        module.write_text(text)
    assert refused(bench.run("--set", "rounds=0"), told)
    assert bench.calls() == []


def test_after_a_module_of_the_user_is_mended_the_same_command_goes_on(bench):
    bench.write_oracle("value(smiles")
    assert refused(bench.run("--set", "rounds=0"), "SyntaxError")
    bench.write_oracle()
    assert bench.run("--set", "rounds=0").exit == DONE


# -- screens that refuse everything ----------------------------------------------------------------------------------


def test_screens_that_refuse_the_whole_source_end_the_campaign_by_name(bench):
    bench.write_config(screens=[{"kind": "property_range", "descriptor": "RingCount", "min": 20}])
    assert stopped(bench.run(), "no_candidates", "refuse all 33 molecules")
    assert bench.state() == "no_candidates"
    assert bench.calls() == []


def test_a_round_of_which_nothing_passes_says_so_and_ends_the_campaign_by_name(bench):
    bench.write_library(*(f"{head}C(F)(F)C(F)(F)F" for head in ("", "C", "N", "O", "S", "Cl", "CC", "NC")))
    bench.write_config(
        screens=[{"kind": "property_range", "descriptor": "fr_halogen", "min": 5}],
        generator={"kind": "random", "proposals": 20},
    )
    told = bench.run()
    assert stopped(told, "no_candidates", "none of 20 proposals is left", "between 5 and inf passes")
    assert bench.state() == "no_candidates"
    assert len(bench.calls()) == 8
    assert {row["state"] for row in bench.candidates()} == {"done"}


def test_what_screens_refused_is_counted_by_screen_on_the_page_and_by_status(bench):
    limit = {"kind": "property_range", "descriptor": "fr_halogen", "max": 0}
    bench.write_config(rounds=2, screens=[limit], generator={"kind": "genetic", "generations": 2, "proposals": 20})
    assert bench.run().exit == DONE
    (page,) = bench.home.glob("campaigns/tiny*/report/candidates.html")
    text, status = page.read_text(encoding="utf-8"), bench.discover("status", "tiny").message
    for pattern in (
        r"Generators met (?P<all>\d+) objects, of which screens refused (?P<refused>\d+): (?P<kinds>[^.]*)\.",
        r"Of (?P<all>\d+) proposals of all rounds, [^.]* (?P<refused>\d+) did not pass: (?P<kinds>[^.]*)\.",
    ):
        told = re.search(pattern, status)
        kinds = dict(part.rsplit(" ", 1) for part in told["kinds"].split(", "))
        assert 0 < int(told["refused"]) < int(told["all"])
        assert sum(map(int, kinds.values())) == int(told["refused"])
        assert int(kinds["property range"]) > 0
        assert told[0] in text
    rows = [line.split() for line in bench.discover("status", "tiny").out.splitlines()]
    table = {row[0]: (int(row[1]), int(row[2])) for row in rows if len(row) > 5 and row[0] in ("genetic", "random")}
    assert sum(proposed for proposed, _ in table.values()) == int(told["all"])
    assert sum(proposed - passed for proposed, passed in table.values()) == int(told["refused"])


# -- an oracle that fails --------------------------------------------------------------------------------------------


def test_molecules_that_the_oracle_fails_on_are_marked_and_the_round_goes_on(bench):
    bench.write_oracle("float('nan') if 'N' in smiles else 1 / 0 if 'F' in smiles else value(smiles)")
    assert bench.run("--set", "data.initial=20", "--set", "rounds=0").exit == DONE
    first = [row for row in bench.candidates() if row["round"] == 0]
    classes = {smiles: row["error"] for row in first for smiles in [row["smiles"]]}
    assert set(classes.values()) == {None, "not_finite", "raised"}
    for smiles, error in classes.items():
        assert error == ("not_finite" if "N" in smiles else "raised" if "F" in smiles else None)
    assert all(row["state"] == "failed" and row["value"] is None for row in first if row["error"])
    assert "ZeroDivisionError" in next(row["message"] for row in first if row["error"] == "raised")


def test_a_call_that_hangs_is_killed_after_its_timeout_and_marked(bench):
    bench.write_oracle("__import__('time').sleep(600) if calls() == 3 else value(smiles)")
    bench.config["objectives"][0]["oracle"]["timeout"] = 0.5
    bench.write_config(rounds=0)
    assert bench.run().exit == DONE
    errors = [row["error"] for row in bench.candidates() if row["error"]]
    assert errors == ["timeout"]


def test_too_many_failures_stop_the_campaign_by_name_until_the_oracle_is_mended(bench):
    bench.write_oracle("1 / 0 if calls() > 2 and not LOG.with_name('licence').exists() else value(smiles)")
    assert stopped(bench.run(), "oracle_failing", "5 of 8", "ZeroDivisionError", "--retry-failed")
    assert bench.state() == "oracle_failing"
    asked = bench.calls()
    assert len(asked) == 7  # the fifth failure settles it: the eighth call is not made
    assert stopped(bench.run(), "oracle_failing")
    assert bench.calls() == asked
    (bench.folder / "licence").touch()
    assert bench.run("--retry-failed", "--set", "rounds=0").exit == DONE
    assert bench.calls()[7:].count(asked[0]) == 0
    rows = [row for row in bench.candidates() if row["round"] == 0]
    assert [row["state"] for row in rows] == ["done"] * 8


def test_a_tolerated_rate_may_leave_too_few_values_for_a_proxy(bench):
    bench.write_oracle("1 / 0 if calls() > 4 and not LOG.with_name('licence').exists() else value(smiles)")
    assert stopped(bench.run(), "oracle_failing", "only 4 molecules", "--retry-failed")
    (bench.folder / "licence").touch()
    assert bench.run("--retry-failed").exit == DONE
    assert len(bench.candidates()) == 12


@pytest.mark.parametrize("answer", ["0.25", "1e90 if calls() == 3 else value(smiles)"])
def test_values_without_spread_or_beyond_measure_do_not_end_a_campaign(bench, answer):
    bench.write_oracle(answer)
    assert bench.run().exit == DONE


def test_a_value_that_is_too_large_to_be_one_is_marked(bench):
    bench.write_oracle("1e300 if calls() == 3 else value(smiles)")
    assert bench.run("--set", "rounds=0").exit == DONE
    assert [row["error"] for row in bench.candidates() if row["error"]] == ["not_finite"]


def test_a_series_of_one_scaffold_can_be_learnt(bench):
    bench.write_library(*(f"{head}c1ccccc1" for head in ("C", "N", "O", "S", "Cl", "CC", "NC", "OC", "F", "CO")))
    assert bench.run().exit == DONE


def test_the_smallest_design_that_is_accepted_can_be_learnt(bench):
    assert refused(bench.run("--set", "data.initial=5"), "needs at least 6")
    assert bench.run("--set", "data.initial=6").exit == DONE


# -- the budget ------------------------------------------------------------------------------------------------------


def test_a_budget_smaller_than_the_initial_design_is_refused(bench):
    assert refused(bench.run("--set", "budget.calls=7"), "budget.calls is 7", "initial design of 8")
    assert refused(bench.run("--set", "budget.cost=7.5"), "budget.cost is 7.5", "costs 8")
    assert bench.calls() == []


def test_a_budget_that_ends_within_a_round_is_kept_and_can_be_raised(bench):
    for limit in (10, 11):
        told = bench.run("--set", f"budget.calls={limit}")
        assert stopped(told, "budget_exhausted", "budget is spent", f"{12 - limit} of 4")
        assert len(bench.calls()) == limit
    assert bench.run("--set", "budget.calls=12").exit == DONE
    assert len(bench.calls()) == len(set(bench.calls())) == 12


def test_a_budget_in_cost_is_kept(bench):
    bench.config["objectives"][0]["oracle"]["cost"] = 2.5
    bench.write_config(budget={"cost": 26.0})
    assert stopped(bench.run(), "budget_exhausted", "cost 25")
    assert len(bench.calls()) == 10


def test_a_limit_on_running_time_stops_between_stages_and_can_be_raised(bench, monkeypatch):
    monkeypatch.setattr("data.ledger.lock.HEARTBEAT_SECONDS", 0.01)  # seconds are added up at each
    told = bench.run("--set", "budget.wall_time=0.001")
    assert stopped(told, "wall_time_exhausted", "budget.wall_time")
    assert len(bench.calls()) == 8
    assert bench.run("--set", "budget.wall_time=1000").exit == DONE
    assert len(bench.calls()) == 12


# -- the workspace, and who may write it -----------------------------------------------------------------------------


def test_a_workspace_that_cannot_be_written_is_refused(bench, monkeypatch):
    (bench.folder / "occupied").touch()
    monkeypatch.setenv("DISCOVER_HOME", str(bench.folder / "occupied" / "home"))
    assert refused(bench.run(), "not writable", "DISCOVER_HOME")
    assert bench.calls() == []


def test_a_ledger_that_cannot_be_opened_is_refused(bench, monkeypatch):
    (bench.home / "ledger.db").mkdir(parents=True)
    assert refused(bench.run(), "ledger", "ledger.db")
    (bench.home / "ledger.db").rmdir()
    (bench.home / "ledger.db").write_bytes(b"this is no database, but a text that someone put here" * 40)
    assert refused(bench.run(), "ledger", "ledger.db")
    monkeypatch.setenv("DISCOVER_LEDGER", "nonsense")
    assert refused(bench.run(), "DISCOVER_LEDGER")


def test_a_second_run_at_the_same_time_is_refused_with_the_owner_and_changes_nothing(bench):
    assert bench.run("--set", "rounds=0").exit == DONE
    ledger = Workspace(bench.home).ledger()
    with campaign_lock(ledger, ledger.campaign("tiny")):
        for extra in ([], ["--fresh"], ["--set", "budget.calls=15"]):
            assert refused(bench.run(*extra), f"being run by process {os.getpid()} on ", "Wait for it")
        assert ledger.campaign("tiny").generation == 1
        assert ledger.campaign("tiny").config.budget.calls == 20
        assert ledger.campaign("tiny").config.rounds == 0
    ledger.close()


def test_a_campaign_that_changed_is_refused_and_names_what_changed(bench):
    assert bench.run("--set", "rounds=0").exit == DONE
    told = bench.run("--set", "seed=8", "--set", "batch_size=5")
    assert refused(told, "another configuration: batch_size, seed changed", "--fresh")
    bench.write_library(*LIBRARY_HEAD)
    changed = f"The file {bench.folder / 'library.csv'} was written since the campaign began"
    assert refused(bench.run(), "finished with other inputs", changed, "--fresh")
    assert len(bench.calls()) == 8


def test_a_campaign_begun_anew_buys_nothing_twice(bench):
    assert bench.run().exit == DONE
    bought, before = bench.calls(), bench.candidates()
    assert bench.run("--fresh").exit == DONE
    assert bench.calls() == bought
    assert [row | {"origin": "called"} for row in bench.candidates()] == before
    assert {row["origin"] for row in bench.candidates()} == {"reused"}
    assert bench.run("--fresh", "--set", "seed=8").exit == DONE
    assert len(bench.calls()) == len(set(bench.calls())) > 12


# -- Ctrl-C ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ctrl_c_in_the_middle_of_a_measurement_leaves_a_campaign_that_goes_on(bench, finished_bench):
    bench.write_config(rounds=2)
    bench.write_oracle(
        "__import__('time').sleep(600) if calls() == 10 and not LOG.with_name('licence').exists() else value(smiles)"
    )
    command = [sys.executable, "-m", "pipelines", "run", str(bench.file), "--plain"]
    with _started(command) as process:
        _wait(lambda: len(bench.calls()) == 10 or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED, err
    assert "Interrupted. Nothing measured is lost" in err
    assert "Traceback" not in out + err
    assert bench.state() == "interrupted"
    (bench.folder / "licence").touch()
    assert bench.run().exit == DONE
    assert bench.candidates() == _candidates(finished_bench, bench)
    assert bench.calls()[:10] == finished_bench.calls()[:10]
    assert bench.calls()[10:] == finished_bench.calls()[9:]  # the call that was broken off, and those after it


@contextmanager
def _started(command):
    """A process that does not outlive a test that fails."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait(happened):
    deadline = time.monotonic() + 150  # a whole interpreter starts first, perhaps on a busy machine
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _candidates(other, bench):
    """The candidates of a campaign in another workspace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISCOVER_HOME", str(other.home))
        return other.candidates()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_run_in_the_background_ignores_the_shells_ctrl_c_and_is_interrupted_by_sigterm(bench):
    """A shell without job control starts `discover run &` with SIGINT ignored: Ctrl-C is for what runs in front."""
    bench.write_config(rounds=0)
    bench.write_oracle(
        "__import__('os').kill(__import__('os').getppid(), 2) or value(smiles)"
        " if calls() < 4 else __import__('time').sleep(600)"
    )
    background = 'trap "" INT; exec "$@"'
    command = ["bash", "-c", background, "bash", sys.executable, "-m", "pipelines", "run", str(bench.file), "--plain"]
    with _started(command) as process:
        _wait(lambda: len(bench.calls()) == 4 or process.poll() is not None)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED, err
    assert "Interrupted. Nothing measured is lost" in err
    assert "Traceback" not in out + err
    assert bench.state() == "interrupted"
    assert sum(row["value"] is not None for row in bench.candidates()) == 3


# -- Modules of the user ---------------------------------------------------------------------------------------------


def test_modules_named_like_ours_and_files_beside_the_campaign_file_are_the_users(bench, tmp_path_factory, monkeypatch):
    files = {
        "models.py": "from tasks.mine import scale\nfrom rdkit import Chem\ndef heavy(s): return Chem.MolFromSmiles(s).GetNumAtoms()",
        "tasks/mine.py": "scale = float(open('factor.txt').read())",
        "tiny_oracle.py": "import models, data\ndef measure(ms): return [data.off + models.scale * models.heavy(s) for s in ms]",
        "data.py": "off = 0.5",
        "factor.txt": "2.0",
    }
    for name, text in files.items():
        (bench.folder / name).parent.mkdir(exist_ok=True)
        (bench.folder / name).write_text(text)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    bench.write_config(rounds=0)
    assert bench.run().exit == DONE
    from rdkit import Chem

    rows = bench.candidates()
    assert len(rows) == 8
    assert [row["value"] for row in rows] == [0.5 + 2 * Chem.MolFromSmiles(row["smiles"]).GetNumAtoms() for row in rows]


def test_a_module_that_cannot_be_imported_is_refused_before_anything_is_spent(bench):
    bench.write_config(rounds=0)
    (bench.folder / "tiny_oracle.py").write_text("import argparse\ntoken = input('token? ')\ndef measure(ms): ...")
    told = bench.run()
    assert refused(told, "'tiny_oracle'", str(bench.folder), "tiny_oracle.py line 2", "nobody can answer `input()`")
    assert "calls spent" not in told.message
    assert not bench.home.exists() or "no campaign" in bench.discover("status").message.lower()
    assert refused(bench.discover("validate", str(bench.file)), "tiny_oracle.py line 2")
    bench.write_oracle()
    assert bench.run().exit == DONE
    assert len(bench.calls()) == 8
