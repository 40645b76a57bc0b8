"""The REST interface keeps to what its own OpenAPI schema says, whatever it is sent (schemathesis)."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

from pipelines.rest.app import described_application
from tests.pipelines.rest.conftest import ROBOT

EXAMPLES = 30
"""Requests of each address and method."""
TELL = ("POST", "/api/v1/campaigns/{name}/answers")


def operations():
    """Return method and path of each operation of the schema."""
    from pathlib import Path

    from tasks.workspace import Workspace

    paths = described_application(Workspace(Path("nowhere"))).openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


@pytest.mark.parametrize("there", [False, True], ids=["any", "there"])
@pytest.mark.parametrize(("method", "path"), operations())
def test_every_answer_is_one_that_the_schema_has(shown, method, path, there):
    schema = schemathesis.openapi.from_url(f"{shown.url}/openapi.json")
    kept = {"authorization": f"Bearer {ROBOT}"}
    statuses = set()
    # That an answer names an object, and has a value or failed, is said in the schema's words only.
    unwritten = [positive_data_acceptance] if (method, path) == TELL else []

    # The same requests each time, at any campaign and at the one that is there.
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(schema[path][method].as_strategy())
    def one(case):
        if there and case.path_parameters:
            case.path_parameters["name"] = "lab"
        answer = case.call(headers=kept)
        case.validate_response(answer, headers=kept, excluded_checks=unwritten)
        statuses.add(answer.status_code)

    one()
    assert max(statuses) < 500
    if there and (method, path) != TELL:
        assert 200 in statuses


def test_schemathesis_sees_an_answer_that_the_schema_has_not(shown):
    schema = schemathesis.openapi.from_url(f"{shown.url}/openapi.json")
    case = schema["/health"]["GET"].Case()
    answer = case.call()
    answer.headers["content-type"] = ["text/html"]
    with pytest.raises(FailureGroup) as found:
        case.validate_response(answer)
    assert "text/html" in str(found.value.exceptions[0])
