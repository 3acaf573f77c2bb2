"""Events with a description of the wrong type: it counts as absent or unknown, the event counts.

What is left of it is the empty text, of which `enrich` warns as of any other that it cannot read.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw

from libs.events.models import MAX_SOURCES
from services.ingest.bodies import RawEvent
from services.ingest.incoming import AnyIncoming, decode_incoming
from services.ingest.names import OF_A_CONTEXT, OF_A_SOURCE, OF_AN_EVENT, Names
from services.ingest.verdicts import FieldWarning, warning

_DESCRIPTION = re.compile(
    r" - at `\$\.(?:language|deviceId|context(?:\.\w+)?|sources\[\d+\]\.name)`\Z"
)
_EMPTY = Raw(b'""')
_TEXTS = ("language", "deviceId")
_TEXTS_OF_A_CONTEXT = ("ip", "country", "deviceType")


def _parts(names: Names) -> Any:  # noqa: ANN401 - a type made here
    return msgspec.defstruct("Parts", [(name, Raw, UNSET) for name in sorted(names.exact)])


_decode_event = msgspec.json.Decoder(_parts(OF_AN_EVENT)).decode
_decode_context = msgspec.json.Decoder(_parts(OF_A_CONTEXT)).decode
_decode_sources = msgspec.json.Decoder(list[_parts(OF_A_SOURCE)]).decode  # type: ignore[misc]
# Objects, and no more than may be: to take many apart would cost forty times their refusal.
_look_at_sources = msgspec.json.Decoder(
    Annotated[list[msgspec.defstruct("Anything", [], gc=False)], Meta(max_length=MAX_SOURCES)]  # type: ignore[misc]
).decode
_encode = msgspec.json.Encoder().encode


def is_of_a_description(fault: str) -> bool:
    """Whether the decoder stopped at something that describes, and decides nothing."""
    return _DESCRIPTION.search(fault) is not None


def decode_repaired(raw: RawEvent, warnings: list[FieldWarning]) -> AnyIncoming:
    """The event without descriptions of a wrong type. Raises ValidationError for other faults."""
    event = _decode_event(raw)
    for name in _TEXTS:
        if not _is_text(getattr(event, name)):
            setattr(event, name, _EMPTY)
    if event.context is not UNSET:
        event.context = _repaired_context(event.context, warnings)
    if event.sources is not UNSET:
        event.sources = _repaired_sources(event.sources, warnings)
    return decode_incoming(_encode(event))


def _first(value: Raw) -> bytes:
    return bytes(memoryview(value)[:1])


def _is_text(value: Any) -> bool:  # noqa: ANN401 - Raw, or UNSET
    return value is UNSET or _first(value) in b'"n'


def _repaired_context(value: Raw, warnings: list[FieldWarning]) -> Any:  # noqa: ANN401
    if _first(value) == b"n":
        return value
    if _first(value) != b"{":
        warnings.append(warning("context"))
        return UNSET
    context = _decode_context(value)
    for name in _TEXTS_OF_A_CONTEXT:
        if not _is_text(getattr(context, name)):
            setattr(context, name, _EMPTY)
    if not _is_text(context.userAgent):
        context.userAgent = _EMPTY
        warnings.append(warning("context.userAgent"))
    return context


def _repaired_sources(value: Raw, warnings: list[FieldWarning]) -> Any:  # noqa: ANN401
    try:
        _look_at_sources(value)
    except msgspec.ValidationError:  # the event's own decoder judges that
        return value
    sources = _decode_sources(value)
    for index, source in enumerate(sources):
        if not _is_text(source.name):
            source.name = _EMPTY
            warnings.append(warning(f"sources[{index}].name"))
    return sources
