"""An independent count: the contract's table once more, in plain Python, from events as sent.

It uses no code of the product. It takes the events in the order in which they were sent, which is
the order in which the product counts those of one conversation.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

CATEGORIES = (
    "action",
    "conversation",
    "country",
    "device",
    "language",
    "rag",
    "session",
    "source",
    "usage",
)

Event = dict[str, Any]
Row = dict[str, Any]
Conversation = tuple[date, bool, str]

# The only addresses and user agents that tests send, by a word in them.
_COUNTRY_BY_ADDRESS = {"8.8.8.8": "US", "8.8.8.8:51234": "US"}
# And of what cannot be understood, or is spelt in a way of its own, the only that tests send.
_LANGUAGES = {"en_US": "en", "de-CH,de;q=0.9,en;q=0.8": "de"}
_NO_LANGUAGES = ("x-museum", "plain English", "", 7)
_NO_COUNTRIES = ("XX", "T1", "UK", "EU", "Austria", "", 7)
_DEVICE_TYPES = ("desktop", "mobile", "tablet")
_DEVICE_BY_WORD = {"iPhone": "mobile", "iPad": "tablet", "Windows NT": "desktop"}


@dataclass(frozen=True)
class Sent:
    """An event with what the request around it says."""

    event: Event
    by_test_key: bool = False
    user_agent: str = ""

    @property
    def id(self) -> str:
        return str(self.event["id"])

    @property
    def type(self) -> str:
        return str(self.event["type"])

    @property
    def is_live(self) -> bool:
        live = self.event.get("live")
        return not self.by_test_key if live is None else bool(live)

    @property
    def occurred_at(self) -> datetime:
        text = re.sub(r":60(\.\d+)?(?=[Z+-])", ":59.999", self.event["occurredAt"])
        exact = datetime.fromisoformat(text).astimezone(UTC)
        return exact.replace(microsecond=exact.microsecond // 1000 * 1000)

    @property
    def day(self) -> date:
        return self.occurred_at.date()

    @property
    def device(self) -> str | None:
        device = self.event.get("deviceId")
        return device if isinstance(device, str) and device else None

    @property
    def conversation(self) -> Conversation:
        return self.day, self.is_live, self.event["conversationId"]

    @property
    def scope(self) -> str:
        """Within which an id stands for one event: its conversation, or its session."""
        name = "sessionId" if self.type.startswith("session.") else "conversationId"
        return f"{name} {self.event[name]}"

    @property
    def is_user_message(self) -> bool:
        return self.type == "chat.message" and self.event["role"] == "user"

    @property
    def country(self) -> str:
        context = self.event.get("context") or {}
        if context.get("country") in _NO_COUNTRIES:
            return "unknown"
        if context.get("country"):
            return str(context["country"]).upper().replace("UNKNOWN", "unknown")
        return _COUNTRY_BY_ADDRESS.get(context.get("ip", ""), "unknown")

    @property
    def device_type(self) -> str:
        context = self.event.get("context") or {}
        if context.get("deviceType") is not None:
            told = str(context["deviceType"]).lower()
            return told if told in _DEVICE_TYPES else "unknown"
        agent = context.get("userAgent") or self.user_agent
        return next((kind for word, kind in _DEVICE_BY_WORD.items() if word in agent), "unknown")

    @property
    def language(self) -> str:
        told = self.event.get("language")
        if told in _NO_LANGUAGES or told is None:
            return "unknown"
        return _LANGUAGES.get(told) or str(told).split("-")[0].lower()


def counted(sent: Iterable[Sent]) -> list[Sent]:
    """The events of one project that count: of each identity the first."""
    by_identity: dict[tuple[bool, str, str], Sent] = {}
    for one in sent:
        by_identity.setdefault((one.is_live, one.scope, one.id), one)
    return list(by_identity.values())


def answer(sent: Iterable[Sent], *, live_only: bool = True, device: str | None = None) -> list[Row]:
    """The stats of one project in all categories, in the order of the contract."""
    events = counted(sent)
    first_messages: dict[Conversation, Sent] = {}
    for one in events:
        if one.type == "chat.message":
            first_messages.setdefault(one.conversation, one)
    if device is not None:
        events = [one for one in events if one.device == device]
    begun = [one for one in first_messages.values() if device in (None, one.device)]

    tally: Counter[tuple[date, bool, str, str]] = Counter()
    for one in events:
        for category, key in _counts(one):
            tally[one.day, one.is_live, category, key] += 1
    for one in begun:
        tally[one.day, one.is_live, "language", one.language] += 1
        tally[one.day, one.is_live, "conversation", "total"] += 1

    rows = [_row(*place, value) for place, value in tally.items()]
    rows += _avg_messages(events, tally)
    rows += _avg_durations(events)
    return sorted((row for row in rows if row["isLive"] or not live_only), key=_order)


def source_names(
    sent: Iterable[Sent], rows: Iterable[Row], *, live_only: bool = False
) -> list[dict[str, str]]:
    """The entry `sources` for these rows: each source by its latest name, else by its id."""
    names: dict[str, str] = {}
    naming = (one for one in counted(sent) if one.is_live or not live_only)
    for one in sorted(naming, key=lambda one: one.occurred_at):  # equals stay in their order
        for source in one.event.get("sources") or ():
            given = source.get("name")
            is_name = isinstance(given, str) and bool(given.strip())
            names[source["id"]] = given if is_name else names.get(source["id"], "")
    ids = sorted({row["key"] for row in rows if row["category"] == "source"})
    return [{"id": source_id, "name": names[source_id] or source_id} for source_id in ids]


def _counts(one: Sent) -> Iterator[tuple[str, str]]:
    """What one event adds 1 to, but for what only the first message of a conversation adds."""
    if one.is_user_message:
        yield "usage", one.event.get("userType") or "public"
    elif one.type == "chat.action":
        yield "action", one.event["action"]
    elif one.type == "rag.retrieval":
        yield "rag", "hit" if one.event["hit"] else "miss"
        for source_id in {source["id"] for source in one.event.get("sources") or ()}:
            yield "source", source_id
    elif one.type == "session.started":
        yield "session", "total"
        yield "country", one.country
        yield "device", one.device_type


def _avg_messages(
    events: Iterable[Sent], tally: Counter[tuple[date, bool, str, str]]
) -> Iterator[Row]:
    messages = Counter((one.day, one.is_live) for one in events if one.is_user_message)
    for (day, is_live, category, key), total in tally.items():
        if (category, key) == ("conversation", "total"):
            value = _mean(messages[day, is_live], total)
            yield _row(day, is_live, "conversation", "avg_messages", value)


def _avg_durations(events: Iterable[Sent]) -> Iterator[Row]:
    durations: dict[tuple[date, bool], list[int]] = defaultdict(list)
    for one in events:
        if one.type == "session.ended":
            durations[one.day, one.is_live].append(one.event["durationMs"])
    for (day, is_live), all_ms in durations.items():
        value = _mean(sum(all_ms), 1000 * len(all_ms))
        yield _row(day, is_live, "session", "avg_duration", value)


def _mean(total: int, number: int) -> float:
    """To two decimals, halves away from zero."""
    exact = Decimal(total) / Decimal(number)  # 28 digits: a half has far fewer
    return float(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))


def _row(day: date, is_live: bool, category: str, key: str, value: float) -> Row:
    return {
        "date": day.isoformat(),
        "category": category,
        "key": key,
        "value": value,
        "isLive": is_live,
    }


def _order(row: Row) -> tuple[int, str, float, str, bool]:
    day = date.fromisoformat(row["date"]).toordinal()
    return -day, row["category"], -row["value"], row["key"], not row["isLive"]
