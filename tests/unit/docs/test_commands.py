"""Each command of the documents is run by `make commands`, or is named with the reason why not."""

import pytest

from tests.documents.commands import ELSEWHERE, Command, commands_of, documented, one_line
from tests.documents.running import in_turn


def test_every_command_is_run_or_named_when_a_document_gives_it() -> None:
    assert not [(one.pages, one.text) for one in documented() if not one.is_placed]


def test_every_command_is_still_given_when_it_is_named() -> None:
    named = {text for texts in ELSEWHERE.values() for text in texts}
    assert named - {one.text for one in documented()} == set()


def test_command_is_not_placed_when_nobody_has_said_where_it_runs() -> None:
    (shell,) = commands_of("Then:\n\n    nerdctl compose up   # as well\n")
    assert not Command(one_line(shell), shell, ("a page",)).is_placed


@pytest.mark.parametrize(
    ("page", "commands"),
    [
        ("    make up      # it starts\n    make down\n", ["make up", "make down"]),
        ('    curl "$URL" \\\n      -d \'{"a": 1,\n        "b": 2}\'\n',
         ['curl "$URL" -d \'{"a": 1, "b": 2}\'']),
        ("    A_HOST=example\n    docker ps\n", ["docker ps"]),
        ("    GRANT SELECT ON events TO query;\n", []),
        ("    image: {registry: example}\n    kafka:\n", []),
        ("It is `make\nstatus`, with `max_rows 3`.\n", ["make status"]),
        ("```yaml\n    make up\n```\n", []),
    ],
)  # fmt: skip
def test_commands_are_found_when_a_page_has_them(page: str, commands: list[str]) -> None:
    assert [one_line(shell) for shell in commands_of(page)] == commands


def test_stack_is_made_first_and_removed_last() -> None:
    texts = [one.text for one in in_turn(documented())]
    assert (texts[0], texts[-1]) == ("make up", "make clean")
    assert texts.index("ragtime doctor") < texts.index("ragtime dead-letters show N")
