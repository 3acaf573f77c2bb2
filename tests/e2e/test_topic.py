"""Records that others wrote to the topic: what is no event is dead-lettered and stops nobody."""

from datetime import timedelta

import pytest

from tests.e2e.lines import NOW, line
from tests.e2e.stack import Project, Stack
from tests.e2e.topics import DeadLetter

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def letters(stack: Stack, project: Project) -> dict[tuple[int, str | None], DeadLetter]:
    """The dead letters of a few records, good lines beside bad ones, by record and line."""
    long_ago = (NOW - timedelta(days=60)).isoformat()
    records: list[bytes | None] = [
        line(project.id, "good-1"),
        b"no json",
        None,
        b"",
        b"  \n ",
        b"\n".join(
            [
                line(project.id, "good-2"),
                b'{"type": "chat.message"',
                b"",
                b"\xff\xfe",
                line(project.id, "unknown-type", type="chat.whisper"),
                line(project.id, "no-project", project_id=None),
                line(project.id, "good-3"),
                line(project.id, "too-old", occurred_at=long_ago),
                line(project.id, "no-zone", occurred_at="2026-03-01T00:00:00"),
                b"[]",
                b'{"nested": ' + b"[" * 100_000,
            ]
        ),
        line(project.id, "good-4"),
        line(
            project.id,
            "good-5",
            type="rag.retrieval",
            hit=True,
            sources=[{"id": "src-1"}, {"id": "src-1", "name": "Visitor guide"}],
        ),
    ]
    offsets = stack.topics.write(records, partition=1)
    places = {str(offset): at for at, offset in enumerate(offsets)}
    stack.wait_until_counted()
    return {
        (places[letter.headers["offset"]], letter.headers.get("line")): letter
        for letter in stack.topics.read_dead_letters()
        if letter.headers["partition"] == "1" and letter.headers["offset"] in places
    }


def test_good_lines_are_counted_when_bad_ones_lie_beside_them(
    stack: Stack, project: Project, letters: dict[tuple[int, str | None], DeadLetter]
) -> None:
    assert letters
    (row,) = stack.analytics(project, category="usage")["stats"]
    assert row["value"] == 4


def test_source_counts_once_when_a_line_of_others_cites_it_twice(
    stack: Stack, project: Project, letters: dict[tuple[int, str | None], DeadLetter]
) -> None:
    assert letters
    answer = stack.analytics(project, category="source")
    assert [(row["key"], row["value"]) for row in answer["stats"]] == [("src-1", 1)]
    assert answer["sources"] == [{"id": "src-1", "name": "Visitor guide"}]


def test_bad_lines_become_dead_letters_with_their_reason(
    letters: dict[tuple[int, str | None], DeadLetter],
) -> None:
    assert {place: letter.headers["reason"] for place, letter in letters.items()} == {
        (1, "0"): "not_json",
        (2, None): "empty_record",
        (3, None): "empty_record",
        (4, None): "empty_record",
        (5, "1"): "not_json",
        (5, "3"): "not_json",
        (5, "4"): "invalid_event",
        (5, "5"): "invalid_event",
        (5, "7"): "occurred_at_out_of_range",
        (5, "8"): "invalid_event",
        (5, "9"): "invalid_event",
        (5, "10"): "not_json",
    }


def test_dead_letter_holds_the_line_and_its_place(
    stack: Stack, letters: dict[tuple[int, str | None], DeadLetter]
) -> None:
    letter = letters[5, "1"]

    assert letter.value == b'{"type": "chat.message"'
    assert letter.headers["topic"] == stack.topics.events
    assert letter.headers["partition"] == "1"
    assert letter.headers["detail"]


def test_no_dead_letter_repeats_a_good_line(
    letters: dict[tuple[int, str | None], DeadLetter],
) -> None:
    assert not [letter for letter in letters.values() if b'"good-' in letter.value]
