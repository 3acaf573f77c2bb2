"""Texts that mean something to some machine, in every string: they come back as they were sent."""

from typing import Any

import httpx
import pytest

from tests.e2e.asking import assert_problem
from tests.e2e.stack import Stack
from tests.security.events import bound_strings, column_of, every_event_with, filled, is_free
from tests.security.events import resolve as resolved
from tests.security.operations import Operation, each_operation, each_reading, each_writing
from tests.security.tenants import Tenants

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]

INJECTIONS = (
    "' OR '1'='1",
    '"; DROP TABLE events; --',
    "\\",
    "\\'",
    "\\N",
    "\\x00\\n",
    "{x:String}",
    "{project_id:String}",
    "%(project_id)s",
    "/* */ -- #",
    "nul \0 inside",
    "\u202eright to left\u202c",
    "a\r\nX-Injected: 1\r\n\r\n",
    '"}\n{"type":"chat.message"',
    "\x1b[31mred",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "%00%0d%0a",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "🦖\ufeff\u2028\ufffe",
    "e\u0301 is not é",
    " ",
    "\t\n",
)


@each_writing
def test_every_free_string_comes_back_when_it_holds_an_injection(
    stack: Stack, operation: Operation
) -> None:
    (project,) = stack.new_projects(1)
    sent = [
        event | {"id": f"{number}-{event['type']}"}
        for number, text in enumerate(INJECTIONS)
        for event in every_event_with(operation.components, text)
    ]
    answer = operation.ask(stack, project.id, project.live_key, body=sent)
    told = answer.json()
    assert (told["accepted"], told["rejected"]) == (len(sent), [])
    assert not [one for one in told["warnings"] if one["field"] == "deviceId"]
    assert not [text for text in ("DROP TABLE", "jndi", "script") if text in answer.text]
    stack.wait_until_counted()

    kept = _rows(stack, project.id)
    for event in sent:
        row = kept[event["id"]]
        for name in ("sessionId", "conversationId", "deviceId", "action"):
            if name in event:
                assert row[column_of(name)] == event[name]
        if "sources" in event:
            named = [
                (one["id"], "" if one["name"].isspace() else one["name"])
                for one in event["sources"]
            ]
            assert row["sources"] == named  # a blank name is none
    _assert_told(stack, project, INJECTIONS)


def _rows(stack: Stack, project_id: str) -> dict[str, dict[str, Any]]:
    found = stack.database.query(
        "SELECT * FROM events WHERE project_id = {id:String}", {"id": project_id}
    )
    rows = (dict(zip(found.column_names, row, strict=True)) for row in found.result_rows)
    # A source comes as a dict or a tuple, as the client's version has it.
    return {
        row["id"]: row
        | {"sources": [(*(s.values() if isinstance(s, dict) else s),) for s in row["sources"]]}
        for row in rows
    }


def _assert_told(stack: Stack, project: Any, texts: tuple[str, ...]) -> None:
    """The answers name each text as it was sent, and ask for each device alone."""
    answer = stack.analytics(project)
    for category in ("action", "source"):
        told = {row["key"] for row in answer["stats"] if row["category"] == category}
        assert told == set(texts)
    assert {one["id"]: one["name"] for one in answer["sources"]} == {text: text for text in texts}
    for text in texts:
        stats = stack.analytics(project, deviceId=text, category="action")["stats"]
        assert [(row["key"], row["value"]) for row in stats] == [(text, 1)]


@each_writing
def test_every_bound_string_is_refused_when_it_holds_an_injection(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    events = []
    for schema, path in bound_strings(operation.components):
        for text in INJECTIONS:
            event = filled(schema, operation.components, "plain")
            # An address that is none is no address; what it is instead does not matter.
            event["context"] = {}
            place = event
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = text
            events.append(event)
    assert len(events) > 20 * len(INJECTIONS)

    answer = operation.ask(stack, tenants.a.id, tenants.a.live_key, body=events)

    assert_problem(answer, 400, "no_valid_event")
    codes = {one["code"] for one in answer.json()["rejected"]}
    assert codes == {"invalid_field", "unknown_type"}
    assert len(answer.json()["rejected"]) == len(events)
    assert not [text for text in ("DROP TABLE", "jndi", "script") if text in answer.text]


@each_reading
def test_every_parameter_is_a_value_when_it_holds_an_injection(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    for name in operation.parameters("query"):
        for text in INJECTIONS:
            answer = operation.ask(stack, tenants.a.id, tenants.a.live_key, query={name: text})
            schema = next(one for one in operation.described["parameters"] if one["name"] == name)
            if is_free(resolved(schema["schema"], operation.components)):
                assert answer.status_code == 200, answer.text
                assert answer.json()["stats"] == []
            else:
                assert_problem(answer, 400)


@each_operation
def test_path_and_headers_are_values_when_they_hold_an_injection(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    for text in INJECTIONS:
        target = operation.path.replace("{projectId}", _quoted(text)).encode()
        url = stack.services[operation.service].url
        bearer = {"Authorization": f"Bearer {tenants.a.live_key}"}
        answer = stack.http.request(
            operation.method.upper(),
            url,
            extensions={"target": target},
            json=operation.body,
            headers=bearer,
        )
        assert answer.status_code in (403, 404), answer.text
        if text.strip() and text.isprintable() and text.isascii():
            for name in ("X-Request-Id", "User-Agent", "X-Forwarded-For", "Accept", "Cookie"):
                asked = operation.ask(stack, tenants.a.id, tenants.a.live_key, headers={name: text})
                assert asked.is_success, asked.text
                assert text not in str(asked.headers.raw)


def _quoted(text: str) -> str:
    return str(httpx.QueryParams({"p": text})).removeprefix("p=").replace("+", "%20")
