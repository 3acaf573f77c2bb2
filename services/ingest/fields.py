"""The fields that an event may have, read off the structs that decode it. Pure.

What is told about a field elsewhere (texts of verdicts, schemas, docs/api.md) is compared with
this by a test, so that a new one cannot be forgotten there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from msgspec import inspect

from services.ingest.incoming import AnyIncoming


@dataclass(frozen=True, slots=True)
class Field:
    """A field by its path (`sources[].id`), and the types of events that have it."""

    path: str
    is_required: bool
    types: frozenset[str]


def declared() -> dict[str, Field]:
    """All fields of all types of events by their paths; `type` itself is none of them."""
    found: dict[str, Field] = {}
    for type_ in inspect.multi_type_info(get_args(AnyIncoming)):
        if isinstance(type_, inspect.StructType):
            for path, is_required in _fields(type_, ""):
                known = found[path].types if path in found else frozenset()
                found[path] = Field(path, is_required, known | {str(type_.tag)})
    return found


def _fields(type_: inspect.Type, path: str) -> Iterator[tuple[str, bool]]:
    """Path, and whether it is required, of each field within a type that stands at a path."""
    match type_:
        case inspect.StructType(fields=fields):
            for field in fields:
                inner = f"{path}.{field.encode_name}" if path else field.encode_name
                yield inner, field.required
                yield from _fields(field.type, inner)
        case inspect.CollectionType(item_type=item):
            yield f"{path}[]", False
            yield from _fields(item, f"{path}[]")
        case inspect.UnionType(types=types):
            for one in types:
                yield from _fields(one, path)
        case inspect.Metadata(type=bare):
            yield from _fields(bare, path)
