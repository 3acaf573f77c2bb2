"""`python -m tests.chaos.mutants`: builds that are broken on purpose must not pass.

Each takes away one thing that keeps counts exact. A copy of the checkout is changed, and the
processor's tests on the real engine are run in it; they must fail.
"""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.processes import CHECKOUT

_SUITE = ("tests/integration/processor", "tests/chaos", "-q", "-x", "-p", "no:cacheprovider")
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".local", "__pycache__", ".*_cache")


@dataclass(frozen=True)
class Mutant:
    """Changes of one file that take something away: (before, after)."""

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]

    def applied_to(self, text: str) -> str:
        """The file's text with the changes."""
        for before, after in self.changes:
            assert text.count(before) == 1, f"{self.name}: {self.file} has changed"
            text = text.replace(before, after)
        return text


_AGREE = "    while offsets and not await membership.confirm(offsets):"
_PROCESS = "    try:\n        await agent.process(records)"
_MEND = "        mended = await self._mend(partitions, offsets)"
_LEASE = "confirmed_at + self.lease_s + self._server_offset_s"
_WAIT = "        await self._ownership.wait_for_others()\n"
_END = "            if not running:\n"
_CONVERSATIONS = "        conversations = await self._conversations(sorted(numbers))"
_FORGOTTEN = "{number: SeenConversations(date(1970, 1, 1)) for number in numbers}"
_IDS = "        ids = await self._ids(sorted(numbers))"
_RECOVER = "        if reaction is not Reaction.RETRY:\n"
_IS_LATE = 'batch.entries["occurred_s"] < batch.appended_s() - _LATE_S'
_MODE = 'text = f"{project_id}\\0{int(is_live)}"'

_APP = "services/processor/app.py"
_RECOVERY = "services/processor/recovery.py"
_REBUILD = "services/processor/rebuild.py"

MUTANTS = (
    Mutant(
        "commit before insert, and the group decides where reading goes on",
        _APP,
        (
            (_AGREE, "    while False:"),
            (_PROCESS, f"    await membership.commit(current)\n{_PROCESS}"),
        ),
    ),
    Mutant("recovery mends no rollup", _RECOVERY, ((_MEND, "        mended = 0"),)),
    Mutant(
        "leases never end",
        "services/processor/ownership.py",
        ((_LEASE, "confirmed_at + 1e6 + self._server_offset_s"),),
    ),
    Mutant("a new owner does not wait for leases", _RECOVERY, ((_WAIT, ""),)),
    Mutant("running inserts are not ended", _RECOVERY, ((_END, "            if True:\n"),)),
    Mutant(
        "the memory of conversations is not rebuilt",
        _REBUILD,
        ((_CONVERSATIONS, f"        conversations = {_FORGOTTEN}"),),
    ),
    Mutant(
        "the memory of ids is not rebuilt",
        _REBUILD,
        ((_IDS, "        ids = {number: SeenIds() for number in numbers}"),),
    ),
    Mutant(
        "an insert of unknown outcome is sent again",
        "services/processor/agent.py",
        ((_RECOVER, "        if False:\n"),),
    ),
    Mutant(
        "what occurred long ago is not looked up",
        "services/processor/lookups.py",
        ((_IS_LATE, 'batch.entries["occurred_s"] < 0'),),
    ),
    Mutant(
        "test and live events are taken for the same",
        "libs/events/record_index.py",
        ((_MODE, 'text = f"{project_id}\\0"'),),
    ),
)


def survives(mutant: Mutant) -> bool:
    """Whether the suite passes though something is missing."""
    with tempfile.TemporaryDirectory(prefix="ragtime-mutant-") as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(CHECKOUT, copy, ignore=_LEFT_OUT)
        cache = CHECKOUT / ".local" / "cache"
        (copy / ".local").mkdir()
        (copy / ".local" / "cache").symlink_to(cache)
        file = copy / mutant.file
        file.write_text(mutant.applied_to(file.read_text("utf-8")), "utf-8")
        command = [sys.executable, "-m", "pytest", *_SUITE]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
        failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
        verdict = failed[0].split(" - ")[0] if failed else f"exit code {done.returncode}"
        sys.stdout.write(f"{mutant.name}: {verdict}\n")
        sys.stdout.flush()
        return not failed


def main() -> int:
    """Run all of them; exit code 1 if one survives."""
    survivors = [mutant.name for mutant in MUTANTS if survives(mutant)]
    sys.stdout.write(f"{len(MUTANTS) - len(survivors)} of {len(MUTANTS)} caught\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
