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
from services.ingest.names import may_be_many, reject_near_misses, reject_nested_near_misses
from services.ingest.repair import decode_repaired, is_of_a_description
from services.ingest.verdicts import FieldWarning

_UNKNOWN_FIELD = "Object contains unknown field"
_NO_TYPE = "Object missing required field `type`"
_SHORTEST_MISS = len(b'{"ID":1}')


class EventDecoder:
    """Decodes the events of a request.

    They resemble each other: where one has fields of the producer's own, the next ones will.
    """

    __slots__ = ("_decode",)

    def __init__(self) -> None:
        self._decode = decode_known

    def decode(self, raw: RawEvent, warnings: list[FieldWarning]) -> AnyIncoming:
        """The event; what is wrong with its descriptions is added to the warnings.

        Raises RefusedError for a name that is nearly ours, or an UndecodableError.
        """
        if len(raw) < _SHORTEST_MISS:  # a fault that is raised once costs less
            return self._decode(raw)
        try:
            return self._decode(raw)
        except msgspec.ValidationError as error:
            unusual = self._decode_with_care(raw, str(error), warnings)
            if unusual is None:
                raise
            return unusual

    def _decode_with_care(
        self, raw: RawEvent, fault: str, warnings: list[FieldWarning]
    ) -> AnyIncoming | None:
        """The event after all, or None where it has the fault that the decoder names."""
        if fault.startswith(_UNKNOWN_FIELD):
            if self._decode is decode_known:
                self._decode = _decode_with_own_fields
                return self.decode(raw, warnings)
            reject_near_misses(raw)
            reject_nested_near_misses(raw)
            return _decode_with_nested_fields(raw, warnings)
        if fault.startswith(_NO_TYPE):  # it is looked for first
            reject_near_misses(raw)
        if is_of_a_description(fault):  # it stopped before it had seen all names
            reject_near_misses(raw)
            reject_nested_near_misses(raw)
            return decode_repaired(raw, warnings)
        return None


def _decode_with_own_fields(raw: RawEvent) -> AnyIncoming:
    try:
        incoming = decode_with_own_fields(raw)
    except msgspec.ValidationError:
        if not may_be_many(raw):  # else it has its fault, and may have 250,000 sources
            reject_near_misses(raw)
        raise
    reject_near_misses(raw)
    return incoming


def _decode_with_nested_fields(raw: RawEvent, warnings: list[FieldWarning]) -> AnyIncoming:
    try:
        return decode_incoming(raw)
    except msgspec.ValidationError as error:
        if not is_of_a_description(str(error)):
            raise
    return decode_repaired(raw, warnings)
