"""A request's headers as they lie in the scope: Starlette's view of them costs more."""

from starlette.types import Scope


def header_values(scope: Scope, name: bytes) -> list[str]:
    """The values of a header in order; `name` in lower case, as servers hand them over."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def read_headers(scope: Scope, names: frozenset[bytes]) -> dict[bytes, list[str]]:
    """The values of several headers, looked for in one go; those that are absent are not there."""
    found: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        if name in names:
            found.setdefault(name, []).append(value.decode("latin-1"))
    return found
