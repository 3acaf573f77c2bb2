"""Whether the processes say themselves that they are ready, and if not, why."""

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from services.admin.doctor.findings import Finding, fail, ok, warn
from services.admin.doctor.installation import Installation
from services.admin.words import listed

_EXPECTED = "each process answers and is ready"
_READY = "/healthz/ready"
# Of what the check itself may take: one that is silent must not hide what the others say, and one
# that is not ready at this moment may be so in the next.
_TIMEOUT, _PATIENCE, _PAUSE_S = 0.3, 0.6, 1.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process at one address of a name: a name may stand for several."""

    url: str
    trouble: str = ""  # empty: ready

    def __str__(self) -> str:
        return f"{self.url}: {self.trouble}"


async def services(installation: Installation) -> Finding:
    """Ingest, query and the processors are ready."""
    told = installation.settings.doctor
    if not told.services:
        return warn(
            "no process was asked: none is named",
            _EXPECTED,
            "Name all of them in RAGTIME_DOCTOR__SERVICES: `http://ingest:8081,http://query:8082`.",
        )
    timeout, until = told.deadline_s * _TIMEOUT, time.monotonic() + told.deadline_s * _PATIENCE
    async with httpx.AsyncClient(trust_env=False, timeout=timeout) as client:
        while True:
            asked = await asyncio.gather(*(_ask_all(client, url) for url in told.services))
            found = [process for some in asked for process in some]
            if time.monotonic() > until or not any(process.trouble for process in found):
                return judge(found)
            await asyncio.sleep(_PAUSE_S)


def judge(found: Sequence[Process]) -> Finding:
    """What to say of the processes."""
    troubled = [process for process in found if process.trouble]
    if not troubled:
        return ok(f"{len(found)} ready")
    return fail(
        listed([str(process) for process in troubled]),
        _EXPECTED,
        "Start what does not answer; see the log of what is not ready, and docs/alerts.md for what"
        " its lines mean.",
    )


async def _ask_all(client: httpx.AsyncClient, url: str) -> list[Process]:
    place = urlsplit(url)
    port = place.port or 80
    try:
        addresses = await _addresses(place.hostname or "", port)
    except OSError:
        return [Process(url, "its name has no address")]
    one_name = len(addresses) == 1
    return await asyncio.gather(
        *(
            _ask(client, url if one_name else f"{url} ({address})", place.netloc, address, port)
            for address in addresses
        )
    )


async def _addresses(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


async def _ask(client: httpx.AsyncClient, name: str, host: str, address: str, port: int) -> Process:
    literal = f"[{address}]" if ":" in address else address
    try:
        answer = await client.get(f"http://{literal}:{port}{_READY}", headers={"Host": host})
    except httpx.HTTPError as error:
        return Process(name, f"no answer ({type(error).__name__})")
    return Process(name, trouble_of(answer.status_code, _json(answer)))


def _json(answer: httpx.Response) -> Any:  # noqa: ANN401 - whatever somebody answers
    try:
        return answer.json()
    except ValueError:
        return None


def trouble_of(status: int, body: object) -> str:
    """What keeps a process that answered so from being ready; empty where nothing does."""
    checks = body.get("checks") if isinstance(body, dict) else None
    if not isinstance(checks, dict):
        return f"HTTP {status}, and none of our services answers so"
    return ", ".join(f"{name} is not well" for name, is_well in checks.items() if not is_well)
