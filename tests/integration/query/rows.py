"""Rows of the table `events` as the tests write them, and the answers made from them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from clickhouse_connect.driver.asyncclient import AsyncClient

from services.query.answers import cites_sources, encode_answer, sources_of, stats_of
from services.query.questions import Question
from services.query.statements import Statement, counts, source_names

# What a row of a test does not say.
DEFAULTS = {
    "project_id": "museum",
    "is_live": True,
    "occurred_at": "2026-03-25T12:00:00Z",
    "accepted_at": "2026-03-25T12:00:01Z",
    "appended_at": "2026-03-25T12:00:02Z",
    "session_id": "s-1",
    "kp": 0,
    "line": 0,
}
_AS_ISO = {"date_time_input_format": "best_effort"}


async def insert_events(client: AsyncClient, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert these rows; their views fill the rollup and the names."""
    lease = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    lines = [
        json.dumps({"id": f"e-{ko}", "ko": ko, "lease": lease} | DEFAULTS | _with_sources(row))
        for ko, row in enumerate(rows)
    ]
    await client.raw_insert(
        "events", insert_block="\n".join(lines), fmt="JSONEachRow", settings=_AS_ISO
    )


def _with_sources(row: Mapping[str, Any]) -> dict[str, Any]:
    pairs = row.get("sources", [])
    return {**row, "sources": [{"id": source_id, "name": name} for source_id, name in pairs]}


async def answer(client: AsyncClient, question: Question) -> dict[str, Any]:
    """What the route does between the key and the response."""
    stats = stats_of(await _rows(client, counts(question)))
    names = await _rows(client, source_names(question)) if cites_sources(stats) else ()
    body: dict[str, Any] = msgspec.json.decode(
        encode_answer(question, stats, sources_of(stats, names))
    )
    return body


async def _rows(client: AsyncClient, statement: Statement) -> Sequence[Sequence[Any]]:
    return (await client.query(statement.sql, parameters=statement.parameters)).result_rows
