"""Figures of campaigns as a monitoring system reads them."""

from prometheus_client.parser import text_string_to_metric_families

from tasks.workspace import Workspace


def read(text):
    """(metric, campaign) -> value, and the state and warnings by their labels."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            labels = dict(sample.labels)
            campaign = labels.pop("campaign")
            found[(sample.name.removeprefix("discovery_campaign_"), campaign, *labels.values())] = sample.value
    return found


def test_every_campaign_has_its_figures_in_the_form_that_prometheus_reads(finished):
    told = finished.discover("metrics")
    assert told.exit == 0
    figures = read(told.out)
    assert figures["state", "finished", "done"] == 1
    assert figures["round", "finished"] == figures["rounds", "finished"] == 2
    assert figures["calls", "finished"] == 16
    assert figures["calls_limit", "finished"] == 20
    assert ("cost_limit", "finished") not in figures
    assert figures["best", "finished"] == max(row["value"] for row in finished.candidates())
    assert figures["running_seconds", "finished"] > 0


def test_a_file_is_written_whole_and_names_are_escaped(bench):
    workspace = Workspace.open()
    workspace.ledger().close()
    out = bench.folder / "figures.prom"
    out.write_text("old")
    assert bench.discover("metrics", "--out", str(out)).exit == 0
    assert out.read_text().startswith("# HELP discovery_campaign_state")
    assert list(bench.folder.glob(".figures*")) == []
    assert bench.discover("metrics", "--out", str(bench.folder / "nowhere" / "x.prom")).exit == 2


def test_a_campaign_whose_process_was_killed_is_told_as_killed(bench):
    from data.config import parse_config

    ledger = Workspace.open().ledger()
    ledger.begin_campaign(parse_config(bench.config), bench.folder)
    ledger.close()
    assert read(bench.discover("metrics").out)["state", "tiny", "killed"] == 1
