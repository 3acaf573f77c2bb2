"""Ids of events that have none, under an `Idempotency-Key`. Pure.

They come from the key, the event's own bytes and its number among equal events of the request: so
another body under the same key counts in full, and a request without its refused events repeats the
rest.
"""

from hashlib import blake2b, sha256


class MadeIds:
    """The ids of one request's events."""

    __slots__ = ("_key", "_seen")

    def __init__(self, project_id: str, idempotency_key: str) -> None:
        self._key = sha256(f"{project_id}\0{idempotency_key}".encode()).digest()
        self._seen: dict[bytes, int] = {}

    def next(self, raw: bytes) -> str:
        """The id of the next event, which has these bytes."""
        digest = blake2b(raw.strip(), digest_size=20, key=self._key).digest()
        number = self._seen.get(digest, 0)
        self._seen[digest] = number + 1
        return f"{digest.hex()}:{number}"
