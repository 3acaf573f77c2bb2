"""Instants as producers write them, read such that an event keeps its day. Pure.

The decoder rounds to the microsecond, so that the last instant of a day (`…59.9999999Z`, as .NET
and Go write it) would be the first of the next, and takes no second 60. Here digits beyond the
microsecond are cut, and second 60 is the last instant of its minute.
"""

import re
from datetime import datetime

import msgspec

from libs.events.models import Instant

_from_iso = datetime.fromisoformat
_ZERO = bytes.maketrans(b"123456789", b"000000000")
_FRACTIONS = ("", *(f".{'0' * digits}" for digits in range(1, 7)))
# RFC 3339 in all spellings that Python reads right by itself, in a third of the time.
_USUAL = {
    f"0000-00-00T00:00:00{fraction}{zone}".encode()
    for fraction in _FRACTIONS
    for zone in ("Z", "+00:00", "-00:00")
}

_IN_A_LINE = rb'"(?:occurred_at|accepted_at)"\s*+:\s*+"'
_FRACTION = rb'[^"\\]{19}\.\d{6})\d++'
_SECOND_60 = rb'[^"\\]{16}:)60(?:\.\d*+)?'
_CUT_IN_A_LINE = re.compile(rb"(" + _IN_A_LINE + _FRACTION)
_SECOND_60_IN_A_LINE = re.compile(rb"(" + _IN_A_LINE + _SECOND_60)
_CUT = re.compile(rb"\A(" + _FRACTION)
_SECOND_60_ALONE = re.compile(rb"\A(" + _SECOND_60)


def instant_of(text: str) -> datetime | None:
    """The instant of an RFC 3339 time with a zone; None where it is none."""
    if text.encode().translate(_ZERO) in _USUAL:
        try:
            return _from_iso(text)
        except ValueError:  # second 60, or no time at all
            pass
    plain = _SECOND_60_ALONE.sub(rb"\g<1>59.999", _CUT.sub(rb"\1", text.encode()))
    try:
        return msgspec.convert(plain.decode(), Instant)
    except msgspec.ValidationError:
        return None


def has_long_fraction(line: bytes) -> bool:
    """Whether an instant in a line of a record has digits that the decoder would round."""
    return b"999" in line and _CUT_IN_A_LINE.search(line) is not None


def with_plain_instants(line: bytes) -> bytes:
    """The same line of a record, in whose instants there is nothing to round and no second 60."""
    cut = _CUT_IN_A_LINE.sub(rb"\1", line)
    return _SECOND_60_IN_A_LINE.sub(rb"\g<1>59.999", cut)
