"""API8:2023, security misconfiguration: what every answer has, and what none tells."""

import re

import httpx
import pytest

from tests.e2e.stack import Stack
from tests.security.operations import OPERATIONS, Operation, each_operation
from tests.security.tenants import Tenants

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]

# Words of our insides: a library, a language, a table, a statement, a path.
_INSIDES = re.compile(
    r"traceback|uvicorn|starlette|fastapi|clickhouse|kafka\.|python|msgspec|select |daily_counts"
    r"|api_keys|/services/|/libs/|site-packages",
    re.IGNORECASE,
)


def _answers(stack: Stack, tenants: Tenants, operation: Operation) -> list[httpx.Response]:
    key = tenants.a.live_key
    url = stack.services[operation.service].url
    return [
        operation.ask(stack, tenants.a.id, key),
        operation.ask(stack, tenants.a.id, key, query={"from": "' OR 1=1", "live": "\0"}),
        operation.ask(stack, tenants.a.id, key, body={"type": "no type"}),
        operation.ask(stack, tenants.b.id, key),
        operation.ask(stack, tenants.a.id, None),
        stack.http.get(f"{url}/nowhere"),
        stack.http.delete(f"{url}{operation.path}"),
    ]


@each_operation
def test_every_answer_is_bare_and_kept_by_nobody(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    for answer in _answers(stack, tenants, operation):
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Request-Id"]
        media_type = answer.headers["Content-Type"].removesuffix("; charset=utf-8")
        assert media_type in ("application/json", "application/problem+json")
        assert not {"Server", "X-Powered-By", "Set-Cookie"} & set(answer.headers)


@each_operation
def test_refusal_tells_nothing_of_the_insides(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    for answer in _answers(stack, tenants, operation):
        if not answer.is_success:
            assert _INSIDES.search(answer.text) is None, answer.text


@each_operation
def test_no_origin_is_let_in_when_none_is_set(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    for origin in ("https://evil.example", "null", stack.services[operation.service].url):
        answer = operation.ask(stack, tenants.a.id, tenants.a.live_key, headers={"Origin": origin})
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("service", sorted({one.service for one in OPERATIONS}))
def test_what_asks_for_no_key_tells_nothing_of_a_tenant(
    stack: Stack, tenants: Tenants, service: str
) -> None:
    url = stack.services[service].url
    for path in ("/healthz/live", "/healthz/ready", "/metrics", "/openapi.json"):
        told = stack.http.get(f"{url}{path}").text
        assert tenants.a.id not in told
        assert tenants.a.live_key[8:] not in told
