"""The digest of a record: what the processor must know of its events without parsing them.

It travels in a header beside the value: 8 bytes, the xxh3 of the value, then a mark for each line.
A mark has 28 bytes, little endian: the hash of the id, the hash of the conversation and a check of
it (both 0 unless the event is a message), and when it occurred, in whole seconds since 1970.

Only what has validated the events may write one. A record without, or with one that does not fit
its value, is decoded line by line: other producers need not know of it.
"""

from collections.abc import Iterable
from struct import Struct

import xxhash

from libs.events.models import AnyEvent, ChatMessage

HEADER = "ragtime-digest-1"
MARK_BYTES = 28
_CHECKSUM_BYTES = 8

_pack = Struct("<QQQI").pack
_xxh3 = xxhash.xxh3_64_intdigest


def id_hash(project_id: str, event_id: str) -> int:
    """64 bits of an event's identity. ClickHouse's xxh3 of the same bytes gives the same number."""
    return _xxh3(f"{project_id}\0{event_id}".encode())


def conversation_hash(project_id: str, is_live: bool, conversation_id: str) -> tuple[int, int]:
    """128 bits of a conversation's identity, enough to be taken for the conversation itself."""
    text = f"{project_id}\0{int(is_live)}{conversation_id}".encode()
    return _xxh3(text), _xxh3(b"\0" + text)


def mark_of(event: AnyEvent) -> bytes:
    """What the processor must know of an event."""
    key, check = 0, 0
    if isinstance(event, ChatMessage):
        key, check = conversation_hash(event.project_id, event.is_live, event.conversation_id)
    occurred_s = int(event.occurred_at.timestamp())
    return _pack(id_hash(event.project_id, event.id), key, check, occurred_s)


def digest_of(value: bytes, marks: Iterable[bytes]) -> bytes:
    """The digest of a record with this value and these marks, one for each line in order."""
    return xxhash.xxh3_64_digest(value) + b"".join(marks)


def marks_of(value: bytes, digest: bytes) -> bytes | None:
    """The marks, one after the other; None where the digest is not of this value."""
    marks = digest[_CHECKSUM_BYTES:]
    if len(marks) != MARK_BYTES * (value.count(b"\n") + 1):
        return None
    return marks if xxhash.xxh3_64_digest(value) == digest[:_CHECKSUM_BYTES] else None
