"""Records of the topic: one event a line, each line one JSON object (NDJSON).

Ingest encodes an event once; the processor decodes a record line by line, so that one bad line
costs the lines beside it nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from libs.events.instants import has_long_fraction, with_plain_instants
from libs.events.models import AnyEvent
from libs.events.reasons import DeadLetterReason

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)

encode_event = _encoder.encode


@dataclass(frozen=True, slots=True)
class InvalidLine:
    """A line that is no valid event, with the reason and what the decoder said of it."""

    number: int
    line: bytes
    reason: DeadLetterReason
    detail: str


def join_lines(lines: Iterable[bytes]) -> bytes:
    """The value of a record that carries these encoded events."""
    return b"\n".join(lines)


def decode_line(number: int, line: bytes) -> AnyEvent | InvalidLine:
    """One line of a record: its event, or why it is none. Never raises, whatever the bytes."""
    try:
        return _decode(line)
    except msgspec.ValidationError as error:
        return InvalidLine(number, line, DeadLetterReason.INVALID_EVENT, str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return InvalidLine(number, line, DeadLetterReason.NOT_JSON, str(error))


def _decode(line: bytes) -> AnyEvent:
    try:
        return _decoder.decode(with_plain_instants(line) if has_long_fraction(line) else line)
    except msgspec.ValidationError:
        plain = with_plain_instants(line)
        if plain == line:
            raise
        return _decoder.decode(plain)


def decode_record(value: bytes) -> Iterator[tuple[int, AnyEvent | InvalidLine]]:
    """The lines of a record with their numbers from 0; blank lines count but are not returned."""
    for number, line in enumerate(value.split(b"\n")):
        if line and not line.isspace():
            yield number, decode_line(number, line)
