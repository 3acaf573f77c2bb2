"""Where an error came from, without its text: that may quote what somebody sent."""

import traceback


def places_of(error: BaseException) -> str:
    """The trace of an error and of those that led to it: the kind and the places of each."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        places = "".join(traceback.format_tb(cause.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{places}{type(cause).__qualname__}")
        cause = cause.__cause__ or cause.__context__
    return "\n".join(reversed(parts))
