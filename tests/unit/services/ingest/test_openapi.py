"""The OpenAPI document: valid, with examples that hold, and true to the codes in the source."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import (  # type: ignore[import-untyped]
    Draft202012Validator,
    ValidationError,
)
from openapi_spec_validator import validate

from services.ingest.openapi import document
from tests.golden_events import read_examples
from tests.unit.services.ingest.service import service

_PATH = "/api/v1/projects/{projectId}/events"
_SOURCES = Path(__file__).parents[4] / "services" / "ingest"


def _check(schema: dict[str, Any], value: object) -> None:
    whole = schema | {"components": document(_PATH)["components"]}
    Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


def _post() -> dict[str, Any]:
    operation: dict[str, Any] = document(_PATH)["paths"][_PATH]["post"]
    return operation


def _examples() -> list[tuple[str, dict[str, Any], Any]]:
    bodies = [("request", content) for content in _post()["requestBody"]["content"].values()]
    for status, response in _post()["responses"].items():
        bodies += [(status, content) for content in response["content"].values()]
    return [
        (name, content["schema"], value)
        for name, content in bodies
        for value in (
            [content["example"]]
            if "example" in content
            else [example["value"] for example in content["examples"].values()]
        )
    ]


def test_document_is_valid() -> None:
    validate(document(_PATH))


@pytest.mark.parametrize(("name", "schema", "value"), _examples())
def test_example_fits_its_schema(name: str, schema: dict[str, Any], value: object) -> None:
    assert name
    _check(schema, value)


def test_document_promises_the_statuses_of_the_contract_and_no_422() -> None:
    promised = {"202", "400", "401", "403", "413", "415", "429", "503"}
    assert set(_post()["responses"]) == promised | {"404", "408", "414", "431", "500"}


async def test_answers_have_the_headers_that_the_document_requires() -> None:
    async with service() as running:
        shown = running.keys.add(events_per_minute=10)
        bodies = [(b'{"type": "session.started", "sessionId": "s"}', shown), (b"[", shown)]
        bodies += [(b"{}", {}), (b"[%s]" % b",".join([b"{}"] * 11), shown), (b"[" * 9_999, shown)]
        bodies += [(b"", shown)]
        answers = [
            await running.http.post(
                "/api/v1/projects/museum/events",
                content=body,
                headers={"Content-Type": "application/json"} | headers,
            )
            for body, headers in bodies
        ]
    assert [answer.status_code for answer in answers] == [202, 400, 401, 413, 400, 429]
    for answer in answers:
        told = _post()["responses"][str(answer.status_code)]["headers"]
        limits = {name for name in told if name.startswith("X-RateLimit")}
        assert len(limits) == 3
        assert limits <= {name.title().replace("Ratelimit", "RateLimit") for name in answer.headers}


def test_document_has_an_example_of_each_code_that_is_raised() -> None:
    raised = set()
    for path in _SOURCES.glob("*.py"):
        raised |= set(re.findall(r"Problem\(\s*\d{3},\s*\"(\w+)\"", path.read_text("utf-8")))
    told = {
        code
        for r in _post()["responses"].values()
        for c in r["content"].values()
        for code in c.get("examples", {})
    }

    assert raised <= told


# RFC 3339 has the second 60; Python's checker of the format has not.
_VALID = [one for one in read_examples("valid") if one.name != "session_started_in_second_60"]


@pytest.mark.parametrize("example", _VALID, ids=str)
def test_valid_event_fits_the_schema(example: Any) -> None:
    _check({"$ref": "#/components/schemas/Event"}, example.sent)


# In Python alone a pattern's `$` stands before a last line end, too.
_REFUSED = [one for one in read_examples("refused") if one.name != "id_with_line_end"]


@pytest.mark.parametrize("example", _REFUSED, ids=str)
def test_refused_event_fits_no_schema_but_for_what_depends_on_clock_and_key(example: Any) -> None:
    schema = {"$ref": "#/components/schemas/Event"}
    if example.refused["code"].startswith(("occurred_at_", "live_")):
        _check(schema, example.sent)
    else:
        with pytest.raises(ValidationError):
            _check(schema, example.sent)


async def test_document_is_served() -> None:
    async with service() as running:
        response = await running.http.get("/openapi.json")

    assert response.json() == json.loads(json.dumps(document(_PATH)))
