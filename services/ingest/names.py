"""Names of fields that are nearly ours: `occurred_at`, `isLive`, `user-type`. Pure.

To ignore one in silence would count the event on the wrong day or in the wrong mode. All other
unknown names are ignored, so names are only looked at where the decoder met one that it does not
know.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import get_args

import msgspec
from msgspec import UNSET, Raw

from services.ingest.bodies import RawEvent
from services.ingest.incoming import (
    AnyIncoming,
    IncomingContext,
    IncomingSource,
)
from services.ingest.verdicts import unknown_field

_LIST_AT_MOST = 10_000  # colons: each may be a name, and a name costs 250 bytes
_LOOK_AT_AT_MOST = 200_000
_SPELLINGS_AT_MOST = 16

_SEPARATORS = str.maketrans("", "", "_-")

_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_elements = msgspec.json.Decoder(list[Raw]).decode


@lru_cache(maxsize=4_096)
def _folded(name: str) -> str:
    return name.translate(_SEPARATORS).lower()


class Names:
    """The names of the fields of a level, and those that are nearly one of them."""

    def __init__(self, *types: type[msgspec.Struct], **others: str) -> None:
        fields = [field for type_ in types for field in msgspec.structs.fields(type_)]
        self.exact = {field.encode_name for field in fields} | {*others.values()}
        self.by_fold = {_folded(name): name for name in self.exact} | others


OF_AN_EVENT = Names(
    *get_args(AnyIncoming), type="type", islive="live", eventid="id", timestamp="occurredAt"
)
OF_A_CONTEXT = Names(IncomingContext)
OF_A_SOURCE = Names(IncomingSource)
_ALL = (OF_AN_EVENT, OF_A_CONTEXT, OF_A_SOURCE)
_EXACT = "|".join(sorted({name for names in _ALL for name in names.exact}))
# Any name of letters but ours.
_NAME = re.compile(rf'"(?!(?:{_EXACT})")([A-Za-z_-]{{2,64}})"\s*+:'.encode())


def _is_nearly_ours(name: str) -> bool:
    return any(names.by_fold.get(_folded(name), name) != name for names in _ALL)


def reject_near_misses(raw: RawEvent) -> None:
    """Raises RefusedError for a name of a field that is nearly one of ours.

    And an UndecodableError where this is no object.
    """
    _look_at(_fields(raw), OF_AN_EVENT, "")


def reject_nested_near_misses(raw: RawEvent) -> None:
    """The same for the fields of the context and of the sources."""
    fields = _fields(raw)
    if (context := fields.get("context")) and _begins(context, b"{"):
        _look_at(_fields(context), OF_A_CONTEXT, "context.")
    sources = fields.get("sources")
    if sources and _begins(sources, b"[") and not may_be_many(sources):
        for index, source in enumerate(_decode_elements(sources)):
            if _begins(source, b"{"):
                _look_at(_decode_fields(source), OF_A_SOURCE, f"sources[{index}].")


def _begins(raw: Raw, with_: bytes) -> bool:
    return bytes(memoryview(raw)[:1]) == with_


def _look_at(fields: Mapping[str, Raw], names: Names, path: str) -> None:
    for name in fields.keys() - names.exact:
        right = names.by_fold.get(_folded(name))
        if right is not None:
            raise unknown_field(f"{path}{name}", f"{path}{right}")


def _fields(raw: RawEvent) -> Mapping[str, Raw]:
    return _nearly_ours(raw) if may_be_many(raw) else _decode_fields(raw)


def may_be_many(raw: RawEvent) -> bool:
    """Whether to list all fields in this could take too much memory."""
    return len(raw) > _LIST_AT_MOST and bytes(raw).count(b":") > _LIST_AT_MOST


def _nearly_ours(raw: RawEvent) -> Mapping[str, Raw]:
    """The fields whose names are nearly ours, where to list all takes too much memory."""
    found = set(map(itemgetter(1), islice(_NAME.finditer(raw), _LOOK_AT_AT_MOST)))
    nearly = filter(_is_nearly_ours, map(bytes.decode, found))
    names = ["context", "sources", *islice(nearly, _SPELLINGS_AT_MOST)]
    renamed = {f"field_{index}": name for index, name in enumerate(names)}
    type_ = msgspec.defstruct("Few", [(field, Raw, UNSET) for field in renamed], rename=renamed)
    seen = msgspec.structs.asdict(msgspec.json.decode(raw, type=type_))
    return {renamed[field]: value for field, value in seen.items() if value is not UNSET}
