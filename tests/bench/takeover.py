"""`python -m tests.bench.takeover PARTITION`: take a partition over as the processor does.

Prints, as JSON, what it found, how long that took and what memory this process had at most. Where
ClickHouse is comes in the environment, as it does for the processor.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping

from libs.clickhouse.connection import connect
from libs.settings import ClickHouseSettings, ServiceSettings
from libs.telemetry.logs import configure_logs
from services.processor.ownership import Ownership
from services.processor.recovery import Recovery, utc_now
from tests.bench.measure import cost_of

TOPIC = "events"
_LEASE_S = 0.1


class Settings(ServiceSettings):
    """Where ClickHouse is."""

    clickhouse: ClickHouseSettings


async def take_over(settings: ClickHouseSettings, partition: int) -> dict[str, float]:
    """Recover one partition; the seconds are without the wait for the lease."""

    async def confirm(_offsets: Mapping[int, int]) -> bool:
        return True

    client = await connect(settings)
    ownership = Ownership(_LEASE_S, confirm, lambda: True, time.monotonic, asyncio.sleep)
    started = time.monotonic()
    found = await Recovery(client, TOPIC, ownership, utc_now).recover({partition})
    seconds = time.monotonic() - started - _LEASE_S
    await client.close()
    peak_mb = cost_of(os.getpid()).peak_mib * 2**20 / 1e6
    return {"ids": len(found[partition].ids), "seconds": seconds, "peak_mb": peak_mb}


def main() -> None:
    """Take it over."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("partition", type=int)
    configure_logs("takeover", "warning", sys.stderr)
    settings = Settings().clickhouse
    sys.stdout.write(json.dumps(asyncio.run(take_over(settings, parser.parse_args().partition))))


if __name__ == "__main__":
    main()
