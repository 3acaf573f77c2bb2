"""The bytes of an answer are those that uvicorn itself would write."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import Message
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from libs.http.cycle import Cycle, cycle_behind

_TYPE = (b"content-type", b"text/plain")


class Written(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += data

    def close(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def _start(status: int, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def _body(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)


def _cycle(
    kind: type[RequestResponseCycle],
    method: str,
    transport: Written,
    answered: list[bool],
    *,
    is_kept_alive: bool = True,
) -> RequestResponseCycle:
    return kind(
        scope={"type": "http", "method": method},  # type: ignore[typeddict-item]
        transport=transport,
        flow=FlowControl(transport),
        logger=logging.getLogger(),
        access_logger=logging.getLogger(),
        access_log=False,
        default_headers=[(b"x-default", b"yes")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=is_kept_alive,
        on_response=lambda: answered.append(True),
    )


async def _written(
    kind: type[RequestResponseCycle], method: str, is_kept_alive: bool, sent: Sequence[Message]
) -> tuple[Any, ...]:
    transport, answered = Written(), list[bool]()
    cycle = _cycle(kind, method, transport, answered, is_kept_alive=is_kept_alive)
    for message in sent:
        await cycle.send(message)  # type: ignore[arg-type]
    is_told = cycle.message_event.is_set()
    return transport.data, transport.is_closed, answered, cycle.response_complete, is_told


@pytest.mark.parametrize("is_kept_alive", [True, False])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    "sent",
    [
        [_start(200, _TYPE, _length(b"hello")), _body(b"hello")],
        [_start(200, _TYPE, _length(b"hello")), _body(b"hel", more=True), _body(b"lo")],
        [_start(200, _TYPE), _body(b"hello")],
        [_start(200, _TYPE), _body(b"hel", more=True), _body(b"", more=True), _body(b"")],
        [_start(202, _length(b"")), _body(b"")],
        [_start(204), _body(b"")],
        [_start(304), _body(b"")],
        [_start(200, _TYPE, _length(b"hello"))],
    ],
    ids=["whole", "pieces", "chunked", "chunks", "empty", "204", "304", "head-only"],
)
async def test_answer_is_the_same_as_uvicorns(
    sent: Sequence[Message], method: str, is_kept_alive: bool
) -> None:
    ours = await _written(Cycle, method, is_kept_alive, sent)

    assert ours == await _written(RequestResponseCycle, method, is_kept_alive, sent)
    assert ours[0].startswith(b"HTTP/1.1 %d " % sent[0]["status"])


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b"])
async def test_header_with_a_lines_end_is_never_written(value: bytes) -> None:
    with pytest.raises(RuntimeError, match="holds the end of a line"):
        await _written(Cycle, "GET", True, [_start(200, (b"x-note", value))])


@pytest.mark.parametrize("length", [4, 6])
async def test_body_of_another_length_than_told_is_a_bug(length: int) -> None:
    sent = [_start(200, (b"content-length", b"%d" % length)), _body(b"hello")]

    with pytest.raises(RuntimeError, match="Content-Length"):
        await _written(Cycle, "GET", True, sent)


def _ours(method: str = "POST", transport: Written | None = None) -> Cycle:
    cycle = _cycle(Cycle, method, transport or Written(), [])
    assert isinstance(cycle, Cycle)
    return cycle


@pytest.mark.parametrize("is_kept_alive", [True, False])
async def test_answer_in_one_go_is_the_same_as_in_messages(is_kept_alive: bool) -> None:
    headers, body = [_TYPE, _length(b"hello")], b"hello"
    transport, answered = Written(), list[bool]()
    cycle = _cycle(Cycle, "POST", transport, answered, is_kept_alive=is_kept_alive)
    assert isinstance(cycle, Cycle)

    assert cycle.answer(202, headers, body)

    written = transport.data, transport.is_closed, answered, cycle.response_complete, True
    sent = [_start(202, *headers), _body(body)]
    assert written == await _written(RequestResponseCycle, "POST", is_kept_alive, sent)


async def test_nothing_is_written_to_who_has_gone() -> None:
    transport = Written()
    cycle = _ours(transport=transport)
    cycle.disconnected = True

    assert cycle.answer(202, [_length(b"hello")], b"hello")
    assert transport.data == b""


async def test_answer_goes_the_usual_way_where_it_has_to_wait_or_has_no_body() -> None:
    paused, begun = _ours(), _ours()
    paused.flow.pause_writing()
    await begun.send(_start(200, _length(b"hello")))

    for cycle in (paused, begun, _ours("HEAD")):
        assert not cycle.answer(202, [_length(b"hello")], b"hello")


async def test_answer_of_another_length_than_told_is_a_bug() -> None:
    for headers in ([_length(b"hell")], []):
        with pytest.raises(RuntimeError, match="Content-Length"):
            _ours().answer(202, headers, b"hello")


async def test_body_is_taken_when_all_of_it_has_come_and_it_is_small() -> None:
    cycle = _ours()
    cycle.body += b"hel"
    assert cycle.take_body(5) is None

    cycle.body += b"lo"
    cycle.more_body = False

    assert cycle.take_body(4) is None
    assert cycle.take_body(5) == b"hello"
    assert cycle.take_body(5) == b""


async def test_body_is_not_taken_while_its_sender_waits_to_be_asked_for_it() -> None:
    cycle = _ours()
    cycle.more_body, cycle.waiting_for_100_continue = False, True

    assert cycle.take_body(5) is None


async def test_socket_is_read_on_when_the_body_is_taken() -> None:
    transport = Written()
    cycle = _ours(transport=transport)
    cycle.more_body = False
    cycle.flow.pause_reading()  # as before each request that waits for its turn

    cycle.take_body(5)

    assert not cycle.flow.read_paused  # else nobody would hear of a caller who leaves


async def test_body_of_who_has_gone_is_not_taken() -> None:
    cycle = _ours()
    cycle.body, cycle.more_body, cycle.disconnected = bytearray(b"hello"), False, True

    assert cycle.take_body(5) is None


async def test_cycle_is_known_by_its_calls_alone() -> None:
    cycle = _ours()

    async def layer(message: Message) -> None:
        raise AssertionError

    assert cycle_behind(cycle.send) is cycle_behind(cycle.receive) is cycle  # type: ignore[arg-type]
    assert cycle_behind(layer) is None
