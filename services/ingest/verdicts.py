"""Why an event is refused: a stable code, and a text that names the field and what would be right.

Only events that were refused come here, so this is the slow and friendly way: msgspec's message is
taken apart for the field, never repeated, for it may quote what the producer sent.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import msgspec

from libs.events.models import EVENT_TYPES, MAX_DURATION_MS, MAX_SOURCES
from libs.events.reasons import RejectCode
from services.ingest.fields import declared

MAX_AGE = timedelta(days=30)
MAX_AHEAD = timedelta(minutes=5)


def _text(least: int, most: int) -> str:
    return f"a string of {least} to {most} characters"


# What each field must be. A test holds the keys against the fields that are declared.
RULES = {
    "id": f"{_text(1, 64)} of A-Z a-z 0-9 _ . : -",
    "type": f"one of {', '.join(EVENT_TYPES)}",
    "occurredAt": "an RFC 3339 time with a zone, such as 2026-03-25T09:30:00Z",
    "sessionId": _text(1, 128),
    "conversationId": _text(1, 128),
    "userType": "public or logged_in",
    "deviceId": _text(1, 128),
    "live": "true or false",
    "language": "a BCP 47 language tag such as de or en-GB, or an Accept-Language list",
    "context": "an object with any of ip, userAgent, country, deviceType",
    "context.ip": "an IPv4 or IPv6 address, perhaps with a port",
    "context.userAgent": "a string",
    "context.country": "an assigned ISO 3166-1 alpha-2 code such as DE, or unknown",
    "context.deviceType": "one of desktop, mobile, tablet, unknown",
    "role": "user or assistant",
    "action": _text(1, 64),
    "hit": "true or false",
    "sources": f"an array of at most {MAX_SOURCES} objects, each with an id and perhaps a name",
    "sources[]": "an object with an id and perhaps a name",
    "sources[].id": _text(1, 128),
    "sources[].name": "a string of at most 512 characters",
    "durationMs": f"an integer from 0 to {MAX_DURATION_MS} (7 days)",
}

# The last of its kind: before it stands what the producer sent, which may look like one.
_PLACE = re.compile(r".* - at `\$\.?(?P<path>.*)`\Z", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>\w+)`")
_NULL = re.compile(r"Expected .*, got `null`(?: - at|\Z)")
_NUMBER = re.compile(r"\[\d+\]")
_USUAL_LENGTH = 160
_LONGEST_PATH = 100
_REQUIRED = frozenset(path for path, field in declared().items() if field.is_required)
# Descriptions that have no `unknown`.
_ABSENT = frozenset({"deviceId", "context", "sources[].name"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is wrong with an event."""

    code: RejectCode
    message: str


@dataclass(frozen=True, slots=True)
class FieldWarning:
    """What is wrong with a description of an event that counts all the same."""

    field: str
    message: str


class RefusedError(Exception):
    """An event that decodes, and yet cannot be taken."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def explain(error: Exception) -> Refusal:
    """The refusal that belongs to an error of the decoder or of the checks after it."""
    if isinstance(error, msgspec.ValidationError):
        message = str(error)
        # A longer one quotes what was sent, and is never seen again.
        return (_usual_fault if len(message) <= _USUAL_LENGTH else _fault)(message)
    if isinstance(error, RefusedError):
        return error.refusal
    return Refusal(RejectCode.INVALID_JSON, explain_syntax(error))


def explain_syntax(error: Exception) -> str:
    """What is wrong with bytes that are no JSON."""
    if isinstance(error, RecursionError):
        return "not JSON that can be read: nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "not JSON: a string holds bytes that are not UTF-8, or half of a surrogate pair"
    if "truncated" in str(error):
        return "not JSON: it ends too early, or holds half of a surrogate pair (\\ud800 to \\udfff)"
    return f"not JSON: {str(error).removeprefix('JSON is malformed: ')}"


def _rule_of(path: str) -> str:
    """The rule; of a field that has none a text all the same: a request must not fail of that."""
    return RULES.get(path, "as the documentation of the API says")


def _fault(message: str) -> Refusal:
    place = _PLACE.match(message)
    path = place["path"] if place else ""
    missing = _MISSING.match(message)
    if missing is not None:
        path = f"{path}.{missing['name']}" if path else missing["name"]
    elif not path:
        return Refusal(RejectCode.NOT_AN_OBJECT, "an event must be a JSON object")
    rule = _NUMBER.sub("[]", path)
    if missing is not None or (rule in _REQUIRED and _NULL.match(message)):
        return Refusal(
            RejectCode.MISSING_FIELD, f"`{path}` is missing: it must be {_rule_of(rule)}"
        )
    code = RejectCode.UNKNOWN_TYPE if rule == "type" else RejectCode.INVALID_FIELD
    return Refusal(code, f"`{path}` must be {_rule_of(rule)}")


# The same faults come again and again, and their texts cost more than all else about an event.
_usual_fault = lru_cache(maxsize=1_024)(_fault)


def invalid_field(path: str) -> RefusedError:
    """A field whose value is of the right type and still not what its rule asks for."""
    return RefusedError(Refusal(RejectCode.INVALID_FIELD, f"`{path}` must be {_rule_of(path)}"))


@lru_cache(maxsize=1_024)
def warning(path: str) -> FieldWarning:
    """A description that breaks its rule, and what it counts as."""
    rule = _NUMBER.sub("[]", path)
    counts_as = "absent" if rule in _ABSENT else "unknown"
    return FieldWarning(path, f"`{path}` must be {_rule_of(rule)}; it counts as {counts_as}")


def unknown_field(path: str, right: str) -> RefusedError:
    """A name that is nearly one of ours. It consists of the letters of ours, `_` and `-`."""
    shown = path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}…"
    message = f"`{shown}` is not known here: the name is `{right}`"
    return RefusedError(Refusal(RejectCode.UNKNOWN_FIELD, message))


def live_not_allowed() -> RefusedError:
    """A test key sent a live event."""
    message = "`live` must be false or absent: an rt_test_ key cannot write live events"
    return RefusedError(Refusal(RejectCode.LIVE_NOT_ALLOWED, message))


def outside_window(occurred_at: datetime, oldest: datetime, newest: datetime) -> RefusedError:
    """The event happened too long ago, or too far in the future."""
    if occurred_at < oldest:
        code = RejectCode.OCCURRED_AT_TOO_OLD
        limit = f"not before {_spell(oldest)} ({MAX_AGE.days} days ago)"
    else:
        code = RejectCode.OCCURRED_AT_IN_FUTURE
        limit = f"not after {_spell(newest)} ({MAX_AHEAD.seconds // 60} minutes ahead)"
    return RefusedError(Refusal(code, f"`occurredAt` must be {limit}"))


def _spell(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
