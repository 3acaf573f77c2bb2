"""Routes that take a path to its very end."""

import re
from collections.abc import Iterable

from starlette.routing import BaseRoute, Route


def take_whole_paths(routes: Iterable[BaseRoute]) -> None:
    """Let no route take a path with a line end behind it, as `$` does.

    `/metrics%0A` would be answered where a proxy keeps `/metrics` from strangers.
    """
    for route in routes:
        if isinstance(route, Route):
            pattern = route.path_regex.pattern.removesuffix("$")
            route.path_regex = re.compile(pattern + r"\Z")
