"""API2:2023, broken authentication: nothing but a whole, known, live key in its header lets in."""

from collections.abc import Callable

import pytest

from libs.access.api_keys import Mode, generate_key
from tests.e2e.asking import assert_problem
from tests.e2e.stack import Stack
from tests.security.operations import Operation, each_operation
from tests.security.tenants import Tenants

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]


def _wrong_keys(key: str) -> list[str]:
    unknown = generate_key(Mode.LIVE)
    return [
        f"Bearer {unknown}",
        f"Bearer {key[:-1]}",
        f"Bearer {key}x",
        f"Bearer {key.swapcase()}",
        "Bearer null",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
    ]


def _wrong_headers(key: str) -> list[str]:
    return [
        f"Bearer {key} {key}",
        f"Bearer {key}, Bearer {key}",
        f"Basic {key}",
        f"Token {key}",
        key,
        "Bearer",
        "Bearer ' OR 1=1 --",
    ]


@each_operation
@pytest.mark.parametrize("shown", [_wrong_keys, _wrong_headers])
def test_refusals_are_alike_when_the_key_is_none(
    stack: Stack,
    tenants: Tenants,
    operation: Operation,
    shown: Callable[[str], list[str]],
) -> None:
    told = set()
    for header in shown(tenants.a.live_key):
        response = operation.ask(stack, tenants.a.id, None, headers={"Authorization": header})
        assert_problem(response, 401, "invalid_key")
        assert response.headers["WWW-Authenticate"] == "Bearer"
        told.add(response.json()["detail"])
    assert len(told) == 1


@each_operation
def test_key_is_not_taken_when_it_is_shown_elsewhere(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    key = tenants.a.live_key
    elsewhere = [
        operation.ask(stack, tenants.a.id, None, query={"access_token": key, "api_key": key}),
        operation.ask(stack, tenants.a.id, None, headers={"X-API-Key": key}),
        operation.ask(stack, tenants.a.id, None, headers={"Cookie": f"token={key}"}),
        operation.ask(stack, tenants.a.id, None, headers={"Proxy-Authorization": f"Bearer {key}"}),
    ]
    for response in elsewhere:
        assert_problem(response, 401, "missing_key")
        assert key not in response.text


@each_operation
def test_answer_never_repeats_the_key_when_it_is_refused_or_taken(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    for project in (tenants.a, tenants.b):
        response = operation.ask(stack, project.id, tenants.a.live_key)
        told = response.text + str(response.headers)
        assert tenants.a.live_key[8:] not in told
