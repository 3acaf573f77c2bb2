"""The events as they stand in the topic and in the table: one struct a type, fields in snake case.

A field here is a column of the table `events` of the same name, so that a line of a record
becomes a row without translation. What producers send (camel case, optional fields, addresses)
is the ingest service's matter; what stands here has been enriched and holds no address.
"""

from datetime import datetime
from typing import Annotated, Literal, final

from msgspec import Meta, Struct

EVENT_ID_PATTERN = r"^[A-Za-z0-9_.:-]+\Z"
PROJECT_ID_PATTERN = r"^[A-Za-z0-9_.-]+\Z"
MAX_DURATION_MS = 7 * 24 * 3600 * 1000
MAX_SOURCES = 100
MAX_KEY_LENGTH = 128
MAX_NAME_LENGTH = 512

EventId = Annotated[str, Meta(min_length=1, max_length=64, pattern=EVENT_ID_PATTERN)]
ProjectId = Annotated[str, Meta(min_length=1, max_length=64, pattern=PROJECT_ID_PATTERN)]
Key = Annotated[str, Meta(min_length=1, max_length=MAX_KEY_LENGTH)]
OptionalKey = Annotated[str, Meta(max_length=MAX_KEY_LENGTH)]
ActionSlug = Annotated[str, Meta(min_length=1, max_length=64)]
SourceName = Annotated[str, Meta(max_length=MAX_NAME_LENGTH)]
Instant = Annotated[datetime, Meta(tz=True)]
Country = Annotated[str, Meta(pattern=r"^(?:[A-Z]{2}|unknown)\Z")]
Language = Annotated[str, Meta(pattern=r"^[a-z]{1,8}\Z")]
Duration = Annotated[int, Meta(ge=0, le=MAX_DURATION_MS)]

OtherKeys = Annotated[tuple[Key, ...], Meta(max_length=MAX_SOURCES)]

UserType = Literal["public", "logged_in"]
DeviceType = Literal["desktop", "mobile", "tablet", "unknown"]
Role = Literal["user", "assistant"]


class Source(Struct, frozen=True, omit_defaults=True):
    """A knowledge source that a retrieval cited; `name` is empty where the producer named none."""

    id: Key
    name: SourceName = ""


class Event(Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """What every event has. `occurred_at`: the producer's clock; `accepted_at`: ingest's.

    Ingest hands these over by position (half the cost of names), so their order is part of the
    interface; a type's own fields are by name only.
    """

    project_id: ProjectId
    is_live: bool
    id: EventId
    occurred_at: Instant
    accepted_at: Instant
    session_id: Key
    user_type: UserType = "public"
    device_id: OptionalKey = ""
    country: Country = "unknown"
    device_type: DeviceType = "unknown"
    language: Language = "unknown"
    # Keys of this event (source ids, action, language) that count as `other`.
    other_keys: OtherKeys = ()


@final
class ChatMessage(Event, frozen=True, omit_defaults=True, kw_only=True, tag="chat.message"):
    """A message of a conversation, by its user or by the assistant."""

    conversation_id: Key
    role: Role


@final
class ChatAction(Event, frozen=True, omit_defaults=True, kw_only=True, tag="chat.action"):
    """A click on an action button."""

    conversation_id: Key
    action: ActionSlug


@final
class RagRetrieval(Event, frozen=True, omit_defaults=True, kw_only=True, tag="rag.retrieval"):
    """A search for knowledge; `sources` holds each cited source once."""

    conversation_id: Key
    hit: bool
    sources: Annotated[tuple[Source, ...], Meta(max_length=MAX_SOURCES)] = ()


@final
class SessionStarted(Event, frozen=True, omit_defaults=True, kw_only=True, tag="session.started"):
    """The start of a session."""


@final
class SessionEnded(Event, frozen=True, omit_defaults=True, kw_only=True, tag="session.ended"):
    """The end of a session, with how long it took."""

    duration_ms: Duration


AnyEvent = ChatMessage | ChatAction | RagRetrieval | SessionStarted | SessionEnded
EVENT_TYPES = ("chat.message", "chat.action", "rag.retrieval", "session.started", "session.ended")
