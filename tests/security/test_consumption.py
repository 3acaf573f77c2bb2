"""API4:2023, unrestricted resource consumption: each operation has an end for what it takes.

What is slow, packed or deep, and how much memory it may cost, is tested beside the code that
bounds it (tests/unit/services/ingest/test_bodies.py, tests/unit/libs/http/test_protocol.py).
"""

import pytest

from tests.e2e.asking import assert_problem
from tests.e2e.stack import Stack
from tests.security.operations import Operation, each_operation, each_reading, each_writing
from tests.security.tenants import Tenants

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]

_MAX_BODY_BYTES = 5 * 1024 * 1024


@each_operation
def test_document_promises_an_end_of_requests_and_of_what_they_bring(operation: Operation) -> None:
    promised = set(operation.described["responses"])
    assert {"429", "431", "503"} <= promised
    assert operation.body is None or {"413", "415"} <= promised


@each_operation
def test_head_is_refused_when_it_is_too_large(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    for headers in ({"X-Long": "x" * 600_000}, {f"X-{n}": "x" * 200 for n in range(3_000)}):
        response = operation.ask(stack, tenants.a.id, tenants.a.live_key, headers=headers)
        assert_problem(response, 431, "headers_too_large")


@each_writing
def test_body_is_refused_when_it_is_too_large_or_too_many(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    large = operation.body | {"action": "x" * _MAX_BODY_BYTES}
    response = operation.ask(stack, tenants.a.id, tenants.a.live_key, body=large)
    assert_problem(response, 413, "body_too_large")
    response = operation.ask(stack, tenants.a.id, tenants.a.live_key, body=[7] * 10_001)
    assert_problem(response, 413, "too_many_events")


@each_reading
def test_answer_is_given_or_refused_when_all_days_are_asked_for(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    response = operation.ask(
        stack,
        tenants.a.id,
        tenants.a.live_key,
        query={"from": "0001-01-01", "to": "9999-12-31", "live": "false"},
    )
    assert response.status_code in (200, 400)
