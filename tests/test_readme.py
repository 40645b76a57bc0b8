"""The blocks of the README are right: its commands exist, its code runs, its campaign is valid."""

import re
import shlex
from pathlib import Path

import pytest

from data.config import load_config
from data.tables.rows import SourceError
from models.registry import build
from pipelines.validation import checked_config

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
OBTAINED = ("tfbind8",)
"""Campaigns over a table that is downloaded first."""
COMMANDS = sorted(set(re.findall(r"`(discover [^`]+)`", README)))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


@pytest.mark.parametrize("command", [c for c in COMMANDS if len(shlex.split(c)) > 1])
def test_a_command_of_the_readme_exists_with_its_options(command, capsys):
    from pipelines.cli import guarded

    name, *rest = shlex.split(command.replace("[", "").replace("]", ""))[1:]
    assert guarded([name, "--help"]) == 0
    told = capsys.readouterr().out
    assert [option for option in rest if option.startswith("--") and option not in told] == []


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    assert [f"\n{target}:" in makefile for target in re.findall(r"(?:^|`)make ([\w-]+)", README, flags=re.M)].count(
        False
    ) == 0


def test_the_campaign_of_the_readme_is_valid_with_the_oracle_of_the_readme(tmp_path):
    (campaign,), (oracle,) = blocks("yaml"), blocks("python")
    (tmp_path / "campaign.yaml").write_text(campaign)
    (tmp_path / "molecules.csv").write_text("structure,measured\nCCO,1.0\n")
    (tmp_path / "my_oracle.py").write_text(oracle)
    config = checked_config(tmp_path / "campaign.yaml")
    assert build("oracle", config.objective.oracle).unit is not None
    space: dict[str, object] = {}
    exec(oracle, space)
    (value,) = space["measure"](["c1ccccc1"])
    assert value == pytest.approx(-abs(1.6866 - 2.5))


def test_every_file_that_the_readme_names_is_there():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


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
