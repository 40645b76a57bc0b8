"""`discover explain`, and what a campaign says of data that its proxy never learns and of features that shifted."""

import json
from xml.etree import ElementTree

import pandas as pd
import pytest

from data.chemistry.molecules import identity
from data.feature_shifts import shift_metrics, shift_told
from data.ledger.campaigns import StageRow
from data.never_learnt import never_metrics, never_of, never_told
from pipelines.api import Campaign
from tasks.explaining import measured_by
from tests.conftest import Bench, use

SLIP = "CCCCO"
"""A molecule whose given value is a slip of the pen."""
GIVEN = ["CCO", "CCCO", "CCCCCO", "CCN", "CCCN", "CCCCN", "CC(C)O", "CC(C)N", "CCOC", "CCOCC", "CCCOC", "CCC(C)O"]
MORE = ["CCSC", "CCCS", "CCS", "CC(C)S", "CCC(C)N", "CCCCS", "CCNC", "CCNCC", "CC(=O)C", "CCC(=O)C", "CC#N", "CCC#N"]


@pytest.fixture(scope="module")
def slipped(tmp_path_factory, tracking):
    """A campaign whose data have a slip, to be looked at only."""
    from rdkit import Chem
    from rdkit.Chem import Crippen

    bench = Bench(tmp_path_factory.mktemp("slipped"))
    with pytest.MonkeyPatch.context() as patch:
        use(bench, tracking, patch)
        rows = [f"{smiles},{Crippen.MolLogP(Chem.MolFromSmiles(smiles)):.3f}" for smiles in (*GIVEN, *MORE)]
        bench.write_library(*rows, f"{SLIP},9.5", header="smiles,value")
        data = {"kind": "csv", "path": "library.csv", "smiles": "smiles", "value": "value", "initial": 0}
        bench.write_config(name="slipped", rounds=1, data=data, proxy={"kind": "gaussian_process"})
        told = bench.run()
        assert told.exit == 0, told.message
        yield bench


@pytest.fixture
def looked_at(slipped, tracking, monkeypatch):
    use(slipped, tracking, monkeypatch)
    return slipped


def test_a_slip_is_named_with_what_to_do_in_status_among_candidates_and_on_the_page(looked_at):
    key = identity(SLIP)
    status = looked_at.discover("status", "slipped").message
    assert f"far from what the others alone predict, and never learnt: {key} (" in status
    assert "deviations above). Look for a slip, another unit or another compound, and measure again" in status
    table = looked_at.discover("candidates", "slipped", "--wide").out
    marked = [line for line in table.splitlines() if "never learnt" in line]
    assert len(marked) == 1
    assert SLIP in marked[0]
    page = next((looked_at.home / "campaigns").glob("*/report/candidates.html")).read_text()
    assert page.count("Never learnt: ") == 1
    assert Campaign.load("slipped", looked_at.home).health()["kind"].tolist().count("never_learnt") == 1


def test_contributions_are_printed_and_add_up_in_every_form(looked_at, tmp_path):
    told = looked_at.discover("explain", "slipped", SLIP)
    assert told.exit == 0, told.message
    assert "of a typical molecule" in told.message
    frame = Campaign.load("slipped", looked_at.home).explain(SLIP)
    for form in ("csv", "json"):
        out = tmp_path / f"one.{form}"
        assert looked_at.discover("explain", "slipped", "#1", "--out", str(out)).exit == 0
        read = pd.read_csv(out) if form == "csv" else pd.DataFrame(json.loads(out.read_text()))
        assert read["part"].tolist() == frame["part"].tolist()
        assert read["contribution"].sum() == pytest.approx(frame["contribution"].sum())
    picture = tmp_path / "one.svg"
    assert looked_at.discover("explain", "slipped", "1", "--out", str(picture)).exit == 0
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_what_cannot_be_explained_is_said_with_what_to_use(bench):
    bench.write_config(name="begun", rounds=0)
    assert bench.run().exit == 0
    told = bench.discover("explain", "begun", "1")
    assert told.exit == 2
    assert "has trained no proxy yet" in told.message
    assert bench.discover("explain", "begun", "nonsense").exit == 2
    refused = bench.discover("explain", "begun", "1", "--out", "x.pdf").message
    assert "--out is x.pdf; expected a file that ends in" in refused


def stage(name, round, metrics):
    return StageRow(round=round, name=name, key="", uri="", sha256="", metrics=metrics, seconds=0.0)


def test_all_that_is_never_learnt_is_counted_and_the_farthest_named():
    metrics = never_metrics({f"m{k}": float(k) for k in range(1, 61)})
    assert metrics["never_learnt"] == 60
    told = never_told(metrics, 3)
    assert told.startswith("Round 3: 60 measured values are far")
    assert "m60 (60.0 predicted deviations above), m59" in told
    assert "and 55 more" in told
    assert never_told(never_metrics({}), 3) == ""


def test_the_last_proxies_say_what_is_never_learnt_of_any_objective():
    earlier = stage("train_proxy", 1, {"never_learnt": 1.0, "never_learnt/old": 9.0})
    last = stage("train_proxy", 2, {"a/never_learnt/x/y": -5.0, "b/never_learnt/x/y": 6.5, "b/never_learnt/z": 4.0})
    assert never_of([earlier, last]) == {"x/y": 6.5, "z": 4.0}
    assert never_of([]) == {}


def test_features_that_shifted_are_told_of_the_last_round_the_largest_first():
    first = stage("propose", 1, shift_metrics({"TPSA": 3.0}, 10))
    last = stage("propose", 2, shift_metrics({"MolLogP": 0.42, "TPSA": -1.26}, 10))
    (told,) = shift_told([first, last])
    assert told.startswith("Proposals of round 2 are unlike what the proxy learnt from in 2 of 10 features")
    assert "TPSA −1.3, MolLogP +0.4" in told
    assert shift_told([first, stage("propose", 3, {"proposals": 4.0})]) == []
    assert shift_told([]) == []


def test_texts_that_look_like_numbers_or_gaps_are_what_was_measured(tmp_path):
    (tmp_path / "heldout.csv").write_text("id,object,value\na,NA,1.0\nb,0011,2.0\nb#2,0011,2.1\nc,null,3.0\n")
    assert measured_by(tmp_path) == ["NA", "0011", "null"]
