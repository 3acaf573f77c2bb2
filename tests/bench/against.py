"""`python -m tests.bench.against COMMIT`: what ingest costs here, and what it cost at that commit.

Both run at the same time, each with servers of its own, and are loaded in turns: on a machine that
others use, two runs one after the other tell more of the others than of the code. The other commit
is checked out below `.local` and runs with the libraries of this one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.e2e.processes import CHECKOUT

_ROUNDS = 8
_SIDE = Path(__file__).with_name("one_side.py")

Round = Mapping[str, Mapping[str, float]]


class Side:
    """A checkout whose ingest, and the bare app beside it, wait for rounds."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self._process = process

    def answer(self) -> Round:
        """Its next figures, by events a request; those of a warm-up come by themselves."""
        if self._process.stdout is None:
            raise AssertionError(self.name)
        for line in self._process.stdout:
            if line.startswith("{"):
                figures: Round = json.loads(line)
                return figures
        raise SystemExit(f"{self.name}: ended with {self._process.wait()}")

    def run(self) -> Round:
        """One round."""
        if self._process.stdin is None:
            raise AssertionError(self.name)
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.answer()


def checked_out(commit: str) -> Path:
    """A work tree of that commit, made once."""
    git = ["git", "-C", str(CHECKOUT)]
    name = [*git, "rev-parse", "--short", f"{commit}^{{commit}}"]
    short = subprocess.run(name, check=True, capture_output=True, text=True).stdout.strip()
    place = CHECKOUT / ".local" / "against" / short
    if not place.exists():
        subprocess.run([*git, "worktree", "prune"], check=True)
        subprocess.run([*git, "worktree", "add", "--detach", str(place), short], check=True)
    return place


@contextmanager
def running_side(name: str, checkout: Path) -> Iterator[Side]:
    """Its servers and services, until the end of the block."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    with subprocess.Popen(
        [sys.executable, str(_SIDE)],
        cwd=checkout,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Side(name, process)  # the end of its input ends it


def main() -> None:
    """Show the medians, and the least of all rounds, of both sides."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    arguments = parser.parse_args()
    places = {arguments.commit: checked_out(arguments.commit), "here": CHECKOUT}
    rounds: dict[str, list[Round]] = {name: [] for name in places}
    with ExitStack() as stack:
        sides = [stack.enter_context(running_side(*place)) for place in places.items()]
        for side in sides:
            side.answer()
        for _ in range(arguments.rounds):
            for side in sides:
                rounds[side.name].append(side.run())
    for name, found in rounds.items():
        for a_request in found[0]:
            _show(name, a_request, [figures[a_request] for figures in found])


def _show(name: str, a_request: str, rounds: list[Mapping[str, float]]) -> None:
    ours = [figures["ours_us"] for figures in rounds]
    bare = [figures["bare_us"] for figures in rounds]
    ratio = statistics.median(b / o for b, o in zip(bare, ours, strict=True))
    sys.stdout.write(
        f"{name:12} {a_request:>4} a request: {statistics.median(ours):6.1f} µs of CPU an event"
        f" (least {min(ours):.1f}); bare {statistics.median(bare):.1f}; {ratio:.2f} ×\n"
    )


if __name__ == "__main__":
    main()
