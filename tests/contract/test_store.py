"""The shared windows: the same behaviours in Valkey and the fake; and what only Valkey can do."""

import asyncio
import os
import signal
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from libs.access.rate_limits import (
    Ask,
    RateLimiter,
    Store,
    StoreAwayError,
)
from libs.access.shared_windows import SharedWindows, shared_windows
from libs.access.windows import BURST_MS, Count, Known, Limit, RateLimitState
from libs.settings import RateLimitSettings
from tests.fakes_store import FakeStore
from tests.polling import until, until_answered
from tests.valkey_server import PASSWORD, ValkeyServer, valkey_server

pytestmark = pytest.mark.contract

LIMIT = 30
MINUTE_AND_BURST = (Limit("events:a", 100), Limit("events:a:burst", 50, BURST_MS))


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with valkey_server() as running:
        yield running


@asynccontextmanager
async def connected(url: str, **more: float) -> AsyncIterator[SharedWindows]:
    store = shared_windows(RateLimitSettings(store_url=SecretStr(url), **more), "test")
    assert store is not None
    task = asyncio.create_task(store.run())
    try:
        await until_answered(lambda: answers(store))
        yield store
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def take(store: Store, limit: Limit, known: Known | None = None, amount: int = 1) -> Count:
    """What one window answers."""
    return (await store.take([Ask(limit, amount, 0, known or Known())]))[0]


async def answers(store: SharedWindows) -> bool:
    try:
        await take(store, Limit("probe", 1))
    except StoreAwayError:
        return False
    return True


@pytest.fixture(params=["fake", "valkey"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "fake":
        yield FakeStore()
        return
    server: ValkeyServer = request.getfixturevalue("valkey")
    # On a busy machine an answer may take longer than a request waits.
    async with connected(server.url, store_timeout_s=5) as real:
        yield real


async def test_each_sees_a_number_of_its_own_when_many_ask_at_once(store: Store) -> None:
    counts = await asyncio.gather(*(take(store, Limit("key:a", LIMIT)) for _ in range(200)))
    assert sorted(count.taken for count in counts if count.allowed) == [*range(1, LIMIT + 1)]
    assert len({count.reset_ms for count in counts}) == 1
    assert 59_000 <= counts[0].reset_ms - counts[0].now_ms <= 60_000


async def test_nothing_is_taken_when_it_would_be_too_much(store: Store) -> None:
    counts = [await take(store, Limit("events:a", 100), amount=amount) for amount in (60, 50, 40)]
    assert [(count.allowed, count.taken) for count in counts] == [
        (True, 60),
        (False, 60),
        (True, 100),
    ]


async def test_all_windows_are_taken_or_each_its_fee_when_several_are_asked(store: Store) -> None:
    async def take_both(amount: int) -> list[tuple[int, bool]]:
        asks = [Ask(limit, amount, 3) for limit in MINUTE_AND_BURST]
        return [(count.taken, count.allowed) for count in await store.take(asks)]

    assert await take_both(40) == [(40, True), (40, True)]
    assert await take_both(20) == [(43, True), (43, False)]
    assert await take_both(7) == [(50, True), (50, True)]
    assert await take_both(1) == [(53, True), (50, False)]


async def test_window_ends_after_its_own_length(store: Store) -> None:
    minute, burst = await store.take([Ask(limit) for limit in MINUTE_AND_BURST])
    assert 59_000 <= minute.reset_ms - minute.now_ms <= 60_000
    assert 4_000 <= burst.reset_ms - burst.now_ms <= 5_000


async def test_lost_window_goes_on_where_the_asking_process_stands(store: Store) -> None:
    now_ms = (await take(store, Limit("clock", 1))).now_ms
    known = Known(taken=20, untold=3, reset_ms=now_ms + 30_000)
    first = await take(store, Limit("key:a", LIMIT), known)
    assert (first.taken, first.reset_ms) == (21, known.reset_ms)
    second = await take(store, Limit("key:a", LIMIT), Known(9, 4, now_ms + 20_000))
    assert (second.taken, second.reset_ms) == (26, known.reset_ms)


async def test_what_a_process_knows_does_not_count_when_its_window_has_ended(store: Store) -> None:
    now_ms = (await take(store, Limit("clock", 1))).now_ms
    ended = Known(taken=30, untold=30, reset_ms=now_ms)
    assert [(await take(store, Limit("key:a", LIMIT), ended)).taken for _ in range(2)] == [1, 2]


async def test_window_never_ends_later_than_in_a_minute_when_a_clock_is_wrong(
    store: Store,
) -> None:
    now_ms = (await take(store, Limit("clock", 1))).now_ms
    count = await take(store, Limit("key:a", LIMIT), Known(5, 0, now_ms + 10**9))
    assert count.reset_ms - count.now_ms == 60_000


async def test_end_is_not_missed_when_the_driver_swallows_it(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shared_windows(RateLimitSettings(store_url=SecretStr(valkey.url)), "test")
    assert store is not None
    asked = asyncio.Event()

    async def swallow() -> None:
        asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    monkeypatch.setattr(store._client, "ping", swallow)
    task = asyncio.create_task(store.run())
    await asked.wait()
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=20)

    assert done
    assert task.cancelled()


async def test_memory_decides_within_50_ms_when_the_store_stands_still(
    valkey: ValkeyServer,
) -> None:
    async with connected(valkey.url) as store:
        limiter = RateLimiter(store)
        first = await limiter.take("key:a", LIMIT)
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            with capture_logs() as lines:
                took, states = await timed(limiter, 25)
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        assert [state.remaining for state in states] == [*range(28, 3, -1)]
        assert {state.reset_at for state in states} == {first.reset_at}
        # The first waits; the others find out that it was in vain.
        assert max(took) < 0.5
        assert sorted(took)[-2] < 0.04
        assert [line["event"] for line in lines] == ["rate_limits.store_is_away"]
        await until_answered(lambda: answers(store))
        # What the frozen store took meanwhile is counted twice at most: never one too many.
        assert (await limiter.take("key:a", LIMIT)).remaining in {2, 3}


async def timed(limiter: RateLimiter, asks: int) -> tuple[list[float], list[RateLimitState]]:
    took, states = [], []
    for _ in range(asks):
        started = time.perf_counter()
        states.append(await limiter.take("key:a", LIMIT))
        took.append(time.perf_counter() - started)
    return took, states


async def test_limits_are_shared_again_when_the_store_comes_back(valkey: ValkeyServer) -> None:
    async with connected(valkey.url) as store, connected(valkey.url) as other:
        replicas = [RateLimiter(store), RateLimiter(other)]
        await asyncio.gather(*(replica.take("key:a", LIMIT) for replica in replicas * 5))
        valkey.kill()
        with capture_logs() as lines:
            for replica in replicas * 5:
                await replica.take("key:a", LIMIT)
            valkey.start()
            await until_answered(lambda: answers(store))
            await until_answered(lambda: answers(other))
        states = [await replicas[number % 2].take("key:a", LIMIT) for number in range(60)]
        remaining = [state.remaining for state in states]
        assert remaining == sorted(remaining, reverse=True)
        assert 20 + sum(state.allowed for state in states) <= 2 * LIMIT
        assert len({state.reset_at for state in states}) == 1
        events = [line["event"] for line in lines]
        assert events == ["rate_limits.store_is_away"] * 2 + ["rate_limits.store_is_back"] * 2
        assert PASSWORD not in str(lines)


async def test_store_is_away_when_the_password_is_wrong(valkey: ValkeyServer) -> None:
    url = valkey.url.replace(PASSWORD, "another-secret")
    store = SharedWindows(url, "test")
    with capture_logs() as lines:
        task = asyncio.create_task(store.run())
        await until(lambda: bool(lines))
        with pytest.raises(StoreAwayError):
            await take(store, Limit("key:a", LIMIT), Known())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert "another-secret" not in str(lines)


@pytest.mark.parametrize("scheme", ["valkeys", "rediss"])
async def test_certificate_must_be_the_hosts_when_the_store_is_encrypted(scheme: str) -> None:
    store = SharedWindows(f"{scheme}://:secret@store.example:6380/0", "test")
    connection = store._client.connection_pool.make_connection()
    assert connection.ssl_context.check_hostname
    assert connection.ssl_context.cert_reqs == ssl.CERT_REQUIRED
    await store._client.aclose()
