"""What `ragtime dead-letters` makes of letters, whatever somebody wrote into them."""

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from services.admin import dead_letter_verbs
from services.admin.dead_letters import Letter

NOW = datetime(2026, 3, 25, 12, tzinfo=UTC)
PLACE = {"topic": "events", "partition": "3", "offset": "17", "reason": "not_json"}


def letter(number: int, headers: dict[str, str], value: bytes = b"{") -> Letter:
    return Letter(number, NOW, headers, value)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """The command, with these letters in the topic."""
    letters = [
        letter(4, PLACE | {"line": "2", "detail": "Invalid value '[/b]' - at `$.type`"}),
        letter(5, PLACE | {"detail": "Invalid value '\x1b[2J[bold]' - at `$.role`"}),
        letter(6, PLACE, "\x1b[2J\x9b\x7f\r\u202e\u2066 é 😀\nsecond".encode()),
        letter(9, {}, b"\0\xff no newline"),  # of somebody else: no headers
    ]
    monkeypatch.setattr(dead_letter_verbs, "_read", lambda: letters)
    return CliRunner(env={"COLUMNS": "300"})


def test_place_names_the_line_when_the_letter_has_one() -> None:
    assert letter(0, PLACE).place == "events/3 offset 17"
    assert letter(0, PLACE | {"line": "2"}).place == "events/3 offset 17 line 2"


def test_place_is_empty_when_somebody_else_wrote_the_letter() -> None:
    assert letter(0, {}).place == ""


def test_list_shows_texts_as_they_are_when_they_look_like_markup(runner: CliRunner) -> None:
    done = runner.invoke(dead_letter_verbs.app, ["list"])
    assert done.exit_code == 0, done.exception
    assert "Invalid value '[/b]' - at `$.type`" in done.stdout
    assert "[bold]" in done.stdout
    assert "\x1b" not in done.stdout
    assert "4 of 4" in done.stdout


def test_list_shows_the_newest_when_it_is_told_how_many(runner: CliRunner) -> None:
    done = runner.invoke(dead_letter_verbs.app, ["list", "--json", "--last", "1"])
    (shown,) = json.loads(done.stdout)
    assert shown == {
        "number": 9,
        "arrivedAt": "2026-03-25T12:00:00.000+00:00",
        "headers": {},
        "value": "\0\N{REPLACEMENT CHARACTER} no newline",
    }


def test_show_obeys_no_control_character_when_a_header_has_one(runner: CliRunner) -> None:
    done = runner.invoke(dead_letter_verbs.app, ["show", "5"])
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout


def test_show_escapes_what_a_terminal_would_obey_when_the_bytes_hold_it(runner: CliRunner) -> None:
    done = runner.invoke(dead_letter_verbs.app, ["show", "6"])

    assert done.stdout.partition("\n\n")[2] == (
        r"\x1b[2J\x9b\x7f\r\u202e\u2066 é 😀" + "\nsecond\n"
    )


def test_show_escapes_bytes_when_they_are_no_text(runner: CliRunner) -> None:
    done = runner.invoke(dead_letter_verbs.app, ["show", "9"])

    assert done.stdout == "\n" + r"\x00\xff no newline" + "\n"


def test_show_gives_the_bytes_when_they_are_no_text(runner: CliRunner) -> None:
    done = runner.invoke(dead_letter_verbs.app, ["show", "9", "--raw"])
    assert done.stdout_bytes == b"\0\xff no newline"


def test_show_fails_when_no_letter_has_the_number(runner: CliRunner) -> None:
    done = runner.invoke(dead_letter_verbs.app, ["show", "7"])
    assert done.exit_code == 1
    assert done.stderr == "ragtime: there is no dead letter 7\n"
