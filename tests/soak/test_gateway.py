"""The gateway under load, from clients that behave and clients that do not; then killed.

`make test` runs it for some seconds. RAGTIME_SOAK_S=1800 in the environment makes it as many
seconds: `RAGTIME_SOAK_S=1800 .venv/bin/python -m pytest tests/soak`. RAGTIME_SOAK_SEED repeats
the choices of a run (not its timing).
"""

import asyncio
import os
import random
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from clickhouse_connect.driver.exceptions import Error

from tests.integration.gateway.process import Gateway, new_gateway
from tests.polling import until, until_answered
from tests.soak.accounts import TABLES, Accounts, Outcome, check_view
from tests.soak.callers import BAD, GOOD, Soak, insert, insert_and_leave, repeat

pytestmark = pytest.mark.soak

_SECONDS = float(os.environ.get("RAGTIME_SOAK_S", "14"))
_SEED = os.environ.get("RAGTIME_SOAK_SEED") or secrets.token_hex(4)
_KILLS = max(3, round(_SECONDS / 10))
# The engine fills its caches at first; from then on it may grow so much and no more.
_GROWTH_MB = 600
_MOST_MB = 2_500
_MOST_THREADS = 250
_RUNNING = "SELECT count() FROM system.processes"


@pytest.fixture
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    own = new_gateway(tmp_path_factory.mktemp("soak"))
    own.start()
    with own.client() as admin:
        for statement in TABLES:
            admin.command(statement)
    yield own
    assert own.process is not None
    if own.process.poll() is None:
        own.kill()


@asynccontextmanager
async def _soak(gateway: Gateway, accounts: Accounts) -> AsyncIterator[Soak]:
    print(f"RAGTIME_SOAK_SEED={_SEED}")  # noqa: T201 - shown beside a failure
    async with await gateway.async_client(send_receive_timeout=60) as client:
        yield Soak(gateway, client, accounts, random.Random(_SEED))


async def _watch(soak: Soak) -> None:
    """All along /ping answers, and memory and threads stay within their bounds."""
    while not soak.is_over:
        assert await asyncio.to_thread(soak.gateway.answers), "/ping did not answer"
        assert soak.gateway.memory_mb() < _MOST_MB
        assert soak.gateway.threads() < _MOST_THREADS
        soak.done["ping"] = soak.done.get("ping", 0) + 1


async def _rest(soak: Soak, seconds: float) -> None:
    await asyncio.sleep(seconds)  # the length of the run, not a wait for something
    soak.is_over = True


async def _run(soak: Soak, seconds: float) -> None:
    soak.is_over = False
    async with asyncio.timeout(seconds + 120), asyncio.TaskGroup() as group:
        for caller in (*GOOD, *BAD):
            group.create_task(repeat(soak, caller))
        group.create_task(_watch(soak))
        group.create_task(_rest(soak, seconds))


async def test_inserts_are_whole_once_and_counted_after_any_abuse(gateway: Gateway) -> None:
    accounts = Accounts()
    async with _soak(gateway, accounts) as soak:
        await _run(soak, _SECONDS / 3)
        warm_mb = gateway.memory_mb()
        await _run(soak, _SECONDS * 2 / 3)

        async def nothing_runs() -> bool:
            return await soak.client.command(_RUNNING) == 1

        await until_answered(nothing_runs)
        assert {caller.__name__ for caller in (*GOOD, *BAD)} | {"ping"} == set(soak.done)

    assert gateway.memory_mb() < warm_mb + _GROWTH_MB
    assert list((gateway.directory / "data-uploads").iterdir()) == []
    assert accounts.count(Outcome.ACKNOWLEDGED) > 10
    with gateway.client() as admin:
        accounts.check_batches(admin)
        check_view(admin)
    assert gateway.stop() == 0


async def _until_killed(soak: Soak) -> None:
    while not soak.is_over:
        with suppress(Error, OSError):
            await soak.random.choice((insert, insert, insert_and_leave))(soak)


async def test_acknowledged_inserts_are_there_when_the_gateway_is_killed(gateway: Gateway) -> None:
    accounts = Accounts()
    for _ in range(_KILLS):
        async with _soak(gateway, accounts) as soak, asyncio.TaskGroup() as group:
            before = accounts.count(Outcome.ACKNOWLEDGED)
            for _ in range(4):
                group.create_task(_until_killed(soak))
            more = random.Random(len(accounts.lines)).randrange(1, 15)
            await until(lambda: accounts.count(Outcome.ACKNOWLEDGED) >= before + more)  # noqa: B023
            gateway.kill()
            soak.is_over = True
        gateway.start()
        with gateway.client() as admin:
            accounts.check_batches(admin)
