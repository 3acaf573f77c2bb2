"""Python's httpx."""

import httpx

from tests.clients.programs.commands import Answer, Command, obey

_client = httpx.Client(timeout=60)


def _send(command: Command) -> Answer:
    answer = _client.request(
        command.method,
        command.url,
        params=command.query,
        headers=command.headers_by_hand(),
        json=command.event,
        content=command.body_by_hand(),
    )
    return Answer(answer.status_code, dict(answer.headers), answer.json())


obey(_send)
