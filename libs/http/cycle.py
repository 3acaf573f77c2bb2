"""A request and its answer as uvicorn sees them, with a quicker way out.

Uvicorn looks at each header of an answer on its own, by two patterns: that took longer than all
that ingest does with an event. Ours are made by us: one look at all of them together is enough.
"""

from collections.abc import Iterable

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_WITHOUT_BODY = (204, 304)


class Cycle(RequestResponseCycle):
    """Uvicorn's; the names of an answer's headers are in lower case, as ASGI has it."""

    async def send(self, message: Message) -> None:  # type: ignore[override]
        """Write the head of the answer, then its body; one in pieces is left to uvicorn."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started and message["type"] == "http.response.start":
            self._write_head(message["status"], message.get("headers", ()))
        elif self._is_whole_body(message):
            self.transport.write(message["body"])
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()
        else:
            await super().send(message)  # type: ignore[arg-type]

    def _is_whole_body(self, message: Message) -> bool:
        return (
            self.response_started
            and not self.response_complete
            and self.chunked_encoding is False
            and len(message.get("body", b"")) == self.expected_content_length > 0
            and not message.get("more_body")
            and self.scope["method"] != "HEAD"
        )

    def _write_head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
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
        self.transport.write(head + b"\r\n")

    def _note_framing(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self.expected_content_length = int(value)
            self.chunked_encoding = False
        else:
            raise RuntimeError(f"The server sets {name.decode()} itself.")
