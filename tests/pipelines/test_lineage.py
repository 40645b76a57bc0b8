"""`discover lineage`: how a candidate came to be, from the initial design or a library, over the rounds."""

import json
import shutil
from xml.etree import ElementTree

import pandas as pd
import pytest

from data.goals import Goal, Goals
from data.records import CandidateRow, Making
from models.spaces.base import BaseSpace
from pipelines.api import Campaign
from tasks.lineage import Ancestor, Lineage
from tasks.reporting.lineage import ends, made_told
from tasks.reporting.lineage_plot import lineage_plot, lineage_svg
from tasks.reporting.page_lineage import lineage_lists
from tasks.reporting.plots import png
from tests.conftest import Bench, use

pytestmark = pytest.mark.slow  # whole campaigns: `make test` has to stay under 12 minutes

BEGUN = {Making.INITIAL, Making.DATA, Making.DRAWN, Making.BUILT}
MADE = {Making.MUTATION, Making.CROSSOVER, Making.BOTH, Making.STEP}
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"
UNION = {
    "kind": "union",
    "proposals": 40,
    "members": [
        {"generator": {"kind": "edits", "parents": 10, "edits": 4}},
        {"generator": {"kind": "genetic", "generations": 2, "offspring": 20}},
    ],
}


@pytest.fixture(scope="module")
def two_rounds(tmp_path_factory, tracking):
    """A campaign of two rounds, to be looked at only."""
    bench = Bench(tmp_path_factory.mktemp("lineage"))
    with pytest.MonkeyPatch.context() as patch:
        use(bench, tracking, patch)
        patch.setattr("tasks.reporting.report.round_figures", lambda *_: {})
        bench.write_config(name="lineage", rounds=2, generator=UNION, batch_size=6, budget={"calls": 40})
        told = bench.run()
        assert told.exit == 0, told.message
        yield bench


def file_of(bench, round=2):
    return next((bench.home / "campaigns").glob(f"*/round-{round:03d}/propose/lineage.parquet"))


def test_every_candidate_descends_from_the_initial_design_the_library_or_a_draw(two_rounds):
    campaign = Campaign.load("lineage", two_rounds.home)
    bought = campaign.candidates()
    assert set(bought["round"]) == {0, 1, 2}
    for row in bought.itertuples():
        told = campaign.lineage(row.id)
        assert told["id"].iloc[-1] == row.id
        met = set()
        for one in told.itertuples():
            parents = set() if pd.isna(one.parents) else set(one.parents.split())
            assert parents <= met
            assert one.operation in (MADE if parents else BEGUN)
            met.add(one.id)
        steps = told["step"].dropna().tolist()
        assert sorted(steps) == list(range(1, len(steps) + 1))
        assert told["step"].iloc[-1] == len(steps)
        assert row.arm != "initial" or len(told) == 1


def test_what_was_bought_on_the_way_is_told_with_its_value_and_prediction(two_rounds):
    campaign = Campaign.load("lineage", two_rounds.home)
    bought = campaign.candidates().set_index("id")
    told = pd.concat([campaign.lineage(id) for id in bought.index if bought["arm"][id] == "acquisition"])
    known = told[told["round"].notna()]
    assert set(known["round"]) == {0, 1, 2}
    assert (known["value"].to_numpy() == bought.loc[known["id"], "value"].to_numpy()).all()
    assert set(known["unit"]) == {"a.u."}
    assert known[known["round"] > 0]["predicted_std"].notna().all()
    assert told[told["round"].isna()]["value"].isna().all()


def test_the_terminal_tells_the_steps(two_rounds):
    best = next(row for row in two_rounds.candidates() if row["arm"] == "acquisition")
    told = two_rounds.discover("lineage", "lineage", best["id"])
    assert told.exit == 0, told.err
    assert best["smiles"] in told.out
    assert "initial design" in told.message or "from your data" in told.message
    assert f"{best['value']:.4g}"[:4] in told.message
    assert f"round {best['round']}, acquisition" in told.message
    assert max(map(len, told.out.splitlines()[4:])) <= 80


def test_a_candidate_is_meant_by_id_beginning_rank_and_any_spelling(two_rounds):
    rows = two_rounds.candidates()
    rank, row = next((at, row) for at, row in enumerate(rows, 1) if row["smiles"].count("C") > 1)
    from rdkit import Chem

    spelt = Chem.MolToSmiles(Chem.MolFromSmiles(row["smiles"]), canonical=False, allHsExplicit=True)
    texts = [row["id"], row["id"][:12], f"#{rank}", str(rank), row["smiles"], spelt]
    told = {two_rounds.discover("lineage", "lineage", text).out for text in texts}
    assert len(told) == 1
    assert row["id"] in told.pop()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nobody", "which is no molecule and no id. Expected an id or its beginning, the SMILES of a candidate"),
        ("C1CC1C1CC1", "which is a molecule that was not bought"),
        ("#0", "it has ranks 1 to"),
        ("999", "no candidate of rank '999'"),
        ("m", "Give more of the id"),
        ("", "has no candidate ''"),
    ],
)
def test_what_means_no_candidate_or_several_is_refused_with_a_sentence(two_rounds, text, said):
    told = two_rounds.discover("lineage", "lineage", text)
    assert told.exit == 2
    assert said in told.message


def test_files_have_the_figure_or_all_ancestors(two_rounds, tmp_path):
    best = next(row for row in two_rounds.candidates() if row["arm"] == "acquisition")
    for ending in ("svg", "png", "csv", "json", "csv", "json"):  # its own are replaced
        told = two_rounds.discover("lineage", "lineage", best["id"], "--out", str(tmp_path / f"one.{ending}"))
        assert told.exit == 0, told.err
    (tmp_path / "mine.csv").write_text("id,value\na,1.0\n")
    told = two_rounds.discover("lineage", "lineage", best["id"], "--out", str(tmp_path / "mine.csv"))
    assert (told.exit, "no table that this command wrote" in told.message) == (2, True)
    assert (tmp_path / "mine.csv").read_text() == "id,value\na,1.0\n"
    assert ElementTree.parse(tmp_path / "one.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    rows = json.loads((tmp_path / "one.json").read_text())
    table = pd.read_csv(tmp_path / "one.csv")
    assert [row["id"] for row in rows] == table["id"].tolist()
    assert rows[-1]["id"] == best["id"]
    assert set(rows[-1]["parents"]) <= {row["id"] for row in rows}
    for out in ("one.txt", "one"):
        told = two_rounds.discover("lineage", "lineage", best["id"], "--out", str(tmp_path / out))
        assert (told.exit, "expected a file that ends in .svg, .png, .csv or .json" in told.message) == (2, True)
    told = two_rounds.discover("lineage", "lineage", best["id"], "--out", str(two_rounds.home / "x.csv"))
    assert (told.exit, "Nothing was written" in told.message) == (2, True)


def test_the_page_and_the_reports_folder_have_the_three_best_found(two_rounds, tmp_path):
    page = next((two_rounds.home / "campaigns").glob("*/report/candidates.html")).read_text()
    best = [(at, row) for at, row in enumerate(two_rounds.candidates(), 1) if row["arm"] not in ("initial", "told")][:3]
    assert page.count('<section class="lineage"') == 3
    assert all(f'Lineage of candidate {rank}"' in page for rank, _ in best)
    told = two_rounds.discover("report", "lineage", "--out", str(tmp_path / "all"))
    assert told.exit == 0, told.err
    names = {path.name for path in (tmp_path / "all" / "lineage").iterdir()}
    assert names == {f"{rank:03d}.{ending}" for rank, _ in best for ending in ("svg", "csv")}


def test_a_lost_stage_is_made_again_to_the_byte(two_rounds):
    file = file_of(two_rounds)
    before = file.read_bytes()
    shutil.rmtree(file.parent)
    assert two_rounds.run().exit == 0
    assert file.read_bytes() == before


def test_a_campaign_without_the_files_says_so(two_rounds, tmp_path, monkeypatch):
    shutil.copytree(two_rounds.home, tmp_path / "home")
    monkeypatch.setenv("DISCOVER_HOME", str(tmp_path / "home"))
    for file in (tmp_path / "home").rglob("lineage.parquet"):
        file.unlink()
    best = next(row for row in two_rounds.candidates() if row["arm"] == "acquisition")
    told = two_rounds.discover("lineage", "lineage", best["id"])
    assert told.exit == 0
    assert f"What round {best['round']} made of what was not written down" in told.message
    assert "origin not written down" in told.message


@pytest.mark.parametrize(
    ("space", "data", "answer"),
    [
        (
            {"kind": "sequences", "alphabet": "ACGT", "min_length": 3, "max_length": 8},
            ["ACGT", "AACC", "GGTTA", "TTTT", "CAGT", "ACC", "GATTACA", "CCGG", "TAGA", "GGGA"],
            "float(len(x)) + x.count('A')",
        ),
        ({"kind": "vectors", "variables": {"x": [0, 1], "y": [0, 1]}}, None, "x['x'] - x['y'] ** 2"),
    ],
)
def test_other_spaces_have_lineages_too(bench, space, data, answer):
    (bench.folder / "other.py").write_text(f"def measure(objects):\n    return [{answer} for x in objects]\n")
    bench.write_library(*(data or ()), header="sequence")
    changes = {"data": {"kind": "csv", "path": "library.csv", "initial": 6}}
    if data is None:
        changes = {"data": {"kind": "random", "size": 30, "initial": 6}}
    objective = {"name": "score", "oracle": {"kind": "python", "function": "other:measure", "unit": "1"}}
    bench.write_config(space=space, screens=[], objectives=[objective], rounds=2, budget={"calls": 30}, **changes)
    told = bench.run()
    assert told.exit == 0, told.message
    best = next(row for row in bench.candidates() if row["arm"] == "acquisition")
    lineage = Campaign.load(bench.config["name"], bench.home).lineage(best["id"])
    begun = lineage[lineage["parents"].isna()]
    assert len(lineage) > 1
    assert set(begun["operation"]) <= BEGUN - ({Making.DATA} if data is None else set())
    told = bench.discover("lineage", bench.config["name"], best["id"]).message
    assert data is not None or "library" not in told
    shown = bench.discover("lineage", bench.config["name"], best["id"], "--out", str(bench.folder / "one.svg"))
    assert shown.exit == 0, shown.err


def test_a_gflownets_candidate_is_shown_as_it_is_built(bench):
    (bench.folder / "other.py").write_text("def measure(objects):\n    return [x.count('A') + 0.0 for x in objects]\n")
    bench.write_library("ACGT", "AACC", "GGTTA", "TTTT", "CAGT", "ACC", "GATTACA", "CCGG", header="sequence")
    objective = {"name": "score", "oracle": {"kind": "python", "function": "other:measure", "unit": "1"}}
    space = {"kind": "sequences", "alphabet": "ACGT", "min_length": 3, "max_length": 8}
    generator = {"kind": "gflownet", "proposals": 20, "steps": 3, "batch_size": 8, "warm_up_steps": 1}
    bench.write_config(space=space, screens=[], objectives=[objective], generator=generator,
                       data={"kind": "csv", "path": "library.csv", "initial": 6})  # fmt: skip
    assert bench.run().exit == 0
    best = next(row for row in bench.candidates() if row["source"] == "gflownet")
    lineage = Campaign.load(bench.config["name"], bench.home).lineage(best["id"])
    assert lineage["object"].tolist() == [best["sequence"][:length] for length in range(3, len(best["sequence"]) + 1)]
    assert lineage["operation"].tolist() == ["built", *["building step"] * (len(lineage) - 1)]
    told = bench.discover("lineage", bench.config["name"], best["id"])
    assert "built from nothing" in told.message


class Anything(BaseSpace["Anything.Options"]):
    """Texts of any kind, which are not drawn."""

    kind = "anything_of_a_test"

    def told(self):
        return "texts"

    def standard(self, text):
        return text

    def outside(self, obj):
        return None


def hostile():
    start = Ancestor(f"{SCRIPT} $\\frac{{$", SCRIPT, Making.INITIAL, (), CandidateRow(SCRIPT, arm=SCRIPT, state=SCRIPT))
    other = Ancestor(f"$x_{{{SCRIPT}", "other", SCRIPT, (), None)
    row = CandidateRow("last", object=SCRIPT, value=1.0, arm=SCRIPT, source=SCRIPT, state="done")
    last = Ancestor(SCRIPT, "last", Making.CROSSOVER, (start.id, other.id), row)
    return Lineage((start, other, last), (start, last))


def test_hostile_texts_stay_texts_in_the_page_and_in_figures():
    goals = Goals([Goal(SCRIPT, unit=SCRIPT)])
    space = Anything()
    (html,) = lineage_lists([(1, hostile())], space, goals, {}, lambda obj: "")
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    figure = lineage_plot(hostile(), space, goals, f"{SCRIPT} $\\")
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(lineage_svg(figure)).iter()}
    assert not tags & {"script", "image", "img", "foreignObject"}
    assert png(figure).startswith(b"\x89PNG")
    assert lineage_svg(figure) == lineage_svg(lineage_plot(hostile(), space, goals, f"{SCRIPT} $\\"))


def test_a_long_line_leaves_out_its_middle_and_says_how_much():
    steps = [Ancestor("A" * n, f"i{n}", Making.MUTATION if n > 1 else Making.LIBRARY, (f"i{n - 1}",) if n > 1 else ())
             for n in range(1, 61)]  # fmt: skip
    lineage, goals = Lineage(tuple(steps), tuple(steps)), Goals([Goal("score")])
    (html,) = lineage_lists([(1, lineage)], Anything(), goals, {}, lambda obj: "")
    assert "… 52 more steps" in html
    assert html.count("<li>") == 8
    assert lineage_plot(lineage, Anything(), goals).get_size_inches()[1] < 25


def line_of(*steps):
    return Lineage(tuple(steps), tuple(steps))


def texts_of(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("making", [Making.CROSSOVER, Making.BOTH])
def test_a_crossover_of_the_parent_with_itself_is_said_to_be_of_the_parent(making):
    parent = Ancestor("AA", "parent", Making.DATA)
    lineage, goals = line_of(parent, Ancestor("A", "child", making, ("parent",))), Goals([Goal("score")])
    told = "crossover of its parent with itself" + (", then a mutation" if making == Making.BOTH else "")
    (html,) = lineage_lists([(1, lineage)], Anything(), goals, {}, lambda obj: "")
    assert f"<span>{told}</span>" in html
    assert made_told(lineage.candidate, []) == told
    assert told in " ".join(texts_of(lineage_plot(lineage, Anything(), goals))).replace("\n", " ")


def test_the_figure_never_cuts_a_prediction():
    row = CandidateRow("one", object="A", state="done", value=137.0, predicted_mean=137.0, predicted_std=0.4255)
    lineage = line_of(Ancestor("A", "one", Making.DATA, (), row))
    texts = texts_of(lineage_plot(lineage, Anything(), Goals([Goal("score", unit="mg/mL")])))
    assert ends(137.0, 0.4255) in " ".join(texts)
    assert not any("…" in text for text in texts)


def test_the_figure_has_a_line_for_the_prediction_of_each_objective():
    names = ("solubility_in_water", "toxicity")
    predicted = dict.fromkeys(names, (137.0, 0.4255))
    row = CandidateRow("one", object="A", state="done", values=dict.fromkeys(names, 1234.5), predicted=predicted)
    lineage = line_of(Ancestor("A", "one", Making.DATA, (), row))
    texts = texts_of(lineage_plot(lineage, Anything(), Goals([Goal(name, unit="mg/mL") for name in names])))
    assert [text for text in texts if "(" in text and ends(137.0, 0.4255) in text] == texts[-3::2]
    assert not any("…" in text for text in texts)
