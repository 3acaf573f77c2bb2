"""Each part measures one thing, with servers of its own: a module with `run(quick)`."""

from collections.abc import Callable

from tests.bench.measure import Result
from tests.bench.parts import analytics, disk, growth, recovery

Run = Callable[..., list[Result]]

PARTS: dict[str, Run] = {
    "analytics": analytics.run,
    "disk": disk.run,
    "recovery": recovery.run,
}
SCALE: dict[str, Run] = {"growth": growth.run}
