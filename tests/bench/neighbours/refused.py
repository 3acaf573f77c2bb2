"""Bodies in which nothing is an event, as fast as they are refused."""

import asyncio
import gzip

from tests.bench.neighbours.bodies import head_of
from tests.bench.neighbours.target import Run, Target
from tests.bench.neighbours.wire import Caller


async def refused_bodies(target: Target, run: Run) -> None:
    """Empty objects, halves of surrogates, broken compression, no JSON: in turn, 16 at once."""
    requests = [_request(target, *one) for one in _bodies()]
    run.begin()

    async def client(first: int) -> None:
        caller = Caller(target.host, target.ingest_port)
        at = first
        while run.goes_on:
            answer = await caller.ask(requests[at % len(requests)])
            run.told[answer.word] += 1
            at += 1
            # Nobody listens where there was no answer at all: it would only ask the faster.
            await asyncio.sleep(min(answer.retry_after_s, 1.0) if answer.status else 0.1)
        caller.close()

    await asyncio.gather(*(client(at) for at in range(16)))


def _bodies() -> list[tuple[bytes, str]]:
    halves = b'["' + b"\\ud800" * 1_264 + b'"]'
    return [
        (b"[" + b",".join([b"{}"] * 10_000) + b"]", "identity"),
        (halves, "identity"),
        (gzip.compress(b"[" + b"{}," * 100_000)[:-9], "gzip"),
        (b"no json " * 8_000, "identity"),
        (b"[" * 60_000, "identity"),
    ]


def _request(target: Target, body: bytes, encoding: str) -> bytes:
    return head_of(target, target.keys[0], len(body), Content_Encoding=encoding) + body
