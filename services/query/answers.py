"""From counted rows to the answer. Pure.

The rows hold sums only; averages are made here, so that they are never averages of averages. Keys
that begin with an underscore are such sums in `conversation` and `session`, and are not shown; in
the other categories keys are the producers' own words.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import msgspec

from services.query.questions import ALL, Category, Question


class Count(NamedTuple):
    """A row of both statements for counts."""

    date: date
    category: str
    key: str
    is_live: bool
    total: int


class Stat(msgspec.Struct, frozen=True, rename="camel"):
    """One number of a day."""

    date: date
    category: str
    key: str
    value: int | float
    is_live: bool


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


_encoder = msgspec.json.Encoder()


def stats_of(rows: Iterable[Sequence[Any]]) -> list[Stat]:
    """What is shown of these rows, in the order of the contract."""
    stats: list[Stat] = []
    sums: defaultdict[tuple[date, str, bool], dict[str, int]] = defaultdict(dict)
    for count in map(Count._make, rows):
        if count.category in (Category.CONVERSATION, Category.SESSION):
            sums[count.date, count.category, count.is_live][count.key] = count.total
        elif count.total > 0:
            stats.append(Stat(count.date, count.category, count.key, count.total, count.is_live))
    for (day, category, is_live), values in sums.items():
        metrics = _conversation if category == Category.CONVERSATION else _session
        stats.extend(
            Stat(day, category, key, value, is_live) for key, value in metrics(values).items()
        )
    return sorted(stats, key=_order)


def _conversation(sums: Mapping[str, int]) -> dict[str, int | float]:
    total = sums.get("total", 0)
    if total <= 0:
        return {}
    return {"total": total, "avg_messages": round(sums.get("_user_messages", 0) / total, 2)}


def _session(sums: Mapping[str, int]) -> dict[str, int | float]:
    metrics: dict[str, int | float] = {}
    if sums.get("total", 0) > 0:
        metrics["total"] = sums["total"]
    if sums.get("_ended", 0) > 0:
        metrics["avg_duration"] = round(sums.get("_ended_ms", 0) / 1000 / sums["_ended"], 2)
    return metrics


def _order(stat: Stat) -> tuple[int, str, float, str, bool]:
    return (-stat.date.toordinal(), stat.category, -stat.value, stat.key, not stat.is_live)


def cites_sources(stats: Iterable[Stat]) -> bool:
    """Whether the answer needs the names of sources."""
    return any(stat.category == Category.SOURCE for stat in stats)


def sources_of(stats: Iterable[Stat], rows: Iterable[Sequence[str]]) -> list[SourceName]:
    """An entry for each source in the stats, by id. The rows are (id, last name)."""
    names = {row[0]: row[1] for row in rows}
    ids = sorted({stat.key for stat in stats if stat.category == Category.SOURCE})
    return [SourceName(source_id, names.get(source_id) or source_id) for source_id in ids]


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
