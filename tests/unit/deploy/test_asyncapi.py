"""The AsyncAPI document: valid by the standard's own schema, and true to the golden events."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import (  # type: ignore[import-untyped]
    Draft7Validator,
    Draft202012Validator,
    ValidationError,
)

from deploy.asyncapi import document
from libs.events.reasons import DeadLetterReason
from libs.events.record_index import HEADER
from libs.events.window import FIRST_APPENDED
from libs.settings import KafkaSettings
from libs.telemetry.tracing import TRACEPARENT
from services.processor.batch import DeadLetter, Record
from services.processor.dead_letters import headers
from tests.golden_events import read_examples

_STANDARD = Path(__file__).parent / "asyncapi" / "3.0.0.json"
_DOCUMENT = document()
_MESSAGES = _DOCUMENT["components"]["messages"]


def check(schema: dict[str, Any], value: object) -> None:
    """Hold a value against a schema of the document."""
    Draft202012Validator(schema | {"components": _DOCUMENT["components"]}).validate(value)


def test_document_is_valid_when_held_against_the_standard() -> None:
    standard = json.loads(_STANDARD.read_text("utf-8"))
    Draft7Validator(standard).validate(json.loads(json.dumps(_DOCUMENT)))
    with pytest.raises(ValidationError):
        Draft7Validator(standard).validate(_DOCUMENT | {"channels": {"events": {"address": 7}}})


def test_topics_are_those_of_the_settings() -> None:
    kafka = KafkaSettings(bootstrap_servers="kafka:9092")
    addresses = {channel["address"] for channel in _DOCUMENT["channels"].values()}
    assert addresses == {kafka.events_topic, kafka.dead_letter_topic}


@pytest.mark.parametrize("example", read_examples("valid"), ids=str)
def test_line_fits_the_schema_when_it_is_a_golden_one(example: Any) -> None:
    check(_MESSAGES["record"]["payload"], [example.line])


@pytest.mark.parametrize("name", ["record", "deadLetter"])
def test_example_fits_the_schema_of_its_message(name: str) -> None:
    for example in _MESSAGES[name]["examples"]:
        check(_MESSAGES[name]["payload"], example["payload"])
        check(_MESSAGES[name]["headers"], example.get("headers", {}))


@pytest.mark.parametrize("line", [None, 3])
@pytest.mark.parametrize("reason", DeadLetterReason)
def test_headers_fit_the_schema_when_the_processor_makes_them(
    reason: DeadLetterReason, line: int | None
) -> None:
    letter = DeadLetter(Record(3, 1041, 0, b""), line, b"", reason, "detail " * 200)
    made = {name: value.decode() for name, value in headers("events", letter)}
    check(_MESSAGES["deadLetter"]["headers"], made)
    assert set(made) | {"line"} == set(_MESSAGES["deadLetter"]["headers"]["properties"])


def test_headers_are_described_under_the_names_that_are_written() -> None:
    assert list(_MESSAGES["record"]["headers"]["properties"]) == [
        HEADER,
        FIRST_APPENDED,
        TRACEPARENT,
    ]
