"""Each part measures one thing, with servers of its own: a module with `run(quick)`."""

from collections.abc import Callable

from tests.bench.measure import Result
from tests.bench.parts import (
    analytics,
    disk,
    end_to_end,
    growth,
    ingest,
    keys,
    late,
    recovery,
    write_path,
)

Run = Callable[..., list[Result]]

PARTS: dict[str, Run] = {
    "write-path": write_path.run,
    "ingest": ingest.run,
    "end-to-end": end_to_end.run,
    "analytics": analytics.run,
    "disk": disk.run,
    "recovery": recovery.run,
    "keys": keys.run,
}
SCALE: dict[str, Run] = {"growth": growth.run}
# Run only where they are named.
MORE: dict[str, Run] = {"late": late.run}
ALL = PARTS | SCALE | MORE
