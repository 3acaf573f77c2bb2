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
    first = [1.0 + number / EACH for number in range(EACH)]
    second = [value + 0.5 / EACH for value in first]
    slower = [value + 0.2 for value in first]
    assert abs(compare(first, second).deviations) < 0.1
    assert compare(slower, second).deviations > DEVIATIONS
