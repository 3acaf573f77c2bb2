"""Poison by HTTP: what stops a careless counter, and is within what a key allows.

Sizes stand at and around the limits that a ClickHouse server has and docs/local-gateway.md lists;
values are such as Python reads and ClickHouse does not, and the other way round.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.e2e.asking import message
from tests.e2e.model import Event

LATE = (datetime.now(UTC) - timedelta(days=3)).isoformat()
_WIDE = "💡"
_PORTIONS = (1_491, 1_492, 1_493, 1_956, 1_957)  # of our questions, and of a field of 131,072 bytes


@dataclass(frozen=True)
class Written:
    """A record as it is written to the topic; `headers` are those that it comes with."""

    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True)
class Poison:
    """What is sent, and what must become of it.

    `counted`: rows of the project in the end. `letters`: dead letters by reason. `rejected`: codes
    of ingest's verdicts over all bodies.
    """

    counted: int
    bodies: Sequence[bytes] = ()
    records: Sequence[Written] = ()
    letters: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)


def _body(events: Sequence[Event]) -> bytes:
    return json.dumps(list(events)).encode()


def long(text: str, wide: str = "x", length: int = 64) -> str:
    return text.ljust(length, wide)


def _raw(field_: str, value: str, event_id: str = "odd") -> bytes:
    """The JSON of a message in which one field has this text for a value."""
    event = message(event_id)
    event.pop(field_, None)
    return json.dumps(event)[:-1].encode() + f', "{field_}": {value}}}'.encode()


def _late_ids(_: str) -> Poison:
    """2,000 repeats of ids of 64 characters, too late for memory."""
    events = [message(long(f"id-{at}"), occurredAt=LATE) for at in range(2_000)]
    return Poison(2_000, [_body(events)] * 3)


def _late_portions(_: str) -> Poison:
    """As many late ids as fit into one question, one fewer, one more; likewise into a field."""
    bodies = [
        _body([message(long(f"{size}-{at}"), occurredAt=LATE) for at in range(size)])
        for size in _PORTIONS
    ]
    return Poison(sum(_PORTIONS), bodies * 2)


def _late_conversations(_: str) -> Poison:
    """1,000 backdated conversations with the longest ids."""

    def make(at: int) -> Event:
        day = datetime.now(UTC) - timedelta(hours=30 + at % 600)
        talk = long(f"{at}-", _WIDE, 128)
        return message(long(str(at)), conversationId=talk, occurredAt=day.isoformat())

    return Poison(1_000, [_body([make(at) for at in range(1_000)])] * 2)


def _late_days(_: str) -> Poison:
    """More backdated conversations than one question asks about, over 28 days."""

    def make(at: int) -> Event:
        day = datetime.now(UTC) - timedelta(hours=25 + at % 650)
        return message(f"k-{at}", conversationId=f"k-{at}", occurredAt=day.isoformat())

    events = [make(at) for at in range(9_600)]
    return Poison(len(events), [_body(events)] * 2)


def _largest_events(_: str) -> Poison:
    """As many sources as one may name, with the longest ids and names, of six bytes a character."""
    low = "\x01"
    sources = [{"id": long(str(at), low, 128), "name": low * 512} for at in range(100)]
    events = [
        message(f"large-{at}", type="rag.retrieval", hit=True, sources=sources) for at in range(10)
    ]
    return Poison(10, [_body(events)] * 2)


def _control_characters(_: str) -> Poison:
    """NUL bytes and their like wherever a producer may choose a text."""
    odd = (
        "\0",
        "\0" * 128,
        "a\0b",
        "a\0c",
        "\x1f\x7f\x80",
        "\u2028\u2029",
        "\\N",
        "\\0",
        "'\t\n\"",
    )
    events = [
        message(f"{what}-{at}", sessionId=text, conversationId=text, deviceId=text, **fields)
        for at, text in enumerate(odd)
        for what, fields in (
            ("message", {}),
            ("action", {"type": "chat.action", "action": text[:64]}),
            ("sources", {"type": "rag.retrieval", "hit": True, "sources": [{"id": text}]}),
        )
    ]
    return Poison(len(events), [_body(events)] * 2)


def _broken_text(_: str) -> Poison:
    """Halves of surrogates and bytes that are not UTF-8, between good events."""
    bad = [_raw("deviceId", f'"{half}"') for half in ("\\ud800", "\\udc00\\ud800", "x\\udfff")]
    bad += [
        _raw("deviceId", '"@"').replace(b"@", raw)
        for raw in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80")
    ]
    bodies = [
        b"[" + b",".join([_raw("live", "null", f"a-{at}"), one]) + b"]"
        for at, one in enumerate(bad)
    ]
    return Poison(len(bad), bodies, rejected={"invalid_json": len(bad)})


def _numbers(_: str) -> Poison:
    """Durations at the borders of what is allowed, of 32 and of 64 bits, and no numbers at all."""
    good = ("0", "604800000", "93000.0", "9e3", "0.0", "-0", "1e-400")
    bad = ("604800001", "4294967295", "4294967296", "9223372036854775808", "18446744073709551616",
           "-1", "-9223372036854775809", "1e308", "0.5", '"5"', "true")  # fmt: skip
    ended = [
        _raw("durationMs", number, f"d-{at}").replace(b"chat.message", b"session.ended")
        for at, number in enumerate((*good, *bad))
    ]
    return Poison(len(good), [b"[" + b",".join(ended) + b"]"], rejected={"invalid_field": len(bad)})


def _instants(_: str) -> Poison:
    """Instants at the ends of Python's time, of ClickHouse's, and of none."""
    old = ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "1899-12-31T23:59:59Z",
           "1900-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00Z")  # fmt: skip
    far = ("2106-02-07T06:28:16Z", "2149-06-07T00:00:00Z", "2262-04-11T23:47:17Z",
           "2299-12-31T23:59:59Z", "2300-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59")  # fmt: skip
    none = ("2026-02-30T00:00:00Z", "10000-01-01T00:00:00Z", "2026-11-01 24:00:00Z", "now()", "")
    texts = [*old, *far, *none, datetime.now(UTC).isoformat()]
    events = [message(f"t-{at}", occurredAt=text) for at, text in enumerate(texts)]
    rejected = {
        "occurred_at_too_old": len(old),
        "occurred_at_in_future": len(far),
        "invalid_field": len(none),
    }
    return Poison(1, [_body(events)], rejected=rejected)


def _names_of_ours(_: str) -> Poison:
    """Names that mean something in our own tables, and fields twice or nested without an end."""
    own = ("_events", "total", "other", "_ended", "_ended_ms", "_user_messages", "unknown")
    events = [message(f"n-{at}", type="chat.action", action=name) for at, name in enumerate(own)]
    twice = _raw("id", '"first", "id": "second"')
    nested = _raw("unknown", "[" * 400 + "]" * 400, "nested")
    return Poison(len(own) + 2, [_body(events), b"[" + twice + b"," + nested + b"]"])


Make = Callable[[str], Poison]


def named(*kinds: Make) -> dict[str, Make]:
    """Kinds by what they are called. Each is given the project that it is for."""
    return {make.__name__.strip("_").replace("_", " "): make for make in kinds}


BY_HTTP = named(
    _late_ids,
    _late_portions,
    _late_conversations,
    _late_days,
    _largest_events,
    _control_characters,
    _broken_text,
    _numbers,
    _instants,
    _names_of_ours,
)
