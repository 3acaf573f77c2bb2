"""A request's headers as they lie in the scope: Starlette's view of them costs more."""

from collections.abc import Sequence

from starlette.types import Scope

_BY_NAME = "ragtime.headers"  # in the scope


def headers_by_name(scope: Scope) -> dict[bytes, list[str]]:
    """The values of each header in order, read once for a request; names are in lower case."""
    found: dict[bytes, list[str]] | None = scope.get(_BY_NAME)
    if found is None:
        found = scope[_BY_NAME] = {}
        for name, value in scope["headers"]:
            if name in found:
                found[name].append(value.decode("latin-1"))
            else:
                found[name] = [value.decode("latin-1")]
    return found


def header_values(scope: Scope, name: bytes) -> Sequence[str]:
    """The values of one header; none where it is absent."""
    return headers_by_name(scope).get(name, ())
