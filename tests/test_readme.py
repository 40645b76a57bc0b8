"""The README and the pages are right: their commands exist, their code runs, their campaigns are valid, their links lead somewhere."""

import re
import shlex
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from data.config import load_config
from data.tables.rows import SourceError
from models.registry import build
from pipelines.validation import checked_config

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
OBTAINED = ("tfbind8",)
"""Campaigns over a table that is downloaded first."""
ELSEWHERE = ("benchmarks.md", "decisions.md", "generators.md", "goals.md", "python.md", "reliability.md")
"""Pages of results and reasons, and the one of Python, whose lines tests/pipelines/test_api_documents.py runs."""
PAGES = {"README.md": README} | {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if path.name not in ELSEWHERE
}
LINKED = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "campaigns/README.md")),
        *sorted((ROOT / "benchmarks").rglob("*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
}


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def commands(text: str) -> set[str]:
    """Commands in the running text and in blocks for a shell, without their comments."""
    inline = [re.sub(r"\s+", " ", told) for told in re.findall(r"`(discover [^`]+)`", text)]
    lines = [line.partition(" #")[0].strip() for block in blocks("bash", text) for line in block.splitlines()]
    shell = [re.sub(r"^(\w+=\S+ )*(\.venv/bin/)?", "", line) for line in lines]
    return {line for line in [*inline, *shell] if re.match(r"discover [a-z]", line)}


COMMANDS = sorted(set().union(*map(commands, PAGES.values())))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_pages_exists_with_its_options(command, capsys):
    from pipelines.cli import guarded

    name, *rest = shlex.split(command.replace("[", "").replace("]", ""))[1:]
    assert guarded([name, "--help"]) == 0
    told = capsys.readouterr().out
    assert [option for option in rest if option.startswith("--") and option not in told] == []


def test_the_commands_of_the_pages_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    named = {target for text in PAGES.values() for target in re.findall(r"(?:^|`)make ([\w-]+)", text, flags=re.M)}
    assert {"demo", "test", "docs"} <= named
    assert [target for target in named if f"\n{target}:" not in makefile] == []


def test_the_campaign_of_the_readme_is_valid_with_the_oracle_of_the_readme(tmp_path):
    (campaign,), (oracle,) = blocks("yaml"), blocks("python")
    assert len([line for line in (campaign + oracle).splitlines() if line]) == 12
    (tmp_path / "campaign.yaml").write_text(campaign)
    (tmp_path / "molecules.csv").write_text("structure,measured\nCCO,1.0\n")
    (tmp_path / "my_oracle.py").write_text(oracle)
    config = checked_config(tmp_path / "campaign.yaml")
    assert build("oracle", config.objective.oracle).unit is not None
    space: dict[str, object] = {}
    exec(oracle, space)
    (value,) = space["measure"](["c1ccccc1"])
    assert value == pytest.approx(-abs(1.6866 - 2.5))


def campaigns_of(text: str) -> list[dict[str, Any]]:
    """The campaigns of a page; a block without a name changes the campaign above it."""
    found: list[dict[str, Any]] = []
    for block in blocks("yaml", text):
        keys = yaml.safe_load(block)
        found.append(keys if "name" in keys else deepcopy(found[-1]) | keys)
    return found


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if blocks("yaml", text) and page != "README.md"])
def test_the_campaigns_of_a_page_are_valid_with_the_modules_of_the_page(page, tmp_path):
    modules = [block for block in blocks("python", PAGES[page]) if re.match(r"# \w+\.py\n", block)]
    for block in modules:
        (tmp_path / block.partition("\n")[0].removeprefix("# ")).write_text(block)
    shutil.copy(ROOT / "campaigns" / "own_data" / "molecules.csv", tmp_path)
    if not (tmp_path / "my_oracle.py").exists():
        shutil.copy(ROOT / "campaigns" / "own_data" / "my_oracle.py", tmp_path)
    campaigns = campaigns_of(PAGES[page])
    assert campaigns
    for keys in campaigns:
        (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(keys, sort_keys=False))
        checked_config(tmp_path / "campaign.yaml")


@pytest.mark.parametrize(
    ("page", "answers"),
    [
        ("docs/how-to/own-component.md", {"reaction": [100.0]}),
        ("docs/how-to/several-goals.md", {"reactor": [{"yield": 80.0, "impurity": 3.5}]}),
        ("docs/how-to/noise.md", {"scale": [40.0]}),
    ],
)
def test_the_measurement_of_a_page_measures(page, answers):
    for block in blocks("python", PAGES[page]):
        name = block.partition("\n")[0].removeprefix("# ").removesuffix(".py")
        if name in answers:
            space: dict[str, Any] = {}
            exec(block, space)
            assert space["measure"]([{"temperature": 70.0, "solvent": "dmf"}]) == answers.pop(name)
    assert not answers


def test_the_program_of_a_page_answers_a_table(tmp_path):
    (program,) = [b for b in blocks("python", PAGES["docs/how-to/own-oracle.md"]) if b.startswith("# count_carbons.py")]
    (tmp_path / "count_carbons.py").write_text(program)
    ran = subprocess.run(
        [sys.executable, "count_carbons.py"], cwd=tmp_path, input="CCO\nc1ccccc1\n", capture_output=True, text=True
    )
    assert ran.stdout.splitlines() == ["smiles,value", "CCO,2", "c1ccccc1,6"]


def test_the_part_of_a_page_is_found_and_refuses(tmp_path):
    (part,) = [b for b in blocks("python", PAGES["docs/how-to/own-component.md"]) if b.startswith("# few_rings.py")]
    (tmp_path / "few_rings.py").write_text(part)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import few_rings\n"
        "from models.registry import build\n"
        "from rdkit import Chem\n"
        "screen = build('screen', {'kind': 'few_rings', 'most': 1})\n"
        "print([screen.reason(Chem.MolFromSmiles(s)) for s in ('c1ccccc1', 'c1ccc2ccccc2c1')])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.strip() == "[None, '2 rings']", ran.stderr


def test_the_champion_is_loaded_by_the_lines_of_the_page(bench, tracking):
    (lines,) = blocks("python", PAGES["docs/how-to/predict.md"])
    bench.write_config(name="my-campaign")
    told = bench.run()
    assert told.exit == 0, told.message
    told = bench.discover("retrain", "my-campaign", "--plain")
    assert told.exit == 0, told.message
    assert (bench.home / "ledger.db").exists()
    known: dict[str, Any] = {}
    address = "sqlite:///.discover/mlflow.db"
    assert address in lines
    exec(lines.replace(address, tracking), known)
    assert list(known["predicted"].columns) == ["mean", "std"]
    assert len(known["predicted"]) == 2


def anchors(path: Path) -> set[str]:
    """What the headings of a text are called in addresses, as code hosts and the site form them."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED)
def test_every_file_that_a_text_links_to_is_there(page):
    made = "docs/reference/"  # by docs/site_hooks.py; the strict build follows these
    for link in re.findall(r"\]\(([^)\s]+)\)", LINKED[page]):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = (ROOT / page).parent / target if target else ROOT / page
        if file.resolve().is_relative_to(ROOT / made):
            continue
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


def test_the_readme_is_short():
    assert len(README.split()) < 700


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "campaigns").rglob("*.yaml")) if path.parent.name != "samplers"],
    ids=lambda path: path.stem,
)
def test_every_campaign_file_is_valid_and_documented(path: Path):
    assert path.read_text().startswith("#")
    assert load_config(path).name
    if path.stem not in OBTAINED:
        checked_config(path)


def test_a_campaign_over_a_public_table_says_how_to_get_it_and_is_refused_without(tmp_path: Path):
    for name in OBTAINED:
        text = (ROOT / "campaigns" / f"{name}.yaml").read_text()
        assert f"discover data {name} --out" in text
        (tmp_path / f"{name}.yaml").write_text(text)
        with pytest.raises(SourceError, match=f"There is no file .*{name}.csv"):
            checked_config(tmp_path / f"{name}.yaml")
