"""After which rounds a report has figures."""

import pytest

from tasks.reporting.report import is_drawn


def test_figures_are_drawn_of_the_first_rounds_of_each_fifth_and_of_the_last(bench, monkeypatch):
    drawn = []

    def figures(context, rows, round, folder):
        drawn.append(round)
        return {}

    monkeypatch.setattr("tasks.reporting.report.round_figures", figures)
    bench.write_config(rounds=7, batch_size=1)
    assert bench.run().exit == 0
    assert drawn == [0, 1, 2, 3, 4, 5, 7, 7]  # the last one is the campaign's own report
    pages = [page.read_text(encoding="utf-8") for page in bench.home.glob("campaigns/*/round-*/report/candidates.html")]
    told = ["Figures are drawn after rounds 0 to 5, then each 5th and the last." in page for page in pages]
    assert (len(pages), sum(told)) == (8, 1)


@pytest.mark.parametrize(("round", "drawn"), [(0, True), (5, True), (6, False), (10, True), (59, False), (60, True)])
def test_a_long_campaign_draws_each_fifth(round, drawn):
    assert is_drawn(round, 61) == drawn
