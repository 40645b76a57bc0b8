"""The process of a user's function: their folder comes first, ours are not there, and nothing they do loses an answer."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from models.oracles.python_function import PythonFunction
from tasks.oracles.pool import OraclePool, OracleStartError

MOLECULES = ["C", "CCO", "c1ccccc1"]
LENGTHS = [1.0, 3.0, 8.0]
ROOT = Path(__file__).resolve().parents[3]


def run(folder, function, molecules=MOLECULES, *, chunk=3, workers=1, **options):
    results = {}
    config = {"kind": "python", "function": function, "chunk": chunk, "timeout": 20, **options}
    with OraclePool(config, workers=workers, search_path=[folder]) as pool:
        pool.run([(s, s) for s in molecules], lambda keys: None, results.__setitem__)
    return [results[s] for s in molecules]


def values(folder, function, molecules=MOLECULES, **options):
    measurements = run(folder, function, molecules, **options)
    assert [m.message for m in measurements if m.error] == []
    return [m.value for m in measurements]


def write(folder, **files):
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


# -- What people write: each file with the values that it must give, from any working directory -----------------------

ONES = "def measure(ms): return [1.0 for s in ms]"
COUNTS = "def measure(ms): return [float(len(s)) for s in ms]"

PEOPLE = {
    "aio": """
        import asyncio
        async def one(s): return float(len(s))
        async def go(ms): return list(await asyncio.gather(*[one(s) for s in ms]))
        def measure(ms): return asyncio.run(go(ms))
        """,
    "alarm": """
        import signal
        def measure(ms):
            signal.alarm(1)
            import time; time.sleep(0.01); signal.alarm(0)
            return [float(len(s)) for s in ms]
        """,
    "argp": "import argparse\nap = argparse.ArgumentParser(); ap.add_argument('--x'); A = ap.parse_args()\n" + COUNTS,
    "env": 'import os\nV = os.environ["MY_LICENSE"]\n' + COUNTS,
    "fork_both": """
        import os
        def measure(ms):
            pid = os.fork()
            if pid == 0: return [float(len(s)) for s in ms]
            os.waitpid(pid, 0)
            return [float(len(s)) for s in ms]
        """,
    "forks": """
        import os
        def measure(ms):
            if os.fork() == 0: os._exit(0)
            return [float(len(s)) for s in ms]
        """,
    "forks_on_import": "import os\nos.fork()\n" + COUNTS,
    "mp_fork": """
        import multiprocessing as mp
        def one(s): return float(len(s))
        def measure(ms):
            with mp.get_context("fork").Pool(2) as p: return p.map(one, ms)
        """,
    "mp_spawn": """
        import multiprocessing as mp
        from models import scale  # their own, in the fresh interpreter too
        def one(s): return scale * len(s)
        def measure(ms):
            with mp.get_context("spawn").Pool(2) as p: return p.map(one, ms)
        """,
    "mp_forkserver": """
        import multiprocessing as mp
        def one(s):
            from models import scale
            return scale * len(s)
        def measure(ms):
            with mp.get_context("forkserver").Pool(1) as p: return p.map(one, ms)
        """,
    "mp_ppe": """
        from concurrent.futures import ProcessPoolExecutor
        def one(s): return float(len(s))
        def measure(ms):
            with ProcessPoolExecutor(2) as p: return list(p.map(one, ms))
        """,
    "pkg.score": "from .util import helper\ndef measure(ms): return [helper(s) for s in ms]",
    "prints": r"""
        import os, sys, subprocess
        print("hello on import")
        def measure(ms):
            print("progress 100%|####|"); os.write(1, b"raw bytes \xff\n"); sys.stderr.write("err\n")
            subprocess.run(["echo", '{"call": 0, "value": 9}']); sys.__stdout__.write("x\n"); sys.__stdout__.flush()
            return [float(len(s)) for s in ms]
        """,
    "reads_file": """
        def measure(ms):
            f = float(open("factor.txt").read())
            return [f * len(s) for s in ms]
        """,
    "reads_file2": """
        from pathlib import Path
        def measure(ms):
            f = float((Path(__file__).parent / "factor.txt").read_text())
            return [f * len(s) for s in ms]
        """,
    "runs_a_script": """
        import subprocess, sys
        def measure(ms):
            return [float(subprocess.check_output([sys.executable, "script.py", s])) for s in ms]
        """,
    "uses_models": "from models import measure as m\ndef measure(ms): return m(ms)",
    "uses_models_later": "def measure(ms):\n    from models import measure as m\n    return m(ms)",
    "uses_tasks": "import tasks.mine\ndef measure(ms): return tasks.mine.measure(ms)",
    "uses_a_folder_without_init": "def measure(ms):\n    from pipelines.mine import measure as m\n    return m(ms)",
    "uses_utils": "import utils\ndef measure(ms): return utils.measure(ms)",
    "models": ONES + "\nscale = 1.0\n",
    "data": ONES,
    "utils": ONES,
    "tasks.mine": ONES,
    "pipelines.mine": ONES,
}
"""Module -> source, of `measure(molecules)`."""

OF_ONES = {"models", "data", "utils", "tasks.mine", "pipelines.mine"} | {n for n in PEOPLE if n.startswith("uses_")}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A campaign folder of many modules; the working directory is another."""
    folder = tmp_path / "people's folder"
    write(folder, **{name.replace(".", "__"): text for name, text in PEOPLE.items()})
    write(folder, pkg____init__="", tasks____init__="", pkg__util="def helper(s): return float(len(s))")
    for package in ("pkg", "tasks"):
        (folder / package / "__init__.py").write_text("")
    (folder / "factor.txt").write_text("2.0\n")
    (folder / "script.py").write_text("import sys, data\nprint(len(sys.argv[1]))\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("MY_LICENSE", "42")
    return folder


@pytest.mark.parametrize("module", PEOPLE)
def test_a_module_beside_the_campaign_file_gives_its_values(folder, module):
    expected = [1.0] * 3 if module in OF_ONES else [2 * n for n in LENGTHS] if module.startswith("reads") else LENGTHS
    assert values(folder, f"{module}:measure") == expected
    assert values(folder, f"{module}:measure", chunk=1, workers=2) == expected


@pytest.mark.parametrize(
    ("module", "source", "words"),
    [
        ("inp", 'x = input("token? ")', ["EOFError", "nobody can answer `input()`", "inp.py line 1"]),
        ("env", PEOPLE["env"], ["KeyError: 'MY_LICENSE'", "env.py line 2", 'V = os.environ["MY_LICENSE"]']),
        ("slip", "x = 1\ndef f(:\n  pass", ["SyntaxError", "slip.py line 2: def f(:"]),
        ("leaves", "import sys\nsys.exit('no licence')", ["SystemExit: no licence", "leaves.py line 2"]),
        ("breaks", "import lib", ["ZeroDivisionError", "lib.py line 2 `y = 1 / 0`"]),
        (
            "lacks",
            "import data",
            ["No module named 'data'", "lacks.py line 1", "of discovery-flows is not for oracles"],
        ),
        ("models", None, ["There is no module 'models'", "models.py beside the campaign file"]),
        ("tasks.measure", None, ["There is no module 'tasks.measure'"]),
        ("randon", None, ["There is no module 'randon'", "Did you mean 'random'?"]),
        ("random", ONES, ["name of a module of Python itself", "Rename it"]),
        ("quits", "import os\nprint('so long')\nos._exit(4)", ["exit code 4", "so long"]),
        ("hostile", "class E(Exception):\n  def __str__(self): raise E\nraise E", ["E (hostile.py line 3 `raise E`)"]),
    ],
)
def test_what_cannot_be_imported_is_refused_with_folder_module_and_line(tmp_path, monkeypatch, module, source, words):
    monkeypatch.delenv("MY_LICENSE", raising=False)
    write(tmp_path, lib="x = 1\ny = 1 / 0", random=ONES)
    if source is not None:
        write(tmp_path, **{module: source})
    with pytest.raises(OracleStartError) as refused:
        run(tmp_path, f"{module}:measure")
    told = str(refused.value)
    for word in words:
        assert word in told
    if module != "quits":
        assert f"in {tmp_path}" in told
        assert repr(module) in told
    assert "\n" not in told


def test_a_folder_that_is_gone_is_named(tmp_path):
    with pytest.raises(OracleStartError, match=r"cannot be entered.*nowhere"):
        run(tmp_path / "nowhere", "m:f")


def test_no_package_of_ours_is_in_the_process(tmp_path):
    write(
        tmp_path,
        spy="""
        import sys
        def measure(ms):
            names = {name.partition(".")[0] for name in sys.modules}
            return [float(len(names & {"models", "data", "tasks", "pipelines", "torch", "rdkit", "pydantic"}))] * len(ms)
        """,
    )
    assert values(tmp_path, "spy:measure") == [0.0] * 3


def test_two_folders_with_the_same_names_never_share_a_module(tmp_path):
    for place, value in (("A", 1.0), ("B", 2.0)):
        write(tmp_path / place, m="import shared\ndef f(ms): return [shared.x] * len(ms)", shared=f"x = {value}")
    assert [values(tmp_path / place, "m:f") for place in "ABA"] == [[1.0] * 3, [2.0] * 3, [1.0] * 3]


def test_two_folders_never_share_a_module_in_one_process_either(tmp_path):
    for place, value in (("A", 1.0), ("B", 2.0)):
        write(tmp_path / place, same_m="import same_shared as s\ndef f(ms): return [s.x] * len(ms)")
        write(tmp_path / place, same_shared=f"x = {value}")
    answered = []
    for place in "ABA":
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(tmp_path / place)
            answered += [m.value for m in PythonFunction(function="same_m:f").evaluate(["C"], keys=["k"])]
    for name in ("same_m", "same_shared"):
        sys.modules.pop(name)
    assert answered == [1.0, 2.0, 1.0]


@pytest.mark.parametrize("layout", ["on the path", "a finder", "beside the libraries"])
def test_their_modules_are_theirs_however_ours_are_installed(tmp_path, layout):
    """A copy of ours with a marker in it, found by a path entry, by a finder as setuptools makes them, or installed."""
    place = tmp_path / ("lib" if layout == "on the path" else "site-packages")
    worker = place / "models" / "oracles" / "function_worker.py"
    worker.parent.mkdir(parents=True)
    for name in ("function_worker.py", "function_answers.py"):
        shutil.copy(PythonFunction.worker.with_name(name), worker.with_name(name))
    for name in ("models", "data", "tasks", "pipelines"):
        (place / name).mkdir(exist_ok=True)
        (place / name / "__init__.py").write_text("raise RuntimeError('ours was imported')")
    (place / "library_beside.py").write_text("x = 5.0")
    site = tmp_path / "hook"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        f"""
import sys
from importlib.util import spec_from_file_location
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("models", "data", "tasks", "pipelines"):
            return spec_from_file_location(name, {str(place)!r} + f"/{{name}}/__init__.py")
if {layout == "a finder"}:
    sys.meta_path.append(Finder)
"""
    )
    theirs = tmp_path / "theirs"
    write(
        theirs, m="import models, data.x\nfrom tasks import y\ndef f(ms): return [models.x + data.x.x + y.x] * len(ms)"
    )
    write(theirs, models="x = 1.0", data__x="x = 1.0", tasks__y="x = 1.0")  # two of them folders without __init__.py
    write(theirs, lacks="import pipelines\ndef f(ms): ...", also="import library_beside as b\ndef f(ms): return [b.x]")
    paths = [site] if layout == "a finder" else [site, place]

    def told(function):
        start = json.dumps({"oracle": {"function": function}, "search_path": [str(theirs)]})
        call = json.dumps({"call": 1, "keys": ["k"], "objects": ["C"]})
        done = subprocess.run(
            [sys.executable, "-P", str(worker), str(os.getpid())],
            input=f"{start}\n{call}\n",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
            capture_output=True,
            text=True,
            timeout=30,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    assert told("m:f")[1]["value"] == 3.0
    assert "No module named 'pipelines'" in told("lacks:f")[0]["error"]
    if layout != "a finder":
        assert told("also:f")[1]["value"] == 5.0


# -- What a function may do to its process -----------------------------------------------------------------------------

DOINGS = {
    "leaves": ("import sys; sys.exit(3)", "raised", "SystemExit: 3 (m.py line "),
    "interrupts": ("raise KeyboardInterrupt", "raised", "KeyboardInterrupt (m.py line "),
    "own_base": ("raise type('Stop', (BaseException,), {})('x')", "raised", "Stop: x"),
    "asks": ("input('token? ')", "raised", "nobody can answer `input()`"),
    "quits": ("os._exit(7)", "crashed", "exit code 7"),
    "quits_well": ("os._exit(0)", "crashed", "exit code 0"),
    "quits_with_a_child": ("os.fork() or time.sleep(600); os._exit(7)", "crashed", "exit code 7"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "crashed", "SIGSEGV"),
    "aborts": ("os.abort()", "crashed", "SIGABRT"),
    "is_killed": ("os.kill(os.getpid(), 9)", "crashed", "SIGKILL"),
    "closes_everything": ("os.closerange(0, 256)", "crashed", "The process "),
    "closes_everything_and_waits": ("os.closerange(0, 256); time.sleep(600)", "crashed", "closed the descriptor"),
    "hangs": ("time.sleep(600)", "timeout", "within 1 s"),
    "hangs_deaf": (
        "import signal; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; time.sleep(600)",
        "timeout",
        "",
    ),
    "recurses": ("(lambda f: f(f))(lambda f: f(f))", "raised", "RecursionError"),
    "long_words": ("raise ValueError('a' * 5_000_000 + 'z')", "raised", "zz" * 0 + " [...] "),
    "odd_words": (
        r"raise ValueError('nul \0 half \udc80 bell \a esc \x1b[31m end')",
        "raised",
        "nul \ufffd half \ufffd",
    ),
    "odd_error": ("raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})()", "raised", "E (m.py line "),
    "forges_brackets": (r"os.write(4, b'[' * 99_999 + b'\n')", "crashed", "sent what is no answer"),
    "forges_seconds": (
        r"""os.write(4, b'{"call": 2, "value": 1, "error": null, "message": "", "seconds": 1' + b'0' * 3000 + b'}\n')""",
        "crashed",
        "sent what is no answer",
    ),
    "forges_a_class": (
        r"""os.write(4, b'{"call": 2, "value": null, "error": 5, "message": "", "seconds": 1}\n')""",
        "crashed",
        "expected a number and a class of failure",
    ),
    "odd_last_words": (r"os.write(2, b'\0\xff\x1b' * 9); os._exit(1)", "crashed", "exit code 1"),
}


@pytest.mark.parametrize("name", DOINGS)
def test_what_a_function_does_to_its_process_costs_one_row(tmp_path, name):
    doing, error, words = DOINGS[name]
    write(
        tmp_path,
        m=f"import os, sys, time\ndef measure(ms):\n    if 'N' in ms:\n        {doing}\n    return [float(len(s)) for s in ms]",
    )
    before, bad, after = run(
        tmp_path, "m:measure", ["CC", "N", "CCC"], chunk=1, timeout=1 if error == "timeout" else 20
    )
    assert (before.value, after.value) == (2.0, 3.0)
    assert (bad.value, bad.error) == (None, error)
    assert words in bad.message
    assert len(bad.message) <= 2200
    bad.message.encode()
    assert not set(bad.message) & set("\0\a\x1b")


CHANGES = {
    "closes_stdout": "sys.stdout.close(); os.close(1)",
    "closes_stderr": "sys.stderr.close(); os.close(2)",
    "replaces_stdout": "sys.stdout = None",
    "changes_directory": "os.chdir('/')",
    "forgets_an_alarm": "__import__('signal').setitimer(0, 0.2)",
    "leaves_a_thread": "__import__('threading').Thread(target=time.sleep, args=(600,)).start()",
    "leaves_a_child": "__import__('subprocess').Popen(['sleep', '600'])",
    "leaves_a_fork": "os.fork() or time.sleep(600)",
    "writes_megabytes": "print('x' * 5_000_000); sys.stderr.write('y' * 5_000_000 + '\\n'); os.write(1, b'z' * 3_000_000)",
    "changes_arguments": "sys.argv.append('--x'); sys.path.clear(); os.environ.clear()",
    "reads": "sys.stdin.read(); os.read(0, 10)",
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_function_changes_does_not_reach_the_next_call(tmp_path, name):
    write(
        tmp_path,
        m=f"""
        import os, sys, time
        def measure(ms):
            factor = float(open("factor.txt").read())
            print("measuring")
            if "C" in ms:
                {CHANGES[name]}
            else:
                time.sleep(0.3)
            return [factor * len(s) for s in ms]
        """,
    )
    (tmp_path / "factor.txt").write_text("2.0")
    assert values(tmp_path, "m:measure", ["C", "CC", "CCC"], chunk=1) == [2.0, 4.0, 6.0]


@pytest.mark.parametrize("clock", ["float('nan')", "float('inf')", "-1.0", "10**400", "None"])
def test_a_clock_that_a_module_replaces_is_not_the_clock_of_the_calls(tmp_path, clock):
    write(
        tmp_path,
        m=f"import time\ntime.perf_counter = time.time = time.monotonic = lambda: {clock}\ndef f(ms): return [7.0] * len(ms)",
    )
    for measurement in run(tmp_path, "m:f", chunk=2):
        assert measurement.value == 7.0
        assert 0 <= measurement.seconds < 60


def test_a_folder_that_the_module_chose_stays(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "factor.txt").write_text("2.0")
    write(tmp_path, m="import os\nos.chdir('inner')\ndef f(ms): return [float(open('factor.txt').read())] * len(ms)")
    assert values(tmp_path, "m:f", chunk=1) == [2.0] * 3


def test_a_function_that_raises_is_told_with_its_own_line(tmp_path):
    write(tmp_path, m="import json\ndef f(ms):\n    return json.loads('{')")
    (measurement,) = run(tmp_path, "m:f", ["C"])
    assert "JSONDecodeError: Expecting property name" in measurement.message
    assert "(m.py line 3 `return json.loads('{')`)" in measurement.message
