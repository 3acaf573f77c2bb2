"""A few rounds of chaos beside an attacker, as a part of all tests: kills, then every count.

The seed is always the same here, so that a failure is one of the product and not of the dice;
`make chaos` throws them.
"""

from pathlib import Path

import pytest

from tests.chaos.__main__ import run

pytestmark = pytest.mark.e2e

_ROUNDS, _SEED = 3, 1107


def test_every_count_is_exact_when_processes_are_killed_and_frozen(tmp_path: Path) -> None:
    run(tmp_path, _ROUNDS, _SEED)
