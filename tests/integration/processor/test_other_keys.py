"""Keys beyond a project's limit: rollup, raw events and recovery agree on what is `other`."""

from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from tests.integration.processor.agents import agent_of, counts, message
from tests.unit.services.processor.events import event, record

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
NOW_MS = round(NOW.timestamp() * 1000)


async def test_keys_beyond_the_limit_are_counted_under_the_empty_name(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    agent = agent_of(processor)
    await agent.take_over({0, 1})
    at = {"occurred_at": NOW.isoformat(), "accepted_at": NOW.isoformat()}
    sources = [{"id": name, "name": name.upper()} for name in ("a", "b", "c", "c")]
    await agent.process(
        [
            record(
                event("r", "rag.retrieval", hit=True, sources=sources, other_keys=["b", "c"], **at),
                event("s", "rag.retrieval", hit=True, sources=sources, **at),
                event(
                    "t",
                    "rag.retrieval",
                    hit=True,
                    sources=sources,
                    other_keys=["b", "b", "z"],
                    **at,
                ),
                event("x", "chat.action", action="x", other_keys=["x"], **at),
                event("y", "chat.action", action="y", **at),
                message("m", language="aa", other_keys=["aa"]),
                message("n", language="bb", conversation_id="d"),
                at_ms=NOW_MS,
            )
        ]
    )
    expected = {
        ("source", ""): 2,  # once an event
        ("source", "a"): 3,
        ("source", "b"): 1,
        ("source", "c"): 2,
        ("action", ""): 1,
        ("action", "y"): 1,
        ("language", ""): 1,
        ("language", "bb"): 1,
    }
    found = await counts(clickhouse)
    assert {key: found[key] for key in expected} == expected
    raw = await clickhouse.query(
        "SELECT count.category, count.key, sum(count.value) FROM events ARRAY JOIN counts AS count"
        " GROUP BY 1, 2"
    )
    assert {(category, key): value for category, key, value in raw.result_rows} == found
    await clickhouse.command("TRUNCATE TABLE daily_counts")
    await agent.take_over({0, 1})
    assert await counts(clickhouse) == found
