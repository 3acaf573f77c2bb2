"""`ragtime dead-letters` on the running product: bad lines are shown, corrected, counted once."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lines import NOW, line
from tests.e2e.processes import Done
from tests.e2e.stack import Project, Stack

pytestmark = pytest.mark.e2e

PARTITION = 3
BYTES = b'{"id": "nul\0 and \xff\xfe", no newline'
NONE_SENT = b"0 sent, 0 counted already, 1 refused\n"


@pytest.fixture(scope="module")
def stack(own_stack: Stack) -> Stack:
    """`--all` means the letters of everybody: here there are those of these tests alone."""
    return own_stack


@pytest.fixture(scope="module")
def letters(stack: Stack, project: Project) -> dict[str, int]:
    """The numbers of a few dead letters, as `list` shows them."""
    long_ago = (NOW - timedelta(days=60)).isoformat()
    bad: dict[str, bytes | None] = {
        "bytes": BYTES,
        "role": line(project.id, "no-role", role="[/robot]"),
        "old": line(project.id, "old", occurred_at=long_ago),
        "empty": None,
    }
    good = line(project.id, "good")
    records = [None if line is None else good + b"\n" + line for line in bad.values()]
    written = stack.topics.write(records, PARTITION)
    stack.wait_until_counted()
    offsets = {str(offset): name for offset, name in zip(written, bad, strict=True)}
    return {
        offsets[headers["offset"]]: one["number"]
        for one in _list(stack)
        if (headers := one["headers"])["partition"] == str(PARTITION)
        and headers["offset"] in offsets
    }


def _list(stack: Stack, *arguments: str) -> list[dict[str, Any]]:
    answer = stack.ragtime("dead-letters", "list", "--json", "--last", "1000000", *arguments)
    found: list[dict[str, Any]] = json.loads(answer)
    return found


def _replay(stack: Stack, *arguments: str) -> Done:
    return stack.try_ragtime("dead-letters", "replay", *arguments)


def _counted(stack: Stack, project: Project) -> int:
    stack.wait_until_counted()
    return sum(row["value"] for row in stack.analytics(project, category="usage")["stats"])


def test_list_gives_number_reason_and_place_of_each_letter(
    stack: Stack, letters: dict[str, int]
) -> None:
    shown = {one["number"]: one for one in _list(stack)}
    role = shown[letters["role"]]
    assert role["headers"]["reason"] == "invalid_event"
    assert role["headers"]["line"] == "1"
    assert "[/robot]" in role["headers"]["detail"]
    assert "line" not in shown[letters["empty"]]["headers"]
    assert list(shown) == sorted(shown)


def test_list_gives_only_letters_of_a_reason_when_one_is_named(
    stack: Stack, letters: dict[str, int]
) -> None:
    for reason, name in (
        ("not_json", "bytes"),
        ("invalid_event", "role"),
        ("occurred_at_out_of_range", "old"),
        ("empty_record", "empty"),
    ):
        shown = _list(stack, "--reason", reason)
        assert {one["headers"]["reason"] for one in shown} == {reason}
        assert set(letters.values()) & {one["number"] for one in shown} == {letters[name]}


def test_list_is_a_table_when_no_json_is_asked_for(stack: Stack, letters: dict[str, int]) -> None:
    answer = stack.ragtime("dead-letters", "list", "--reason", "invalid_event", "--last", "100000")
    assert str(letters["role"]) in answer
    assert " of " in answer.splitlines()[-1]


def test_show_gives_the_original_bytes_when_they_are_no_text(
    stack: Stack, letters: dict[str, int]
) -> None:
    number = str(letters["bytes"])
    raw = stack.try_ragtime("dead-letters", "show", number, "--raw")
    assert (raw.code, raw.stdout) == (0, BYTES)

    whole = stack.try_ragtime("dead-letters", "show", number)
    head, _, value = whole.stdout.partition(b"\n\n")
    assert value == rb'{"id": "nul\x00 and \xff\xfe", no newline' + b"\n", "safe on a terminal"
    assert {b"reason: not_json", b"line: 1"} <= set(head.split(b"\n"))


def test_show_gives_nothing_when_the_record_was_empty(
    stack: Stack, letters: dict[str, int]
) -> None:
    raw = stack.try_ragtime("dead-letters", "show", str(letters["empty"]), "--raw")
    assert (raw.code, raw.stdout) == (0, b"")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bytes", "not_json"),
        ("role", "invalid_event: Invalid enum value '[/robot]'"),
        ("old", "occurred_at_out_of_range"),
        ("empty", "not_json"),
    ],
)
def test_replay_is_refused_with_the_reason_when_the_line_is_still_bad(
    stack: Stack, project: Project, letters: dict[str, int], name: str, reason: str
) -> None:
    before = _counted(stack, project)
    number = letters[name]
    done = _replay(stack, str(number))
    assert done.code == 1
    assert done.stdout == NONE_SENT
    assert done.stderr.startswith(f"dead letter {number}: {reason}")
    assert _counted(stack, project) == before


def test_replay_counts_corrected_lines_once_when_it_is_repeated(
    stack: Stack, project: Project, letters: dict[str, int], tmp_path: Path
) -> None:
    before = _counted(stack, project)
    wrong = stack.try_ragtime("dead-letters", "show", str(letters["role"]), "--raw").stdout
    corrected = wrong.replace(b"[/robot]", b"user")
    file = tmp_path / "corrected.ndjson"
    other = line(project.id, "other-line", conversation_id="c-2")
    file.write_bytes(b"\n".join([corrected, b"", other]) + b"\r\n")

    first = _replay(stack, "--file", str(file))
    counted = _counted(stack, project)
    second = _replay(stack, "--file", str(file))

    assert (first.code, first.stdout) == (0, b"2 sent, 0 counted already, 0 refused\n")
    assert counted == before + 2
    assert (second.code, second.stdout) == (0, b"0 sent, 2 counted already, 0 refused\n")
    assert _counted(stack, project) == counted


def test_replay_sends_the_good_lines_and_exits_1_when_others_are_bad(
    stack: Stack, project: Project, tmp_path: Path
) -> None:
    before = _counted(stack, project)
    file = tmp_path / "mixed.ndjson"
    file.write_bytes(b"{oops\n\n" + line(project.id, "good-among-bad"))

    done = _replay(stack, "--file", str(file))

    assert (done.code, done.stdout) == (1, b"1 sent, 0 counted already, 1 refused\n")
    assert done.stderr.startswith("line 1: not_json: ")
    assert _counted(stack, project) == before + 1


def test_replay_of_all_keeps_to_a_reason_when_one_is_named(
    stack: Stack, letters: dict[str, int]
) -> None:
    done = _replay(stack, "--all", "--reason", "occurred_at_out_of_range")
    refused = done.stderr.splitlines()
    assert done.code == 1
    assert done.stdout == f"0 sent, 0 counted already, {len(refused)} refused\n".encode()
    assert all("occurred_at_out_of_range" in line for line in refused)
    assert f"dead letter {letters['old']}:" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "ragtime: give numbers, or --all, or --file"),
        (("--all", "0"), "ragtime: give numbers, or --all, or --file"),
        (("0", "--file", "x.ndjson"), "ragtime: give numbers, or --all, or --file"),
        (("--reason", "not_json"), "ragtime: give numbers, or --all, or --file"),
        (("1000000000",), "ragtime: there is no dead letter 1000000000"),
        (("--file", "no-such.ndjson"), "ragtime: no-such.ndjson: No such file or directory"),
        (("--file", "."), "ragtime: .: Is a directory"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, tuple) else "",
)
def test_replay_sends_nothing_and_says_why_when_it_is_not_told_what(
    stack: Stack, letters: dict[str, int], arguments: tuple[str, ...], said: str
) -> None:
    assert letters
    done = _replay(stack, *arguments)
    assert (done.code, done.stdout, done.stderr) == (1, b"", f"{said}\n")
