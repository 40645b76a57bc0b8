"""What the REST interface shows, and to whom."""

import pytest

from data.config import ConfigError
from pipelines.rest.access import Tokens
from tests.pipelines.rest.conftest import READER

PATHS = ("", "/lab", "/lab/rounds", "/lab/candidates", "/lab/batch", "/lab/pending")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", [None, "x" * 32, READER[:-1]])
def test_nothing_of_a_campaign_is_shown_without_a_known_token(shown, path, token):
    told = shown.get(path, token)
    assert told.status == 401
    assert told.headers["WWW-Authenticate"].startswith("Bearer")
    assert "lab" not in told.body["detail"].replace("laboratory", "")


@pytest.mark.parametrize("path", PATHS)
def test_a_token_for_reading_sees_everything(shown, path):
    assert shown.get(path, READER).status == 200


def test_that_the_server_is_there_and_what_it_can_be_asked_is_open(shown):
    assert shown.ask("GET", "/health", token=None).body["status"] == "ok"
    schema = shown.ask("GET", "/openapi.json", token=None).body
    assert "/api/v1/campaigns/{name}/answers" in schema["paths"]
    assert "examples" in schema["components"]["schemas"]["AnswersBody"]
    assert shown.ask("GET", "/docs").status == 404  # a page that loads scripts from elsewhere


def test_a_campaign_is_shown_with_what_is_measured(shown):
    lab = shown.get("/lab").body
    assert (lab["state"], lab["round"], lab["calls"], lab["cost"]) == ("waiting", 0, 8, 960.0)
    assert lab["outputs"] == [{"name": "ee", "unit": "%"}, {"name": "yield", "unit": "%"}]
    assert [one["address"] for one in shown.get("").body["campaigns"]] == ["lab"]
    assert [row["calls"] for row in shown.get("/lab/rounds").body["rounds"]] == [8]


def test_the_batch_is_what_discover_ask_writes(shown, waiting, tracking, monkeypatch):
    from tests.conftest import use

    use(waiting, tracking, monkeypatch)
    lines = waiting.discover("ask", "lab").out.splitlines()[1:]
    batch = shown.get("/lab/batch").body["batch"]
    assert [f"{one['id']},{one['columns']['smiles']}" for one in batch] == [
        ",".join(line.split(",")[:2]) for line in lines
    ]
    assert [one["name"] for one in batch[0]["wanted"]] == ["ee", "yield"]


def test_candidates_come_in_pages_that_miss_and_repeat_none(shown):
    every = [row["id"] for row in shown.get("/lab/candidates").body["candidates"]]
    assert len(set(every)) == 8
    paged, offset = [], 0
    while offset is not None:
        page = shown.get(f"/lab/candidates?offset={offset}&limit=3").body
        paged += [row["id"] for row in page["candidates"]]
        offset = page["next"]
        assert page["total"] == 8
    assert paged == every


@pytest.mark.parametrize(
    ("conditions", "count"), [("round=0", 8), ("round=1", 0), ("state=submitted", 8), ("state=done&round=0", 0)]
)
def test_candidates_are_chosen_by_round_and_state(shown, conditions, count):
    assert shown.get(f"/lab/candidates?{conditions}").body["total"] == count


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/nobody", 404, "There is no campaign 'nobody'; expected lab."),
        ("/lab~2/rounds", 404, "expected lab."),
        ("/lab/candidates?limit=0", 422, "limit: Got '0'; expected greater than or equal to 1"),
        ("/lab/candidates?state=finished", 422, "state: Got 'finished'; expected 'proposed'"),
        ("/%00", 422, "name"),
        ("/lab/nothing", 404, "There is no such address"),
    ],
)
def test_a_wrong_address_is_answered_in_sentences(shown, path, status, told):
    answer = shown.get(path)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert told in answer.body["detail"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no token"),
        ("robot tell", "has 2 words; expected three"),
        ("robot write " + "x" * 32, "the role 'write'; expected read or tell"),
        ("robot tell short", "a token of 5 characters; expected at least 24"),
        (f"a read {'x' * 32}\nb tell {'x' * 32}", "Line 2 of FILE has a name or a token that another line has"),
    ],
)
def test_tokens_that_would_let_in_the_wrong_ones_are_refused(text, told):
    with pytest.raises(ConfigError) as refused:
        Tokens.parsed(text, "FILE")
    assert told in str(refused.value)
    assert "x" * 32 not in str(refused.value)


def test_tokens_come_from_a_file_of_mode_600_only(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# the lab\nreader read {READER}\n")
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="mode 640"):
        Tokens.found(file, {})
    file.chmod(0o600)
    assert Tokens.found(file, {}).holder(READER).name == "reader"
    assert Tokens.found(None, {"DISCOVER_API_TOKENS": f"reader read {READER}"}).holder(READER) is not None
