"""From counted rows to the answer. Pure.

The rows hold sums only; averages are made here, so that they are never averages of averages. Keys
that begin with an underscore are such sums in `conversation` and `session`, and are not shown; in
the other categories keys are the producers' own words.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec

from services.query.questions import ALL, Category, Question


class Stat(msgspec.Struct, frozen=True, rename="camel"):
    """One number of a day."""

    date: date
    category: str
    key: str
    value: int | float
    is_live: bool
    other: bool | msgspec.UnsetType = msgspec.UNSET  # true where many keys are counted as one


class Range(msgspec.Struct, frozen=True, rename={"first_day": "from", "last_day": "to"}):
    """The days that were asked for, both inclusive."""

    first_day: date
    last_day: date


class SourceName(msgspec.Struct, frozen=True):
    """The last name seen of a source; its id where none was."""

    id: str
    name: str


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    """The whole answer of the analytics endpoint."""

    project_id: str
    range: Range
    category: str
    live_only: bool
    stats: Sequence[Stat]
    sources: Sequence[SourceName]


# The key under which a project's keys beyond their limit are shown. The rollup names them by the
# empty text; behind a letter that no key ends with they stand next to a key of that name.
_OTHER = "other"
_OTHER_ENTRY = f"{_OTHER}\0"

_encoder = msgspec.json.Encoder()
# Compared with thousands of strings: a plain one is compared faster than a member.
_SOURCE = Category.SOURCE.value


# A number of a day and category: its value below zero, its key, whether it counts test traffic.
# Sorted, such tuples have the order of the contract; a key function for each would cost more.
_Entry = tuple[float, str, bool]


def stats_of(rows: Iterable[Sequence[Any]]) -> list[Stat]:
    """What is shown of these rows, in the order of the contract.

    A row of both statements for counts is (date, category, key, is_live, total).
    """
    days: defaultdict[date, defaultdict[str, list[_Entry]]]
    days = defaultdict(lambda: defaultdict(list))
    for day, category, key, is_live, total in rows:
        days[day][category].append((-total, key or _OTHER_ENTRY, not is_live))
    stats: list[Stat] = []
    for day in sorted(days, reverse=True):
        for category, entries in sorted(days[day].items()):
            stats += [
                _other(day, category, -negative, is_live=not is_test)
                if key is _OTHER_ENTRY
                else Stat(day, category, key, -negative, not is_test)
                for negative, key, is_test in sorted(_shown(category, entries))
            ]
    return stats


def _other(day: date, category: str, value: float, *, is_live: bool) -> Stat:
    return Stat(day, category, _OTHER, value, is_live, other=True)


def _shown(category: str, entries: Iterable[_Entry]) -> Iterable[_Entry]:
    if category == Category.CONVERSATION:
        return _metrics(_conversation, entries)
    if category == Category.SESSION:
        return _metrics(_session, entries)
    return [entry for entry in entries if entry[0] < 0]


def _metrics(
    metrics_of: Callable[[Mapping[str, int]], dict[str, float]], entries: Iterable[_Entry]
) -> list[_Entry]:
    sums: defaultdict[bool, dict[str, int]] = defaultdict(dict)
    for negative, key, is_test in entries:
        sums[is_test][key] = -int(negative)
    return [
        (-value, key, is_test)
        for is_test, values in sums.items()
        for key, value in metrics_of(values).items()
    ]


def _conversation(sums: Mapping[str, int]) -> dict[str, float]:
    total = sums.get("total", 0)
    if total <= 0:
        return {}
    return {"total": total, "avg_messages": _mean(sums.get("_user_messages", 0), total)}


def _session(sums: Mapping[str, int]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    if sums.get("total", 0) > 0:
        metrics["total"] = sums["total"]
    if sums.get("_ended", 0) > 0:
        metrics["avg_duration"] = _mean(sums.get("_ended_ms", 0), 1000 * sums["_ended"])
    return metrics


def _mean(total: int, number: int) -> float:
    """A quotient of counts to two decimals, halves away from zero, by integers alone."""
    return (200 * total + number) // (2 * number) / 100


def cites_sources(stats: Iterable[Stat]) -> bool:
    """Whether the answer needs the names of sources."""
    return any(stat.category == _SOURCE for stat in stats)


def sources_of(stats: Iterable[Stat], rows: Iterable[Sequence[str]]) -> list[SourceName]:
    """An entry for each source in the stats, by id. The rows are (id, last name).

    Ingest keeps no blank name; releases before it did, and their rows may tell one yet.
    """
    names = {id_: name for id_, name in rows if name and not name.isspace()}
    ids = sorted({stat.key for stat in stats if stat.category == _SOURCE and not stat.other})
    return [SourceName(source_id, names.get(source_id, source_id)) for source_id in ids]


def encode_answer(
    question: Question, stats: Sequence[Stat], sources: Sequence[SourceName]
) -> bytes:
    """The body of the answer."""
    return _encoder.encode(
        Answer(
            project_id=question.project_id,
            range=Range(question.first_day, question.last_day),
            category=ALL if question.category is None else question.category.value,
            live_only=question.live_only,
            stats=stats,
            sources=sources,
        )
    )
