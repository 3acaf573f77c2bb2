"""A connection as uvicorn serves it, and what it leaves open: limits, and the shape of a refusal.

- A request that is no HTTP is refused by a problem like every other, after the answers to those
  before it.
- Requests sent before the answer to another wait unread; beyond a few the connection is closed.
- Whoever is slow with headers, a body or the reading of an answer is cut off after a while.
- Connections, and the memory that is held for them, are shared; who holds most makes room.
- A service that was told to stop tells each connection with its next answer; a request that has
  begun to come is still answered.
"""

import asyncio
from collections.abc import Sized
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from libs.http.coalescing import CoalescingTransport
from libs.http.configuration import Configuration
from libs.http.connections import Slot
from libs.http.parsing import ParsingProtocol
from libs.http.problems import Problem
from libs.http.rates import BodyRate
from libs.http.refusals import STOPPING, TOO_MANY, TOO_SLOW, refusal_bytes
from libs.http.request_ids import new_request_id
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import CONNECTIONS_CUT

# The server adds them to whatever is answered, refusals below included.
EVERY_ANSWER = [("cache-control", "private, no-store"), ("x-content-type-options", "nosniff")]

# An answer of which so much was not taken yet is unread: it is known from then on who holds it.
_UNREAD_BYTES = 16 * 1024

# Of what waits for its turn: to stop reading costs more than to keep so much.
_SMALL_BYTES = 4 * 1024

# How long nothing may come of a body that was refused, or on a closed connection, and how long the
# rest is thrown away at most: who writes all of it before he reads would lose the answer.
_LINGER_S = 5.0
_THROWN_AWAY_S = 60.0

log = get_logger()


class _Flow(FlowControl):
    """Uvicorn's, but for this: nothing more is read while requests wait, or at the end."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting
        self.is_over = False

    def resume_reading(self) -> None:
        """Take from the socket again."""
        if not (self._waiting or self.is_over):
            super().resume_reading()


class Protocol(ParsingProtocol):
    """One connection."""

    _unread_bytes = 0
    last_word: Problem | None = None  # to be said after the answers that are still due
    _unread = b""  # what came and waits for its turn
    _is_held_back = False  # while it waits
    _thrown_until = 0.0  # what comes is thrown away

    def __init__(
        self,
        config: Configuration,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._door = config.door
        self.slot = Slot(config.callers)
        self._rate = BodyRate(config.door.min_body_bytes_per_s, config.door.body_window_s)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connected."""
        self.config.acceptor.connected()
        transport.set_write_buffer_limits(high=_UNREAD_BYTES)
        super().connection_made(CoalescingTransport(transport))
        self.flow = self._flow = _Flow(self.transport, self.pipeline)
        self.since = self.loop.time()
        self._rate.begin(self.since, 0)
        host = self.client[0] if self.client else None
        if not self.config.callers.enter(self.slot, self, host):
            self._refuse(TOO_MANY)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self.slot.answered()
        self.config.callers.leave(self.slot)
        super().connection_lost(exc)
        # Each of these leads back here: they would be in memory until somebody looks for garbage.
        self.pipeline.clear()
        self.cycle = None  # type: ignore[assignment]

    @property
    def is_at_work(self) -> bool:
        """Whether it waits for us, not we for it."""
        if self.flow.write_paused or self.transport.is_closing():
            return False
        return bool(self._unread) or (self.due > 0 and not self._waits_for_body)

    @property
    def _waits_for_body(self) -> bool:
        """Whether we have asked for more of a body; not while we hold its sender back ourselves."""
        is_coming = self.due == 1 and self.is_begun and not self.is_whole
        is_held_back = self.flow.read_paused or bool(self._unread)
        return is_coming and not (is_held_back or self.cycle.waiting_for_100_continue)

    def make_room(self) -> None:
        """End: another needs what this one holds."""
        if self.flow.write_paused or self.transport.is_closing():
            CONNECTIONS_CUT.labels("slow_reader").inc()
            self.loop.call_soon(self.transport.abort)  # what it does not read is let go of
        elif self.in_head or self.due:
            self._refuse(TOO_MANY)
            self.transport.close()
        else:
            self.cut(TOO_MANY.code)

    def cut_if_slow(self, now: float) -> None:
        """Cut the connection off when the other side has taken too long for what it does."""
        limit_s = self._limit_s()
        if limit_s is None or now - self.since < limit_s:
            self._look_at_body(now)
        elif self.transport.is_closing():
            self.transport.abort()  # it does not read what it was answered, or goes on sending
        elif self.flow.write_paused:
            self.cut("slow_reader")
        elif self.in_head:
            self._refuse(TOO_SLOW)
        else:
            self.cut("idle")

    def _limit_s(self) -> float | None:
        """How long the other side may take for what it does now; None: there is no such limit."""
        if self.transport.is_closing():
            return _LINGER_S
        if self.flow.write_paused:  # also when another answer waits for that: it is not begun
            return self.timeout_keep_alive
        if self.due or self._unread:
            return None
        if self.in_head or self.cycle is None:
            return self._door.head_timeout_s
        return self.timeout_keep_alive if self.is_whole else _LINGER_S

    def _look_at_body(self, now: float) -> None:
        """Refuse a body that is too slow. Its first window begins with the look before it."""
        if not self._waits_for_body:
            self._rate.begin(now, self.received_bytes)
        elif self._rate.is_too_low(now, self.received_bytes):
            self._refuse(TOO_SLOW)

    def shutdown(self) -> None:
        """The server ends: close when nothing is under way, else after the answer."""
        if not self.in_head:
            super().shutdown()

    def give_up(self) -> None:
        """The server waits no longer for what is under way here."""
        if self.transport.is_closing():
            self.transport.abort()
        elif self.in_head and not self.due:
            self._refuse(STOPPING)
        elif self.due == 1 and not (self.in_head or self.cycle.response_started):
            self._say(STOPPING, self.scope["state"])
        else:
            self.cut("stopping")

    def cut(self, reason: str) -> None:
        """Close the connection; what was written is still sent."""
        CONNECTIONS_CUT.labels(reason).inc()
        self.since = self.loop.time()
        self._thrown_until = self.since + _THROWN_AWAY_S
        self.transport.close()

    def pause_writing(self) -> None:
        """What was written is not read as fast as it comes."""
        super().pause_writing()
        self.since = self.loop.time()
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._tell_held()

    def resume_writing(self) -> None:
        """It was read after all."""
        super().resume_writing()
        self._unread_bytes = 0
        self._tell_held()

    def data_received(self, data: bytes) -> None:
        """Read what came when it is this address's turn."""
        if self._thrown_until:
            self._go_on_throwing_away()
        turns = self.config.callers.turns
        if self._unread:
            self._unread += data
            self._hold_back()
        elif turns.try_to_take(self.slot.holder):
            self._read_and_answer(data)
        else:
            self._unread = data
            if len(data) > _SMALL_BYTES:  # after a small request nothing comes before its answer
                self._hold_back()
            turns.wait(self.slot.holder, self._read_unread)

    def _go_on_throwing_away(self) -> None:
        """Wait for the rest as long as it comes, and not for ever."""
        if self.is_whole and not self.transport.is_closing():
            self._thrown_until = 0.0  # it has come: this is the next request
        elif (now := self.loop.time()) < self._thrown_until:
            self.since = now

    def _hold_back(self) -> None:
        self._is_held_back = True
        self.transport.pause_reading()

    def _read_unread(self) -> None:
        data, self._unread = self._unread, b""
        self._read_and_answer(data)
        if self._is_held_back:
            self._is_held_back = False
            if self.transport.is_closing() or not self.flow.read_paused:
                self.transport.resume_reading()  # also to throw away what follows a refusal

    def _read_and_answer(self, data: bytes) -> None:
        """Read what came, and refuse what cannot be read."""
        if self.last_word or self.transport.is_closing():
            return
        problem = self.parse(data)
        if problem is not None:
            self._refuse(problem)
        if self.kept_bytes:
            self._tell_held()

    def _tell_held(self) -> None:
        """Say how much memory is taken by what the other side keeps us from being done with."""
        held_bytes = self._unread_bytes + self.memory_of_kept()
        if held_bytes != self.slot.held_bytes:
            self.config.callers.hold(self.slot, held_bytes)

    def on_response_complete(self) -> None:
        """A request has been answered.

        As uvicorn does it, but without a timer for each answer: the look at all connections closes
        those that are idle.
        """
        self.server_state.total_requests += 1
        self.since = self.loop.time()
        if not self.is_whole:
            self._thrown_until = self.since + _THROWN_AWAY_S
        self.due -= 1
        self.slot.answered()
        self.let_go()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        if self.kept_bytes:
            self._tell_held()
        if self.last_word and not self.due:
            self._say(self.last_word, {})

    def _refuse(self, problem: Problem) -> None:
        """Answer in place of the app, and close; those before get their answers first."""
        is_own = self.is_begun and not self.is_whole
        if is_own and self.cycle.response_started:
            self.cut(problem.code)  # it has its answer, or a part: nothing else may follow that
        elif is_own and self.due == 1:
            self._say(problem, self.scope["state"])
        elif self.due:
            self._say_later(problem, is_own=is_own)
        else:
            self._say(problem, {})

    def _say_later(self, problem: Problem, *, is_own: bool) -> None:
        if is_own:
            self.pipeline.popleft()  # the newest is at the left: it waited, and nobody knows of it
            self.is_begun = False
            self.due -= 1
        self.last_word = problem
        self._flow.is_over = True
        self._flow.pause_reading()

    def _say(self, problem: Problem, state: dict[str, Any]) -> None:
        """Answer and close; whoever works on the request with this state learns why."""
        request_id = state.get("request_id") or new_request_id()
        state["cut_with"] = problem.status
        log.warning("connection.refused", code=problem.code, request_id=request_id)
        headers = [
            *self.server_state.default_headers,
            *self.config.origins.headers_for(self.headers or ()),
        ]
        self.transport.write(refusal_bytes(problem, request_id, headers))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.is_receiving = True
        self.cut(problem.code)
