"""What producers send: one struct a type, camel case, nearly everything optional.

An optional field that is null counts as absent. Unknown fields are ignored by `decode_incoming`, a
fault to `decode_known`, and to `decode_with_own_fields` within context and sources alone: that
costs nothing where there are none. msgspec checks types and lengths while it decodes, three times
faster than pydantic; it names the first fault of an event, and `verdicts` turns that into a text
for people.
"""

from collections.abc import Callable
from typing import Annotated, Any, Union, get_args

import msgspec
from msgspec import Meta, Struct

from libs.events.models import (
    MAX_DURATION_MS,
    MAX_SOURCES,
    ActionSlug,
    Duration,
    Key,
    Role,
    UserType,
)

# `enrich` checks this pattern: here it would cost 0.4 µs an event, a tenth of the whole. And it
# reads all descriptions (language, context, device, names): none of them rejects an event.
ProducerId = Annotated[
    str,
    Meta(min_length=1, max_length=64, extra_json_schema={"pattern": r"^[A-Za-z0-9_.:-]+$"}),
]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
# 93000.0 is whole too: that is what comes out when a producer multiplies seconds.
WholeMs = Duration | Annotated[float, Meta(ge=0, le=MAX_DURATION_MS, multiple_of=1.0)]
_FEW_SOURCES = Meta(max_length=MAX_SOURCES)


class IncomingSource(Struct, rename="camel", frozen=True, gc=False):
    """A knowledge source that a retrieval cited."""

    id: Key
    name: str | None = None


class IncomingContext(Struct, rename="camel", frozen=True):
    """Where the user sat. Address and user agent are used to derive what is missing, then gone."""

    ip: str | None = None
    user_agent: str | None = None
    country: str | None = None
    device_type: str | None = None


class Incoming(Struct, rename="camel", frozen=True, kw_only=True, tag_field="type"):
    """What every event may have."""

    session_id: Key
    id: ProducerId | None = None
    occurred_at: Time | None = None
    user_type: UserType | None = None
    device_id: str | None = None
    live: bool | None = None
    language: str | None = None
    context: IncomingContext | None = None


class IncomingChatMessage(Incoming, rename="camel", frozen=True, kw_only=True, tag="chat.message"):
    """A message of a conversation."""

    conversation_id: Key
    role: Role


class IncomingChatAction(Incoming, rename="camel", frozen=True, kw_only=True, tag="chat.action"):
    """A click on an action button."""

    conversation_id: Key
    action: ActionSlug


class IncomingRetrieval(Incoming, rename="camel", frozen=True, kw_only=True, tag="rag.retrieval"):
    """A search for knowledge."""

    conversation_id: Key
    hit: bool
    sources: Annotated[tuple[IncomingSource, ...], _FEW_SOURCES] | None = None


class IncomingStart(Incoming, rename="camel", frozen=True, kw_only=True, tag="session.started"):
    """The start of a session."""


class IncomingEnd(Incoming, rename="camel", frozen=True, kw_only=True, tag="session.ended"):
    """The end of a session."""

    duration_ms: WholeMs


AnyIncoming = (
    IncomingChatMessage | IncomingChatAction | IncomingRetrieval | IncomingStart | IncomingEnd
)

UndecodableError = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Decode = Callable[[bytes | msgspec.Raw], AnyIncoming]


class _KnownSource(
    IncomingSource, rename="camel", frozen=True, gc=False, forbid_unknown_fields=True
):
    pass


class _KnownContext(IncomingContext, rename="camel", frozen=True, forbid_unknown_fields=True):
    pass


def _with_known_parts(type_: type[Incoming], *, forbid_unknown_fields: bool) -> type[Struct]:
    """The same event, in whose context and sources an unknown field is a fault."""
    fields: list[tuple[str, Any, Any]] = [("context", _KnownContext | None, None)]
    if type_ is IncomingRetrieval:
        sources = Annotated[tuple[_KnownSource, ...], _FEW_SOURCES] | None
        fields.append(("sources", sources, None))
    return msgspec.defstruct(
        type_.__name__,
        fields,
        bases=(type_,),
        rename="camel",
        frozen=True,
        kw_only=True,
        tag_field="type",
        tag=type_.__struct_config__.tag,
        forbid_unknown_fields=forbid_unknown_fields,
    )


def _decoder(*, forbid_unknown_fields: bool) -> Decode:
    types = [
        _with_known_parts(type_, forbid_unknown_fields=forbid_unknown_fields)
        for type_ in get_args(AnyIncoming)
    ]
    return msgspec.json.Decoder(Union[tuple(types)]).decode  # noqa: UP007


decode_incoming: Decode = msgspec.json.Decoder(AnyIncoming).decode
decode_known = _decoder(forbid_unknown_fields=True)
decode_with_own_fields = _decoder(forbid_unknown_fields=False)
