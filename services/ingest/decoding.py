"""From the bytes of an event to its struct: a quick way, and a careful one for the unusual.

The quick way knows each field that an event may have, and stops at any other. What it stops at is
looked at with care, so that usual events pay nothing for names that are nearly right.
"""

import msgspec

from services.ingest.bodies import RawEvent
from services.ingest.incoming import (
    AnyIncoming,
    decode_incoming,
    decode_known,
    decode_with_own_fields,
)
from services.ingest.names import reject_near_misses, reject_nested_near_misses

_UNKNOWN_FIELD = "Object contains unknown field"
_NO_TYPE = "Object missing required field `type`"
_SHORTEST_MISS = len(b'{"ID":1}')


class EventDecoder:
    """Decodes the events of a request.

    They resemble each other: where one has fields of the producer's own, the next ones will.
    """

    __slots__ = ("_have_own_fields",)

    def __init__(self) -> None:
        self._have_own_fields = False

    def decode(self, raw: RawEvent) -> AnyIncoming:
        """The event. Raises RefusedError for a name that is nearly ours, or an UndecodableError."""
        try:
            return self._decode(raw)
        except msgspec.ValidationError as error:
            unusual = self._decode_with_care(raw, str(error))
            if unusual is None:
                raise
            return unusual

    def _decode(self, raw: RawEvent) -> AnyIncoming:
        if not self._have_own_fields:
            return decode_known(raw)
        reject_near_misses(raw)
        return decode_with_own_fields(raw)

    def _decode_with_care(self, raw: RawEvent, fault: str) -> AnyIncoming | None:
        """The event after all, or None where it has the fault that the decoder names."""
        if fault.startswith(_UNKNOWN_FIELD):
            if not self._have_own_fields:
                self._have_own_fields = True
                return self.decode(raw)
            reject_nested_near_misses(raw)
            return decode_incoming(raw)
        if fault.startswith(_NO_TYPE) and len(raw) >= _SHORTEST_MISS:  # it is looked for first
            reject_near_misses(raw)
        return None
