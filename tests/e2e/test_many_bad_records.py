"""Thousands of malformed records, of twenty kinds, among good ones: each where it belongs."""

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.events.partitions import partition_of
from tests.e2e.stack import PARTITIONS, Project, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]

OF_A_KIND = 500
GOOD = 2_000
NOW = datetime.now(UTC)


def _line(project: Project, event_id: str, **fields: Any) -> bytes:
    event = {
        "type": "chat.message",
        "project_id": project.id,
        "is_live": True,
        "id": event_id,
        "occurred_at": NOW.isoformat(),
        "accepted_at": NOW.isoformat(),
        "session_id": "s-1",
        "conversation_id": "c-1",
        "role": "user",
    } | fields
    present = {name: value for name, value in event.items() if value is not ...}
    return json.dumps(present, ensure_ascii=False).encode()


def _kinds(project: Project) -> list[tuple[bytes | None, str]]:
    """One malformed record of each kind, with the reason that it should get."""
    good = _line(project, "never-counted")
    return [
        (None, "empty_record"),
        (b"", "empty_record"),
        (b" \t\r\n\n ", "empty_record"),
        (b"no json", "not_json"),
        (good[:-1], "not_json"),
        (good + b"}", "not_json"),
        (b"\x00\xff\xfe\x80", "not_json"),
        (good.replace(b"never", b"nev\xffr"), "not_json"),
        (b'{"nested": ' + b"[" * 2_000, "not_json"),
        (b"null", "invalid_event"),
        (b"[" + good + b"]", "invalid_event"),
        (_line(project, "x", type="chat.whisper"), "invalid_event"),
        (_line(project, "x", role=...), "invalid_event"),
        (_line(project, "x", project_id=7), "invalid_event"),
        (_line(project, "x" * 65), "invalid_event"),
        (_line(project, "x", occurred_at="2026-02-30T00:00:00Z"), "invalid_event"),
        (_line(project, "x", occurred_at="2026-03-01T00:00:00"), "invalid_event"),
        (_line(project, "x", is_live="yes", conversation_id="🦖" * 100), "invalid_event"),
        (
            _line(project, "x", occurred_at=(NOW - timedelta(days=40)).isoformat()),
            "occurred_at_out_of_range",
        ),
        (
            _line(project, "x", occurred_at=(NOW + timedelta(hours=9)).isoformat()),
            "occurred_at_out_of_range",
        ),
    ]


def test_good_events_count_and_bad_ones_are_kept_when_10_000_records_are_malformed(
    stack: Stack, project: Project
) -> None:
    kinds = _kinds(project)
    before = len(stack.topics.read_dead_letters())
    wanted: dict[tuple[str, str], tuple[bytes, str]] = {}
    for partition, records in enumerate(_shuffled(project, kinds)):
        first = stack.topics.write([value for value, _ in records], partition)
        wanted |= {
            (str(partition), str(first + at)): (value or b"", reason)
            for at, (value, reason) in enumerate(records)
            if reason
        }
    stack.wait_until_counted(120)

    letters = stack.topics.read_dead_letters()[before:]
    found = {
        (letter.headers["partition"], letter.headers["offset"]): (
            letter.value,
            letter.headers["reason"],
        )
        for letter in letters
    }
    assert Counter(reason for _, reason in found.values()) == Counter(
        reason for _, reason in wanted.values()
    )
    assert found == wanted
    assert len(letters) == len(kinds) * OF_A_KIND
    (row,) = stack.analytics(project, category="usage")["stats"]
    assert row["value"] == GOOD


def _shuffled(
    project: Project, kinds: list[tuple[bytes | None, str]]
) -> list[list[tuple[bytes | None, str]]]:
    """The records of each partition; a good one has no reason."""
    records: list[list[tuple[bytes | None, str]]] = [[] for _ in range(PARTITIONS)]
    for at in range(GOOD):
        name = f"c-{at % 97}"
        line = _line(project, f"good-{at}", conversation_id=name)
        records[partition_of(f"{project.id}:{name}", PARTITIONS)].append((line, ""))
    for at, kind in enumerate(kinds * OF_A_KIND):
        records[at // len(kinds) % PARTITIONS].append(kind)
    chance = random.Random(5)
    for some in records:
        chance.shuffle(some)
    return records
