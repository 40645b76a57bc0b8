"""A program as an oracle: what it is given, what it may answer, and what happens when it does not."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from models.registry import ComponentError, build

LENGTHS = """
import sys
lines = [line.split() for line in sys.stdin]
print("smiles,key,value")
for smiles, key in lines:
    print(f"{smiles},{key},{len(smiles)}")
"""


def oracle(folder, code, *arguments, **options):
    (folder / "program.py").write_text(textwrap.dedent(code))
    command = ["{python}", "program.py", *arguments]
    return build("oracle", {"kind": "command", "command": command, "folder": str(folder), "wait": 0, **options})


def ask(made, *molecules):
    measurements = list(made.evaluate(molecules, keys=[f"key-{i}" for i in range(len(molecules))]))
    assert [m.smiles for m in measurements] == list(molecules)
    return measurements


def errors(made, *molecules):
    return [m.error for m in ask(made, *molecules)]


def values(made, *molecules):
    return [m.value for m in ask(made, *molecules)]


def test_molecules_go_in_and_values_come_out_in_order(tmp_path):
    assert values(oracle(tmp_path, LENGTHS, input="smiles_key"), "C", "CCC", "CC") == [1.0, 3.0, 2.0]


def test_keys_are_passed_as_names_and_may_tell_the_rows_apart(tmp_path):
    code = LENGTHS.replace("in lines:", "in reversed(lines):")
    assert values(oracle(tmp_path, code, match="key"), "C", "CCC") == [1.0, 3.0]


@pytest.mark.parametrize("place", ["standard input", "{input}"])
@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({}, ["C", "CCO"]),
        ({"input": "smiles_key"}, ["C key-0", "CCO key-1"]),
        ({"semantics": "idempotent"}, ["C key-0", "CCO key-1"]),
        ({"semantics": "unsafe"}, ["C key-0", "CCO key-1"]),
        ({"semantics": "unsafe", "input": "smiles"}, ["C", "CCO"]),
    ],
)
def test_a_line_of_input_is_the_smiles_alone_unless_the_key_is_needed(tmp_path, place, options, lines):
    code = "import sys; open('seen', 'w').write((open(sys.argv[1]) if sys.argv[1:] else sys.stdin).read())"
    code += "; print('value\\n1\\n1')"
    ask(oracle(tmp_path, code, *(["{input}"] if place == "{input}" else []), match="order", **options), "C", "CCO")
    assert (tmp_path / "seen").read_text().splitlines() == lines


def test_a_program_that_takes_its_whole_line_for_the_molecule_is_right_or_refused(tmp_path):
    code = "import sys\nprint('smiles,value')\nfor line in sys.stdin: print(f'{line.strip()},{line.count(\"C\")}')"
    assert values(oracle(tmp_path, code), "C", "CCO") == [1.0, 2.0]
    for options in ({"input": "smiles_key"}, {"input": "smiles_key", "match": "order"}):
        measurements = ask(oracle(tmp_path, code, **options), "C", "CCO")
        assert [(m.value, m.error) for m in measurements] == [(None, "wrong_answer")] * 2
        assert "'C key-0' as a SMILES in line 2" in measurements[0].message
        assert "`input: object`" in measurements[0].message


def test_keys_are_matched_only_where_they_were_given(tmp_path):
    with pytest.raises(ComponentError, match="needs the keys"):
        oracle(tmp_path, LENGTHS, match="key", input="smiles")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["dock", "{inptu}"], "Did you mean {input}?"),
        (["dock", "--out={outputs}"], "Did you mean {output}?"),
        (["{Python}", "dock.py"], "Did you mean {python}?"),
        (["dock", "{smiles}"], "a command has {python}, {input}, {output}"),
    ],
)
def test_a_place_that_nothing_takes_is_refused(words, told):
    with pytest.raises(ComponentError) as refused:
        build("oracle", {"kind": "command", "command": words})
    assert told in str(refused.value)


def test_braces_of_the_programs_own_stay():
    words = ("awk", "{print $1}", "bash", "-c", "cat {input} ${HOME}", "python", "-c", "print(f'{x}')")
    assert build("oracle", {"kind": "command", "command": words}).options.command == words


def test_what_a_line_holds_is_of_the_identity(tmp_path):
    def identity(**options):
        return build("oracle", {"kind": "command", "command": "cat", **options}).identity(tmp_path)

    assert identity() == identity(input="smiles") != identity(input="smiles_key")
    assert identity(match="key") == identity(match="key", input="smiles_key")


def test_rows_are_matched_by_molecule_however_the_program_writes_it(tmp_path):
    code = """
    print("smiles,value")
    print("OCC,7")
    print("O,5")
    """
    assert values(oracle(tmp_path, code), "O", "CCO") == [5.0, 7.0]


def test_files_take_the_place_of_the_streams(tmp_path):
    code = """
    import sys
    with open(sys.argv[1]) as given, open(sys.argv[2], "w") as answer:
        answer.write("value\\n" + "".join(f"{len(line.split()[0])}\\n" for line in given))
    print("a log that is no table")
    """
    assert values(oracle(tmp_path, code, "{input}", "{output}", match="order"), "CC", "C") == [2.0, 1.0]


def test_a_line_of_text_is_a_command():
    made = build("oracle", {"kind": "command", "command": "./dock.sh 'two words' {input}"})
    assert made.options.command == ("./dock.sh", "two words", "{input}")


def test_a_command_that_fails_has_its_standard_error_in_the_message(tmp_path):
    code = "import sys; print('smiles,value'); print('C,1'); sys.exit('the licence server is away')"
    (measurement,) = ask(oracle(tmp_path, code), "C")
    assert measurement.error == "exit_code"
    assert "exit code 1" in measurement.message
    assert "the licence server is away" in measurement.message


def test_one_bad_molecule_of_a_pure_call_costs_only_itself(tmp_path):
    code = "import sys\ntext = sys.stdin.read()\nassert 'N' not in text\nprint('value')\n" + (
        "for line in text.splitlines(): print(len(line.split()[0]))"
    )
    assert errors(oracle(tmp_path, code, match="order"), "C", "N", "CC") == [None, "exit_code", None]


def test_rubbish_is_a_failure_that_shows_it(tmp_path):
    (measurement,) = ask(oracle(tmp_path, "print('Segmentation fault, or so it seems')"), "C")
    assert measurement.error == "wrong_answer"
    assert "Segmentation fault, or so it seems" in measurement.message
    (nothing,) = ask(oracle(tmp_path, ""), "C")
    assert "it wrote nothing" in nothing.message
    (binary,) = ask(oracle(tmp_path, "import sys; sys.stdout.buffer.write(bytes(range(256)))"), "C")
    assert binary.error == "wrong_answer"


def test_molecules_without_a_row_a_number_or_a_finite_one_fail_alone(tmp_path):
    code = """
    print("smiles,value")
    for row in ("C,1", "CC,nan", "CCC,high", "CCCC,", "CCCCC,inf", "CCO,1", "CCO,2"):
        print(row)
    """
    molecules = ("C", "CC", "CCC", "CCCC", "CCCCC", "CCCCCC", "CCO")
    expected = [None, "not_finite", "wrong_answer", "wrong_answer", "not_finite", "wrong_answer", "wrong_answer"]
    assert errors(oracle(tmp_path, code), *molecules) == expected


def test_too_few_rows_in_order_are_nobodys(tmp_path):
    made = oracle(tmp_path, "print('value'); print(1)", match="order", semantics="idempotent")
    assert errors(made, "C", "CC") == ["wrong_answer", "wrong_answer"]


def test_a_failed_call_is_made_again(tmp_path):
    code = """
    from pathlib import Path
    tries = Path("tries")
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    assert len(tries.read_text()) == 3
    print("smiles,value"); print("C,4")
    """
    assert values(oracle(tmp_path, code, retries=2), "C") == [4.0]
    (measurement,) = ask(oracle(tmp_path, code, retries=1, semantics="idempotent"), "C")
    assert "(tried 2 times)" in measurement.message


def test_an_oracle_that_must_not_be_called_twice_is_not(tmp_path):
    code = "open('calls', 'a').write('x'); raise SystemExit(3)"
    assert errors(oracle(tmp_path, code, semantics="unsafe"), "C", "CC") == ["exit_code", "exit_code"]
    assert (tmp_path / "calls").read_text() == "x"
    with pytest.raises(ComponentError, match="never called twice"):
        oracle(tmp_path, code, semantics="unsafe", retries=1)


def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path):
    code = """
    import subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open("child", "w").write(str(child.pid))
    print("still here", file=sys.stderr, flush=True)
    time.sleep(600)
    """
    started = time.monotonic()
    (measurement,) = ask(oracle(tmp_path, code, timeout=2), "C")
    assert measurement.error == "timeout"
    assert "within 2 s" in measurement.message
    assert "still here" in measurement.message
    assert time.monotonic() - started < 30
    assert _ended(int((tmp_path / "child").read_text()))


def test_what_a_command_leaves_in_the_background_ends_with_it(tmp_path):
    code = """
    import subprocess, sys
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open("child", "w").write(str(child.pid))
    print("smiles,value"); print("C,1")
    """
    assert values(oracle(tmp_path, code), "C") == [1.0]
    assert _ended(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize("rows", [0, 20_000])
def test_a_daemon_that_keeps_the_streams_open_does_not_cost_the_answer(tmp_path, rows):
    """With many rows more than a pipe holds at once: nothing of them is lost at the end."""
    code = f"""
    import subprocess, sys
    print("smiles,value")
    for row in range({rows}): print(f"O,{{2 + 0 * row}}")
    print("C,1", flush=True)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    open("child", "w").write(str(child.pid))
    """
    made = oracle(tmp_path, code, timeout=30)
    started = time.monotonic()
    try:
        (measurement,) = ask(made, "C")
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
    assert measurement.value == 1.0, measurement.message
    assert time.monotonic() - started < 20


def test_a_command_does_not_outlive_a_killed_caller(tmp_path):
    (tmp_path / "program.py").write_text("import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)")
    code = f"""
from models.registry import build
made = build("oracle", {{"kind": "command", "command": ["{{python}}", "program.py"], "folder": {str(tmp_path)!r}}})
list(made.evaluate(["C"], keys=["a"]))
"""
    caller = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 40
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        assert caller.poll() is None
        time.sleep(0.05)
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    assert _ended(int((tmp_path / "pid").read_text()))


def _ended(pid):
    try:
        psutil.Process(pid).wait(timeout=10)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_output_without_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("models.oracles.subprocesses.LARGEST_OUTPUT", 100_000)
    (measurement,) = ask(oracle(tmp_path, "while True: print('x' * 1000)"), "C")
    assert measurement.error == "crashed"
    assert "standard output" in measurement.message


def test_a_missing_program_is_told_before_anything_is_bought(tmp_path):
    def checked(command, folder=tmp_path):
        build("oracle", {"kind": "command", "command": command, "folder": str(folder)}).check()

    checked("{python} program.py")
    with pytest.raises(ComponentError, match="no program 'no-such-program' on the PATH"):
        checked("no-such-program")
    with pytest.raises(ComponentError, match="There is no program"):
        checked("./dock.sh")
    (tmp_path / "dock.sh").write_text("#!/bin/sh\n")
    with pytest.raises(ComponentError, match="is not executable"):
        checked("./dock.sh")
    with pytest.raises(ComponentError, match=r"write \./dock\.sh"):
        checked("dock.sh")
    with pytest.raises(ComponentError, match="There is no folder"):
        checked("{python}", tmp_path / "nowhere")


def test_a_program_that_cannot_be_started_is_a_failure_of_each_molecule(tmp_path):
    (tmp_path / "broken").write_bytes(b"\x7fELF rubbish")
    (tmp_path / "broken").chmod(0o755)
    made = build("oracle", {"kind": "command", "command": "./broken", "folder": str(tmp_path), "wait": 0})
    assert errors(made, "C", "CC") == ["not_started", "not_started"]


def test_config_round_trip_and_version():
    made = build("oracle", {"kind": "command", "command": "dock {input}", "version": "2", "folder": "here"})
    assert build("oracle", made.config()).config() == made.config()
    assert (made.label, made.version) == ("command:dock '{input}'", "2")
    assert made.options.folder == Path("here")
