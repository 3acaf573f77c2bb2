"""Bodies that ingest may get: honest ones, and those that are made to cost as much as they can."""

import gzip
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from backports import zstd

from services.ingest.bodies import Compression, MediaType

_MOST_BYTES = 5 * 1024 * 1024
_MOST_EVENTS = 10_000
_HALF = rb"\ud800"
_PAIR = rb"\ud83d\ude00"
_DEEP = b"[" * 1_000 + b"]" * 1_000
_NO_TYPE = b'{"sessionId":"s","conversationId":"c","role":"user",%b}'
_START = b'{"type":"session.started",%b"sessionId":"s"}'
_END = b'{"type":"session.ended","sessionId":"s","durationMs":%b}'
_BROKEN = {
    "language": 1,
    "deviceId": 2,
    "context": {"ip": 3, "userAgent": 4, "country": 5, "deviceType": 6},
}


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent, and how it carries its events."""

    sent: bytes
    media_type: MediaType = MediaType.JSON
    compression: Compression = Compression.NONE


def _array(elements: Iterable[bytes]) -> Body:
    return Body(b"[" + b",".join(elements) + b"]")


def _full(element: bytes) -> Body:
    """As many as a request may bring."""
    return _array([element] * min(_MOST_EVENTS, (_MOST_BYTES - 2) // (len(element) + 1)))


def _all_differ(make: Callable[[int], bytes]) -> Body:
    size = len(make(_MOST_EVENTS)) + 1
    return _array(map(make, range(min(_MOST_EVENTS, (_MOST_BYTES - 2) // size))))


def _lines(line: bytes, count: int = _MOST_EVENTS) -> Body:
    return Body((line + b"\n") * count, MediaType.NDJSON)


def _message(**fields: object) -> bytes:
    usual = {"type": "chat.message", "sessionId": "ses-1", "conversationId": "con-1"}
    return json.dumps(usual | {"role": "user"} | fields).encode()


def _honest(number: int) -> bytes:
    return _message(
        id=f"evt-{number:032}",
        sessionId=f"ses-{number // 10:032}",
        conversationId=f"con-{number // 5:032}",
        userType="public",
        deviceId=f"dev-{number // 20:032}",
        language="de-CH",
        context={"country": "CH", "deviceType": "mobile"},
    )


def _own_fields(number: int) -> bytes:
    return _honest(number)[:-1] + b', "build": 7, "text": "Where are the toilets?"}'


def _retrieval(sources: int) -> bytes:
    ids = [{"id": f"s{number}"} for number in range(sources)]
    return _message(type="rag.retrieval", hit=True, sources=ids)


def _agents(words: str) -> Body:
    """Events whose user agents all differ, so that none is known already."""
    times = 1_020 // len(words)
    return _all_differ(
        lambda number: _message(context={"userAgent": f"{number:04}{words * times}"})
    )


def _ip(text: str) -> bytes:
    return _message(context={"ip": text})


HONEST = "honest"

_REFUSED = {
    "{}": _full(b"{}"),
    "{} by lines": _lines(b"{}"),
    "1": _full(b"1"),
    "1 by lines": _lines(b"1"),
    "null": _full(b"null"),
    "[]": _full(b"[]"),
    "no JSON by lines": _lines(b"x"),
    "no UTF-8 by lines": _lines(b"\xff"),
    "no UTF-8, a text": _array([b'"' + b"\xff" * 5_000_000 + b'"']),
    "unknown type": _full(b'{"type":"x"}'),
    "a fault in the last field": _full(_message(language=1)),
    "too old": _full(_message(occurredAt="2020-01-01T00:00:00Z")),
    "too many elements": _array([b"1"] * 2_600_000),
    "too many lines": _lines(b"1", 2_600_000),
    "cut": Body(b"[" + b"{}," * 9_999),
}
_HALVES = {
    "halves, 7.6 kB": _array([b'"' + _HALF * 1_264 + b'"']),
    "halves, a text of 5 MB": _array([b'"' + _HALF * 870_000 + b'"']),
    "halves, pairs before": _array([b'"' + _PAIR * 430_000 + _HALF + b'"']),
    "halves, backslashes before": _array([b'"' + rb"\\" * 2_500_000 + _HALF + b'"']),
    "halves, one an event": _full(b'"' + _HALF + b'"'),
    "halves, one a field": _full(b'{"type":"chat.message","sessionId":"' + _HALF + b'"}'),
    "halves, one a short text": _array([_array([b'"' + _HALF + b'"'] * 580_000).sent]),
    "halves, between letters": _array([b'"' + (_HALF + b"x") * 740_000 + b'"']),
    "halves, by lines": _lines(b'"' + _HALF * 500 + b'"', 1_700),
    "halves, an object": Body(b'{"type":"' + _HALF * 870_000 + b'"}'),
    "halves, open text": Body(b'["' + _HALF * 870_000),
}
_STRUCTURE = {
    "nested": Body(b"[" * 2_500_000),
    "nested, elements": _full(_DEEP),
    "nested, unknown fields": _full(_START % (b'"x":' + _DEEP + b",")),
    "unknown fields": _full(_START % (b'"x":0,' * 100)),
    "a field many times": _full(_START % (b'"language":"de",' * 100)),
    "type many times": _full(_NO_TYPE % b",".join([b'"type":"session.started"'] * 100)),
    "white space": Body(b"[" + b" " * 5_000_000 + b"{}]"),
    "white space by lines": Body(b" \n" * 2_500_000 + b"{}", MediaType.NDJSON),
    "escapes": _array([_message(x="é" * 800_000)]),
}
_FIELDS = {
    "a number of 5 MB": _array([b"1" * 5_000_000]),
    "durationMs of 5 MB": _array([_END % (b"1" * 5_000_000)]),
    "durationMs, decimals of 5 MB": _array([_END % (b"0." + b"1" * 5_000_000)]),
    "durationMs of 600 digits": _full(_END % (b"1" * 600)),
    "durationMs, 600 decimals": _full(_END % (b"0." + b"1" * 600)),
    "durationMs, between two floats": _full(_END % (b"9007199254740993." + b"0" * 600 + b"1")),
    "durationMs, 600 digits and an exponent": _full(_END % (b"1" * 600 + b"e-900")),
    "durationMs 1e300": _full(_END % b"1e300"),
    "id of 64, fault at its end": _full(_message(id="a" * 63 + "!")),
    "id of 5 MB": _array([_message(id="a" * 5_000_000)]),
    "ip of 500": _full(_ip("1" * 500)),
    "ip of 500, IPv6": _full(_ip(":1" * 250)),
    "ip, all of IPv6": _full(_ip("2001:db8:0:0:0:ffff:255.255.255.255")),
    "ip of 5 MB": _array([_ip("1." * 2_500_000)]),
    "ip of 5 MB, IPv6": _array([_ip("1:" * 2_500_000)]),
    "ip of 5 MB, zone": _array([_ip("fe80::1%" + "z" * 5_000_000)]),
    "language of 64 kB": _full(_message(language="de" + "-abcdefgh" * 7_000)),
    "language, fault at its end": _full(_message(language="de" + "-abcdefgh" * 6 + "-!")),
    "languages that all differ": _all_differ(lambda at: _message(language=f"xx-{at}!")),
    "countries that all differ": _all_differ(lambda at: _message(context={"country": f"{at}"})),
    "occurredAt of 1 MB": _full(_message(occurredAt=f"2026-03-25T09:30:00.{'0' * 1_000_000}Z")),
    "occurredAt of 1 MB, no time": _full(_message(occurredAt="2" * 1_000_000)),
    "100 sources": _full(_retrieval(100)),
    "1,000 sources": _full(_retrieval(1_000)),
    "250,000 sources": _array([_retrieval(250_000)]),
    "sources, all empty": _full(_message(type="rag.retrieval", hit=True, sources=[{}] * 100)),
}
_REPEATED = (
    "macintosh",
    "silk/",
    "android",
    "cubot_",
    "tv_",
    "kfaaaaaaa_",
    "aftaaaaa_",
    "Chrome/1.",
)
_AGENTS = {f"user agent: {words}": _agents(words) for words in _REPEATED} | {
    "user agent: silk/, mobile": _agents("silk/" * 202 + "mobile"),
    "user agent: android, mobile": _agents("android" * 140 + "mobile"),
}
_PACKED = {
    "gzip, honest": Body(gzip.compress(_all_differ(_honest).sent, 1), compression=Compression.GZIP),
    "gzip, 99 empty members before": Body(
        gzip.compress(b"") * 99 + gzip.compress(b" " * 5_000_000, 0), compression=Compression.GZIP
    ),
    "gzip, zeros": Body(gzip.compress(bytes(6_000_000)), compression=Compression.GZIP),
    "zstd, honest": Body(zstd.compress(_all_differ(_honest).sent), compression=Compression.ZSTD),
    "zstd, zeros": Body(zstd.compress(bytes(6_000_000)), compression=Compression.ZSTD),
}

KINDS: dict[str, Body] = {
    HONEST: _all_differ(_honest),
    "honest, small events": _full(_message()),
    "honest, own fields": _all_differ(_own_fields),
    "near misses": _full(_message(user_type="public")),
    "descriptions, all broken": _full(_message(**_BROKEN)),
    "names of fields, 400,000": _array(
        [_START % b"".join(b'"k%06d":0,' % n for n in range(400_000))]
    ),
    **_REFUSED,
    **_HALVES,
    **_STRUCTURE,
    **_FIELDS,
    **_AGENTS,
    **_PACKED,
}
