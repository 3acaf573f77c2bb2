"""Thousands of malformed records, of twenty kinds, among good ones: each where it belongs."""

import random
from collections import Counter
from datetime import timedelta

import pytest

from libs.events.partitions import partition_of
from tests.e2e.lines import NOW, line
from tests.e2e.stack import PARTITIONS, Project, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]

OF_A_KIND = 500
GOOD = 2_000


def _kinds(project: Project) -> list[tuple[bytes | None, str]]:
    """One malformed record of each kind, with the reason that it should get."""
    good = line(project.id, "never-counted")
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
        (line(project.id, "x", type="chat.whisper"), "invalid_event"),
        (line(project.id, "x", role=...), "invalid_event"),
        (line(project.id, "x", project_id=7), "invalid_event"),
        (line(project.id, "x" * 65), "invalid_event"),
        (line(project.id, "x", occurred_at="2026-02-30T00:00:00Z"), "invalid_event"),
        (line(project.id, "x", occurred_at="2026-03-01T00:00:00"), "invalid_event"),
        (line(project.id, "x", is_live="yes", conversation_id="🦖" * 100), "invalid_event"),
        (
            line(project.id, "x", occurred_at=(NOW - timedelta(days=40)).isoformat()),
            "occurred_at_out_of_range",
        ),
        (
            line(project.id, "x", occurred_at=(NOW + timedelta(hours=9)).isoformat()),
            "occurred_at_out_of_range",
        ),
    ]


def test_good_events_count_and_bad_ones_are_kept_when_10_000_records_are_malformed(
    stack: Stack, project: Project
) -> None:
    kinds = _kinds(project)
    wanted: dict[tuple[str, str], tuple[bytes, str]] = {}
    for partition, records in enumerate(_shuffled(project, kinds)):
        offsets = stack.topics.write([value for value, _ in records], partition)
        wanted |= {
            (str(partition), str(offset)): (value or b"", reason)
            for offset, (value, reason) in zip(offsets, records, strict=True)
            if reason
        }
    stack.wait_until_counted(120)

    letters = [letter for letter in stack.topics.read_dead_letters() if letter.place in wanted]
    found = {letter.place: (letter.value, letter.headers["reason"]) for letter in letters}
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
        good = line(project.id, f"good-{at}", conversation_id=name)
        records[partition_of(f"{project.id}:{name}", PARTITIONS)].append((good, ""))
    for at, kind in enumerate(kinds * OF_A_KIND):
        records[at // len(kinds) % PARTITIONS].append(kind)
    chance = random.Random(5)
    for some in records:
        chance.shuffle(some)
    return records
