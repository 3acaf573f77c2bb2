"""Valid events, as many as A may send: of the kinds that cost the processor or the tables most."""

import asyncio
import random
from collections.abc import Sequence

import msgspec

from tests.bench.neighbours.bodies import (
    MARK,
    Event,
    Template,
    backdated,
    letters,
    long_id,
    message,
    templates,
)
from tests.bench.neighbours.target import Run, Target
from tests.bench.neighbours.wire import Caller, Pace

_LARGE = 5_000
_OLD_IDS = 200_000
_WIDE = "💡"


class _Verdicts(msgspec.Struct):
    accepted: int


_verdicts = msgspec.json.Decoder(_Verdicts).decode


async def write(
    target: Target,
    run: Run,
    requests: Sequence[Template],
    *,
    clients: int,
    rate: float | None = None,
    anew: bool = True,
) -> None:
    """Send these again and again. `rate`: events/s; None: as fast as they are taken.

    `anew`: under new marks each time, else they are repeats of one another.
    """
    pace = None if rate is None else Pace(rate / requests[0].events)
    run.begin()

    async def client() -> None:
        caller = Caller(target.host, target.ingest_port)
        while run.goes_on:
            if pace is not None:
                await pace.turn()
            number = run.next_number()
            template = requests[number % len(requests)]
            await _send(run, caller, template.request(number if anew else 0))
        caller.close()

    await asyncio.gather(*(client() for _ in range(clients)))


async def _send(run: Run, caller: Caller, request: bytes) -> None:
    answer = await caller.ask(request)
    run.told[answer.word] += 1
    if answer.status == 202:
        run.accepted += _verdicts(answer.body).accepted
    else:  # as A must not be slower than it may, it waits no longer than it has to
        await asyncio.sleep(min(answer.retry_after_s, 1.0) or 0.05)


async def fresh(target: Target, run: Run) -> None:
    """New events in large requests, as fast as they are taken."""
    await write(target, run, templates(target, message, _LARGE), clients=8)


async def single(target: Target, run: Run) -> None:
    """New events, one a request, over 64 connections."""
    await write(target, run, templates(target, message, 1), clients=64)


async def repeats(target: Target, run: Run) -> None:
    """The same events with ids of 64 characters, 30,000 a second."""

    def make(at: int) -> Event:
        return message(at, id=long_id(f"{MARK}-{at}"))

    await write(target, run, templates(target, make, 3_000), clients=8, rate=30_000, anew=False)


def old_event(number: int) -> Event:
    """One of many that are counted before the attack, spread over 30 days."""
    return message(
        number,
        id=long_id(f"old-{number}"),
        sessionId=f"old-{number // 10}",
        conversationId=f"old-{number // 10}",
        occurredAt=backdated(number, _OLD_IDS),
    )


def old_events() -> list[Event]:
    """All of them."""
    return [old_event(number) for number in range(_OLD_IDS)]


async def old_repeats(target: Target, run: Run) -> None:
    """Events once more that were counted before, in random order, 30,000 a second."""
    numbers = random.Random(1).sample(range(_OLD_IDS), _OLD_IDS)
    requests = [
        Template(target, target.keys[0], [old_event(one) for one in numbers[at : at + 2_000]])
        for at in range(0, _OLD_IDS, 2_000)
    ]
    await write(target, run, requests, clients=8, rate=30_000)


async def backdated_conversations(target: Target, run: Run) -> None:
    """New conversations of the last 30 days, with long ids, 17,000 a second."""

    def make(at: int) -> Event:
        name = f"{MARK}{at:06}"
        talk = _WIDE * (128 - len(name)) + name
        return message(at, id=long_id(name), conversationId=talk, occurredAt=backdated(at, 2_000))

    await write(target, run, templates(target, make, 2_000), clients=8, rate=17_000)


async def sources(target: Target, run: Run) -> None:
    """Retrievals with 100 sources each that nobody has named before, 2,000 a second."""

    def make(at: int) -> Event:
        cited = [{"id": f"{MARK}-{at}-{n}", "name": f"Source {MARK} {at} {n}"} for n in range(100)]
        return message(at, type="rag.retrieval", hit=True, sources=cited)

    await write(target, run, templates(target, make, 200), clients=8, rate=2_000)


async def names(target: Target, run: Run) -> None:
    """Actions, languages and devices that nobody has named before, 10,000 a second."""

    def make(at: int) -> Event:
        device = {"deviceId": f"device-{MARK}-{at}"}
        if at % 2:
            return message(at, type="chat.action", action=f"action-{MARK}-{at}", **device)
        language = f"{MARK}{letters(at)}"
        talk = {"sessionId": f"{MARK}-{at}", "conversationId": f"{MARK}-{at}"}
        return message(at, language=language, **device, **talk)

    await write(target, run, templates(target, make, 2_000), clients=8, rate=10_000)


async def user_agents(target: Target, run: Run) -> None:
    """Starts of sessions by user agents that patterns take long for, as fast as they are taken."""

    def make(at: int) -> Event:
        agent = "macintosh" * 112 + f"{MARK}{at:03}"
        return {
            "id": f"{MARK}-{at}",
            "type": "session.started",
            "sessionId": f"{MARK}-{at}",
            "context": {"userAgent": agent},
        }

    await write(target, run, templates(target, make, 1_000), clients=8)
