"""All kinds of attacks by their names. Each is within what A's keys, or no key at all, allow."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from tests.bench.neighbours import reading, refused, slow, strangers, writing
from tests.bench.neighbours.target import Run, Target


@dataclass(frozen=True)
class Kind:
    """One kind of attack. `keys`: how many keys of its project A uses."""

    attack: Callable[[Target, Run], Coroutine[Any, Any, None]]
    keys: int = 1

    @property
    def says(self) -> str:
        """What it does, in one line."""
        return (self.attack.__doc__ or "").partition("\n")[0]


async def keys(target: Target, run: Run) -> None:
    """100,000 keys lie in the table; nobody uses them."""
    run.begin()
    await asyncio.sleep(target.seconds)


KINDS = {
    "fresh": Kind(writing.fresh),
    "single": Kind(writing.single),
    "repeats": Kind(writing.repeats),
    "old-repeats": Kind(writing.old_repeats),
    "backdated": Kind(writing.backdated_conversations),
    "sources": Kind(writing.sources),
    "names": Kind(writing.names),
    "user-agents": Kind(writing.user_agents),
    "refused": Kind(refused.refused_bodies),
    "uploads": Kind(slow.uploads, keys=8),
    "packed-uploads": Kind(slow.packed_uploads, keys=8),
    "small-bodies": Kind(slow.small_bodies, keys=8),
    "unread-large": Kind(reading.unread_large, keys=8),
    "unread-medium": Kind(reading.unread_medium, keys=8),
    "heavy": Kind(reading.heavy, keys=8),
    "headers": Kind(strangers.headers),
    "unread-documents": Kind(strangers.unread_documents),
    "hammering": Kind(strangers.hammering),
    "idle": Kind(strangers.idle),
    "strangers": Kind(strangers.strangers),
    "keys": Kind(keys),
}
