"""Whether a key that was revoked is dead, and after how many seconds, on both services."""

import time

import httpx

from tests.bench.neighbours.stage import B, Stage
from tests.e2e.asking import bearer

_WITHIN_S = 20.0
_ASKS_EVERY_S = 0.5


def seconds_until_dead(stage: Stage) -> dict[str, float | None]:
    """By service. None: it is still taken after 20 s."""
    stage.stack.ragtime("keys", "revoke", stage.spare.id)
    revoked_at = time.monotonic()
    return {name: _until_dead(stage, name, revoked_at) for name in ("ingest", "query")}


def _until_dead(stage: Stage, service: str, revoked_at: float) -> float | None:
    while _status(stage, service) != 401:
        if time.monotonic() - revoked_at > _WITHIN_S:
            return None
        time.sleep(_ASKS_EVERY_S)
    return time.monotonic() - revoked_at


def _status(stage: Stage, service: str) -> int:
    """What the key is answered; 0: nothing."""
    stack, headers = stage.stack, bearer(stage.spare.text)
    try:
        if service == "query":
            return stack.http.get(stack.analytics_url(B), headers=headers).status_code
        return stack.http.post(stack.events_url(B), headers=headers).status_code
    except httpx.TransportError:
        return 0
