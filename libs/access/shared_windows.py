"""The windows of the rate limits in Valkey or Redis, where several replicas share them.

One connection a process, and what requests ask meanwhile goes together: a burst costs one way to
the store, not one a request. A request waits 50 ms at most, or as long as is set. Then the store
counts as away: nobody asks it until it has answered a ping again.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from libs.access.rate_limits import Ask, StoreAwayError
from libs.access.windows import Count
from libs.settings import ENCRYPTED_STORES, RateLimitSettings
from libs.telemetry.logs import get_logger
from libs.tls_files import NO_FILES, TlsFiles

_TAKE = (Path(__file__).parent / "take.lua").read_text("utf-8")
# A busy loop may come to the time-out before it comes to the answer that lies there already.
_SECOND_LOOK_S = 0.01
_SILENCE_S = 1.0
_PAUSE_S = 0.5

log = get_logger()

_Waiting = tuple[Sequence[Ask], asyncio.Future[Sequence[Count]]]


def store_client(url: str, files: TlsFiles = NO_FILES, timeout_s: float = 0) -> Any:  # noqa: ANN401 - its own is not typed
    """A client of the store; it connects when it is asked for something first."""
    return Valkey.from_url(url, **_options(url, files, max(timeout_s, _SILENCE_S)))


def _options(url: str, files: TlsFiles, silence_s: float) -> dict[str, Any]:
    """How the driver is set beside the URL. It tells no name: that costs two ways a connection."""
    options = {
        "socket_timeout": silence_s,
        "socket_connect_timeout": silence_s,
        "lib_name": None,
        "lib_version": None,
    }
    if urlsplit(url).scheme not in ENCRYPTED_STORES:
        return options
    ca, certificate, key = files.texts()
    given = {"ssl_ca_certs": ca, "ssl_certfile": certificate, "ssl_keyfile": key}
    # By itself the driver would take any host's certificate.
    return options | {"ssl_check_hostname": True} | given


class SharedWindows:
    """`run` keeps the connection and sends; `take` asks, and waits for `timeout_s` at most."""

    def __init__(
        self, url: str, service: str, files: TlsFiles = NO_FILES, timeout_s: float = 0.05
    ) -> None:
        self._client = store_client(url, files, timeout_s)
        self._patience_s = timeout_s - _SECOND_LOOK_S
        self._prefix = f"ragtime:{service}:"
        self._waiting: list[_Waiting] = []
        self._has_work = asyncio.Event()
        self._is_there = False
        self._was_away = False

    async def take(self, asks: Sequence[Ask]) -> Sequence[Count]:
        """Take, or refuse. Raises StoreAwayError after the time-out, or at once while away."""
        if not self._is_there:
            raise StoreAwayError
        answer: asyncio.Future[Sequence[Count]] = asyncio.get_running_loop().create_future()
        self._waiting.append((asks, answer))
        self._has_work.set()
        await asyncio.wait((answer,), timeout=self._patience_s)
        if not answer.done():
            await asyncio.wait((answer,), timeout=_SECOND_LOOK_S)
        if not answer.done():
            answer.cancel()
            self._lose("slow")
        if answer.cancelled():
            raise StoreAwayError
        return answer.result()

    async def run(self) -> None:
        """Look for the store and serve, until cancelled."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        try:
            while not task.cancelling():
                if self._is_there:
                    await self._serve()
                else:
                    await self._look()
            raise asyncio.CancelledError  # which the driver has swallowed, as its time ended too
        finally:
            await self._client.aclose()

    async def _look(self) -> None:
        try:
            await self._client.ping()  # this one may have to connect first
            async with asyncio.timeout(self._patience_s):
                await self._client.ping()
        except (ValkeyError, OSError, TimeoutError) as error:
            self._lose(type(error).__name__)
            await asyncio.sleep(_PAUSE_S)
            return
        self._is_there = True
        if self._was_away:
            log.info("rate_limits.store_is_back")

    async def _serve(self) -> None:
        await self._has_work.wait()
        self._has_work.clear()
        asked = [(asks, answer) for asks, answer in self._waiting if not answer.done()]
        self._waiting = []
        try:
            replies = await self._send([asks for asks, _ in asked])
        except (ValkeyError, OSError, TimeoutError) as error:
            self._lose(type(error).__name__)
            replies = []
        for (_, answer), counts in zip(asked, replies, strict=False):
            if not answer.done():
                answer.set_result(counts)
        for _, answer in asked[len(replies) :]:
            answer.cancel()

    async def _send(self, asked: Sequence[Sequence[Ask]]) -> list[Sequence[Count]]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for asks in asked:
                names = [self._prefix + ask.limit.identity for ask in asks]
                numbers = [number for ask in asks for number in _numbers(ask)]
                pipeline.eval(_TAKE, len(names), *names, *numbers)
            return [_counts(reply) for reply in await pipeline.execute()]

    def _lose(self, cause: str) -> None:
        """Say it once, whatever many requests found out; what waits is decided in memory."""
        if self._is_there or not self._was_away:
            log.warning("rate_limits.store_is_away", cause=cause)
        self._is_there, self._was_away = False, True
        for _, answer in self._waiting:
            answer.cancel()
        self._waiting = []


def _numbers(ask: Ask) -> Sequence[int]:
    limit, amount, fee, known = ask
    return (limit.most, amount, fee, limit.length_ms, *known)


def _counts(reply: Sequence[int]) -> Sequence[Count]:
    now_ms, *rest = reply
    windows = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
    return [Count(taken, reset_ms, now_ms, bool(fits)) for fits, taken, reset_ms in windows]


def shared_windows(settings: RateLimitSettings, service: str) -> SharedWindows | None:
    """The windows that all replicas of a service share, where the operator set a store for them."""
    url = settings.store_url
    if url is None:
        return None
    return SharedWindows(
        url.get_secret_value(), service, settings.tls_files, settings.store_timeout_s
    )
