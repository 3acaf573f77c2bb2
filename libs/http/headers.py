"""A request's headers as they lie in the scope: Starlette's view of them costs more."""

from collections.abc import Sequence

from starlette.types import Scope

_BY_NAME = "ragtime.headers"  # in the scope


def _by_name(scope: Scope) -> dict[bytes, list[bytes]]:
    """The values of each header in order, found once for a request. They are the scope's own: texts
    of all of them would double what the head of a request takes as long as that is under way.
    """
    found: dict[bytes, list[bytes]] | None = scope.get(_BY_NAME)
    if found is None:
        found = scope[_BY_NAME] = {}
        for name, value in scope["headers"]:
            if name in found:
                found[name].append(value)
            else:
                found[name] = [value]
    return found


def header_values(scope: Scope, name: bytes) -> Sequence[str]:
    """The values of one header in order; `name` in lower case. None where it is absent."""
    values = _by_name(scope).get(name)
    if values is None:
        return ()
    if len(values) == 1:  # on Python 3.11 a comprehension is a call
        return (values[0].decode("latin-1"),)
    return [value.decode("latin-1") for value in values]
