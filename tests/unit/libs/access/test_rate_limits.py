"""The limits: what headers say, what one identity leaves another, what happens without a store."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.access import rate_limits
from libs.access.rate_limits import RateLimiter
from libs.access.windows import BURST_MS, Limit, RateLimitState, Windows
from libs.telemetry.metrics import RATE_LIMIT_STORE_FAILURES
from tests.clock import Clock
from tests.fakes_store import FakeStore

LIMIT = 30
MINUTE_AND_BURST = (Limit("events:a", 100), Limit("events:a:burst", 50, BURST_MS))


async def allowed(limiter: RateLimiter, asks: int, limit: int = LIMIT) -> int:
    """How many of so many requests are allowed."""
    return sum([(await limiter.take("key:a", limit)).allowed for _ in range(asks)])


async def test_requests_are_allowed_until_rate_is_used_up() -> None:
    limiter = RateLimiter()
    states = [await limiter.take("key:a", 3) for _ in range(5)]
    assert [state.allowed for state in states] == [True, True, True, False, False]
    assert [state.remaining for state in states] == [2, 1, 0, 0, 0]
    assert {state.limit.most for state in states} == {3}
    assert len({state.reset_at for state in states}) == 1


async def test_window_begins_anew_when_it_has_ended() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    assert await allowed(limiter, 40) == LIMIT
    clock.now += 59.9
    assert await allowed(limiter, 1) == 0
    clock.now += 0.1
    assert await allowed(limiter, 40) == LIMIT


async def test_identities_have_windows_of_their_own_when_both_ask() -> None:
    limiter = RateLimiter()
    assert not [await limiter.take("key:a", 1) for _ in range(2)][-1].allowed
    assert (await limiter.take("key:b", 1)).allowed


async def test_requests_see_numbers_of_their_own_when_concurrent() -> None:
    limiter = RateLimiter()
    states = await asyncio.gather(*(limiter.take("key:a", 20) for _ in range(30)))
    assert sorted(s.remaining for s in states if s.allowed) == list(range(20))
    assert sum(not s.allowed for s in states) == 10


async def test_nothing_is_taken_when_it_would_be_too_much() -> None:
    limiter = RateLimiter()
    states = [
        await limiter.take_all((Limit("events:a", 100),), amount) for amount in (60, 50, 40, 1)
    ]
    assert [state.allowed for state in states] == [True, False, True, False]
    assert [state.remaining for state in states] == [40, 40, 0, 0]


async def test_window_goes_on_when_the_limit_is_changed() -> None:
    limiter = RateLimiter()
    before = await limiter.take("key:a", 3)
    after = [await limiter.take("key:a", 2) for _ in range(2)]
    assert [(state.limit.most, state.remaining) for state in after] == [(2, 0), (2, 0)]
    assert [state.allowed for state in after] == [True, False]
    assert after[0].reset_at == before.reset_at


async def test_key_stays_limited_when_strangers_come_from_everywhere() -> None:
    limiter = RateLimiter(clock=Clock())
    assert await allowed(limiter, 40) == LIMIT
    taken = [(await limiter.take_address(names_of(number), 1)).allowed for number in range(70_000)]
    assert await allowed(limiter, 40) == 0
    assert (await limiter.take("key:b", 1)).allowed
    # Each address that is known for itself, then each neighbourhood, then all others as one.
    assert sum(taken) <= 50_000 + 10_000 + 1
    assert len(limiter._addresses[0]) == 50_000


def names_of(number: int) -> tuple[str, str]:
    """An address and its neighbourhood, of which each has so many."""
    return f"address:{number}", f"address:of {number // 100}"


async def test_stranger_is_counted_with_his_neighbourhood_when_too_many_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_limits, "_MAX_ADDRESSES", 3)
    monkeypatch.setattr(rate_limits, "_MAX_NEIGHBOURHOODS", 2)
    limiter = RateLimiter(clock=Clock())

    async def is_allowed(address: str, neighbourhood: str) -> bool:
        return (await limiter.take_address((address, neighbourhood), 1)).allowed

    assert [await is_allowed(name, "near") for name in "abc"] == [True] * 3
    assert [await is_allowed(name, "near") for name in "abc"] == [False] * 3
    assert [await is_allowed(name, "near") for name in "de"] == [True, False]
    assert [await is_allowed(name, "far") for name in "fg"] == [True, False]
    assert [await is_allowed(name, name * 2) for name in "hijk"] == [True, False, False, False]


async def test_addresses_have_room_again_when_a_minute_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_limits, "_MAX_ADDRESSES", 3)
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    for name in "abcd":
        await limiter.take_address((name, "near"), 1)
    assert not (await limiter.take_address(("e", "near"), 1)).allowed
    clock.now += 60
    assert [(await limiter.take_address((name, "near"), 1)).allowed for name in "efg"] == [True] * 3


async def test_several_windows_are_taken_or_each_its_fee() -> None:
    limiter = RateLimiter(clock=Clock())

    async def take_both(amount: int) -> tuple[int, int, bool]:
        state = await limiter.take_all(MINUTE_AND_BURST, amount, 3)
        return state.limit.most, state.remaining, state.allowed

    assert await take_both(40) == (100, 60, True)
    assert await take_both(20) == (50, 7, False)
    assert await take_both(7) == (100, 50, True)
    assert await take_both(1) == (50, 0, False)
    assert (await limiter.take_all(MINUTE_AND_BURST[:1])).remaining == 100 - 53 - 1


async def test_burst_ends_before_its_minute() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    first = await limiter.take_all(MINUTE_AND_BURST, 50)
    refused = await limiter.take_all(MINUTE_AND_BURST, 50)
    clock.now += 5
    later = await limiter.take_all(MINUTE_AND_BURST, 50)
    assert [state.allowed for state in (first, refused, later)] == [True, False, True]
    assert (refused.limit.length_ms, refused.retry_after_s, refused.remaining) == (BURST_MS, 5, 0)
    assert (later.limit, later.remaining) == (MINUTE_AND_BURST[0], 0)


async def test_window_is_used_up_when_nothing_of_it_is_left() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    limits = (Limit("events:a", 10),)
    assert limiter.used_up(limits) is None
    await limiter.take_all(limits, 9)
    assert limiter.used_up(limits) is None
    await limiter.take_all(limits, 1)
    state = limiter.used_up(limits)
    assert state is not None
    assert (state.limit, state.allowed, state.remaining) == (limits[0], False, 0)
    assert state.retry_after_s == 60
    assert limiter.used_up((Limit("events:a", 11),)) is None
    clock.now += 60
    assert limiter.used_up(limits) is None


async def test_window_is_used_up_here_when_another_replica_took_the_rest() -> None:
    store, clock = FakeStore(), Clock()
    replicas = [RateLimiter(store, clock) for _ in range(2)]
    limits = (Limit("events:a", 10),)
    await replicas[0].take_all(limits, 10)
    assert replicas[1].used_up(limits) is None
    assert not (await replicas[1].take_all(limits)).allowed
    assert replicas[1].used_up(limits) is not None


async def test_fee_is_told_to_the_store_when_it_was_away() -> None:
    store, clock = FakeStore(), Clock()
    limiter = RateLimiter(store, clock)
    await limiter.take_all((Limit("events:a", 10),), 4)
    store.is_away = True
    await limiter.take_all((Limit("events:a", 10),), 20, 5)
    store.is_away = False
    assert (await limiter.take("events:a", 10)).remaining == 0


def test_windows_are_forgotten_when_they_have_ended() -> None:
    windows = Windows()
    for number in range(10):
        windows.take((Limit(f"address:{number}", 1),), 1, 0, 1_000)
    windows.take((Limit("address:x", 1),), 1, 0, 61_000)
    assert list(windows._windows) == ["address:x"]


@given(
    now_ms=st.integers(10**12, 2 * 10**12),
    window_ms=st.integers(-1000, 60_000),
    taken=st.integers(1, 100),
    limit=st.integers(1, 50),
)
def test_retry_is_never_before_reset_when_refused(
    now_ms: int, window_ms: int, taken: int, limit: int
) -> None:
    state = RateLimitState(Limit("key:a", limit), taken, now_ms + window_ms, now_ms, allowed=False)
    assert state.retry_after_s >= 1
    assert now_ms / 1000 + state.retry_after_s >= state.reset_at >= (now_ms + window_ms) / 1000
    assert 0 <= state.remaining <= limit


@pytest.mark.parametrize(("taken", "is_allowed"), [(1, True), (2, False)])
def test_headers_tell_when_to_come_back_only_when_refused(taken: int, is_allowed: bool) -> None:
    state = RateLimitState(Limit("key:a", 2), taken, 1_000_060_200, 1_000_000_700, is_allowed)
    expected = {
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": str(2 - taken),
        "X-RateLimit-Reset": "1000061",
    }
    assert state.headers() == expected | ({} if is_allowed else {"Retry-After": "61"})
    raw = {name.decode(): value.decode() for name, value in state.raw_headers()}
    assert raw == {name.lower(): value for name, value in expected.items()}


async def test_limit_holds_over_replicas_when_they_share_a_store() -> None:
    store, clock = FakeStore(), Clock()
    replicas = [RateLimiter(store, clock) for _ in range(4)]
    states = [await replicas[number % 4].take("key:a", LIMIT) for number in range(60)]
    assert [state.remaining for state in states] == [*range(29, -1, -1), *[0] * 30]
    assert sum(state.allowed for state in states) == LIMIT
    assert len({state.reset_at for state in states}) == 1


async def test_replicas_together_stay_within_their_number_when_the_store_is_lost() -> None:
    store, clock = FakeStore(), Clock()
    replicas = [RateLimiter(store, clock) for _ in range(4)]
    failures = RATE_LIMIT_STORE_FAILURES._value.get()
    total = sum([await allowed(replica, 5) for replica in replicas])
    store.is_away = True
    total += sum([await allowed(replica, 20) for replica in replicas[:3]])
    assert RATE_LIMIT_STORE_FAILURES._value.get() - failures == 60
    store.forget()
    store.is_away = False
    clock.now += 30
    total += sum([await allowed(replica, 60) for replica in replicas])
    assert LIMIT <= total <= 4 * LIMIT
    assert not (await replicas[3].take("key:a", LIMIT)).allowed


async def test_store_is_told_what_was_taken_when_it_was_away() -> None:
    store, clock = FakeStore(), Clock()
    replicas = [RateLimiter(store, clock) for _ in range(2)]
    first = await replicas[0].take("key:a", LIMIT)
    store.is_away = True
    meanwhile = [await replicas[0].take("key:a", LIMIT) for _ in range(9)]
    store.is_away = False
    back = await replicas[0].take("key:a", LIMIT)
    other = await replicas[1].take("key:a", LIMIT)
    assert [state.remaining for state in (first, *meanwhile, back, other)] == [*range(29, 17, -1)]
    assert {state.reset_at for state in (first, *meanwhile, back, other)} == {first.reset_at}


async def test_window_ends_by_the_clock_of_the_store_when_it_is_lost() -> None:
    store, clock = FakeStore(), Clock()
    store.ahead_s = 3_600
    limiter = RateLimiter(store, clock)
    first = await limiter.take("key:a", 1)
    store.is_away = True
    second = await limiter.take("key:a", 1)
    assert not second.allowed
    assert (second.reset_at, second.retry_after_s) == (first.reset_at, 60)
    clock.now += 60
    assert (await limiter.take("key:a", 1)).allowed
