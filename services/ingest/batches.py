"""A request's events one by one: each becomes a line for the topic, or a rejection."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from libs.events.codec import encode_event
from libs.events.models import AnyEvent
from libs.events.partitions import partition_key
from libs.events.record_index import entry_of
from services.ingest.bodies import RawEvent
from services.ingest.decoding import EventDecoder
from services.ingest.enrich import Submission, enrich
from services.ingest.incoming import UndecodableError
from services.ingest.publisher import Line
from services.ingest.verdicts import FieldWarning, Refusal, RefusedError, explain

# What is worked off before others get their turn, in bytes; an event costs something whatever is
# in it.
_BYTES_IN_A_TURN = 128 * 1024
_BYTES_OF_NOTHING = 256

_REFUSED = (*UndecodableError, RefusedError)

# Of a request: beyond that nobody reads them, and they would be larger than the request.
_MOST_WARNINGS = 10_000


@dataclass(slots=True)
class Batch:
    """The lines and types of the valid events; what was refused, and what is odd about others, by
    index.
    """

    lines: list[Line] = field(default_factory=list)
    rejected: list[tuple[int, Refusal]] = field(default_factory=list)
    warnings: list[tuple[int, FieldWarning]] = field(default_factory=list)
    types: list[type[AnyEvent]] = field(default_factory=list)

    def warn(self, index: int, warnings: Iterable[FieldWarning]) -> None:
        """Tell what is wrong with an event's descriptions, unless it is refused anyway."""
        is_refused = bool(self.rejected) and self.rejected[-1][0] == index
        if not is_refused and len(self.warnings) < _MOST_WARNINGS:
            self.warnings += [(index, warning) for warning in warnings]


class Turns:
    """Lets one large request of a project be prepared at a time.

    Each large request takes a turn in every round of the event loop: with eight of them a
    neighbour's request, which needs a few rounds, would wait for eight turns in each.
    """

    def __init__(self) -> None:
        # A lock is there as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def prepare(self, events: Sequence[RawEvent], submission: Submission) -> Awaitable[Batch]:
        """See prepare_batch."""
        is_small = len(events) * _BYTES_OF_NOTHING + sum(map(len, events)) < _BYTES_IN_A_TURN
        return (prepare_batch if is_small else self._prepare_in_turn)(events, submission)

    async def _prepare_in_turn(self, events: Sequence[RawEvent], submission: Submission) -> Batch:
        lock = self._locks.setdefault(submission.project_id, asyncio.Lock())
        async with lock:
            return await prepare_batch(events, submission)


async def prepare_batch(events: Iterable[RawEvent], submission: Submission) -> Batch:
    """Decode, enrich and encode each event. Never raises, whatever the bytes.

    Others get at the event loop every few milliseconds.
    """
    batch = Batch()
    decode = EventDecoder().decode
    warnings: list[FieldWarning] = []  # of one event
    work = 0
    for index, raw in enumerate(events):
        work += _BYTES_OF_NOTHING + len(raw)
        if work >= _BYTES_IN_A_TURN:
            work = 0
            await asyncio.sleep(0)
        try:
            event = enrich(raw, decode(raw, warnings), submission, warnings)
        except _REFUSED as error:
            batch.rejected.append((index, explain(error)))
        else:
            batch.lines.append(Line(partition_key(event), encode_event(event), entry_of(event)))
            batch.types.append(type(event))
        if warnings:
            batch.warn(index, warnings)
            warnings.clear()
    return batch
