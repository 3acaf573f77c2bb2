"""Large answers: handed over no faster than they are read, so that it is known what is unread."""

import asyncio
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from libs.http.budget import Reservation
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import CONNECTIONS_CUT

_PIECE_BYTES = 64 * 1024
# Who takes nothing for so long, or less than so much, would keep others waiting: the connection is
# cut.
_STALL_S = 10.0
_GRACE_S = 20.0
_MIN_BYTES_PER_S = 256 * 1024

log = get_logger()


class BackpressuredResponse(Response):
    """A body whose reservation shrinks as it is read."""

    def __init__(
        self, body: bytes, reservation: Reservation, headers: Mapping[str, str], media_type: str
    ) -> None:
        super().__init__(body, headers=headers, media_type=media_type)
        self._reservation = reservation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it, or as much as was read in time."""
        within_s = _GRACE_S + len(self.body) / _MIN_BYTES_PER_S
        try:
            async with asyncio.timeout(within_s):
                await self._send(send)
        except TimeoutError:
            CONNECTIONS_CUT.labels("slow_reader").inc()
            log.warning("answer.cut", request_id=scope.get("state", {}).get("request_id"))
        finally:
            self._reservation.release()

    async def _send(self, send: Send) -> None:
        head = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **head})
        unread = memoryview(self.body)
        while unread:
            piece, unread = bytes(unread[:_PIECE_BYTES]), unread[_PIECE_BYTES:]
            async with asyncio.timeout(_STALL_S):  # it waits until the pieces before were taken
                await send({"type": "http.response.body", "body": piece, "more_body": bool(unread)})
            self._reservation.resize(len(unread))
            await asyncio.sleep(0)  # what was handed over is written at the end of a turn
