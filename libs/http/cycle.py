"""A request and its answer as uvicorn sees them, with a quicker way in and out.

Uvicorn looks at each header of an answer on its own, by two patterns: that took longer than all
that ingest does with an event. Ours are made by us: one look at all of them together is enough. And
who has a small body, or a whole answer, need not go through messages and coroutines for it.
"""

from collections.abc import Iterable

from starlette.types import Message, Receive, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_WITHOUT_BODY = (204, 304)

Headers = Iterable[tuple[bytes, bytes]]


class Cycle(RequestResponseCycle):
    """Uvicorn's; the names of an answer's headers are in lower case, as ASGI has it."""

    async def send(self, message: Message) -> None:  # type: ignore[override]
        """Write the head of the answer, then its body; one in pieces is left to uvicorn."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started and message["type"] == "http.response.start":
            self.transport.write(self._begin(message["status"], message.get("headers", ())))
        elif self._is_whole_body(message):
            self.transport.write(message["body"])
            self._end()
        else:
            await super().send(message)  # type: ignore[arg-type]

    def take_body(self, most_bytes: int) -> bytes | None:
        """The body, where all of it has come and it is no larger; it is not received again."""
        if (
            self.more_body
            or self.waiting_for_100_continue
            or len(self.body) > most_bytes
            or self.disconnected
            or self.response_complete
        ):
            return None
        self.flow.resume_reading()  # it may rest since this request waited for its turn
        body = bytes(self.body)
        self.body = bytearray()
        return body

    def answer(self, status: int, headers: Headers, body: bytes | memoryview) -> bool:
        """Write an answer that has a body, whose headers tell its length; whether that could be
        done at once.
        """
        if self.flow.write_paused or self.response_started or self.scope["method"] == "HEAD":
            return False
        if not self.disconnected:
            head = self._begin(status, headers)
            if self.chunked_encoding is not False or self.expected_content_length != len(body):
                raise RuntimeError("The answer's Content-Length is not that of its body.")
            self.transport.write(b"".join((head, body)))
            self._end()
        return True

    def _is_whole_body(self, message: Message) -> bool:
        return (
            self.response_started
            and not self.response_complete
            and self.chunked_encoding is False
            and len(message.get("body", b"")) == self.expected_content_length > 0
            and not message.get("more_body")
            and self.scope["method"] != "HEAD"
        )

    def _begin(self, status: int, headers: Headers) -> bytes:
        """The head of the answer."""
        self.response_started = True
        self.waiting_for_100_continue = False
        lines = [STATUS_LINE[status]]
        for header in (*self.default_headers, *headers):
            lines.append(b"%b: %b\r\n" % header)
            if header[0] in _FRAMING:
                self._note_framing(*header)
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        is_bare = self.scope["method"] == "HEAD" or status in _WITHOUT_BODY
        if self.chunked_encoding is None and not is_bare:
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        head = b"".join(lines)
        if not head.count(b"\n") == head.count(b"\r") == len(lines) or b"\0" in head:
            raise RuntimeError("A header of the answer holds the end of a line.")
        return head + b"\r\n"

    def _end(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _note_framing(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self.expected_content_length = int(value)
            self.chunked_encoding = False
        else:
            raise RuntimeError(f"The server sets {name.decode()} itself.")


def cycle_behind(call: Receive | Send) -> Cycle | None:
    """The cycle whose `receive` or `send` this is; None with another server, or a layer between."""
    cycle = getattr(call, "__self__", None)
    return cycle if type(cycle) is Cycle else None
