"""API7:2023, server side request forgery: no service asks an address that a request names."""

import socket
from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack
from tests.security.events import every_event_with
from tests.security.operations import Operation, each_operation
from tests.security.tenants import Tenants

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]

_HEADERS = ("Referer", "Origin", "X-Forwarded-Host", "Forwarded", "X-Callback-Url", "Location")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that nobody has a reason to ask."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        yield listening


@each_operation
def test_nobody_is_asked_when_a_request_names_an_address(
    stack: Stack, tenants: Tenants, operation: Operation, listener: socket.socket
) -> None:
    host, port = listener.getsockname()
    url = f"http://{host}:{port}/x"
    key = tenants.a.live_key
    for name in _HEADERS:
        operation.ask(stack, tenants.a.id, key, headers={name: url})
    for name in operation.parameters("query"):
        operation.ask(stack, tenants.a.id, key, query={name: url})
    if operation.body is not None:
        events = every_event_with(operation.components, url)
        assert operation.ask(stack, tenants.a.id, key, body=events).is_success
        stack.wait_until_counted()

    with pytest.raises(BlockingIOError):
        listener.accept()
