"""Answers that come over HTTP: taken all or none, with the refusals of `discover tell`."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.pipelines.rest.conftest import READER

WHOLE = {"yield": 80.0, "ee": 99.0}


def stored(bench):
    """Return state, values and teller of each call by id, as `discover candidates` and the ledger have them."""
    from data.ledger.telling import calls_of
    from tasks.workspace import Workspace

    ledger = Workspace(bench.home).ledger()
    rows = calls_of(ledger, ledger.campaign("lab").id)
    ledger.close()
    return {
        row["object_id"]: (row["state"], row["outputs"] and json.loads(row["outputs"]), row["told_by"]) for row in rows
    }


def test_a_robot_asks_tells_and_the_campaign_goes_on(lab, served, waiting):
    batch = served.batch()
    told = served.tell(*({"id": one["id"], "values": WHOLE | {"yield": 60.0 + k}} for k, one in enumerate(batch)))
    assert told.status == 200, told.text
    assert (told.body["new"], told.body["open"]) == (8, 0)
    assert served.get("/lab/pending").body["enough"]
    assert "Round 1: 0 of 4" in lab.discover("run", str(waiting.file), "--plain").message  # while it is served
    assert {one["round"] for one in served.batch()} == {1}
    best = served.get("/lab/candidates?limit=1").body["candidates"][0]
    assert (best["id"], best["value"]) == (batch[-1]["id"], 67.0)


def test_the_same_answers_sent_again_add_nothing(lab, served):
    one = {"id": served.batch()[0]["id"], "values": WHOLE}
    assert served.tell(one).body["new"] == 1
    before = stored(lab)
    again = served.tell(one)
    assert (again.status, again.body["new"], again.body["same"]) == (200, 0, 1)
    assert stored(lab) == before


def test_one_refused_answer_keeps_all_others_out(lab, served):
    first, second = served.batch()[:2]
    before = stored(lab)
    told = served.tell(
        {"id": first["id"], "values": WHOLE}, {"id": "m-nobody", "values": WHOLE}, {"id": second["id"], "values": WHOLE}
    )
    assert told.status == 409
    assert told.headers["Content-Type"] == "application/problem+json"
    assert told.body["errors"] == [{"where": "answers[1]", "message": "m-nobody: nobody asked for the id 'm-nobody'."}]
    assert stored(lab) == before


def test_a_contradiction_is_refused_and_a_correction_keeps_what_was_told(lab, served):
    one = served.batch()[0]["id"]
    served.tell({"id": one, "values": WHOLE})
    other = {"id": one, "values": WHOLE | {"yield": 12.0}}
    refused = served.tell(other)
    assert refused.status == 409
    assert 'give `"correct": true` if that was wrong' in refused.body["detail"]
    assert served.tell(other, correct=True).body["corrected"] == 1
    first = {"id": one, "values": WHOLE}
    again = served.tell(first, correct=True)  # an old request that comes once more
    assert again.status == 409
    assert '`"reinstate": true`' in again.body["detail"]
    assert "in the field `replicate`" in again.body["detail"]
    assert served.tell(first, reinstate=True).body["corrected"] == 1
    assert served.tell(first, reinstate=True).body["same"] == 1
    assert served.tell({"id": one, "values": WHOLE | {"yield": 11.0}}, reinstate=True).status == 409
    assert served.tell(other, reinstate=True).body["corrected"] == 1
    assert served.tell(first, reinstate=True).status == 409  # the request that reinstated it, once more
    assert stored(lab)[one][1]["yield"] == 12.0
    from pipelines.api import Campaign

    assert set(Campaign.load("lab", lab.home).corrections()["value"]) == {80.0, 12.0}


def test_values_may_come_one_by_one_and_failures_with_a_reason(lab, served):
    first, second, third = (one["id"] for one in served.batch()[:3])
    partly = served.tell({"id": first, "values": {"yield": 80.0}})
    assert (partly.body["partly"], partly.body["new"]) == (1, 0)
    entry = next(one for one in served.batch() if one["id"] == first)
    assert ([one["name"] for one in entry["wanted"]], entry["told"]) == (["ee"], {"yield": 80.0})
    told = served.tell(
        {"id": first, "values": {"ee": 99.0}},
        {"id": second, "failed": True, "message": "no"},
        {"id": third, "values": {"yield": None, "ee": None}},
    )
    assert (told.body["new"], told.body["failed"]) == (3, 2)
    assert stored(lab)[first][:2] == ("done", WHOLE)
    assert [stored(lab)[one][0] for one in (second, third)] == ["failed", "failed"]
    assert lab.discover("candidates", "lab", "--format", "csv").out.count(",no,") == 1  # the reason, not a denial


@pytest.mark.parametrize(("said", "noted"), [("", "robot"), ("robot", "robot"), ("HPLC 3", "HPLC 3 (token of robot)")])
def test_who_tells_is_noted_with_the_holder_of_the_token(lab, served, said, noted):
    one = served.batch()[0]["id"]
    served.tell({"id": one, "values": WHOLE}, told_by=said)
    assert stored(lab)[one][2] == noted


def test_a_token_for_reading_tells_nothing(lab, served):
    before = stored(lab)
    told = served.tell({"id": served.batch()[0]["id"], "values": WHOLE}, token=READER)
    assert told.status == 403
    assert "the role `tell`" in told.body["detail"]
    assert stored(lab) == before


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        ({"values": {"yeld": 1.0}}, 422, "No value has this name; expected 'ee', 'yield'."),
        ({"values": {"yield": 1.0}, "units": {"yield": "mg"}}, 422, "Got 'mg'; yield is measured in %. Convert"),
        ({"values": {"yield": "80"}}, 422, "Got '80'; expected a valid number"),
        ({"values": {"yield": True}}, 422, "expected a valid number"),
        ({"values": {}}, 422, "It has no value"),
        ({"values": {"yield": 1.0}, "failed": True}, 422, "it has values and is said to have failed"),
        ({"values": {"yield": 1.0}, "message": "hm"}, 422, "says why a measurement failed"),
        ({"values": {"yield": 1.0}, "valeu": 3}, 422, "There is no such key"),
        ({"values": WHOLE, "replicate": 2}, 409, 'replicate 2 was not asked for; give `"replicate": true`'),
        ({"values": WHOLE, "object": "CCCCCCCC"}, 409, "which was measured?"),
        ({"values": WHOLE, "object": "C(("}, 409, "cannot be read"),
        ({"values": {"yield": 1e308}}, 409, "expected a finite number of at most 1e+100"),
        ({"values": WHOLE, "told_by": "a\0b"}, 422, "expected a text without control characters"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_words(lab, served, answer, status, told):
    refused = served.tell({"id": served.batch()[0]["id"], **answer})
    assert refused.status == status
    assert told.casefold() in " ".join(one["message"] for one in refused.body["errors"]).casefold()
    assert {one[0] for one in stored(lab).values()} == {"submitted"}


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"", 422, "missing"),
        (b"{", 422, "no JSON"),
        (b"[]", 422, "expected a valid dictionary"),
        (b"\xff\xfe\x00", 400, "cannot be read as JSON: it is not UTF-8"),
        (b"[" * 100_000, 400, "cannot be read as JSON: its lists or objects are nested too deeply"),
        (b'{"answers": [{"id": "a", "values": {"yield": NaN, "ee": 1e999}}]}', 422, "finite number"),
        (b'{"answers": [{"id": "\\ud800", "values": {"yield": 1}}]}', 422, "valid string"),
        (b'{"answers": [{"id": "a", "values": {"yield": 1, "yield": 2}}]}', 422, "'yield' stands twice"),
        (b'{"answers": []}', 422, "at least 1 item"),
        (
            b'{"answers": [{"id": "a", "values": {"yield": ' + b"9" * 5000 + b"}}]}",
            400,
            "an integer of thousands of digits",
        ),
        (b" " * 3_000_000, 413, "at most 2,000,000 bytes"),
    ],
)
def test_a_broken_body_is_refused_and_the_server_goes_on(shown, body, status, told):
    answer = shown.ask("POST", "/api/v1/campaigns/lab/answers", body)
    assert (answer.status, told in answer.text) == (status, True), answer.text
    assert shown.get("/lab").status == 200


def test_a_body_that_is_not_said_to_be_json_is_refused_with_what_to_do(shown):
    answer = shown.ask("POST", "/api/v1/campaigns/lab/answers", b"id,yield\na,3\n", **{"Content-Type": "text/csv"})
    assert answer.status == 422
    assert "Content-Type: application/json" in answer.text


def test_of_two_that_tell_different_values_at_once_one_is_refused(lab, served):
    one = served.batch()[0]["id"]
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda k: served.tell({"id": one, "values": WHOLE | {"yield": float(k)}}), range(8)))
    assert sorted(answer.status for answer in told) == [200] + [409] * 7
    kept = next(k for k, answer in enumerate(told) if answer.status == 200)
    assert stored(lab)[one][1]["yield"] == float(kept)


def test_a_campaign_whose_oracles_answer_alone_says_so(finished):
    from tests.pipelines.rest.conftest import serving

    with serving(finished.home) as served:
        for path in ("/finished/batch", "/finished/pending"):
            told = served.get(path)
            assert (told.status, "asks no laboratory" in told.body["detail"]) == (409, True)
        assert served.get("/finished/candidates?state=done").body["total"] == 16
