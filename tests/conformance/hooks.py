"""What schemathesis is told beside the documents, loaded into its process (SCHEMATHESIS_HOOKS).

Rules between values, which a schema cannot say: `from` is not after `to`, an event is recent, a
body is packed as its header says, NDJSON is a line an element.
"""

import gzip
import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import strategies as st

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "zstd": zstd.compress,
}

# As long as a run at most: what is recent when it is made must be so when it is sent.
_RUN = timedelta(hours=1)
_started_at = datetime.now(UTC)
_today = _started_at.date()
# Raw events are kept for 400 days.
_KEPT_SINCE = (_today - timedelta(days=390)).isoformat()


def _instants() -> st.SearchStrategy[str]:
    """Times that ingest takes: not 30 days old, not more than 5 minutes ahead."""
    seconds = st.integers(0, int((timedelta(days=30) - _RUN).total_seconds()))
    zones = st.sampled_from(["Z", "+00:00", "+05:30", "-11:00"])
    return st.builds(_spell, seconds, zones)


def _spell(seconds_ago: int, zone: str) -> str:
    instant = _started_at - timedelta(seconds=seconds_ago)
    offset = datetime.fromisoformat(f"2026-01-01T00:00:00{zone}").utcoffset() or timedelta()
    return (instant + offset).strftime("%Y-%m-%dT%H:%M:%S") + zone


def _days() -> st.SearchStrategy[str]:
    return st.dates(_today - timedelta(days=700), _today).map(date.isoformat)


schemathesis.openapi.format("date-time", _instants())
schemathesis.openapi.format("date", _days())


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Two days in their order, of one device such as are kept; what is no day stays as it is."""
    if query and query.get("deviceId"):
        for name in {"from", "to"} & query.keys():
            if _are_days(query[name]):
                query[name] = max(query[name], _KEPT_SINCE)
    if query and {"from", "to"} <= query.keys() and _are_days(query["from"], query["to"]):
        query["from"], query["to"] = sorted((query["from"], query["to"]))
    return query


def _are_days(*values: object) -> bool:
    try:
        return all(isinstance(value, str) and date.fromisoformat(value) for value in values)
    except ValueError:
        return False


@schemathesis.hook
def before_load_schema(context: Any, document: dict[str, Any]) -> None:
    """Leave out how many events a request may bring: schemathesis would send 10,000 at a time."""
    for path in document["paths"].values():
        content = path.get("post", {}).get("requestBody", {}).get("content", {})
        for media in content.values():
            for schema in (media["schema"], *media["schema"].get("oneOf", ())):
                schema.pop("maxItems", None)


@schemathesis.serializer("application/json")
def json_body(context: Any, value: Any) -> bytes:
    """JSON, packed as the request's header says."""
    return _packed(context, _encode(value))


@schemathesis.serializer("application/x-ndjson", "application/ndjson", "application/jsonl")
def lines_body(context: Any, value: Any) -> bytes:
    """A line an element; what is no array is a line of its own."""
    elements = value if isinstance(value, list) else [value]
    return _packed(context, b"".join(_encode(element) + b"\n" for element in elements))


def _encode(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def _packed(context: Any, body: bytes) -> bytes:
    encoding = (context.case.headers or {}).get("Content-Encoding")
    return _PACK.get(str(encoding), bytes)(body)
