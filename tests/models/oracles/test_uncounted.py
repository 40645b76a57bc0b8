"""What an oracle's own code reads that its identity does not count is named with its line."""

import pytest

from models.oracles.source_files import files_parts
from models.registry import build


def remarks(folder, code, **options):
    (folder / "mine.py").write_text(code)
    return build("oracle", {"kind": "python", "function": "mine:measure", **options}).remarks(folder)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os\nX = os.environ['CALIBRATION']", "CALIBRATION in line 2 of mine.py"),
        ("import os as o\n\nX = o.getenv('CALIBRATION', '1')", "CALIBRATION in line 3"),
        ("from os import environ as e\nX = e.get('CALIBRATION')", "CALIBRATION in line 2"),
        ("import os\nX = 'FAST' in os.environ", "FAST in line 2"),
        ("import os\nX = [os.environ[n] for n in 'AB']", "a name put together in line 2"),
    ],
)
def test_a_variable_of_the_environment_is_named(tmp_path, code, told):
    (sentence,) = remarks(tmp_path, code)
    assert told in sentence
    assert "environment: [" in sentence


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.environ['OMP_NUM_THREADS'] = '1'\nX = os.environ.get('OMP_NUM_THREADS'), os.environ['HOME']",
        "import os\nos.environ['CALIBRATION'] = '2'\nos.environ.setdefault('B', '1')\nENV = dict(os.environ)",
        "environ = {'CALIBRATION': 1}\nX = environ['CALIBRATION']",
    ],
)
def test_what_says_how_a_machine_works_and_what_is_only_set_is_not(tmp_path, code):
    assert remarks(tmp_path, code) == []


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("from glob import glob\nX = sorted(glob('params/*.json'))[-1]", "glob in line 2"),
        ("from pathlib import Path\nX = list(Path('params').iterdir())", "iterdir in line 2"),
        ("from pathlib import Path\nX = max((Path(__file__).parent / 'params').glob('*.json'))", "glob in line 2"),
        ("import os\nX = os.listdir('.')", "listdir in line 2"),
        ("name = 'fac' + 'tor.txt'\nX = open(name).read()", "open in line 2"),
        ("def f(kind):\n    return open(f'{kind}.json').read()", "open in line 2"),
        ("import pandas as pd\nX = pd.read_csv('values-%d.csv' % 3)", "read_csv in line 2"),
        ("import numpy as np\ndef f(path):\n    return np.load(path)", "load in line 3"),
        ("from pathlib import Path\nX = Path(__file__).with_suffix('.json').read_text()", "read_text in line 2"),
    ],
)
def test_a_file_whose_name_does_not_stand_in_the_code_is_named(tmp_path, code, told):
    (sentence,) = remarks(tmp_path, code)
    assert told in sentence
    assert "list the files, or their folder, under `files`" in sentence


@pytest.mark.parametrize(
    "code",
    [
        "X = open('factor.txt').read()",
        "from pathlib import Path\nHERE = Path(__file__).parent\nX = (HERE / 'a' / 'b.json').read_text()",
        "import os\nX = open(os.path.join(os.path.dirname(__file__), 'b.json'))",
        "import json\nfrom pathlib import Path\nX = json.load(open(str(Path(__file__).parent) + '/b.json'))",
        "FILES = {'a': 'a.json', 'b': 'b.json'}\ndef f(kind):\n    return open(FILES[kind])",
        "for name in ('a.json', 'b.json'):\n    open(name)",
        "def load(path):\n    return open(path).read()\nX = load('a.json')",
        "class M:\n    def __init__(self, path):\n        self.file = path\n    def f(self):\n        open(self.file)\nM('a')",
        "import pandas as pd\nwith open('a.csv') as file:\n    X = pd.read_csv(file)",
        "import io\nimport pandas as pd\ndef f(text):\n    return pd.read_csv(io.StringIO(text))",
        "def log(name):\n    open(name, 'a').write('x')",
        "import sys\nX = open(sys.argv[1])",
        "import argparse\nargs = argparse.ArgumentParser().parse_args()\nX = open(args.input)",
        "import tempfile\nfrom pathlib import Path\ndef f(name):\n    with tempfile.TemporaryDirectory() as folder:\n"
        "        return (Path(folder) / name).read_text()",
        "import ast\nX = list(ast.walk(ast.parse('1')))",
        "import re\nX = re.sub('a', 'b', 'c').strip()",
    ],
)
def test_a_file_that_the_code_names_or_has_made_itself_is_not(tmp_path, code):
    assert remarks(tmp_path, code) == []


def test_what_is_listed_is_not_named_again_and_counts(tmp_path, monkeypatch):
    code = "import os\nfrom glob import glob\nX = glob('params/*.json'), os.environ['KEY']\n"
    (tmp_path / "params").mkdir()
    (tmp_path / "other").mkdir()
    assert len(remarks(tmp_path, code)) == 2
    assert len(remarks(tmp_path, code, files=["other"], environment=["OTHER"])) == 2
    listed = {"files": ["params"], "environment": ["KEY"]}
    assert remarks(tmp_path, code, **listed) == []
    one = build("oracle", {"kind": "python", "function": "mine:measure", **listed})
    monkeypatch.setenv("KEY", "a secret")
    before = one.parts(tmp_path)
    assert "a secret" not in str(before)
    monkeypatch.setenv("KEY", "another")
    after = one.parts(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {"variable KEY"}
    (tmp_path / "params" / "b.json").write_text("{}")
    assert one.identity(tmp_path) not in (str(before), str(after))
    assert files_parts(["params"], tmp_path).items() <= one.parts(tmp_path).items()


def test_an_oracle_that_lists_no_variable_is_known_by_what_it_was(tmp_path, monkeypatch):
    remarks(tmp_path, "import os\nX = os.environ.get('KEY')\n")
    one = build("oracle", {"kind": "python", "function": "mine:measure"})
    before = one.identity(tmp_path)
    monkeypatch.setenv("KEY", "x")
    assert one.identity(tmp_path) == before
    assert not any(name.startswith(("variable", "option environment")) for name in one.parts(tmp_path))


def test_programs_in_python_are_looked_at_too(tmp_path):
    (tmp_path / "count.py").write_text("import os\nimport sys\nopen(sys.argv[1])\nX = os.environ['KEY']\n")
    spec = {"kind": "command", "command": "{python} count.py {input}"}
    (sentence,) = build("oracle", spec).remarks(tmp_path)
    assert "KEY in line 4 of count.py" in sentence
    assert build("oracle", {**spec, "environment": ["KEY"]}).remarks(tmp_path) == []
