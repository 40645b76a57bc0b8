"""The table of a batch belongs to people once they have changed it: no command takes their values or notes away."""

import csv
import os

import pytest

from tasks.oracles.asked_file import remove_tables, write_table

DONE, STOPPED = 0, 3
OBJECTIVES = [{"name": "yield", "oracle": {"kind": "laboratory", "outputs": {"yield": "%"}, "cost": 120}}]


@pytest.fixture
def lab(bench):
    """A campaign that has asked for eight molecules."""
    bench.write_config(name="lab", objectives=OBJECTIVES, budget={"cost": 2400.0})
    assert bench.run().exit == STOPPED
    return bench


def table(bench, round=0, name="asked.csv"):
    return bench.home / "campaigns" / "lab" / f"round-{round:03d}" / name


def rows_of(file):
    return list(csv.DictReader(file.read_text().splitlines()))


def fill(file, lines, note="ok"):
    """Type values and notes into the first lines of a table, as somebody with a spreadsheet does."""
    rows = rows_of(file)
    for number, row in enumerate(rows[:lines]):
        row |= {"yield [%]": 10 + number, "note": note}
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, [*rows[0]], extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)
    return file.read_bytes()


def other_file(bench, rows):
    file = bench.folder / "two.csv"
    file.write_text("id,yield\n" + "".join(f"{row['id']},{10 + number}\n" for number, row in enumerate(rows)))
    return str(file)


def test_a_table_that_nobody_changed_follows_what_is_asked_and_goes_with_the_last_answer(lab):
    rows = rows_of(table(lab))
    lab.discover("tell", "lab", other_file(lab, rows[:3]))
    assert [row["id"] for row in rows_of(table(lab))] == [row["id"] for row in rows[3:]]
    lab.discover("tell", "lab", other_file(lab, rows))
    assert not table(lab).exists()


def test_a_run_leaves_values_and_notes_that_were_typed_into_the_table_and_says_how_they_count(lab):
    typed = fill(table(lab), 6)
    told = lab.run()
    assert table(lab).read_bytes() == typed
    assert "was changed since it was written, so it stays as it is" in told.message
    assert "6 lines of it have values that nobody has told yet: `discover tell lab" in told.message
    assert "6 answers taken" in lab.discover("tell", "lab", str(table(lab))).message
    assert table(lab).read_bytes() == typed


def test_telling_another_file_leaves_the_values_that_were_typed_into_the_table(lab):
    rows = rows_of(table(lab))
    typed = fill(table(lab), 6)
    told = lab.discover("tell", "lab", other_file(lab, rows[:2])).message
    assert "2 answers taken" in told
    assert "4 lines of it have values that nobody has told yet" in told
    assert table(lab).read_bytes() == typed
    assert "4 answers taken; 2 known already" in lab.discover("tell", "lab", str(table(lab))).message


def test_values_in_the_table_that_contradict_what_was_told_are_refused_and_stay_there(lab):
    rows = rows_of(table(lab))
    typed = fill(table(lab), 6)
    lab.discover("tell", "lab", other_file(lab, rows[1:2]))  # 10 here, 11 there
    refused = lab.discover("tell", "lab", str(table(lab)))
    assert "it is known already, as yield 10.00" in refused.message
    assert table(lab).read_bytes() == typed


def test_the_table_stays_with_its_notes_when_every_answer_is_told_and_the_next_round_has_its_own(lab):
    typed = fill(table(lab), 8, note="crystals, sent to analytics")
    lab.discover("tell", "lab", str(table(lab)))
    assert "Round 1: 0 of 4" in lab.run().message
    assert table(lab).read_bytes() == typed
    assert len(rows_of(table(lab, 1))) == 4


def test_what_a_changed_table_does_not_list_is_written_beside_it(lab):
    rows = rows_of(table(lab))
    table(lab).write_text(f"id,yield,note\n{rows[0]['id']},,dissolves badly\n")
    told = lab.run().message
    assert "asked-2.csv. Fill in the values" in told
    assert "dissolves badly" in table(lab).read_text()
    assert [row["id"] for row in rows_of(table(lab, name="asked-2.csv"))] == [row["id"] for row in rows]
    lab.discover("tell", "lab", other_file(lab, rows[:5]))  # the second one is still the program's
    assert len(rows_of(table(lab, name="asked-2.csv"))) == 3
    assert not table(lab, name="asked-3.csv").exists()
    typed = fill(table(lab, name="asked-2.csv"), 3)
    lab.discover("tell", "lab", str(table(lab, name="asked-2.csv")))
    assert table(lab, name="asked-2.csv").read_bytes() == typed


def test_values_in_the_table_are_named_where_a_round_goes_on_without_them(lab, caplog):
    rows = rows_of(table(lab))
    fill(table(lab), 8)
    lab.discover("tell", "lab", other_file(lab, rows[:6]))
    told = lab.run("--set", "wait_for=0.7")
    assert "Round 1: 0 of 4" in told.message
    assert "2 lines of it have values that nobody has told yet" in told.message + caplog.text


def test_a_campaign_that_is_begun_anew_or_deleted_leaves_the_table_that_somebody_filled_in(lab):
    typed = fill(table(lab), 3)
    lab.run("--fresh")
    assert table(lab).read_bytes() == typed
    told = lab.discover("delete", "lab", "--measurements", "--yes").message
    kept = lab.home / "filled-in" / "lab-round-000-asked.csv"
    assert str(kept) in told
    assert kept.read_bytes() == typed
    assert list(kept.parent.iterdir()) == [kept]  # the one of the second generation was nobody's
    assert not table(lab).parent.exists()


def test_a_table_of_an_earlier_program_that_nobody_changed_is_rewritten(lab):
    (table(lab).parent / ".asked.sha256").unlink()
    rows = rows_of(table(lab))
    lab.run()
    lab.discover("tell", "lab", other_file(lab, rows[:3]))
    assert len(rows_of(table(lab))) == 5


def test_a_note_below_the_table_is_no_value_and_is_passed_over(lab):
    fill(table(lab), 2)
    with table(lab).open("a") as file:
        file.write("# my note\n# dried, then weighed\n")
    assert "2 lines of it have values that nobody has told yet" in lab.run().message
    told = lab.discover("tell", "lab", str(table(lab))).message
    assert "2 answers taken" in told
    assert "Notes were passed over: lines 10, 11 begin with '#'." in told
    assert "nobody has told yet" not in lab.run().message


def test_a_line_that_cannot_be_read_is_not_called_a_value(lab):
    with table(lab).open("a") as file:
        file.write("weighed twice\n")
    told = lab.run().message
    assert "nobody has told yet" not in told
    assert "1 line of it cannot be read: `discover tell lab" in told


@pytest.mark.parametrize(
    ("put", "kept"),
    [
        ("round-000/results.csv", "lab-round-000-results.csv"),
        ("round-000/Asked.csv", "lab-round-000-Asked.csv"),
        ("round-000/asked.xlsx", "lab-round-000-asked.xlsx"),
        ("asked-mine.csv", "lab-asked-mine.csv"),
    ],
)
def test_deleting_keeps_a_filled_table_under_whatever_name(lab, put, kept):
    typed = fill(table(lab), 3)
    folder = table(lab).parent.parent
    os.rename(table(lab), folder / put)
    told = lab.discover("delete", "lab", "--measurements", "--yes").message
    file = lab.home / "filled-in" / kept
    assert file.read_bytes() == typed
    assert str(file) in told
    assert list(file.parent.iterdir()) == [file]
    assert not folder.exists()


def test_deleting_a_campaign_whose_files_nobody_touched_keeps_none(lab):
    assert lab.discover("delete", "lab", "--measurements", "--yes").exit == DONE
    assert not table(lab).parent.exists()
    assert not (lab.home / "filled-in").exists()


FIRST, SECOND, TYPED = b"id,yield\none,\ntwo,\n", b"id,yield\ntwo,\n", b"id,yield\none,42\n"


@pytest.fixture
def folder(tmp_path):
    """The folder of a round with a table that nobody has changed."""
    write_table(tmp_path, FIRST, {"one": 1, "two": 1})
    return tmp_path


def saved_by_somebody(monkeypatch, file, call, content=TYPED):
    """Have somebody save a table just before the program does a thing that it has decided on."""
    does = getattr(os, call)

    def after_saving(*args, **options):
        monkeypatch.setattr(os, call, does)
        saved = file.with_name("saved")
        saved.write_bytes(content)
        os.replace(saved, file)
        return does(*args, **options)

    monkeypatch.setattr(os, call, after_saving)


@pytest.mark.parametrize("call", ["rename", "link"])
def test_a_table_that_is_saved_while_another_is_written_stays_and_the_other_has_the_next_name(
    folder, monkeypatch, call
):
    saved_by_somebody(monkeypatch, folder / "asked.csv", call)
    write_table(folder, SECOND, {"two": 1})
    assert (folder / "asked.csv").read_bytes() == TYPED
    assert (folder / "asked-2.csv").read_bytes() == SECOND
    assert sorted(file.name for file in folder.iterdir()) == [".asked.sha256", "asked-2.csv", "asked.csv"]


def test_a_table_that_is_saved_meanwhile_and_lists_all_has_none_beside_it(folder, monkeypatch):
    full = b"id,yield\none,\ntwo,7\n"
    saved_by_somebody(monkeypatch, folder / "asked.csv", "rename", full)
    write_table(folder, SECOND, {"two": 1})
    assert [file.read_bytes() for file in folder.glob("*.csv")] == [full]


def test_a_table_that_is_saved_while_it_is_removed_stays(folder, monkeypatch):
    saved_by_somebody(monkeypatch, folder / "asked.csv", "rename")
    remove_tables(folder)
    assert (folder / "asked.csv").read_bytes() == TYPED


def test_two_tables_that_are_saved_one_after_the_other_both_stay(folder, monkeypatch):
    saved_by_somebody(monkeypatch, folder / "asked.csv", "link", b"id,yield\none,43\n")
    saved_by_somebody(monkeypatch, folder / "asked.csv", "rename")
    remove_tables(folder)
    assert {file.read_bytes() for file in folder.glob("*.csv")} == {TYPED, b"id,yield\none,43\n"}


def test_nothing_is_overwritten_on_a_file_system_without_hard_links(folder, monkeypatch):
    def refused(*_args, **_options):
        raise PermissionError("no hard links")

    monkeypatch.setattr(os, "link", refused)
    saved_by_somebody(monkeypatch, folder / "asked.csv", "rename")
    write_table(folder, SECOND, {"two": 1})
    assert (folder / "asked.csv").read_bytes() == TYPED
    assert (folder / "asked-2.csv").read_bytes() == SECOND


def test_a_table_that_a_broken_off_command_had_moved_aside_comes_back(folder):
    (folder / ".asked.csv.4711.aside").write_bytes(TYPED)
    remove_tables(folder)
    assert [file.read_bytes() for file in folder.glob("*.csv")] == [TYPED]
