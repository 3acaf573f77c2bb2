"""Makes of what a producer sent the event that goes into the topic: all defaults filled in.

Country and device type come from the producer's word, else from `context.ip` and
`context.userAgent`, else from the caller's own address and user agent. What they were derived from
ends here: the event has no field for it.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache

from uuid_utils import uuid7

from libs.events.instants import instant_of
from libs.events.models import (
    EVENT_ID_PATTERN,
    AnyEvent,
    ChatAction,
    ChatMessage,
    DeviceType,
    RagRetrieval,
    SessionEnded,
    SessionStarted,
    Source,
)
from services.ingest.cardinality import Cardinality
from services.ingest.countries import UNKNOWN, CountryOf
from services.ingest.devices import device_type_of
from services.ingest.incoming import (
    AnyIncoming,
    IncomingChatAction,
    IncomingChatMessage,
    IncomingContext,
    IncomingRetrieval,
    IncomingSource,
    IncomingStart,
)
from services.ingest.verdicts import (
    MAX_AGE,
    MAX_AHEAD,
    invalid_field,
    live_not_allowed,
    outside_window,
)

_EVENT_ID = re.compile(EVENT_ID_PATTERN)
_COUNTRY = re.compile(r"(?:[A-Za-z]{2}|unknown)\Z")
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*\Z")
_LONGEST_TAG = 64
_LONGEST_ADDRESS = 64  # IPv6 with IPv4 at its end and a zone; to read a longer one takes long


class Caller:
    """Who sent the request: country and device type, each derived when first asked for."""

    def __init__(
        self, address_of: Callable[[], str], user_agent: str, country_of: CountryOf
    ) -> None:
        self._address_of = address_of
        self._user_agent = user_agent
        self._country_of = country_of

    @cached_property
    def country(self) -> str:
        return self._country_of(self._address_of()) or UNKNOWN

    @cached_property
    def device_type(self) -> DeviceType:
        return device_type_of(self._user_agent)


@dataclass(slots=True)
class Submission:
    """What all events of a request have in common. Nobody changes it: frozen costs 1.5 µs more."""

    project_id: str
    may_be_live: bool
    accepted_at: datetime
    caller: Caller
    country_of: CountryOf
    cardinality: Cardinality
    id_prefix: str | None = None
    oldest: datetime = field(init=False)
    newest: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.oldest = self.accepted_at - MAX_AGE
        self.newest = self.accepted_at + MAX_AHEAD


def enrich(index: int, incoming: AnyIncoming, submission: Submission) -> AnyEvent:
    """The complete event. Raises RefusedError when a rule beyond the single field is broken."""
    context = incoming.context
    tag = incoming.language
    language = UNKNOWN if tag is None else _primary_language(tag)
    is_live = _is_live(incoming.live, submission)
    occurred_at = _occurred_at(incoming.occurred_at, submission)
    shared = (  # in the order of libs.events.models.Event
        submission.project_id,
        is_live,
        _id(incoming.id, index, submission),
        occurred_at,
        submission.accepted_at,
        incoming.session_id,
        incoming.user_type or "public",
        incoming.device_id or "",
        _country(context, submission),
        _device_type(context, submission),
        language,
    )

    if isinstance(incoming, IncomingChatMessage):
        return ChatMessage(
            *shared,
            _others(submission, is_live, occurred_at, "language", (language,)),
            conversation_id=incoming.conversation_id,
            role=incoming.role,
        )
    if isinstance(incoming, IncomingRetrieval):
        sources = _distinct(incoming.sources or ())
        ids = [source.id for source in sources]
        return RagRetrieval(
            *shared,
            _others(submission, is_live, occurred_at, "source", ids) if ids else (),
            conversation_id=incoming.conversation_id,
            hit=incoming.hit,
            sources=sources,
        )
    if isinstance(incoming, IncomingChatAction):
        return ChatAction(
            *shared,
            _others(submission, is_live, occurred_at, "action", (incoming.action,)),
            conversation_id=incoming.conversation_id,
            action=incoming.action,
        )
    if isinstance(incoming, IncomingStart):
        return SessionStarted(*shared)
    return SessionEnded(*shared, duration_ms=int(incoming.duration_ms))


def _others(
    submission: Submission, is_live: bool, occurred_at: datetime, category: str, keys: Iterable[str]
) -> tuple[str, ...]:
    scope = (submission.project_id, is_live, category, occurred_at.toordinal())
    return submission.cardinality.others(scope, keys)


def _is_live(live: bool | None, submission: Submission) -> bool:
    if live and not submission.may_be_live:
        raise live_not_allowed()
    return submission.may_be_live if live is None else live


def _id(given: str | None, index: int, submission: Submission) -> str:
    if given is not None:
        if _EVENT_ID.match(given) is None:
            raise invalid_field("id")
        return given
    return str(uuid7()) if submission.id_prefix is None else f"{submission.id_prefix}:{index}"


def _occurred_at(text: str | None, submission: Submission) -> datetime:
    if text is None:
        return submission.accepted_at
    occurred_at = instant_of(text)
    if occurred_at is None:
        raise invalid_field("occurredAt")
    if not submission.oldest <= occurred_at <= submission.newest:
        raise outside_window(occurred_at, submission.oldest, submission.newest)
    if beyond_us := occurred_at.microsecond % 1000:  # the table keeps milliseconds
        occurred_at -= timedelta(microseconds=beyond_us)
    return occurred_at if occurred_at.tzinfo is UTC else occurred_at.astimezone(UTC)


def _country(context: IncomingContext | None, submission: Submission) -> str:
    if context is None:
        return submission.caller.country
    derived = None
    if context.ip is not None:
        if len(context.ip) <= _LONGEST_ADDRESS:
            derived = submission.country_of(context.ip)
        if derived is None:
            raise invalid_field("context.ip")
    if context.country is not None:
        return _given_country(context.country)
    return submission.caller.country if derived is None else derived


@lru_cache(maxsize=1_024)
def _given_country(code: str) -> str:
    if _COUNTRY.match(code) is None:
        raise invalid_field("context.country")
    return UNKNOWN if code == UNKNOWN else code.upper()


@lru_cache(maxsize=4_096)
def _primary_language(tag: str) -> str:
    if len(tag) > _LONGEST_TAG or _LANGUAGE_TAG.match(tag) is None:
        raise invalid_field("language")
    return tag.partition("-")[0].lower()


def _device_type(context: IncomingContext | None, submission: Submission) -> DeviceType:
    if context is not None:
        if context.device_type is not None:
            return context.device_type
        if context.user_agent is not None:
            return device_type_of(context.user_agent)
    return submission.caller.device_type


def _distinct(sources: tuple[IncomingSource, ...]) -> tuple[Source, ...]:
    """Each source once, at its first place, under the last name that is not blank."""
    names: dict[str, str] = {}
    for source in sources:
        name = source.name if source.name and not source.name.isspace() else ""
        names[source.id] = name or names.get(source.id, "")
    return tuple(Source(id_, name) for id_, name in names.items())
