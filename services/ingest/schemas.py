"""The JSON Schemas of what producers send: of the structs, and what these cannot say. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from services.ingest.incoming import AnyIncoming
from services.ingest.names import OF_A_CONTEXT, OF_A_SOURCE, OF_AN_EVENT, Names

Json = dict[str, Any]

_NONE = "Anything else counts as {}, and the answer warns of it."
# None of them rejects an event, so that any value is right.
_DESCRIPTIONS = {
    "language": "A BCP 47 tag such as de, en-GB or en_GB, or an `Accept-Language` list, of which"
    f" the first counts. {_NONE.format('unknown')}",
    "deviceId": "Slug of a device or kiosk, a string of 1 to 128 characters."
    f" {_NONE.format('absent')}",
    "ip": f"The user's address, read like an entry of `X-Forwarded-For`. {_NONE.format('unknown')}",
    "userAgent": f"The user's browser, a string. {_NONE.format('unknown')}",
    "country": "An assigned ISO 3166-1 alpha-2 code in any letter case, or unknown."
    f" {_NONE.format('unknown')}",
    "deviceType": "desktop, mobile, tablet or unknown, in any letter case."
    f" {_NONE.format('unknown')}",
    "name": "What the source is called, a string of at most 512 characters."
    f" {_NONE.format('absent')}",
}


def event_schema(ref_template: str, *others: type) -> tuple[Json, dict[str, Json]]:
    """The schema of an event, and all schemas that it and these other types refer to, by name."""
    (event, *_), schemas = msgspec.json.schema_components(
        (AnyIncoming, *others), ref_template=ref_template
    )
    for name, schema in schemas.items():
        if name.startswith("Incoming"):
            _free_descriptions(schema["properties"])
            schema["propertyNames"] = {"not": {"pattern": _near_misses(_names_of(name))}}
    del schemas["IncomingContext"]["type"]  # what is no object counts as absent
    return event, schemas


def _free_descriptions(properties: Json) -> None:
    for name in properties.keys() & _DESCRIPTIONS.keys():
        properties[name] = {"description": _DESCRIPTIONS[name]}


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
