"""Each part measures one thing, with servers of its own: a module with `run(quick)`."""

from collections.abc import Callable

from tests.bench.measure import Result

Run = Callable[..., list[Result]]

PARTS: dict[str, Run] = {}
SCALE: dict[str, Run] = {}
