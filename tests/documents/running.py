"""Runs the commands of the documents on a local stack of its own, and tells how each ended."""

import json
import re
import subprocess
import sys
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deploy.local.layout import CHECKOUT
from services.admin.settings import TopicSettings
from tests.documents.commands import Command
from tests.e2e.stack import ANY_DISK
from tests.e2e.topics import Topics
from tests.integration.local_stack.running import LocalStack, environment_of, free_ports
from tests.ports import free_port

_ENDS_WITHIN_S = 900.0
_COUNTED_WITHIN_S = 60.0
_FOLLOWS_S = 5
_OLDER = "events-older"
_BIN = Path(sys.executable).parent
# Nor is it anybody's business how busy that machine is.
_DOCTOR = ANY_DISK | {"RAGTIME_DOCTOR__DEADLINE_S": "60"}
# Named without what they need, in a sentence.
_BARE = {
    "ragtime keys",
    "ragtime keys create",
    "ragtime keys rotate",
    "ragtime keys set-rate ID",
    "ragtime topics adopt",
    "ragtime dead-letters replay",
}
# What ends otherwise than with 0 on a healthy stack, and what it says.
_COUNTS = (1, "stop the processors first")
EXPECTED = {
    "ragtime restore NAME": _COUNTS,
    "ragtime restore 2026-11-23": _COUNTS,
    "make logs": (124, "Ctrl-C ends this"),  # it follows until somebody ends it
}
_LONG = re.compile(r"pip install |\.venv/bin/python -m ")
# Less of what only takes longer, and what a document leaves to its reader.
_FILLED = (
    (r"--events 100000$", "--events 2000"),
    (r"--rounds 5$", "--rounds 1"),
    (r"--minutes 30$", "--minutes 0.1"),
    (r"\[NAME\]", ""),
    (r"\bNAME\b", "2026-11-23"),
    (r"\bTOPIC\b|(?<=adopt )events\b", _OLDER),
    (r"(?<=show )N$", "0"),
    (r"^make logs$", f"timeout --signal=INT {_FOLLOWS_S} make logs"),
    (r"^jq .*$", r"(grep '^{' .local/logs/ingest.log || true) | \g<0>"),
)
_KEY = re.compile(r"\[ID\]|\bID\b|key_0123456789abcdef")
# The doctor comes before what it would tell of, and what ends the stack after all others.
_TURNS = (
    r"make up$",
    r".*ragtime doctor",
    "",  # all others, in the order of the documents
    r"ragtime restore",
    r".*dead-letters show",
    r"make down",
    r"make up .*_PORT=0",
    r"make up .*=8090",
    r"make clean",
)


def turn_of(command: Command) -> int:
    """When a command comes."""
    turns = (
        turn for turn, begins in enumerate(_TURNS) if begins and re.match(begins, command.text)
    )
    return next(turns, _TURNS.index(""))


def is_long(command: Command) -> bool:
    """Whether it installs or measures, for minutes."""
    return bool(_LONG.match(command.text))


def in_turn(commands: Iterable[Command]) -> list[Command]:
    """Those that run here."""
    return sorted((one for one in commands if not one.reason), key=turn_of)


@dataclass(frozen=True)
class Ended:
    """A command that was run, and how it ended."""

    command: Command
    code: int
    said: str

    @property
    def is_as_expected(self) -> bool:
        code, words = EXPECTED.get(self.command.text, (0, ""))
        return self.code == code and words in self.said


@dataclass
class Runner:
    """A stack that is up. Its folder stands for `.local`, and what is written lies there."""

    stack: LocalStack

    def run(self, command: Command) -> Ended:
        """Run it as it stands, in a shell that knows what its page has told it to know."""
        self._prepare(command.text)
        script = f"{self._sourced(command.text)}\n{self._filled(command)}"
        try:
            done = self._shell(script, self._ports(command.text))
        except subprocess.TimeoutExpired as error:
            return Ended(command, -1, str(error))
        return Ended(command, done.returncode, done.stdout + done.stderr)

    def _shell(self, script: str, ports: dict[str, int]) -> subprocess.CompletedProcess[str]:
        script = script.replace(".local/", f"{self.stack.folder}/")
        environment = environment_of(self.stack.folder, ports) | _DOCTOR
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace(".venv/bin/", f"{_BIN}/")],
            cwd=CHECKOUT,
            env=environment | {"PATH": f"{self._first_on_path(script)}:{environment['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ENDS_WITHIN_S,
            check=False,
        )

    def _first_on_path(self, script: str) -> Path:
        return self.venv / "bin" if script.lstrip().startswith("pip ") else _BIN

    @cached_property
    def venv(self) -> Path:
        """A virtual environment without anything in it."""
        folder = self.stack.folder / "venv"
        venv.create(folder, with_pip=True)
        return folder

    def _ports(self, text: str) -> dict[str, int]:
        """What `make` is told where the ports are not remembered yet."""
        is_first = text.startswith("make up") and not self.stack.where.ports.exists()
        return free_ports() if is_first else {}

    def _sourced(self, text: str) -> str:
        files = ["demo"] if text.startswith(("curl ", "printf ")) else []
        if text.startswith("ragtime "):
            files = ["ragtime", "demo"] if text == "ragtime demo" else ["ragtime"]
        return "".join(f"set -a; . .local/{file}.env; set +a\n" for file in files)

    def _filled(self, command: Command) -> str:
        """With what a document leaves to its reader."""
        if command.text in _BARE:
            return f"{command.text} --help"
        shell = command.shell
        for pattern, text in _FILLED:
            shell = re.sub(pattern, text, shell)
        shell = shell.replace("8090", str(free_port()))
        shell = shell.replace("/var/lib/node_exporter/", ".local/")
        return _KEY.sub(self._key(), shell) if _KEY.search(shell) else shell

    def _key(self) -> str:
        """The id of another key each time: it may be revoked."""
        make = "ragtime keys create --project museum --scope events:write --json"
        done = self._shell(f"{self._sourced(make)}{make}", {})
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["id"])

    def _prepare(self, text: str) -> None:
        """What has to be there first."""
        if text == "ragtime topics adopt TOPIC":
            self._topics(_OLDER).make()
        if "dead-letters show" in text:
            self._topics().write([b"no event"])
        if "audit" in text or "dead-letters show" in text:
            self._topics().wait_until_read(_COUNTED_WITHIN_S)

    def _topics(self, events: str = "events") -> Topics:
        address = f"127.0.0.1:{self.stack.ports.kafka}"
        partitions = TopicSettings().partitions
        return Topics(address, events, partitions, "events.dead-letter", "ragtime-processor")
