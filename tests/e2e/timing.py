"""Whether the time of a refusal tells anything about the key: `python -m tests.e2e.timing`.

One service, one connection, keys of two kinds in random order. The statistic is the chance that a
refusal of the one kind took longer than one of the other (Mann and Whitney): 0.5 tells nothing.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from math import sqrt
from pathlib import Path

from libs.access.api_keys import Mode, _checksum, generate_key
from tests.e2e.stack import Project, Stack, running_stack
from tests.e2e.waiting import wait_until
from tests.servers import servers

KINDS = ("malformed", "like a known one", "revoked")

_WARM_UP = 200
_KNOWN_PART = 40  # of 57 characters: what is left nobody could ever guess, yet all begin alike


@dataclass(frozen=True)
class Comparison:
    """How long two kinds of refusals took, in microseconds."""

    first_us: float
    second_us: float
    chance: float
    error: float

    @property
    def deviations(self) -> float:
        """How far from telling nothing, in standard errors."""
        return (self.chance - 0.5) / self.error

    def __str__(self) -> str:
        return (
            f"medians {self.first_us:.0f} and {self.second_us:.0f} µs; the first took longer with"
            f" a chance of {self.chance:.4f} ± {self.error:.4f} ({self.deviations:+.1f} deviations)"
        )


def compare(first: list[float], second: list[float]) -> Comparison:
    """Two samples of seconds."""
    ranked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks = sum(rank for rank, (_, kind) in enumerate(ranked, start=1) if kind == 0)
    n, m = len(first), len(second)
    return Comparison(
        statistics.median(first) * 1e6,
        statistics.median(second) * 1e6,
        (ranks - n * (n + 1) / 2) / (n * m),
        sqrt((n + m + 1) / (12 * n * m)),
    )


def unknown_key() -> str:
    """A key that was never made."""
    return generate_key(Mode.LIVE)


def key_like(known: str) -> str:
    """A key that was never made, and that begins like one that was, with the right checksum."""
    text = known[:_KNOWN_PART] + generate_key(Mode.LIVE)[_KNOWN_PART:-6]
    return text + _checksum(text)


def malformed_key() -> str:
    """A key whose checksum is wrong."""
    key = generate_key(Mode.LIVE)
    return key[:-1] + ("0" if key[-1] != "0" else "1")


def time_refusals(
    port: int, path: str, kinds: tuple[Callable[[], str], Callable[[], str]], each: int
) -> Comparison:
    """Ask with keys of two kinds in random order; all must be refused as invalid."""
    took: tuple[list[float], list[float]] = ([], [])
    # Made before: what the client itself did last changes its own times.
    shown = [(kind, kinds[kind]()) for kind in (0, 1) for _ in range(each)]
    random.shuffle(shown)
    with _connection(port) as connection:
        for _ in range(_WARM_UP):
            _refusal_s(connection, path, unknown_key())
        for kind, key in shown:
            took[kind].append(_refusal_s(connection, path, key))
    return compare(*took)


@contextmanager
def _connection(port: int) -> Iterator[HTTPConnection]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        yield connection
    finally:
        connection.close()


def _refusal_s(connection: HTTPConnection, path: str, key: str) -> float:
    headers = {"Authorization": f"Bearer {key}"}
    started = time.perf_counter()
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    took = time.perf_counter() - started
    assert response.status == 401, body
    assert b'"invalid_key"' in body
    return took


def against(stack: Stack, kind: str, each: int) -> Comparison:
    """Refusals of unknown keys against those of another kind, on query."""
    (project,) = stack.new_projects(1)
    revoked = _revoked_key(stack, project) if kind == "revoked" else ""
    others: dict[str, Callable[[], str]] = {
        "like a known one": lambda: key_like(project.live_key),
        "malformed": malformed_key,
        "revoked": lambda: revoked,
    }
    path = f"/api/v1/projects/{project.id}/analytics"
    return time_refusals(stack.services["query"].port, path, (unknown_key, others[kind]), each)


def _revoked_key(stack: Stack, project: Project) -> str:
    command = ("keys", "create", "--project", project.id, "--scope", "analytics:read", "--json")
    made: dict[str, str] = json.loads(stack.ragtime(*command))
    stack.wait_until_key_works(project.id, made["key"])
    stack.ragtime("keys", "revoke", made["id"])
    wait_until(lambda: not stack.knows_key("query", project.id, made["key"]), "it is revoked")
    return made["key"]


def main() -> None:
    """Start a stack and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="of each kind")
    each = parser.parse_args().requests
    with (
        tempfile.TemporaryDirectory(prefix="ragtime-timing-") as folder,
        servers() as real,
        running_stack(real, Path(folder)) as stack,
    ):
        for kind in KINDS:
            sys.stdout.write(f"unknown and {kind}: {against(stack, kind, each)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
