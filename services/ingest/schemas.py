"""The JSON Schemas of what producers send: those of the structs, and what these cannot say. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from services.ingest.incoming import AnyIncoming
from services.ingest.names import OF_A_CONTEXT, OF_A_SOURCE, OF_AN_EVENT, Names

Json = dict[str, Any]


def event_schema(ref_template: str, *others: type) -> tuple[Json, dict[str, Json]]:
    """The schema of an event, and all schemas that it and these other types refer to, by name."""
    (event, *_), schemas = msgspec.json.schema_components(
        (AnyIncoming, *others), ref_template=ref_template
    )
    for name, schema in schemas.items():
        if name.startswith("Incoming"):
            schema["propertyNames"] = {"not": {"pattern": _near_misses(_names_of(name))}}
    return event, schemas


def _names_of(schema: str) -> Names:
    return {"IncomingContext": OF_A_CONTEXT, "IncomingSource": OF_A_SOURCE}.get(schema, OF_AN_EVENT)


def _near_misses(names: Names) -> str:
    """A pattern of all names that are nearly one of these, and none of them."""
    exact = "|".join(sorted(names.exact))
    return f"^(?!({exact})$)[_-]*({_any_of(names.by_fold)})$"


def _any_of(folded: Iterable[str]) -> str:
    return "|".join(
        "".join(f"[{letter.upper()}{letter}][_-]*" for letter in name) for name in sorted(folded)
    )
