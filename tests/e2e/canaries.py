"""A search for what must be nowhere: in no log, no metric, no record of Kafka.

A word is looked for as it was sent, whatever its letters' case, and as a JSON string holds it.
"""

import json
from collections.abc import Iterable, Mapping

from tests.e2e.stack import Stack


def leaks(places: Mapping[str, str], words: Iterable[str]) -> list[tuple[str, str]]:
    """Each word that is in a place where it must not be, with the place."""
    searched = {place: text.casefold() for place, text in places.items()}
    return [
        (place, word)
        for word in words
        for spelled in {word.casefold(), json.dumps(word)[1:-1].casefold()}
        for place, text in searched.items()
        if spelled in text
    ]


def places_of(stack: Stack) -> dict[str, str]:
    """Where words may leak to: the services' logs and metrics, and both topics with all headers."""
    records = [*stack.topics.read_all()]
    running = [service for service in stack.services.values() if service.is_running]
    return {
        **{f"log of {s.name}": _text(s.log.read_bytes()) for s in stack.services.values()},
        **{f"metrics of {s.name}": stack.http.get(f"{s.url}/metrics").text for s in running},
        "topics": "\n".join(map(_text, records)),
    }


def _text(written: bytes) -> str:
    return written.decode("utf-8", errors="replace")
