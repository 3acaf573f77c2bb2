"""The limits: what the headers say, and what one identity leaves another."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.access.rate_limits import RateLimiter, state_of_count


async def test_requests_are_allowed_until_rate_is_used_up() -> None:
    limiter = RateLimiter()
    states = [await limiter.hit("key:a", 3) for _ in range(5)]
    assert [state.allowed for state in states] == [True, True, True, False, False]
    assert [state.remaining for state in states] == [2, 1, 0, 0, 0]
    assert {state.limit for state in states} == {3}
    assert len({state.reset_at for state in states}) == 1


async def test_identities_have_windows_of_their_own_when_both_ask() -> None:
    limiter = RateLimiter()
    assert not [await limiter.hit("key:a", 1) for _ in range(2)][-1].allowed
    assert (await limiter.hit("key:b", 1)).allowed


async def test_requests_see_numbers_of_their_own_when_concurrent() -> None:
    limiter = RateLimiter()
    states = await asyncio.gather(*(limiter.hit("key:a", 20) for _ in range(30)))
    assert sorted(s.remaining for s in states if s.allowed) == list(range(20))
    assert sum(not s.allowed for s in states) == 10


@given(
    now=st.floats(1e9, 2e9),
    window_s=st.floats(-1, 60),
    count=st.integers(1, 100),
    limit=st.integers(1, 50),
)
def test_retry_is_never_before_reset_when_refused(
    now: float, window_s: float, count: int, limit: int
) -> None:
    state = state_of_count(count, limit, now + window_s, now)
    assert state.retry_after_s >= 1
    assert now + state.retry_after_s >= state.reset_at >= now + window_s
    assert 0 <= state.remaining <= limit


@pytest.mark.parametrize("count", [1, 3])
def test_headers_tell_when_to_come_back_only_when_refused(count: int) -> None:
    headers = state_of_count(count, 2, 1_000_060.2, 1_000_000.7).headers()
    expected = {
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": str(max(0, 2 - count)),
        "X-RateLimit-Reset": "1000061",
    }
    assert headers == expected | ({"Retry-After": "61"} if count > 2 else {})
