"""Makes of what a producer sent the event that goes into the topic: all defaults filled in.

Country and device type come from the producer's word, else from `context.ip` and
`context.userAgent`, else from the caller's own address and user agent. What they were derived from
ends here: the event has no field for it.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import product
from typing import Any, Literal, get_args

from uuid_utils import uuid7

from libs.access.client_address import parse_address
from libs.events.instants import instant_of
from libs.events.models import (
    EVENT_ID_PATTERN,
    MAX_KEY_LENGTH,
    MAX_NAME_LENGTH,
    AnyEvent,
    ChatAction,
    ChatMessage,
    DeviceType,
    RagRetrieval,
    SessionEnded,
    SessionStarted,
    Source,
    UserType,
)
from services.ingest.bodies import RawEvent
from services.ingest.cardinality import Cardinality
from services.ingest.countries import ASSIGNED, UNKNOWN, CountryOf
from services.ingest.devices import device_type_of
from services.ingest.incoming import (
    AnyIncoming,
    IncomingChatAction,
    IncomingChatMessage,
    IncomingContext,
    IncomingEnd,
    IncomingRetrieval,
    IncomingSource,
    IncomingStart,
)
from services.ingest.languages import LONGEST, primary_language
from services.ingest.made_ids import MadeIds
from services.ingest.verdicts import (
    MAX_AGE,
    MAX_AHEAD,
    FieldWarning,
    invalid_field,
    live_not_allowed,
    outside_window,
    warning,
)

_is_event_id = re.compile(EVENT_ID_PATTERN).match
_DEVICE_TYPES: dict[str, DeviceType] = {type_: type_ for type_ in get_args(DeviceType)}
_COUNTRIES = {UNKNOWN: UNKNOWN} | {
    spelling: code
    for code in ASSIGNED
    for spelling in map("".join, product(*zip(code, code.lower(), strict=True)))
}
_LONGEST_DEVICE_TYPE = 16
# IPv6 with IPv4 at its end, a zone, brackets and a port; to read a longer one takes long.
_LONGEST_ADDRESS = 72


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
    made_ids: MadeIds | None = None
    oldest: datetime = field(init=False)
    newest: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.oldest = self.accepted_at - MAX_AGE
        self.newest = self.accepted_at + MAX_AHEAD


def enrich(
    raw: RawEvent, incoming: AnyIncoming, submission: Submission, warnings: list[FieldWarning]
) -> AnyEvent:
    """The complete event; what is wrong with its descriptions is added to the warnings.

    Raises RefusedError when a rule beyond the single field is broken.
    """
    is_live = incoming.live
    if is_live is None:
        is_live = submission.may_be_live
    elif is_live and not submission.may_be_live:
        raise live_not_allowed()
    id_ = incoming.id
    if id_ is None:
        id_ = _made_id(raw, submission)
    elif _is_event_id(id_) is None:
        raise invalid_field("id")
    tag = incoming.language
    if tag is None:
        language = UNKNOWN
    else:
        language = primary_language(tag[:LONGEST]) or _unknown("language", warnings)
    device_id = incoming.device_id
    if device_id is None:
        device_id = ""
    elif not 0 < len(device_id) <= MAX_KEY_LENGTH:
        device_id = _absent("deviceId", warnings)
    context = incoming.context
    shared = (
        submission.project_id,
        is_live,
        id_,
        _occurred_at(incoming.occurred_at, submission),
        submission.accepted_at,
        incoming.session_id,
        incoming.user_type or "public",
        device_id,
        _country(context, submission, warnings),
        _device_type(context, submission, warnings),
        language,
    )
    return _EVENT_OF[type(incoming)](incoming, shared, submission, warnings)


def _made_id(raw: RawEvent, submission: Submission) -> str:
    return str(uuid7()) if submission.made_ids is None else submission.made_ids.next(bytes(raw))


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


def _unknown(path: str, warnings: list[FieldWarning]) -> Literal["unknown"]:
    warnings.append(warning(path))
    return "unknown"


def _absent(path: str, warnings: list[FieldWarning]) -> Literal[""]:
    warnings.append(warning(path))
    return ""


def _country(
    context: IncomingContext | None, submission: Submission, warnings: list[FieldWarning]
) -> str:
    if context is None:
        return submission.caller.country
    derived = None
    if context.ip is not None:
        # Not the caller's: that one forwards users' addresses.
        derived = _country_by_ip(context.ip, submission) or _unknown("context.ip", warnings)
    if context.country is not None:
        return _COUNTRIES.get(context.country) or _unknown("context.country", warnings)
    return submission.caller.country if derived is None else derived


def _country_by_ip(text: str, submission: Submission) -> str | None:
    """None where this is no address, even as proxies write them."""
    if len(text) > _LONGEST_ADDRESS:
        return None
    country = submission.country_of(text)
    if country is None and (address := parse_address(text)):
        return submission.country_of(str(address))
    return country


def _device_type(
    context: IncomingContext | None, submission: Submission, warnings: list[FieldWarning]
) -> DeviceType:
    if context is not None:
        given = context.device_type
        if given is not None:
            return (
                _DEVICE_TYPES.get(given)
                or _DEVICE_TYPES.get(given[:_LONGEST_DEVICE_TYPE].lower())
                or _unknown("context.deviceType", warnings)
            )
        if context.user_agent is not None:
            return device_type_of(context.user_agent)
    return submission.caller.device_type


def _names_of(sources: tuple[IncomingSource, ...], warnings: list[FieldWarning]) -> dict[str, str]:
    """The name of each source by its id, in the order in which they first came: the last name that
    is not blank.
    """
    names: dict[str, str] = {}
    for index, source in enumerate(sources):
        name = source.name
        if not name or name.isspace():
            name = ""
        elif len(name) > MAX_NAME_LENGTH:
            name = _absent(f"sources[{index}].name", warnings)
        names[source.id] = name or names.get(source.id, "")
    return names


# The fields of `libs.events.models.Event` in its order, but for the last.
_Shared = tuple[str, bool, str, datetime, datetime, str, UserType, str, str, DeviceType, str]


def _message(
    incoming: IncomingChatMessage, shared: _Shared, submission: Submission, *_: object
) -> ChatMessage:
    language = shared[-1:]  # of two letters there are 676: they need no limit
    return ChatMessage(
        *shared,
        _others(submission, shared, "language", language) if len(language[0]) > 2 else (),
        conversation_id=incoming.conversation_id,
        role=incoming.role,
    )


def _retrieval(
    incoming: IncomingRetrieval,
    shared: _Shared,
    submission: Submission,
    warnings: list[FieldWarning],
) -> RagRetrieval:
    names = _names_of(incoming.sources or (), warnings)
    return RagRetrieval(
        *shared,
        _others(submission, shared, "source", names) if names else (),
        conversation_id=incoming.conversation_id,
        hit=incoming.hit,
        sources=tuple([Source(*source) for source in names.items()]),
    )


def _action(
    incoming: IncomingChatAction, shared: _Shared, submission: Submission, *_: object
) -> ChatAction:
    return ChatAction(
        *shared,
        _others(submission, shared, "action", (incoming.action,)),
        conversation_id=incoming.conversation_id,
        action=incoming.action,
    )


def _start(_incoming: IncomingStart, shared: _Shared, *_: object) -> SessionStarted:
    return SessionStarted(*shared)


def _end(incoming: IncomingEnd, shared: _Shared, *_: object) -> SessionEnded:
    return SessionEnded(*shared, duration_ms=int(incoming.duration_ms))


def _others(
    submission: Submission, shared: _Shared, category: str, keys: Collection[str]
) -> tuple[str, ...]:
    scope = (shared[0], shared[1], category, shared[3].toordinal())
    return submission.cardinality.others(scope, keys)


_EventOf = Callable[[Any, _Shared, Submission, list[FieldWarning]], AnyEvent]
_OF_BASES: dict[type[AnyIncoming], _EventOf] = {
    IncomingChatMessage: _message,
    IncomingRetrieval: _retrieval,
    IncomingChatAction: _action,
    IncomingStart: _start,
    IncomingEnd: _end,
}
# By the type itself, and those that decoders make of it: `isinstance` costs more than the struct.
_EVENT_OF = _OF_BASES | {
    type_: event_of for base, event_of in _OF_BASES.items() for type_ in base.__subclasses__()
}
