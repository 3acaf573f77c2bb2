"""Asks the stack's processes whether they work."""

import urllib.error
import urllib.request

from deploy.local.environments import SERVICES
from deploy.local.ports import Ports

_TIMEOUT_S = 5.0
# Proxies that the environment names lead out of this machine.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers(url: str) -> bool:
    """Whether the answer is 200."""
    return status_of(url) == 200


def status_of(url: str, token: str = "", body: bytes | None = None) -> int | None:
    """The status of an answer; None when there is none. With a body it is a POST."""
    request = urllib.request.Request(url, data=body)  # noqa: S310 - always http, of our own making
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with _direct.open(request, timeout=_TIMEOUT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None


def health_urls(ports: Ports) -> dict[str, str]:
    """Where each process that can tell says whether it works."""
    local = "http://127.0.0.1"
    services = {name: f"{local}:{getattr(ports, name)}/healthz/ready" for name in SERVICES}
    return {"clickhouse": f"{local}:{ports.clickhouse}/ping"} | services
