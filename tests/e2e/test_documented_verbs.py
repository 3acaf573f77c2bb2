"""Each `ragtime …` of the documents is run: it is there, takes what they give, and ends well.

What they leave to the reader (an id, a name) is filled in; what ends otherwise than with 0 on a
healthy installation is listed here, with the reason.
"""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.layout import CHECKOUT
from tests.e2e.stack import Project, Stack
from tests.e2e.topics import Topics

pytestmark = pytest.mark.e2e

_DOCUMENTS = (*sorted((CHECKOUT / "docs").glob("*.md")), CHECKOUT / "README.md")
_COMMAND = re.compile(r"^ {4}(ragtime .*)$|`(ragtime [^`\n]+)`", re.MULTILINE)
_KEYS = {"ID", "[ID]", "key_0123456789abcdef"}
# Named without what they need, in a sentence.
_BARE = {
    "dead-letters replay": "dead-letters replay",
    "doctor --metrics": "doctor",
    "keys": "keys",
    "keys create": "keys create",
    "keys rotate": "keys rotate",
    "keys set-rate ID": "keys set-rate",
    "topics adopt": "topics adopt",
}
_WITH_A_REASON = {
    "restore": (1, "its tables are there"),
    "doctor": (1, "the services' passwords, with which rights are tried, are not told"),
    "demo": (2, "`make demo` and compose tell it what it is for"),
}


def _documented() -> list[str]:
    """Their words behind `ragtime`, each once, in the order of the documents."""
    texts = (path.read_text("utf-8") for path in _DOCUMENTS)
    found = (match[1] or match[2] for text in texts for match in _COMMAND.finditer(text))
    return list(dict.fromkeys(command.removeprefix("ragtime ") for command in found))


def _words(command: str, stack: Stack, project: Project, folder: Path) -> list[str]:
    """What is run: placeholders filled in, and nothing written outside of a folder."""
    given, key = shlex.split(command), ""
    if _KEYS & set(given):  # another one each time: it may be revoked
        make = ("keys", "create", "--project", project.id, "--scope", "events:write", "--json")
        key = json.loads(stack.ragtime(*make))["id"]
    name = stack.environment["RAGTIME_CLICKHOUSE__DATABASE"]
    filled = {
        **dict.fromkeys(_KEYS, key),
        "N": "0",
        "TOPIC": _old(stack).events,
        "events": _old(stack).events,
        "NAME": f"{name}-2026-11-23",
        "[NAME]": f"{name}-named",
        "2026-11-22": f"{name}-2026-11-22",
        "2026-11-23": f"{name}-2026-11-23",
        "/var/lib/node_exporter/ragtime.prom": str(folder / "ragtime.prom"),
    }
    return [filled.get(word, word) for word in given]


def _old(stack: Stack) -> Topics:
    """Another topic, of which something may be carried over."""
    return replace(stack.topics, events=f"{stack.topics.events}-old", partitions=1)


def test_documented_commands_end_as_they_should(own_stack: Stack, tmp_path: Path) -> None:
    (project,) = own_stack.new_projects(1)
    own_stack.topics.write([b"no event"])
    own_stack.wait_until_counted()
    _old(own_stack).make()
    found, wrong = [], []
    for command in _documented():
        if command in _BARE:
            words, expected = [*_BARE[command].split(), "--help"], 0
        else:
            words = _words(command, own_stack, project, tmp_path)
            expected = _WITH_A_REASON.get(words[0], (0, ""))[0]
        done = own_stack.try_ragtime(*words)
        found.append((command, done.code))
        if done.code != expected:
            wrong.append((command, done.code, done.stderr[-300:], done.stdout[-300:]))
    _old(own_stack).delete()
    assert not wrong, json.dumps([[*map(str, one)] for one in wrong], indent=1)
    assert len(found) > 30
