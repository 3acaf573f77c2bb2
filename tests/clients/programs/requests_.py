"""Python's requests."""

import requests

from tests.clients.programs.commands import Answer, Command, obey

_session = requests.Session()


def _send(command: Command) -> Answer:
    answer = _session.request(
        command.method,
        command.url,
        params=command.query,
        headers=command.headers_by_hand(),
        json=command.event,
        data=command.body_by_hand(),
        timeout=60,
    )
    return Answer(answer.status_code, dict(answer.headers), answer.json())


obey(_send)
