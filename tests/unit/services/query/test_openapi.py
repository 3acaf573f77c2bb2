"""The OpenAPI document against the contract and against real answers."""

from datetime import date
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from libs.http.openapi import ANSWER_HEADERS
from libs.http.protocol import EVERY_ANSWER
from services.query.openapi import ANSWER_EXAMPLE, document
from services.query.questions import Category
from tests.unit.services.query.conftest import PATH, Service, bearer

DOCUMENT = document("/api/v1/projects/{projectId}/analytics")
OPERATION = DOCUMENT["paths"]["/api/v1/projects/{projectId}/analytics"]["get"]


def check(value: object, schema: dict[str, Any]) -> None:
    """Hold a value against a schema of the document."""
    OAS31Validator(schema | {"components": DOCUMENT["components"]}).validate(value)


def schema_of(status: int, media_type: str) -> dict[str, Any]:
    schema: dict[str, Any] = OPERATION["responses"][str(status)]["content"][media_type]["schema"]
    return schema


def test_document_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_statuses_are_those_of_the_contract_and_never_422() -> None:
    promised = {"200", "400", "401", "403", "429", "503"}
    assert set(OPERATION["responses"]) == promised | {"404", "408", "414", "431", "500"}


def test_parameters_are_those_of_the_contract() -> None:
    parameters = {parameter["name"]: parameter for parameter in OPERATION["parameters"]}
    assert list(parameters) == ["projectId", "from", "to", "category", "live", "deviceId"]
    assert set(parameters["category"]["schema"]["enum"]) == {*Category, "all"}
    assert parameters["live"]["schema"]["default"] is True


def test_every_answer_tells_the_limit_and_refusals_what_they_need() -> None:
    headers = {
        status: set(answer["headers"]) - set(ANSWER_HEADERS)
        for status, answer in OPERATION["responses"].items()
        if status not in ("404", "408", "414", "431")  # before the key is looked at
    }
    limits = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
    extra = {"401": {"WWW-Authenticate"}, "429": {"Retry-After"}, "503": {"Retry-After"}}
    assert headers == {status: limits | extra.get(status, set()) for status in headers}


def test_key_is_shown_as_bearer_token() -> None:
    assert OPERATION["security"] == [{"apiKey": ["analytics:read"]}]
    assert DOCUMENT["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"


def test_example_fits_the_schema_when_compared() -> None:
    check(ANSWER_EXAMPLE, schema_of(200, "application/json"))


@pytest.mark.parametrize("status", [400, 401, 403, 429, 503])
def test_problem_examples_fit_the_schema_when_compared(status: int) -> None:
    content = OPERATION["responses"][str(status)]["content"]["application/problem+json"]
    assert content["examples"]
    for example in content["examples"].values():
        check(example["value"], content["schema"])
        assert example["value"]["status"] == status


async def test_answers_fit_the_document_when_service_gives_them(service: Service) -> None:
    token = service.add_key()
    service.clickhouse.rows["last_name"] = [("src-1", "Visitor guide")]
    service.clickhouse.rows["FROM daily_counts"] = [
        (date(2026, 3, 25), "source", "src-1", True, 2),
        (date(2026, 3, 25), "conversation", "total", True, 2),
    ]
    async with service.run() as http:
        served = (await http.get("/openapi.json")).json()
        good = await http.get(PATH, headers=bearer(token))
        bad = await http.get(f"{PATH}?live=maybe", headers=bearer(token))
        anonymous = await http.get(PATH)
    assert served == DOCUMENT
    check(good.json(), schema_of(200, "application/json"))
    for answer in (bad, anonymous):
        check(answer.json(), schema_of(answer.status_code, "application/problem+json"))
    for answer in (good, bad, anonymous):
        documented = set(OPERATION["responses"][str(answer.status_code)]["headers"])
        of_the_server = {name.title() for name, _ in EVERY_ANSWER}
        assert of_the_server < documented
        assert all(name in answer.headers for name in documented - of_the_server)
    assert set(good.json()) == set(ANSWER_EXAMPLE)
    assert set(good.json()["stats"][0]) == set(ANSWER_EXAMPLE["stats"][0])
