"""A tenant that attacks while all is killed and frozen: within its key's allowance, all the time.

One process after another, each of another kind of `tests.bench.neighbours`. What of its events is
accepted is not known (a torn request may be or not): the audit after each round counts them.
"""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

from tests.bench.neighbours.attacker import Attacker
from tests.bench.neighbours.stage import new_key
from tests.bench.neighbours.target import Target
from tests.e2e.stack import Stack

_PROJECT = "attacker"
_KINDS = ("repeats", "backdated", "sources", "refused", "uploads")
_SECONDS_EACH = 4.0
# A quarter of a key's default, which these stacks lift for all others: each audit looks at all rows
# that there ever were.
_EVENTS_A_MINUTE = 30_000


class Attack:
    """Goes on while the block runs. `accepted`: events; `ended`: attacks of each kind so far."""

    def __init__(self, stack: Stack) -> None:
        key = new_key(stack, _PROJECT, None, _EVENTS_A_MINUTE).text
        stack.wait_until_key_works(_PROJECT, key)
        services = stack.services
        self._target = Target(
            host="127.0.0.1",
            ingest_port=services["ingest"].port,
            query_port=services["query"].port,
            project=_PROJECT,
            keys=[key],
            seconds=_SECONDS_EACH,
        )
        self._threads = ThreadPoolExecutor(1)
        self._lock = threading.Lock()
        self._is_over = False
        self._attacker: Attacker | None = None
        self.accepted = 0
        self.ended: Counter[str] = Counter()

    def __enter__(self) -> "Attack":
        self._work = self._threads.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_over = True
            if self._attacker is not None:
                self._attacker.kill()
        self._threads.shutdown()
        self._work.result()

    def __str__(self) -> str:
        kinds = ", ".join(f"{times} × {kind}" for kind, times in sorted(self.ended.items()))
        return f"{self.accepted} events of an attacker: {kinds or 'none has ended'}"

    def check(self) -> None:
        """Fail when it has ended by itself: then nothing was shown."""
        if self._work.done():
            self._work.result()

    def _run(self) -> None:
        for kind in cycle(_KINDS):
            attacker = Attacker(kind, self._target)
            with self._lock:
                self._attacker = attacker
                if self._is_over:
                    attacker.kill()
            if not self._finish(kind, attacker):
                return

    def _finish(self, kind: str, attacker: Attacker) -> bool:
        """Wait until it has ended; whether there shall be another."""
        try:
            report = attacker.report()
        except Exception:
            if self._is_over:
                return False
            raise
        self.accepted += report.accepted
        self.ended[kind] += 1
        return not self._is_over
