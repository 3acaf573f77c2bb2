"""The rate of a body."""

import pytest

from libs.http.rates import BodyRate


@pytest.mark.parametrize(
    ("bytes_per_s", "is_too_low"), [(1_700, False), (513, False), (511, True), (0, True)]
)
def test_body_is_judged_by_its_rate_at_the_end_of_a_window(
    bytes_per_s: int, is_too_low: bool
) -> None:
    rate = BodyRate(512, 20.0)
    rate.begin(100.0, 7_000)

    assert not rate.is_too_low(119.0, 7_000)
    assert rate.is_too_low(121.0, 7_000 + 21 * bytes_per_s) is is_too_low


def test_each_window_counts_alone() -> None:
    rate = BodyRate(512, 20.0)
    rate.begin(0.0, 0)
    assert not rate.is_too_low(20.0, 1_000_000)

    assert not rate.is_too_low(39.0, 1_000_000)
    assert rate.is_too_low(40.0, 1_000_001)
