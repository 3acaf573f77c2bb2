"""`make commands`: run each command of the documents, and tell with which exit code it ended.

They run on a local stack of their own, in the order in which they make sense; what needs something
that is not here is named below them, with the reason.
"""

import sys
import tempfile
from pathlib import Path

from tests.documents.commands import Command, documented
from tests.documents.running import EXPECTED, Ended, Runner, in_turn
from tests.integration.local_stack.running import LocalStack

_WIDTH = 110


def row(command: Command, told: str) -> str:
    """A line of the table."""
    text = command.text if len(command.text) <= _WIDTH else f"{command.text[: _WIDTH - 1]}…"
    return f"{told:>4}  {', '.join(command.pages):28}  {text}"


def _row_of(ended: Ended) -> str:
    said = EXPECTED.get(ended.command.text, (0, ""))[1]
    told = f"  ({said})" if said else ""
    return row(ended.command, str(ended.code)) + (told if ended.is_as_expected else "  WRONG")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run them and print the table; exit code 1 when one did not end as it should."""
    commands, wrong = documented(), []
    with tempfile.TemporaryDirectory(prefix="ragtime-commands-") as folder:
        runner = Runner(LocalStack(Path(folder)))
        try:
            for command in in_turn(commands):
                ended = runner.run(command)
                _say(_row_of(ended))
                wrong += [] if ended.is_as_expected else [ended]
        finally:
            runner.stack.run("clean")
    for command in commands:
        if command.reason:
            _say(f"{row(command, '-')}  ({command.reason})")
    for ended in wrong:
        _say(f"\n{ended.command.text}: exit code {ended.code}\n{ended.said[-2000:]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
