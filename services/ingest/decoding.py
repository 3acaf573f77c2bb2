"""From the bytes of an event to its struct: the quick way, and the careful one for what is unusual."""

import msgspec

from libs.events.instants import may_be_rounded_up, plain_instants
from services.ingest.bodies import RawEvent
from services.ingest.incoming import AnyIncoming, decode_incoming


def decode(raw: RawEvent) -> AnyIncoming:
    """The event. Raises one of `UndecodableError` where it cannot be read."""
    try:
        incoming = decode_incoming(raw)
    except msgspec.ValidationError:
        plain = plain_instants(bytes(raw))
        if plain == bytes(raw):
            raise
        return decode_incoming(plain)
    if incoming.occurred_at is not None and may_be_rounded_up(bytes(raw)):
        return decode_incoming(plain_instants(bytes(raw)))
    return incoming
