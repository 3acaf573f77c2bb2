"""Routes that take a path to its very end, and the API's with or without a slash there."""

import re
from collections.abc import Iterable

from starlette.routing import BaseRoute, Route

_API = "/api/"


def take_whole_paths(routes: Iterable[BaseRoute]) -> None:
    """Let no route take a path with a line end behind it, as `$` does.

    `/metrics%0A` would be answered where a proxy keeps `/metrics` from strangers.
    """
    for route in routes:
        if isinstance(route, Route) and route.path_regex.pattern.endswith("$"):
            pattern = route.path_regex.pattern.removesuffix("$")
            slash = "/?" if route.path.startswith(_API) else ""
            route.path_regex = re.compile(pattern + slash + r"\Z")
