"""Who reads in which turn of the event loop."""

import asyncio
from typing import Any

from libs.http.turns import _READS_IN_A_TURN, Turns


async def test_reads_go_on_in_the_next_turn_when_one_meets_a_bug() -> None:
    turns, read, bugs = Turns(), [], []

    def note_bug(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        bugs.append(context["exception"])

    asyncio.get_running_loop().set_exception_handler(note_bug)

    def meet_bug() -> None:
        raise ValueError("of one connection")

    assert all(turns.try_to_take("one") for _ in range(_READS_IN_A_TURN))
    assert not turns.try_to_take("one")
    turns.wait("one", meet_bug)
    for number in range(20):
        turns.wait("one", lambda number=number: read.append(number))  # type: ignore[misc]
    for _ in range(10):
        await asyncio.sleep(0)

    assert read == [*range(20)]
    assert [str(bug) for bug in bugs] == ["of one connection"]
