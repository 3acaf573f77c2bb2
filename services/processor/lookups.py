"""What is asked of the table about a batch, where memory cannot decide alone.

- Late events: an earlier copy may have been counted before the window that memory holds. It cannot
  have been appended before it occurred, but for clocks that differ: an event that occurred less
  than `_LATE_S` before its append was counted within the window, or never.
- Events that a filter has: memory was too small to keep them exactly.
- Conversations of days before those that memory holds, or that a filter has.

A question carries its values as parameters, and a server refuses a field of more than 128 KiB: each
is cut by bytes. No text that a producer chose freely is among them: ids have a narrow alphabet,
conversations go by number.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from clickhouse_connect.driver.asyncclient import AsyncClient
from numpy.typing import NDArray

from libs.events.models import AnyEvent
from libs.events.window import FARTHEST_AHEAD
from libs.telemetry.metrics import LOOKED_UP
from services.processor.batch import Batch, Places, day_of
from services.processor.dedup_index import WINDOW_MS, IdentityRuns, Mask
from services.processor.late_days import MAX_EVENTS, DayKey, LateDay, LateDays, by_day
from services.processor.statements import statement

_LATE_S = WINDOW_MS // 1000 - int(FARTHEST_AHEAD.total_seconds())
# A server's limit is 131,072 bytes for a field (http_max_field_value_size).
_FIELD_BYTES = 100_000
_BESIDE_AN_ID = 3  # quotes and a comma
_KEYS_A_QUESTION = _FIELD_BYTES // (20 + 1)
_AT_ONCE = 4
# Rows of days that are read whole for one batch: tenths of a second, for which all others wait.
_ROWS_A_BATCH = 500_000

_COUNTED_IDS = statement("counted_ids")
_LATE_IDS = statement("late_ids")
_BEGUN_CONVERSATIONS = statement("begun_conversations")
_LATE_DAYS = statement("late_days")
_DAY_SIZES = statement("day_sizes")

_IDENTITY = [("key", "<u8"), ("check", "<u8")]
_IDENTITY_ROW = np.dtype(_IDENTITY)
_SIZE_ROW = np.dtype([("day", "<u2"), ("events", "<u8")])
_BEGUN_ROW = np.dtype([("day", "<u2"), *_IDENTITY])
_DAY_ROW = np.dtype(
    [("day", "<u2"), *_IDENTITY, ("conversation", "<u8"), ("conversation_check", "<u8")]
)

# Of each event its project and its id.
_Ids = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Uncertain:
    """What memory cannot decide of a batch: which events are counted, which conversations begun."""

    late: Places
    filtered: Places
    messages: Places

    def __bool__(self) -> bool:
        return bool(len(self.late) or len(self.filtered) or len(self.messages))


def uncertain(batch: Batch) -> Uncertain:
    """What the table must be asked about."""
    is_late = batch.entries["occurred_s"] < batch.appended_s() - _LATE_S
    is_filtered = np.zeros(len(batch), dtype=np.bool_)
    owners = batch.owners()
    for number in batch.partition_numbers():
        own = owners == number
        is_filtered[own] = batch.partitions[number].ids.may_contain(*batch.identities(own))
    open_ = ~batch.is_counted
    return Uncertain(
        late=np.flatnonzero(open_ & is_late),
        filtered=np.flatnonzero(open_ & is_filtered),
        messages=_uncertain_messages(batch),
    )


def _uncertain_messages(batch: Batch) -> Places:
    found: list[Places] = [np.empty(0, dtype=np.intp)]
    for number, day, at in batch.messages_by_day():
        conversations = batch.partitions[number].conversations
        some = at[~batch.is_counted[at]]
        some = some[~conversations.contains(day, *batch.conversations(some))]
        if day >= conversations.complete_from:
            some = some[conversations.may_contain(day, *batch.conversations(some))]
        found.append(some)
    return np.concatenate(found)


class Lookups:
    """Asks the table. `topic`: the name that its rows have.

    `number_of_partitions`: of the topic; it places the rows of older topics.
    """

    def __init__(self, client: AsyncClient, topic: str, late_days: LateDays) -> None:
        self.topic = topic
        self.number_of_partitions = 1
        self.late_days = late_days
        self._client = client
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def look_up(self, batch: Batch) -> None:
        """Fill in what of a batch is counted and has begun. Raises the driver's `Error`."""
        asked = uncertain(batch)
        if not asked:
            return
        late, messages = await self._by_late_days(batch, asked)
        LOOKED_UP.labels("late").inc(len(late))
        LOOKED_UP.labels("filtered").inc(len(asked.filtered))
        LOOKED_UP.labels("conversation").inc(len(messages))
        await asyncio.gather(
            *(self._late(batch, *some) for some in _portions_of_ids(batch, late)),
            *(self._filtered(batch, *some) for some in _portions_of_ids(batch, asked.filtered)),
            *(self._begun(batch, some) for some in _portions(messages, _KEYS_A_QUESTION)),
        )

    async def _by_late_days(self, batch: Batch, asked: Uncertain) -> tuple[Places, Places]:
        """Answer from days that were read whole; what is left are the late events and messages."""
        late, messages = by_day(batch, asked.late), by_day(batch, asked.messages)
        places = {
            key: np.concatenate([late.get(key, _NONE), messages.get(key, _NONE)])
            for key in late.keys() | messages.keys()
        }
        async for key, day in self._late_days(batch, places):
            of_day, in_day = late.pop(key, _NONE), messages.pop(key, _NONE)
            batch.is_counted[of_day] |= day.ids.contains(*batch.identities(of_day))
            batch.has_begun[in_day] = day.conversations.contains(*batch.conversations(in_day))
        return _all(late), _all(messages)

    async def _late_days(
        self, batch: Batch, places: Mapping[DayKey, Places]
    ) -> AsyncIterator[tuple[DayKey, LateDay]]:
        """Those of these days that are known, and those that are worth reading now."""
        wanted: defaultdict[int, list[DayKey]] = defaultdict(list)
        for key, at in places.items():
            day = self.late_days.get(key)
            if day is not None:
                yield key, day
            elif self.late_days.is_worth_reading(key, len(at)):
                wanted[key[0]].append(key)
        room = _ROWS_A_BATCH
        for keys in wanted.values():
            event = batch.event(int(places[keys[0]][0]))
            sizes = await self._day_sizes(batch, event, keys)
            chosen = []
            for key in sorted(keys, key=lambda key: sizes[key]):
                if sizes[key] > MAX_EVENTS:
                    self.late_days.never_read(key)
                elif sizes[key] <= room:
                    room -= sizes[key]
                    chosen.append(key)
            if chosen:
                async for found in self._read_days(batch, event, chosen):
                    yield found

    async def _day_sizes(
        self, batch: Batch, event: AnyEvent, keys: Sequence[DayKey]
    ) -> dict[DayKey, int]:
        """About how many rows days of the event's project and mode have."""
        rows = await self._rows(
            _DAY_SIZES,
            _SIZE_ROW,
            _of_days(batch, event, keys),
        )
        sizes = dict(zip(rows["day"].tolist(), rows["events"].tolist(), strict=True))
        return {key: sizes.get(key[1], 0) for key in keys}

    async def _read_days(
        self, batch: Batch, event: AnyEvent, keys: Sequence[DayKey]
    ) -> AsyncIterator[tuple[DayKey, LateDay]]:
        """Days of the event's project and mode, by one statement if that is not too much."""
        rows = await self._rows(
            _LATE_DAYS,
            _DAY_ROW,
            _of_days(batch, event, keys)
            | {
                "topic": self.topic,
                "number_of_partitions": self.number_of_partitions,
                "limit": MAX_EVENTS + 1,
            },
        )
        if len(rows) <= MAX_EVENTS:
            for key in keys:
                day = _late_day(rows[rows["day"] == key[1]])
                self.late_days.put(key, day)
                yield key, day
        elif len(keys) == 1:
            self.late_days.never_read(keys[0])
        else:
            middle = len(keys) // 2
            for half in (keys[:middle], keys[middle:]):
                async for found in self._read_days(batch, event, half):
                    yield found

    async def _late(self, batch: Batch, at: Places, asked: _Ids) -> None:
        days = sorted({day_of(one) for one in batch.days(at).tolist()})
        rows = await self._rows(_LATE_IDS, _IDENTITY_ROW, _of_ids(asked) | {"days": days})
        batch.is_counted[at] |= _among(rows, *batch.identities(at))

    async def _filtered(self, batch: Batch, at: Places, asked: _Ids) -> None:
        appended_ms = batch.appended_s()[at] * 1000
        since_ms = int(appended_ms.min()) - WINDOW_MS
        parameters = _of_ids(asked) | {"since_ms": since_ms}
        rows = await self._rows(_COUNTED_IDS, _IDENTITY_ROW, parameters)
        batch.is_counted[at] |= _among(rows, *batch.identities(at))

    async def _begun(self, batch: Batch, at: Places) -> None:
        keys, checks = batch.conversations(at)
        rows = await self._rows(
            _BEGUN_CONVERSATIONS,
            _BEGUN_ROW,
            {
                "projects": _projects_of(batch, at),
                "days": sorted({day_of(one) for one in batch.days(at).tolist()}),
                "keys": np.unique(keys).tolist(),
            },
        )
        days = batch.days(at)
        for day in np.unique(days):
            of_day = days == day
            known = _among(rows[rows["day"] == day], keys[of_day], checks[of_day])
            batch.has_begun[at[of_day]] = known

    async def _rows(self, sql: str, row: np.dtype[Any], values: dict[str, Any]) -> NDArray[Any]:
        async with self._places:
            raw = await self._client.raw_query(sql, parameters=values, fmt="RowBinary")
        return np.frombuffer(raw, dtype=row)


def _late_day(rows: NDArray[Any]) -> LateDay:
    day = LateDay()
    day.ids.add(rows["key"], rows["check"])
    begun = rows[rows["conversation"] | rows["conversation_check"] != 0]
    day.conversations.add(begun["conversation"], begun["conversation_check"])
    return day


_NONE: Places = np.empty(0, dtype=np.intp)


def _all(places: Mapping[DayKey, Places]) -> Places:
    return np.concatenate([_NONE, *places.values()])


def _among(rows: NDArray[Any], keys: NDArray[np.uint64], checks: NDArray[np.uint64]) -> Mask:
    known = IdentityRuns()
    known.add(rows["key"], rows["check"])
    return known.contains(keys, checks)


def _of_days(batch: Batch, event: AnyEvent, keys: Sequence[DayKey]) -> dict[str, Any]:
    """What asks about days of the event's project and mode."""
    return {
        "project": event.project_id,
        "is_live": event.is_live,
        "days": [day_of(number) for _, number in keys],
        "partitions": sorted(batch.partitions),
    }


def _of_ids(asked: _Ids) -> dict[str, Any]:
    return {
        "projects": sorted({project for project, _ in asked}),
        "ids": sorted({one for _, one in asked}),
    }


def _portions_of_ids(batch: Batch, at: Places) -> Iterator[tuple[Places, _Ids]]:
    """Places with their ids, as many as fit into one field."""
    asked = [("", "")] * len(at)
    for index in np.argsort(at).tolist():  # record by record, so that each is split once
        event = batch.event(int(at[index]))
        asked[index] = event.project_id, event.id
    ends = np.cumsum([len(one) + _BESIDE_AN_ID for _, one in asked])
    start = 0
    while start < len(at):
        before = ends[start - 1] if start else 0
        end = int(np.searchsorted(ends, before + _FIELD_BYTES, side="right"))
        yield at[start:end], asked[start:end]
        start = end


def _projects_of(batch: Batch, at: Places) -> list[str]:
    """One event of each project and day is looked at."""
    firsts = (int(places[0]) for places in by_day(batch, at).values())
    return sorted({batch.event(one).project_id for one in firsts})


def _portions(at: Places, most: int) -> Iterator[Places]:
    for start in range(0, len(at), most):
        yield at[start : start + most]
