"""When lines reach the stream: soon where nothing is wrong, at once where something is."""

import asyncio
import io

from libs.telemetry.logs import LineWriter


async def test_lines_are_written_together_when_the_turn_ends() -> None:
    stream = io.StringIO()
    writer = LineWriter(stream)

    writer.info("a")
    writer.info("b")
    before = stream.getvalue()
    await asyncio.sleep(0)

    assert (before, stream.getvalue()) == ("", "a\nb\n")


async def test_lines_are_written_at_once_when_one_tells_an_error() -> None:
    stream = io.StringIO()
    writer = LineWriter(stream)

    writer.info("a")
    writer.error("b")

    assert stream.getvalue() == "a\nb\n"


def test_line_is_written_at_once_when_there_is_no_loop() -> None:
    stream = io.StringIO()
    LineWriter(stream).info("a")
    assert stream.getvalue() == "a\n"
