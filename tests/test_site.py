"""The documentation site is built strictly, from the program itself, and fetches nothing where it is read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.browser import Browser

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    ran = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "WARNING" not in ran.stderr
    assert "excluded from the built site" not in ran.stderr  # mkdocs tells, and takes for no warning
    return folder


def test_every_part_and_command_has_its_entry(site):
    from models.registry import GROUPS, kinds
    from pipelines.cli import app

    for group in GROUPS:
        page = (site / "reference" / "parts" / f"{group}.html").read_text()
        ours = [kind for kind, cls in kinds(group).items() if cls.__module__.startswith("models.")]
        assert [kind for kind in ours if f'id="{kind}"' not in page] == []
    told = (site / "reference" / "cli.html").read_text()
    for name in (name for name in app if not name.startswith("-")):
        assert f"Usage: discover {name}" in told


def test_links_out_of_the_folder_lead_to_pages_of_the_files(site):
    shown = (site / "source" / "campaigns" / "own_data.html").read_text()
    assert "my_oracle.py" in shown
    assert "molecules.csv" in shown
    assert "source/campaigns/own_data.html" in (site / "how-to" / "own-data.html").read_text()
    assert not list(site.rglob("*.py"))


def test_no_page_has_a_script_a_style_or_a_picture_of_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        fetched = re.findall(r"<(?:script|img|iframe|source)[^>]*\bsrc=\"?(https?://[^\s\">]+)", text)
        fetched += re.findall(r"<link[^>]*rel=\"?(?:stylesheet|preconnect|icon)[^>]*href=\"?(https?://[^\s\">]+)", text)
        assert fetched == [], page


@pytest.mark.browser
@pytest.mark.parametrize("page", ["index.html", "concepts.html", "reference/parts/generator.html"])
def test_a_page_is_drawn_and_asks_nobody_else(site, page):
    with Browser() as browser:
        browser.open(site / page)
        assert browser.evaluate("document.querySelector('h1').innerText.length") > 3
        assert browser.evaluate("getComputedStyle(document.querySelector('.md-header')).position") == "sticky"
        assert [request.url for request in browser.requests if request.leaves_the_machine] == []


def test_texts_show_what_they_say_and_no_page_has_the_name_of_the_site_twice(site):
    for page in (site / "reference" / "parts").glob("*.html"):
        assert "&amp;lt;" not in page.read_text(), page
    for page in site.rglob("*.html"):
        assert "<title>discovery-flows - discovery-flows</title>" not in page.read_text()


@pytest.mark.parametrize(("dark", "scheme"), [(True, "slate"), (False, "default")])
def test_pages_are_dark_or_light_as_the_system_is(site, dark, scheme):
    with Browser(dark=dark) as browser:
        browser.open(site / "concepts.html")
        browser.wait_for(f"document.body.dataset.mdColorScheme === '{scheme}'")
        assert browser.evaluate("document.body.dataset.mdColorMedia") == "(prefers-color-scheme)"
