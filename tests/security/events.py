"""Events made from the document's own schemas: each type, with a text in every free string."""

import re
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
Components = dict[str, Any]


def event_types(components: Components) -> list[Schema]:
    """The schemas of all types of events."""
    options = components["schemas"]["Event"]["anyOf"]
    return [resolve(option, components) for option in options]


def resolve(schema: Schema, components: Components) -> Schema:
    """A schema itself, for a reference to one or for one that may be null."""
    for option in schema.get("anyOf", ()):
        if option.get("type") != "null" and "format" not in option:
            return resolve(option, components)
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Schema = components["schemas"][name] if name else schema
    return found


def is_free(schema: Schema) -> bool:
    """Whether a string may hold whatever a producer likes; a description may be anything."""
    bound = {"enum", "pattern", "format", "anyOf"} & set(schema)
    return (schema.get("type") == "string" and not bound) or set(schema) == {"description"}


def every_event_with(components: Components, text: str) -> list[dict[str, Any]]:
    """An event of each type, with this text in every string that may hold it."""
    return [filled(schema, components, text) for schema in event_types(components)]


def filled(schema: Schema, components: Components, text: str) -> dict[str, Any]:
    """An object with each free string filled, and with what else is required."""
    value: dict[str, Any] = {}
    for name, described in schema["properties"].items():
        inner = resolve(described, components)
        if is_free(inner):
            value[name] = text[: inner.get("maxLength")]
        elif "properties" in inner:
            value[name] = filled(inner, components, text)
        elif inner.get("type") == "array":
            value[name] = [filled(resolve(inner["items"], components), components, text)]
        elif name in schema["required"]:
            value[name] = _simplest(inner)
    return value


def _simplest(schema: Schema) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    return {"boolean": True, "integer": 1}[schema["type"]]


def bound_strings(components: Components) -> Iterator[tuple[Schema, tuple[str, ...]]]:
    """Each place of a string that may not hold everything: its event's schema, and the path."""
    for schema in event_types(components):
        for path in _bound_in(schema, components):
            yield schema, path


def _bound_in(schema: Schema, components: Components) -> Iterator[tuple[str, ...]]:
    for name, described in schema["properties"].items():
        inner = resolve(described, components)
        is_bound = "enum" in inner or (inner.get("type") == "string" and not is_free(inner))
        if "properties" in inner:
            yield from ((name, *rest) for rest in _bound_in(inner, components))
        elif is_bound or "format" in str(described):
            yield (name,)


def column_of(name: str) -> str:
    """The column that keeps a field."""
    return re.sub(r"(?=[A-Z])", "_", name).lower()
