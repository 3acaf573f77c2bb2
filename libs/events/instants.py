"""Instants as producers write them, made such that the decoder keeps their day. Pure.

The decoder rounds to the microsecond, so that the last instant of a day (`…59.9999999Z`, as .NET and Go
write it) would be the first of the next, and takes no second 60. Both are rare: what is rewritten here is
the text of the event, before it is decoded again.
"""

import re

# Without these digits no rounding reaches the millisecond: a look that costs 40 ns an event.
_NINES = b"999"

_NAME = rb'("(?:occurredAt|occurred_at|accepted_at)"\s*+:\s*+"'
_BEYOND_THE_MICROSECOND = re.compile(_NAME + rb'[^"\\]{19}\.\d{6})\d++')
_SECOND_60 = re.compile(_NAME + rb'[^"\\]{16}:)60(?:\.\d*+)?')


def may_be_rounded_up(raw: bytes) -> bool:
    """Whether an instant in this event could become a later millisecond."""
    return _NINES in raw


def plain_instants(raw: bytes) -> bytes:
    """The same event, its instants cut to the microsecond; second 60 is the last of its minute."""
    cut = _BEYOND_THE_MICROSECOND.sub(rb"\1", raw)
    return _SECOND_60.sub(rb"\g<1>59.999", cut)
