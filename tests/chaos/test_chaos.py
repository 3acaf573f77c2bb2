"""A few rounds of chaos, as a part of all tests: kills and freezes, then every count."""

import secrets
from pathlib import Path

import pytest

from tests.chaos.__main__ import run

pytestmark = pytest.mark.e2e

_ROUNDS = 3


def test_every_count_is_exact_when_processes_are_killed_and_frozen(tmp_path: Path) -> None:
    # The seed is printed; `make chaos SEED=…` has the same faults again.
    run(tmp_path, _ROUNDS, seed=secrets.randbelow(1_000_000))
