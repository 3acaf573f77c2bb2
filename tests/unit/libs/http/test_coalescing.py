"""What reaches the socket, and when."""

import asyncio

from libs.http.coalescing import CoalescingTransport


class FakeTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = self.is_ended = False

    def write_eof(self) -> None:
        self.is_ended = True

    def resume_reading(self) -> None:
        assert self.is_ended

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed  # uvloop raises too
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


async def test_pieces_go_out_together_when_the_turn_ends() -> None:
    socket = FakeTransport()
    transport = CoalescingTransport(socket)

    transport.write(b"head")
    transport.write(b"body")
    before = list(socket.written)
    await asyncio.sleep(0)

    assert (before, socket.written) == ([], [b"headbody"])


async def test_pieces_go_out_first_when_it_is_closed() -> None:
    socket = FakeTransport()
    transport = CoalescingTransport(socket)

    transport.write(b"head")
    transport.close()
    await asyncio.sleep(0)

    assert (socket.written, socket.is_closed) == ([b"head"], True)


async def test_pieces_are_dropped_when_the_caller_leaves_in_the_same_turn() -> None:
    socket = FakeTransport()
    transport = CoalescingTransport(socket)

    transport.write(b"head")
    socket.close()
    transport.close()
    await asyncio.sleep(0)

    assert socket.written == []


async def test_writing_ends_first_when_the_other_side_may_still_be_sending() -> None:
    socket = FakeTransport()
    transport = CoalescingTransport(socket)
    transport.is_receiving = True

    transport.write(b"head")
    transport.close()
    states = [(socket.is_ended, socket.is_closed, transport.is_closing())]
    transport.close()
    states.append((socket.is_ended, socket.is_closed, transport.is_closing()))

    assert socket.written == [b"head"]
    assert states == [(True, False, True), (True, True, True)]
