"""Waiting in tests: for a condition, with a deadline, never for a time."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Return as soon as the condition holds; fail when it does not in time."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - any condition, not only what can be signalled
            await asyncio.sleep(0.002)


async def until_answered(condition: Callable[[], Awaitable[bool]], timeout_s: float = 20.0) -> None:
    """Like `until`, for a condition that has to be asked of somebody."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - nobody signals it
            await asyncio.sleep(0.05)
