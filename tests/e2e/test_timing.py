"""A refusal takes as long whatever key was shown. Here for a few; `tests.e2e.timing` asks more."""

import pytest

from tests.e2e.stack import Stack
from tests.e2e.timing import KINDS, against, compare

EACH = 1_500
# One run in 15,000 fails by chance.
DEVIATIONS = 4.0


@pytest.mark.e2e
@pytest.mark.parametrize("kind", KINDS)
def test_time_tells_nothing_when_a_key_is_refused(stack: Stack, kind: str) -> None:
    found = against(stack, kind, EACH)
    assert abs(found.deviations) < DEVIATIONS, str(found)


def test_difference_is_found_when_there_is_one() -> None:
    plain = [1.0 + number % 100 / 1000 for number in range(EACH)]
    slower = [value + 0.01 for value in plain]
    assert abs(compare(plain, plain).deviations) < 0.1
    assert compare(slower, plain).deviations > DEVIATIONS
