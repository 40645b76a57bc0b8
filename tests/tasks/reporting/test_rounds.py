"""After which rounds a report has figures."""

import pytest

from tasks.reporting.report import is_drawn

pytestmark = pytest.mark.slow  # whole campaigns: `make test` has to stay under 12 minutes


def test_figures_are_drawn_of_the_first_rounds_of_each_tenth_and_of_the_last(bench, monkeypatch):
    drawn = []

    def figures(context, rows, round, folder, points, best):
        drawn.append(round)
        return []

    monkeypatch.setattr("tasks.reporting.report.round_figures", figures)
    bench.write_config(rounds=7, batch_size=1)
    assert bench.run().exit == 0
    assert drawn == [0, 1, 2, 3, 4, 5, 7, 7]  # the last one is the campaign's own report
    pages = [page.read_text(encoding="utf-8") for page in bench.home.glob("campaigns/*/round-*/report/candidates.html")]
    told = ["Figures are drawn after rounds 0 to 5, then each 10th and the last." in page for page in pages]
    assert (len(pages), sum(told)) == (8, 1)


def test_the_page_of_a_round_without_figures_has_fewer_candidates_and_says_so(bench, monkeypatch):
    monkeypatch.setattr("tasks.reporting.report.SHOWN_BETWEEN", 3)
    bench.write_config(rounds=7, batch_size=1)
    assert bench.run().exit == 0
    pages = {
        int(page.parts[-3].split("-")[1]): page.read_text(encoding="utf-8")
        for page in bench.home.glob("campaigns/*/round-*/report/candidates.html")
    }
    assert {round for round, page in pages.items() if "the best 3 of" in page} == {6}


@pytest.mark.parametrize(
    ("round", "drawn"), [(0, True), (5, True), (6, False), (10, True), (15, False), (59, False), (60, True)]
)
def test_a_long_campaign_draws_each_tenth(round, drawn):
    assert is_drawn(round, 61) == drawn
