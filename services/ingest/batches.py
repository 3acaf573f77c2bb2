"""A request's events one by one: each becomes a line for the topic, or a rejection."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from libs.events.codec import encode_event
from libs.events.models import AnyEvent
from libs.events.partitions import partition_key
from libs.events.record_index import entry_of
from services.ingest.bodies import RawEvent
from services.ingest.decoding import EventDecoder
from services.ingest.enrich import Submission, enrich
from services.ingest.incoming import UndecodableError
from services.ingest.publisher import Line
from services.ingest.verdicts import Refusal, RefusedError, explain

# What is worked off before others get their turn, in bytes; an event costs something whatever is
# in it.
_BYTES_IN_A_TURN = 128 * 1024
_BYTES_OF_NOTHING = 256


@dataclass(slots=True)
class Batch:
    """The lines of the valid events, and what was refused, by index."""

    lines: list[Line] = field(default_factory=list)
    rejected: list[tuple[int, Refusal]] = field(default_factory=list)
    types: dict[type[AnyEvent], int] = field(default_factory=dict)


async def prepare_batch(events: Iterable[RawEvent], submission: Submission) -> Batch:
    """Decode, enrich and encode each event. Never raises, whatever the bytes.

    Others get at the event loop every few milliseconds.
    """
    batch = Batch()
    decode = EventDecoder().decode
    work = 0
    for index, raw in enumerate(events):
        work += _BYTES_OF_NOTHING + len(raw)
        if work >= _BYTES_IN_A_TURN:
            work = 0
            await asyncio.sleep(0)
        try:
            event = enrich(index, decode(raw), submission)
        except (*UndecodableError, RefusedError) as error:
            batch.rejected.append((index, explain(error)))
        else:
            batch.lines.append(Line(partition_key(event), encode_event(event), entry_of(event)))
            batch.types[type(event)] = batch.types.get(type(event), 0) + 1
    return batch
